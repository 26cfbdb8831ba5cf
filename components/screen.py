"""The component of the step `screen`."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from components import CUDA_IMAGE


@dsl.component(base_image=CUDA_IMAGE, install_kfp_package=False)
def screen(
    corpus: Input[Dataset],
    out: Output[Dataset],
    metrics: Output[Metrics],
    profile: str = "default",
    overrides: str = "{}",
    seed: int = -1,
    rerun: str = "",
) -> None:
    """Set aside what is no Chinese painting (Eq. 1)."""
    from danqing.platform.component import run_component

    run_component(
        "screen",
        inputs={"corpus": corpus},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        seed=seed,
        rerun=rerun,
    )
