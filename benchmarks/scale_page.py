"""docs/scaling.md from what was measured and assumed: python -m benchmarks.scale_page"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from benchmarks import scale, table
from benchmarks.scale_model import (
    PAGE,
    Assumed,
    Cost,
    Kind,
    Measured,
    annotate,
    bends_at,
    dedupe_seconds,
    epochs,
    evaluate,
    ingest,
    predict,
    read_measured,
    screen,
    shards,
    train,
)
from danqing import files, presets

OUT = Path(__file__).parents[1] / "docs" / "scaling.md"
SIZES = tuple(10**k for k in range(3, 9))
COSTED = 10**6, 10**8


def duration(seconds: float) -> str:
    """Two digits and a unit."""
    for unit, size in (("years", 365 * 86400.0), ("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s" if seconds >= 0.01 else "0 s"


def amount(size: float) -> str:
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:.0f} B"


def number(count: float | None) -> str:
    """Two digits, as a power of ten above 10,000."""
    if count is None:
        return "never"
    if count < 10_000:
        return f"{count:,.0f}"
    mantissa, power = f"{count:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')} · 10^{int(power)}"


def steps_table(n: int, kind: Kind, m: Measured, a: Assumed, preset: str) -> list[str]:
    """What n pictures cost, a row a step, and their sum."""
    costs = predict(n, kind, m, a, preset=preset)
    rows = [_row(cost) for cost in costs]
    rows.append([
        "**all**", duration(sum(c.seconds for c in costs)), f"{sum(c.cores_seconds for c in costs) / 3600:,.0f}",
        f"{sum(c.gpu_seconds for c in costs) / 3600:,.0f}", str(max(c.gpus for c in costs)),
        amount(max(c.memory for c in costs)), amount(sum(c.read for c in costs)),
        amount(sum(c.written for c in costs)), f"{sum(c.objects for c in costs):,}",
    ])  # fmt: skip
    header = ["step", "time", "core hours", "GPU hours", "GPUs", "memory", "read", "written", "objects"]
    return table.grid(header, rows)


def _row(c: Cost) -> list[str]:
    return [
        c.step, duration(c.seconds), f"{c.cores_seconds / 3600:,.1f}", f"{c.gpu_seconds / 3600:,.1f}", str(c.gpus),
        amount(c.memory), amount(c.read), amount(c.written), f"{c.objects:,}",
    ]  # fmt: skip


def sizes_table(kind: Kind, m: Measured, a: Assumed, preset: str) -> list[str]:
    """Time of each step from a thousand to a hundred million pictures."""
    columns = [predict(n, kind, m, a, preset=preset) for n in SIZES]
    rows = [[costs[0].step, *(duration(c.seconds) for c in costs)] for costs in zip(*columns, strict=True)]
    rows.append(["memory, most of one process", *(amount(max(c.memory for c in costs)) for costs in columns)])
    rows.append(["in the store", *(amount(sum(c.written for c in costs)) for costs in columns)])
    rows.append(["objects", *(f"{sum(c.objects for c in costs):,}" for costs in columns)])
    rows.append(["GPUs, at most", *(str(max(c.gpus for c in costs)) for costs in columns)])
    return table.grid(["pictures", *(number(n) for n in SIZES)], rows)


def bottlenecks(kind: Kind, m: Measured, a: Assumed, preset: str) -> list[list[str]]:
    """(where, how it grows, bends at so many pictures, what to do), those that bend first at the top."""
    line = presets.preset(preset)

    def holds(cost: Callable[[int], Cost]) -> int | None:
        return bends_at(lambda n: cost(n).memory > a.memory)

    def lasts(seconds: Callable[[int], float]) -> int | None:
        return bends_at(lambda n: seconds(n) > a.deadline)

    entries: list[tuple[str, str, int | None, str]] = [
        ("a museum's servers", f"{a.rate:g} requests a second, {a.requests:g} a picture",
         lasts(lambda n: ingest(n, kind, m, a, museum=True).seconds),
         "no more is polite, and no museum has more Chinese paintings: ask for its dump and use `folder:`"),
        ("`evaluate` holds features and pictures of the whole training split", "linear memory",
         holds(lambda n: evaluate(n, kind, m, a)), "measure against a sample of 10^5; the floor says what that costs"),
        ("the trainers hold all pictures, twice while they are loaded (`corpus.load`)", "linear memory, a process each",
         holds(lambda n: train("train_painter", n, kind, m, a, preset)),
         "read shards as a stream, shuffled within a window; write codes and text features as shards, once"),
        ("`screen` holds all small pictures about four times", "linear memory",
         holds(lambda n: screen(n, kind, m, a, line)), "learn from a sample, judge shard by shard"),
        ("`ingest` holds a row a picture while it looks for copies", "linear memory",
         holds(lambda n: ingest(n, kind, m, a)), "hashes as arrays (40 bytes a picture in place of a row)"),
        ("`ingest` is one process and one writer", "linear time", lasts(lambda n: ingest(n, kind, m, a).seconds),
         "a range of the listing a pod (ParallelFor), one job that compares hashes, and the shards as they are"),
        ("`screen` shrinks pictures in one thread", "linear time",
         lasts(lambda n: screen(n, kind, m, a, line).parts["shrink"]), "a thread a core, or a range of shards a pod"),
        ("`annotate` is one process", "linear time", lasts(lambda n: annotate(n, kind, m, a).seconds),
         "a range of shards a pod: a caption depends on nothing but its record"),
        ("trainers decode in one thread before the first step", "linear time, on each rank",
         lasts(lambda n: train("train_painter", n, kind, m, a, preset).parts["load"]),
         "decode in the workers of a loader while the GPU computes"),
        ("every step fingerprints what it reads (`steps.key`)", "linear time, one thread",
         lasts(lambda n: 3 * n * kind.stored_bytes / m.hash_rate), "shards are named by their digests: hash the names"),
        ("look-alikes", "n log n: sorts by bands of the hash (comparing within buckets was quadratic)",
         lasts(lambda n: dedupe_seconds(n, m)), "split by the first band, a pod each"),
        ("one GPU is not enough for the painter", "steps · batch",
         bends_at(lambda n: train("train_painter", n, kind, m, a, preset).gpus > 1),
         "BF16 where it is safe; `torchrun` or a TrainJob over 8"),
        ("shards of 512 rows", f"an object each; a listing is a request for each {PAGE:,}",
         bends_at(lambda n: shards(n) > 100 * PAGE), "4,096 rows a shard at 128 px (100 MB)"),
        ("a museum's batches are one picture each while ingest runs", "an object a picture, deleted at the end",
         100 * PAGE, "100 works a batch"),
    ]  # fmt: skip
    ordered = sorted(entries, key=lambda e: e[2] or 10**12)
    return [[where, growth, number(bend), remedy] for where, growth, bend, remedy in ordered]


def described(value: object) -> list[list[str]]:
    """Fields of an `Assumed` with the docstrings that stand below them in the source."""
    source = (Path(__file__).parent / "scale_model.py").read_text(encoding="utf-8").splitlines()
    rows = []
    for item in fields(value):  # type: ignore[arg-type]
        at = next((i for i, text in enumerate(source) if text.startswith(f"    {item.name}: ") and " = " in text), -1)
        below = source[at + 1].strip() if at >= 0 else ""
        said = below.strip('"') if below.startswith('"""') else ""
        shown = getattr(value, item.name)
        rows.append([item.name, f"{shown:g}" if isinstance(shown, float) else str(shown), said])
    return rows


def page(plain: dict[str, object]) -> str:
    """The whole page. plain: results/scale.json."""
    m, kinds = read_measured(plain)
    kind, a, preset = kinds["painting"], Assumed(), "gpu"
    lines = [
        "# What many pictures cost",
        "",
        "Written by `python -m benchmarks.scale_page` from `benchmarks/results/scale.json` (measured by `python -m "
        "benchmarks.scale`) and `benchmarks/scale_model.py` (the formulas and the assumptions). Nothing on this page "
        "was measured on a GPU, on a cluster, or with more pictures than the table at the end says.",
        "",
        f"The pictures: JPEGs of {amount(kind.source_bytes)} as they come, {amount(kind.stored_bytes)} in the corpus "
        f"(short side 512), {amount(kind.trained_bytes)} as training squares of {kind.size} px. The networks: preset "
        f"`{preset}`. Steps that fit are one process on a node of {a.cores} cores; training takes the fewest of 1, 8, "
        f"64 … GPUs that end within {duration(a.deadline)}. Memory is what one process would hold, whether or not "
        "there is a node for it.",
        "",
        "## From a thousand to a hundred million",
        "",
        *sizes_table(kind, m, a, preset),
    ]
    for n in COSTED:
        few, wait = epochs(n, a), ingest(n, kind, m, a, museum=True).seconds
        lines += ["", f"## {n:,} pictures", "",
                  f"From a folder or bucket, each seen {few:.3g} times in training; {amount(n * kind.source_bytes)} "
                  f"come in. A museum at {a.rate:g} requests a second would need {duration(wait)} for them.", "",
                  *steps_table(n, kind, m, a, preset)]  # fmt: skip
        dear = predict(n, kind, m, replace(a, utilisation=a.utilisation / 2), preset=preset)
        cheap = predict(n, kind, m, replace(a, utilisation=a.utilisation * 2), preset=preset)
        lines += ["", f"With half or twice the assumed utilisation: "
                  f"{sum(c.gpu_seconds for c in dear) / 3600:,.0f} or {sum(c.gpu_seconds for c in cheap) / 3600:,.0f} "
                  "GPU hours."]  # fmt: skip
    lines += ["", "## Where the design bends", "",
              f"The number of pictures at which a step no longer fits into {amount(a.memory)} of memory, takes longer "
              f"than {duration(a.deadline)}, or is otherwise out of bounds.", "",
              *table.grid(["where", "how it grows", "bends at", "what to do then"], bottlenecks(kind, m, a, preset)),
              "", "## Assumed", "", *table.grid(["name", "value", "from"], described(a))]  # fmt: skip
    lines += ["", "## Measured", "", f"On {m.machine}, one thread unless said otherwise.", "",
              *table.grid(["what", *kinds], _measured(list(kinds.values()))), "",
              *table.grid(["what", "value"], _machine(m))]  # fmt: skip
    rows = [scale.cells(row) for row in plain.get("runs", [])]  # type: ignore[attr-defined]
    lines += ["", "Predicted and measured with tiny pictures; calibrated from "
              f"{scale.FIRST[0]} and {scale.FIRST[1]:,} of them:", "", *table.grid(scale.HEADER, rows)]  # fmt: skip
    return "\n".join(lines) + "\n"


def _measured(kinds: list[Kind]) -> list[list[str]]:
    names = {"check": "check, scale, hash (ingest), ms", "shrink": "decode and shrink (screen), ms",
             "annotate": "crop, measure, caption (annotate), ms", "load": "decode for training, ms"}  # fmt: skip
    rows = [[title, *(f"{1e3 * getattr(kind, name):.2f}" for kind in kinds)] for name, title in names.items()]
    return [["in the corpus", *(amount(kind.stored_bytes) for kind in kinds)], *rows]


def _machine(m: Measured) -> list[list[str]]:
    rows = [[f"{name}: books and files, ms a picture", f"{1e3 * value:.2f}"] for name, value in m.serial.items()]
    rows += [["bytes packed into shards, a second", amount(m.write_rate)], ["SHA-256, a second", amount(m.hash_rate)],
             ["a row while copies are looked for", amount(m.row_bytes)],
             ["look-alikes among a million hashes", duration(dedupe_seconds(10**6, m))]]  # fmt: skip
    for preset, flops in m.flops.items():
        rows.append([f"counted, preset {preset}: GFLOP a picture and step, tokenizer, CLIP (both), painter",
                     ", ".join(f"{flops[name] / 1e9:.0f}" for name in ("tokenizer", "clip", "painter"))])  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    files.write_text(parser.parse_args().out, page(files.read_json(scale.STORED)))


if __name__ == "__main__":
    main()
