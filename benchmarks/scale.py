"""How the steps grow with the number of pictures: measured here, beside what the model on paper predicts.

    python -m benchmarks.scale [--quick]       # writes results/scale.md, results/scale.json and docs/scaling.md

Ingest with 1,000, 10,000 and 100,000 tiny pictures, screen and annotate with 1,000 and 10,000 (--quick: 1,000 each).
The model is calibrated from runs of 250 and 1,000 pictures; the larger ones only check it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import multiprocessing
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import table
from benchmarks.scale_model import Kind, Measured, dedupe_seconds, here
from danqing import files, presets
from danqing.data import corpus, phash
from danqing.monitor import Silent

TINY = 48
FIRST = 250, 1000
TRIES = 3
SIZES = {"ingest": (1000, 10_000, 100_000), "screen": (1000, 10_000), "annotate": (1000, 10_000)}
LINE = presets.override(
    presets.preset("debug"), {"annotate.size": 32, "tokenizer.model.size": 32, "screen.steps": 2, "screen.size": 32}
)
STORED = table.RESULTS / "scale.json"


def tiny(number: int) -> bytes:
    """A JPEG of 48 pixels that looks like no other: smooth noise on paper."""
    from PIL import Image

    grain = np.random.default_rng(number).integers(60, 250, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grain).resize((TINY, TINY), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def source(folder: Path, count: int) -> None:
    """`count` tiny pictures with a metadata.csv."""
    folder.mkdir(parents=True)
    themes = ("landscape", "figure", "flower", "bird_animal")
    with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "file", "licence", "title", "theme"])
        for number in range(count):
            rows.writerow([f"t{number:07d}", f"{number}.jpg", "CC0-1.0", "Bamboo and rock", themes[number % 4]])
            (folder / f"{number}.jpg").write_bytes(tiny(number))


def _step(name: str, folder: str, count: int, pipe: Any) -> None:
    """In a process of its own: seconds, and what its memory grew by."""
    from danqing import steps

    root = Path(folder)
    function: Callable[..., Any] = steps.function(steps.STEPS[name])
    config = getattr(LINE, name)
    inputs: dict[str, Path] = {}
    if name == "ingest":
        config = presets.override(LINE, {"ingest.source": f"folder:{root / 'source'}", "ingest.count": count}).ingest
    else:
        inputs["corpus"] = root / {"screen": "ingest", "annotate": "screen"}[name]
    before = _memory("VmRSS")
    start = time.perf_counter()
    function(**inputs, out=root / name, config=config, monitor=Silent(), scratch=root / "scratch")
    seconds = time.perf_counter() - start
    pipe.send((seconds, max(0.0, _memory("VmHWM") - before)))


def _memory(what: str) -> float:
    """Bytes that this process holds (VmRSS) or held at most (VmHWM); NaN where Linux does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(what))


def run(name: str, folder: Path, count: int) -> tuple[float, float]:
    """(seconds, bytes of memory) of step `name` over what lies in `folder`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_step, args=(name, str(folder), count, theirs))
    process.start()
    theirs.close()
    try:
        seconds, grown = ours.recv()
    except EOFError:
        raise SystemExit(f"{name} of {count} pictures failed") from None
    finally:
        process.join()
    return seconds, grown


def measure(count: int, names: tuple[str, ...] = ("ingest", "screen", "annotate")) -> dict[str, tuple[float, float]]:
    """Step → (seconds, memory) for `count` tiny pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source(folder / "source", count)
        return {step: run(step, folder, count) for step in names}


def each(work: Callable[[Any], object], items: list[Any]) -> float:
    """Median seconds of `work` on one item."""
    work(items[0])
    seconds = []
    for item in items:
        start = time.perf_counter()
        work(item)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def kind(name: str, originals: list[bytes], store: int, small: int, size: int) -> Kind:
    """Measure one kind of picture from examples of its files, on one thread."""
    import cv2
    import torch

    from danqing.config import Annotate
    from danqing.data.annotate import _record
    from danqing.data.pictures import check
    from danqing.data.screen import _small
    from danqing.wordpieces import WordPieces

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    limits = {"store": store, "max_pixels": 10**9, "max_bytes": 10**9}
    checked = [check(data, **limits) for data in originals]
    words, settings = WordPieces(), Annotate(size=size)
    records = [
        corpus.record(id=str(i), image=c.image, title="Bamboo and rock", theme="landscape", licence="CC0-1.0")
        for i, c in enumerate(checked)
    ]
    squares = [_record(record, settings, words)["image"] for record in records]
    return Kind(
        name=name, size=size,
        source_bytes=statistics.fmean(map(len, originals)),
        stored_bytes=statistics.fmean(len(c.image) for c in checked),
        trained_bytes=statistics.fmean(map(len, squares)),
        check=each(lambda data: check(data, **limits), originals),
        shrink=each(lambda c: _small(c.image, small), checked),
        annotate=each(lambda record: _record(record, settings, words), records),
        load=each(corpus.decode, squares),
    )  # fmt: skip


def paintings(count: int) -> list[bytes]:
    """JPEGs of the brush as large as a museum's: 843 pixels wide, 1,100 high."""
    import cv2

    from danqing.data.brush import compose, paint

    found = []
    for number in range(count):
        square = paint(compose(number), 843)
        tall = np.concatenate([square, square[:257]])
        found.append(cv2.imencode(".jpg", tall[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return found


def row_bytes() -> float:
    """Memory of a row as ingest keeps it while it looks for copies."""
    tracemalloc.start()
    rows = [
        {"id": f"t{i:07d}", "sha256": hashlib.sha256(str(i).encode()).hexdigest(), "phash": f"{i:016x}",
         "group": f"g{i:07d}"} for i in range(5000)
    ]  # fmt: skip
    index = {row["sha256"]: row["id"] for row in rows}, {row["id"] for row in rows}, list(rows)
    used = tracemalloc.get_traced_memory()[0] / len(rows)
    tracemalloc.stop()
    del index
    return used


def rates() -> tuple[float, float, float]:
    """(seconds of a hash in a sort over log2 n, bytes a second into shards, bytes a second of SHA-256)."""
    rng = np.random.default_rng(0)
    count = 200_000
    hashes = [row.tobytes().hex() for row in rng.integers(0, 256, (count, 8), dtype=np.uint8)]
    start = time.perf_counter()
    list(phash.near_pairs(hashes, 4))
    unit = Measured(machine="", cores=1, fixed={}, serial={}, judge=0, negative=0, row_bytes=0, sort=1.0, write_rate=1,
                    hash_rate=1, flops={})  # fmt: skip
    sort = (time.perf_counter() - start) / dedupe_seconds(count, unit)
    blobs = [rng.bytes(50_000) for _ in range(1024)]
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        corpus.write(Path(name), (corpus.record(id=str(i), image=blob) for i, blob in enumerate(blobs)))
        write = len(blobs) * 50_000 / (time.perf_counter() - start)
    start = time.perf_counter()
    hashlib.sha256(b"".join(blobs)).digest()
    return sort, write, len(blobs) * 50_000 / (time.perf_counter() - start)


def calibrate(flops: dict[str, dict[str, float]], examples: int = 24) -> tuple[Measured, dict[str, Kind]]:
    """From two small runs and from single pictures; nothing larger than `FIRST` is looked at."""
    from danqing.data.negatives import negative

    small, large = (quickest([measure(count) for _ in range(TRIES)]) for count in FIRST)
    kinds = {
        "tiny": kind("tiny", [tiny(i) for i in range(8 * examples)], LINE.ingest.store, LINE.screen.size,
                     LINE.annotate.size),
        "painting": kind("painting", paintings(examples), 512, presets.preset("gpu").screen.size, 128),
    }  # fmt: skip
    sort, write, hashing = rates()
    cores = os.cpu_count() or 1
    made = each(lambda i: negative(0, i, LINE.screen.size), list(range(100)))
    measured = Measured(
        machine=table.machine(), cores=cores, fixed=dict.fromkeys(SIZES, 0.0), serial=dict.fromkeys(SIZES, 0.0),
        judge=0.0, negative=made, row_bytes=row_bytes(), sort=sort, write_rate=write, hash_rate=hashing, flops=flops,
    )  # fmt: skip
    measured = replace(measured, judge=judge())
    # What is not explained by the parts above belongs to one thread: so much a picture, and so much a run.
    known = [here(measured, kinds["tiny"], count, LINE) for count in FIRST]
    fixed, serial = {}, {}
    for name in SIZES:
        rest = [took[name][0] - model[name] for took, model in zip((small, large), known, strict=True)]
        serial[name] = max(0.0, (rest[1] - rest[0]) / (FIRST[1] - FIRST[0]))
        fixed[name] = max(0.0, rest[1] - serial[name] * FIRST[1])
    return replace(measured, fixed=fixed, serial=serial), kinds


def quickest(runs: list[dict[str, tuple[float, float]]]) -> dict[str, tuple[float, float]]:
    """The least of each step: whatever else the machine does only adds to it."""
    return {name: min(found[name] for found in runs) for name in runs[0]}


def judge() -> float:
    """Seconds of all cores that the screening network takes for a picture."""
    import torch

    from danqing.data.screen import network, probabilities

    torch.set_num_threads(os.cpu_count() or 1)
    net, count = network(5), 512
    pictures = np.random.default_rng(0).integers(0, 256, (count, LINE.screen.size, LINE.screen.size, 3), dtype=np.uint8)
    return each(lambda part: probabilities(net, part), [pictures] * 3) / count


def report(measured: Measured, kinds: dict[str, Kind], quick: bool) -> list[dict[str, Any]]:
    """Predict and measure every size; returns the rows."""
    rows: list[dict[str, Any]] = []
    for count in sorted({size for sizes in SIZES.values() for size in sizes}):
        if quick and count > FIRST[1]:
            continue
        names = tuple(name for name, sizes in SIZES.items() if count in sizes)
        predicted = here(measured, kinds["tiny"], count, LINE)
        for name, (seconds, memory) in measure(count, names).items():
            rows.append({"step": name, "pictures": count, "predicted": predicted[name], "seconds": seconds,
                         "memory": memory})  # fmt: skip
    return rows


HEADER = ["step", "pictures", "predicted, s", "measured, s", "error", "memory grown, MB"]


def cells(row: dict[str, Any]) -> list[str]:
    """A row of `report` as text."""
    error = row["predicted"] / row["seconds"] - 1
    return [row["step"], f"{row['pictures']:,}", f"{row['predicted']:.2f}", f"{row['seconds']:.2f}", f"{error:+.0%}",
            f"{row['memory'] / 1e6:.0f}"]  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1,000 pictures, and print only: no file is written")
    parser.add_argument("--no-flops", action="store_true", help="keep the counted FLOPs of the last results")
    given = parser.parse_args(arguments)
    from benchmarks.scale_flops import count

    last = files.read_json(STORED)["measured"]["flops"] if STORED.is_file() else {}
    flops = last if (given.no_flops or given.quick) and last else {name: count(name) for name in ("gpu", "paper")}
    measured, kinds = calibrate(flops)
    rows = report(measured, kinds, given.quick)
    notes = [
        f"Tiny pictures ({TINY} px, {kinds['tiny'].stored_bytes:.0f} bytes each), a folder as source, one run each.",
        f"The model (benchmarks/scale_model.py) was calibrated from {FIRST[0]} and {FIRST[1]:,} pictures and single "
        "ones; larger numbers only check it. docs/scaling.md has what it says of more.",
        table.versions("torch", "pyarrow", "opencv-python-headless") + ".",
    ]
    grown = [cells(row) for row in rows]
    if given.quick:
        print("\n".join(table.grid(HEADER, grown)))
        return
    table.write("scale", "Growing", notes, HEADER, grown)
    plain = {k: {kk: vv for kk, vv in asdict(v).items() if kk != "name"} for k, v in kinds.items()}
    files.write_text(STORED, json.dumps({"measured": asdict(measured), "kinds": plain, "runs": rows}, indent=1) + "\n")
    from benchmarks import scale_page  # it reads what was just written

    files.write_text(scale_page.OUT, scale_page.page(files.read_json(STORED)))


if __name__ == "__main__":
    main()
