"""The component that says which parts a corpus is ingested in.

Its list is called Output because kfp.local looks for a loop's items under that name only.
"""

from typing import NamedTuple

from kfp import dsl

from components import CPU_IMAGE


# fmt: off
@dsl.component(base_image=CPU_IMAGE, install_kfp_package=False)
def shards(
    count: int, overrides: str
) -> NamedTuple("Shards", [("Output", list)]):  # type: ignore
    # fmt: on
    """One set of overrides a shard, and its label."""
    from danqing.platform.component import run_shards

    return run_shards(count=count, overrides=overrides)
