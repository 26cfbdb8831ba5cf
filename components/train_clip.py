"""The component of the step `train_clip`."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components import CUDA_IMAGE


@dsl.component(base_image=CUDA_IMAGE, install_kfp_package=False)
def train_clip(
    corpus: Input[Dataset],
    out: Output[Model],
    metrics: Output[Metrics],
    profile: str = "default",
    overrides: str = "{}",
    seed: int = -1,
    rerun: str = "",
) -> None:
    """Train the CLIP that guides and the CLIP that judges (Eq. 12)."""
    from danqing.platform.component import run_component

    run_component(
        "train_clip",
        inputs={"corpus": corpus},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        seed=seed,
        rerun=rerun,
    )
