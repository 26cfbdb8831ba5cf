"""The component of the step `annotate`."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from components import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def annotate(
    corpus: Input[Dataset],
    out: Output[Dataset],
    metrics: Output[Metrics],
    profile: str = "default",
    overrides: str = "{}",
    seed: int = -1,
    rerun: str = "",
) -> None:
    """Crop (Eq. 2-5), caption in English and Chinese, split 8:1:1."""
    from danqing.platform.component import run_component

    run_component(
        "annotate",
        inputs={"corpus": corpus},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        seed=seed,
        rerun=rerun,
    )
