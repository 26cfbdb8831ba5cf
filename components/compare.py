"""The component that compares the trials of an ablation."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Markdown, Metrics, Model, Output

from components import CUDA_IMAGE


@dsl.component(base_image=CUDA_IMAGE, install_kfp_package=False)
def compare(
    evaluations: Input[list[Artifact]],
    tokenizers: Input[list[Model]],
    painters: Input[list[Model]],
    out: Output[Artifact],
    metrics: Output[Metrics],
    page: Output[HTML],
    note: Output[Markdown],
    trials: list,
    profile: str,
    rounds: int = 5,
) -> None:
    """One report over all variants and seeds, in the form of the paper's tables and figures."""
    from danqing.platform.component import run_comparison

    run_comparison(
        trials=trials,
        evaluations=evaluations,
        tokenizers=tokenizers,
        painters=painters,
        out=out,
        profile=profile,
        rounds=rounds,
        metrics=metrics,
        page=page,
        note=note,
    )
