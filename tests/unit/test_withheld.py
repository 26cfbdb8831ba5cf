"""Withheld motifs leave training and validation, wherever they stand in a picture, and stay in the test split."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.withheld import shows, without
from danqing.data import corpus


def record(number: int, split: str, main: str, beside: str) -> corpus.Record:
    elements = [{"kind": kind, "count": 1, "place": "", "box": [0, 0, 1, 1]} for kind in (main, beside)]
    return corpus.record(id=f"p{number}", split=split, main=main, elements=json.dumps(elements))


def test_a_motif_counts_wherever_it_stands() -> None:
    for main, beside, found in (("pagoda", "pine", True), ("pine", "pagoda", True), ("pine", "moon", False)):
        assert shows(record(0, "train", main, beside), ["pagoda"]) is found


def test_the_test_split_stays_whole(tmp_path: Path) -> None:
    scenes = [("train", "pine", "moon"), ("train", "pine", "pagoda"), ("val", "pagoda", "moon"),
              ("test", "pagoda", "moon")]  # fmt: skip
    corpus.write(tmp_path / "all", [record(number, *scene) for number, scene in enumerate(scenes)])
    less = without(tmp_path / "all", tmp_path / "less", ["pagoda"])
    assert [r["id"] for r in corpus.read(less)] == ["p0", "p3"]
