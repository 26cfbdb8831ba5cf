"""The component that makes one corpus of the parts that several pods have ingested."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from components import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def merge(
    parts: Input[list[Dataset]],
    out: Output[Dataset],
    metrics: Output[Metrics],
    profile: str = "default",
    overrides: str = "{}",
    data_revision: str = "",
) -> None:
    """Set copies aside and give look-alikes one group, over all parts."""
    from danqing.platform.component import run_merge

    run_merge(
        parts=parts,
        out=out,
        metrics=metrics,
        profile=profile,
        overrides=overrides,
        data_revision=data_revision,
    )
