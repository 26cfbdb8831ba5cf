#!/usr/bin/env python3
"""Train a model in the box: brush pictures and a folder of real paintings → tokenizer → painter → pretrained/.

    .venv/bin/python scripts/train_box.py --paintings path/to/paintings --work out/box

A night on two cores. Small pictures first: what is learnt there is a start for large ones. Every stage is a step of
the line; a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from danqing import files, presets, steps
from danqing.data import corpus
from danqing.export.package import write_box
from danqing.monitor import Terminal
from danqing.pretrained import box


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Pictures of one size."""

    size: int
    brush: int
    """Side at which the brush paints, pixels."""
    levels: int
    crops: int
    """Random squares of each training painting beside the one that `annotate` chooses: they are few."""
    least: float
    """Side of the smallest square, as a share of the painting's short side."""

    @property
    def name(self) -> str:
        return f"both-{self.size}-{self.crops}"

    @property
    def values(self) -> dict[str, Any]:
        return {
            "ingest.count": 12_000, "ingest.seed": 1_000_000, "ingest.size": self.brush, "annotate.size": self.size,
            "tokenizer.model.size": self.size, "tokenizer.model.detail_levels": self.levels,
        }  # fmt: skip


SMALL = Scale(size=64, brush=96, levels=1, crops=4, least=0.6)
LARGE = Scale(size=128, brush=160, levels=2, crops=8, least=0.4)
WHOLE = Scale(size=128, brush=160, levels=2, crops=3, least=0.8)
"""For the last stage: small squares of a landscape teach strokes, but not how a picture is composed."""
_TOKENIZER = {"tokenizer.lr": 8e-4, "tokenizer.checkpoint": 200}
_PAINTER = {
    "painter.clip": 0.0, "painter.lr": 8e-4, "painter.warmup": 300, "painter.ema": 0.998, "painter.checkpoint": 250,
}  # fmt: skip
# Stage → (pictures, stage that it goes on from, overrides).
TOKENIZERS: dict[str, tuple[Scale, str, dict[str, Any]]] = {
    # First what is where, then, with a discriminator, the lines.
    "tokenizer-64": (SMALL, "", {
        **_TOKENIZER, "tokenizer.batch": 16, "tokenizer.steps": 1800, "tokenizer.continuous": 200,
        "tokenizer.gan": 0.0, "tokenizer.warmup": 50,
    }),
    "tokenizer-64-lines": (SMALL, "tokenizer-64", {
        **_TOKENIZER, "tokenizer.batch": 16, "tokenizer.steps": 3600, "tokenizer.gan_start": 1200,
        "tokenizer.gan_ramp": 800, "tokenizer.warmup": 50,
    }),
    "tokenizer-128": (LARGE, "tokenizer-64-lines", {
        **_TOKENIZER, "tokenizer.batch": 12, "tokenizer.perceptual_batch": 3, "tokenizer.steps": 6000,
        "tokenizer.warmup": 100, "tokenizer.gan_start": 2000, "tokenizer.gan_ramp": 1000, "tokenizer.ema": 0.998,
    }),
}  # fmt: skip
PAINTERS: dict[str, tuple[Scale, str, dict[str, Any]]] = {
    "painter-64": (SMALL, "", {**_PAINTER, "painter.steps": 7500, "painter.batch": 64}),
    # A window of detail positions costs a third of the whole map; at the end the painter sees all of it.
    "painter-128": (LARGE, "painter-64", {
        **_PAINTER, "painter.steps": 8000, "painter.batch": 32, "painter.window": 8,
    }),
    "painter-128-whole": (WHOLE, "painter-128", {
        **_PAINTER, "painter.steps": 450, "painter.batch": 32, "painter.lr": 3e-4, "painter.warmup": 50,
        "painter.ema": 0.99,
    }),
}  # fmt: skip


def step(name: str, inputs: dict[str, Path], out: Path, values: dict[str, Any]) -> Path:
    line = presets.resolve("default", values)
    monitor = Terminal(out.name)
    try:
        steps.run(name, getattr(line, steps.STEPS[name].section), inputs, out, monitor=monitor)
    finally:
        monitor.close()
    return out


def mixed(brush: Path, paintings: Path, originals: Path, scale: Scale) -> Iterator[corpus.Record]:
    rng = np.random.default_rng(0)
    yield from corpus.read(brush)
    full = {record["id"]: record["image"] for record in corpus.read(originals)}
    for record in corpus.read(paintings):
        yield record
        if record["split"] != "train":
            continue
        picture = corpus.decode(full[record["id"]])
        height, width = picture.shape[:2]
        for number in range(scale.crops):
            side = int(min(height, width) * rng.uniform(scale.least, 1))
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            square = picture[top : top + side, left : left + side]
            square = cv2.resize(square, (scale.size, scale.size), interpolation=cv2.INTER_AREA)
            yield {**record, "id": f"{record['id']}-{number}", "image": corpus.encode(np.ascontiguousarray(square))}


def pictures(scale: Scale, source: Path, work: Path) -> Path:
    """The corpus of brush and paintings at one size."""
    out = work / scale.name
    values = {**scale.values, "tokenizer.init": "scratch", "painter.init": "scratch"}
    originals = {
        "brush": step("ingest", {}, work / f"brush-{scale.brush}", values),
        "paintings": step("ingest", {}, work / "paintings", {**values, "ingest.source": f"folder:{source}"}),
    }
    squares = [
        step("annotate", {"corpus": folder}, work / f"{name}-{scale.size}", values)
        for name, folder in originals.items()
    ]
    if not (out / "done.json").is_file():
        count = corpus.write(out, mixed(*squares, originals["paintings"], scale))
        files.write_json(out / "done.json", {"pictures": count})
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paintings", type=Path, required=True, help="a folder with metadata.csv")
    parser.add_argument("--work", type=Path, default=Path("out/box"))
    parser.add_argument("--card", type=Path, default=box() / "card.md")
    given = parser.parse_args(arguments)
    work: Path = given.work

    corpora = {scale.name: pictures(scale, given.paintings, work) for scale in (SMALL, LARGE, WHOLE)}
    finished: dict[int, Path] = {}

    def train(kind: str, name: str, scale: Scale, after: str, values: dict[str, Any], inputs: dict[str, Path]) -> Path:
        init = f"folder:{work / after}" if after else "scratch"
        overrides = {**scale.values, "tokenizer.init": "scratch", "painter.init": "scratch", f"{kind}.init": init}
        return step(f"train_{kind}", inputs, work / name, {**overrides, **values})

    for name, (scale, after, values) in TOKENIZERS.items():
        both = corpora[scale.name]
        inputs = {"corpus": both, "screener": both}  # the screener is read only where tokenizer.extractor names it
        finished[scale.size] = train("tokenizer", name, scale, after, values, inputs)
    for name, (scale, after, values) in PAINTERS.items():
        both = corpora[scale.name]
        inputs = {"corpus": both, "tokenizer": finished[scale.size], "clip": both}  # and CLIP only with painter.clip
        painter = train("painter", name, scale, after, values, inputs)
    card = given.card.read_text(encoding="utf-8")
    works = work / f"paintings-{LARGE.size}"
    settings = presets.default().export
    print(json.dumps(write_box(finished[LARGE.size], painter, card, corpus=works, out=box(), config=settings)))


if __name__ == "__main__":
    main()
