"""The component of the step `export`."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Markdown, Metrics, Model, Output

from components import CUDA_IMAGE


@dsl.component(base_image=CUDA_IMAGE, install_kfp_package=False)
def export(
    corpus: Input[Dataset],
    tokenizer: Input[Model],
    painter: Input[Model],
    out: Output[Model],
    metrics: Output[Metrics],
    note: Output[Markdown],
    profile: str = "default",
    overrides: str = "{}",
    rerun: str = "",
) -> None:
    """Write the model as ONNX graphs, in a package."""
    from danqing.platform.component import run_component

    run_component(
        "export",
        inputs={"corpus": corpus, "tokenizer": tokenizer, "painter": painter},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        note=note,
        rerun=rerun,
    )
