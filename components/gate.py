"""The component of the step `gate`."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Markdown, Output

from components import CPU_IMAGE


@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def gate(
    evaluation: Input[Artifact],
    out: Output[Artifact],
    note: Output[Markdown],
    profile: str = "default",
    overrides: str = "{}",
) -> None:
    """Decide whether the model may become champion."""
    from danqing.platform.component import run_component

    run_component(
        "gate",
        inputs={"evaluation": evaluation},
        out=out,
        profile=profile,
        overrides=overrides,
        note=note,
    )
