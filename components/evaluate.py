"""The component of the step `evaluate`."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Metrics, Model, Output

from components import CUDA_IMAGE


@dsl.component(base_image=CUDA_IMAGE, install_kfp_package=False)
def evaluate(
    corpus: Input[Dataset],
    tokenizer: Input[Model],
    clip: Input[Model],
    painter: Input[Model],
    out: Output[Artifact],
    metrics: Output[Metrics],
    page: Output[HTML],
    note: Output[Markdown],
    profile: str = "default",
    overrides: str = "{}",
    seed: int = -1,
    label: str = "",
    rerun: str = "",
) -> None:
    """Measure the model on the held-out split."""
    from danqing.platform.component import run_component

    run_component(
        "evaluate",
        inputs={"corpus": corpus, "tokenizer": tokenizer, "clip": clip, "painter": painter},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        page=page,
        note=note,
        seed=seed,
        label=label,
        rerun=rerun,
    )
