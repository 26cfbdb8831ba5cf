"""The pipeline `danqing-sharded`: the line of `danqing`, with its pictures ingested by several pods.

A pipeline of its own, because the loop would stand in everybody's graph although few have so many pictures that one
pod's download or decoding is what they wait for; on one machine the step uses all cores by itself.
"""

from kfp import dsl

from components.ingest import ingest
from components.merge import merge
from components.shards import shards as list_shards
from pipelines.painting import DESCRIPTION as OF_THE_LINE
from pipelines.painting import Param, line
from pipelines.placement import place

DESCRIPTION = f"""\
{OF_THE_LINE}
Here several pods ingest, each its share of the source, and `merge` sets copies aside over all of them: the corpus is
the one that a single pod would write. Of a museum each asks as much less often, and for as much less.

shards: how many.
"""


def ingest_shards(
    data_revision: Param, overrides: Param, profile: Param, rerun: Param, seed: Param, shards: Param, source: Param
) -> dsl.Artifact:
    """The corpus that `shards` pods ingest together."""
    planned = list_shards(count=shards, overrides=overrides)
    with dsl.ParallelFor(planned.outputs["Output"]) as shard:
        part = ingest(
            source=source, data_revision=data_revision, profile=profile, seed=seed, rerun=rerun,
            overrides=shard.overrides, label=shard.label,
        )  # fmt: skip
    merged = merge(
        parts=dsl.Collected(part.outputs["out"]), profile=profile, overrides=overrides, data_revision=data_revision
    )
    for name, task in {"shards": planned, "ingest": part, "merge": merged}.items():
        place(task, name)
    return merged.outputs["out"]


@dsl.pipeline(name="danqing-sharded", description=DESCRIPTION)
def sharded(
    data_revision: str = "",
    init: str = "",
    overrides: str = "{}",
    profile: str = "default",
    rerun: str = "",
    seed: int = -1,
    shards: int = 4,
    source: str = "",
) -> None:
    corpus = ingest_shards(data_revision, overrides, profile, rerun, seed, shards, source)
    line(corpus, data_revision, init, overrides, profile, rerun, seed, source)
