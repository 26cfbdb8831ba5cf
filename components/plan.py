"""The component that says which trials an ablation has.

Its list is called Output because kfp.local looks for a loop's items under that name only.
"""

from typing import NamedTuple

from kfp import dsl

from components import CPU_IMAGE


# fmt: off
@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def plan(
    preset: str, variants: str, seeds: str, overrides: str, source: str
) -> NamedTuple("Plan", [("Output", list), ("profile", str), ("shared", str)]):  # type: ignore
    # fmt: on
    """Every variant with every seed, each as a set of overrides, and the configuration that all share."""
    from danqing.platform.component import run_plan

    return run_plan(preset=preset, variants=variants, seeds=seeds, overrides=overrides, source=source)
