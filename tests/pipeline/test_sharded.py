"""Several pods ingest one corpus: the loop runs, here as processes, and gives what one ingest gives."""

import io
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from rich.console import Console

from danqing import steps
from danqing.data import corpus
from danqing.platform.component import line_of
from pipelines.local import execute

pytestmark = pytest.mark.slow


def test_three_shards_give_the_corpus_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    overrides = '{"ingest.count": 20, "ingest.size": 48}'
    given = {"data_revision": "", "overrides": overrides, "profile": "debug", "rerun": "", "seed": 3, "source": ""}

    def pipeline() -> Any:
        from pipelines.sharded import ingest_shards

        @dsl.pipeline(name="only-ingest")
        def only(
            data_revision: str, overrides: str, profile: str, rerun: str, seed: int, shards: int, source: str
        ) -> None:
            ingest_shards(data_revision, overrides, profile, rerun, seed, shards, source)

        return only.pipeline_spec

    console = Console(file=io.StringIO())
    ran = execute(pipeline, {**given, "shards": 3}, ["shards", "ingest merge"], tmp_path / "w", console, "sharded")
    parts = [ran.done[f"ingest {shard} of 3"]["results"]["pictures"] for shard in range(3)]
    assert sum(parts) == 20 and max(parts) - min(parts) <= 1
    section = line_of("debug", overrides, seed=3).ingest
    monkeypatch.setenv("DANQING_MEMO", str(tmp_path / "memo"))
    one = steps.run("ingest", section, {}, tmp_path / "one")
    merged = ran.done["ingest merge"]
    assert {k: merged["results"][k] for k in one.metrics} == one.metrics
    names = [p.name for p in corpus.shards(tmp_path / "one")]
    assert [p.name for p in corpus.shards(Path(merged["out"]))] == names
