"""The component of the step `validate`."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from components import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def validate(
    corpus: Input[Dataset],
    out: Output[Artifact],
    metrics: Output[Metrics],
    page: Output[HTML],
    profile: str = "default",
    overrides: str = "{}",
    rerun: str = "",
) -> None:
    """Stop the run if the corpus breaks an expectation."""
    from danqing.platform.component import run_component

    run_component(
        "validate",
        inputs={"corpus": corpus},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        page=page,
        rerun=rerun,
    )
