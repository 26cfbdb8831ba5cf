"""The component of the step `train_painter`."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components import CUDA_IMAGE


@dsl.component(base_image=CUDA_IMAGE, install_kfp_package=False)
def train_painter(
    corpus: Input[Dataset],
    tokenizer: Input[Model],
    clip: Input[Model],
    out: Output[Model],
    metrics: Output[Metrics],
    profile: str = "default",
    overrides: str = "{}",
    seed: int = -1,
    label: str = "",
    init: str = "",
    rerun: str = "",
) -> None:
    """Stage 2: train the painter under CLIP guidance (Eq. 11, 13, 14)."""
    from danqing.platform.component import run_component

    run_component(
        "train_painter",
        inputs={"corpus": corpus, "tokenizer": tokenizer, "clip": clip},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        seed=seed,
        label=label,
        init=init,
        rerun=rerun,
    )
