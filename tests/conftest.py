"""Fixtures that every part of the tests may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import table
from danqing.data import corpus

ROOT = Path(__file__).resolve().parent.parent
SIZE = 64


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What callers met while this or that went wrong in the server, as a table."""
    rows = [value for report in terminalreporter.getreports("passed") if report.when == "call"
            for name, value in report.user_properties if name == "fault"]  # fmt: skip
    if rows:
        terminalreporter.section("faults under load")
        for line in table.grid(list(rows[0]), [[str(cell) for cell in row.values()] for row in rows]):
            terminalreporter.line(line)


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
