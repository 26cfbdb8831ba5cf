#!/usr/bin/env python3
"""Train a model in the box: brush pictures and a folder of real paintings → tokenizer → painter → pretrained/.

    .venv/bin/python scripts/train_box.py --paintings path/to/paintings --work out/box

Hours on two cores. Every stage is a step of the line; a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from danqing import config, files, steps
from danqing.data import corpus
from danqing.export.package import write_box
from danqing.monitor import Terminal
from danqing.pretrained import box

BRUSH = {"ingest.count": 12_000, "ingest.seed": 1_000_000}
BATCH = {"tokenizer.batch": 16, "tokenizer.perceptual_batch": 4, "tokenizer.checkpoint": 200}
STAGES: dict[str, dict[str, Any]] = {
    # First what is where, then, with a discriminator, the lines.
    "plain": {**BATCH, "tokenizer.init": "scratch", "tokenizer.steps": 1800, "tokenizer.continuous": 200,
              "tokenizer.gan": 0.0, "tokenizer.lr": 8e-4},
    "lines": {**BATCH, "tokenizer.init": "pretrained", "tokenizer.steps": 3600, "tokenizer.lr": 8e-4,
              "tokenizer.gan_start": 1200, "tokenizer.gan_ramp": 800},
    "painter": {"painter.init": "scratch", "painter.clip": 0.0, "painter.steps": 7500, "painter.batch": 64,
                "painter.lr": 8e-4, "painter.warmup": 300, "painter.ema": 0.998, "painter.checkpoint": 250},
}  # fmt: skip
CROPS = 4
"""Random squares of each training painting beside the one that `annotate` chooses: they are few."""


def step(name: str, inputs: dict[str, Path], out: Path, values: dict[str, Any]) -> Path:
    line = config.resolve("default", values)
    monitor = Terminal(name)
    try:
        steps.run(name, getattr(line, steps.STEPS[name].section), inputs, out, monitor=monitor)
    finally:
        monitor.close()
    return out


def mixed(brush: Path, paintings: Path, originals: Path, size: int) -> Iterator[corpus.Record]:
    rng = np.random.default_rng(0)
    yield from corpus.read(brush)
    full = {record["id"]: record["image"] for record in corpus.read(originals)}
    for record in corpus.read(paintings):
        yield record
        if record["split"] != "train":
            continue
        picture = corpus.decode(full[record["id"]])
        height, width = picture.shape[:2]
        for number in range(CROPS):
            side = int(min(height, width) * rng.uniform(0.6, 1))
            top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
            square = cv2.resize(
                picture[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA
            )
            yield {**record, "id": f"{record['id']}-{number}", "image": corpus.encode(np.ascontiguousarray(square))}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paintings", type=Path, required=True, help="a folder with metadata.csv")
    parser.add_argument("--work", type=Path, default=Path("out/box"))
    parser.add_argument("--card", type=Path, default=box() / "card.md")
    given = parser.parse_args(arguments)
    work: Path = given.work
    size = config.default().annotate.size

    brush = step("ingest", {}, work / "brush", BRUSH)
    paintings = step("ingest", {}, work / "paintings", {"ingest.source": f"folder:{given.paintings}"})
    squares = {folder: step("annotate", {"corpus": folder}, folder.with_name(f"{folder.name}-squares"), {})
               for folder in (brush, paintings)}  # fmt: skip
    both = work / "both"
    if not (both / "done.json").is_file():
        count = corpus.write(both, mixed(squares[brush], squares[paintings], paintings, size))
        files.write_json(both / "done.json", {"pictures": count})

    card = given.card.read_text(encoding="utf-8")
    tokenizer = {"corpus": both, "screener": both}
    plain = step("train_tokenizer", tokenizer, work / "plain", STAGES["plain"])
    for name in ("tokenizer.safetensors", "tokenizer.json"):  # the next stage starts from what lies in the box
        files.write_bytes(box() / name, (plain / name).read_bytes())
    lines = step("train_tokenizer", tokenizer, work / "lines", STAGES["lines"])
    painter = step(
        "train_painter", {"corpus": both, "tokenizer": lines, "clip": both}, work / "painter", STAGES["painter"]
    )
    print(json.dumps(write_box(lines, painter, card, out=box(), config=config.default().export)))


if __name__ == "__main__":
    main()
