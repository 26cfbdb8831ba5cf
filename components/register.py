"""The component of the step `register`."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Metrics, Model, Output

from components import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def register(
    package: Input[Model],
    evaluation: Input[Artifact],
    decision: Input[Artifact],
    out: Output[Artifact],
    metrics: Output[Metrics],
    profile: str = "default",
    overrides: str = "{}",
    source: str = "",
    seed: int = -1,
    init: str = "",
    data_revision: str = "",
) -> None:
    """Make the package a version of the registered model."""
    from danqing.platform.component import run_component

    run_component(
        "register",
        inputs={"package": package, "evaluation": evaluation, "decision": decision},
        out=out,
        profile=profile,
        overrides=overrides,
        metrics=metrics,
        source=source,
        seed=seed,
        init=init,
        data_revision=data_revision,
    )
