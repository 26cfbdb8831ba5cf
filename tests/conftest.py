"""Fixtures that every part of the tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from danqing.data import corpus

ROOT = Path(__file__).resolve().parent.parent
SIZE = 64


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real museum paintings beside the checkout, where they are."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "paintings" / "metadata.csv").is_file():
        pytest.skip("no museum pictures beside the checkout (../shared/data/paintings)")
    return folder


def brush_records(count: int, size: int = SIZE) -> list[corpus.Record]:
    """An annotated brush corpus as records: every tenth picture is in val, every tenth in test."""
    from danqing.data.brush import MAINS, caption, compose, paint

    records = []
    for i in range(count):
        scene = compose(10_000 + i, main=MAINS[i % len(MAINS)])
        english, chinese = caption(scene)
        records.append(
            corpus.record(
                id=f"brush-{i:05d}", image=corpus.encode(paint(scene, size)), source="brush", licence="CC0-1.0",
                group=f"brush-{i:05d}", width=size, height=size, theme=scene.theme, subtheme=scene.subtheme,
                category=scene.category, content=scene.content, technique=scene.technique, main=scene.main,
                season=scene.season, palette=scene.palette, white_space=scene.white_space, caption_en=english,
                caption_zh=chinese, caption_origin="truth",
                split={0: "val", 1: "test"}.get(i // len(MAINS) % 10, "train"),
            )
        )  # fmt: skip
    return records


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """260 annotated brush pictures of 64 pixels, every main element in every split."""
    folder = tmp_path_factory.mktemp("tiny-corpus")
    corpus.write(folder, brush_records(260))
    return folder
