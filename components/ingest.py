"""The component of the step `ingest`."""

from kfp import dsl
from kfp.dsl import Dataset, Metrics, Output

from components import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def ingest(
    out: Output[Dataset],
    metrics: Output[Metrics],
    profile: str = "default",
    overrides: str = "{}",
    source: str = "",
    seed: int = -1,
    data_revision: str = "",
    rerun: str = "",
    label: str = "",
) -> None:
    """Fetch or paint the pictures and write the corpus, or a part of it."""
    from danqing.platform.component import run_component

    run_component(
        "ingest",
        inputs={},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        source=source,
        seed=seed,
        data_revision=data_revision,
        rerun=rerun,
        label=label,
    )
