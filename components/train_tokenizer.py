"""The component of the step `train_tokenizer`."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from components import CUDA_IMAGE


@dsl.component(base_image=CUDA_IMAGE, install_kfp_package=False)
def train_tokenizer(
    corpus: Input[Dataset],
    screener: Input[Dataset],
    out: Output[Model],
    metrics: Output[Metrics],
    page: Output[HTML],
    profile: str = "default",
    overrides: str = "{}",
    seed: int = -1,
    label: str = "",
    init: str = "",
    rerun: str = "",
) -> None:
    """Stage 1: train the improved VQGAN (Eq. 6-10)."""
    from danqing.platform.component import run_component

    run_component(
        "train_tokenizer",
        inputs={"corpus": corpus, "screener": screener},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        page=page,
        seed=seed,
        label=label,
        init=init,
        rerun=rerun,
    )
