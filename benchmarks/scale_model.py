"""What many pictures cost: seconds, memory, bytes, objects and GPUs of each step, from measured coefficients.

A model on paper, kept beside the code that it speaks of: each formula says what the step does with n pictures. What was
measured stands in results/scale.json (`python -m benchmarks.scale` writes it, the machine named); what is assumed
stands in `Assumed`, each value with where it comes from. Nothing here was ever measured on a GPU or on a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from danqing import presets
from danqing.config import Line
from danqing.data import phash
from danqing.data.corpus import SHARD_ROWS
from danqing.data.ingest import NEAR_BITS
from danqing.data.split import SHARES

GB = 1e9
INGEST_THREADS = 8
"""Threads that check pictures (danqing.data.ingest), at most."""
BESIDE = 4
"""Small objects beside the shards: corpus.json, rejected.jsonl, metrics.json, the step's mark."""
MODEL_OBJECTS = 12
PAGE = 1000
"""Names that an object store lists in one answer."""
RESNET50 = 4.1e9
"""Multiply-accumulates of a picture of 224 pixels (torchvision's table)."""
EFFICIENTNET = 0.407e9
"""The same of EfficientNet-Lite0 (its authors' table)."""
FEATURES = 4 * (1280 + 5120 + 816) * 2 + 8 * 1280 + 4 * 3072 + 4 * 1280
"""Bytes a training picture in evaluate: its features, twice while they are joined, and copies for distances."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of picture, with what was measured of it. Seconds are of one core, for one picture."""

    name: str
    source_bytes: float
    """As it comes."""
    stored_bytes: float
    """In the corpus, after `ingest.store`."""
    trained_bytes: float
    """The square PNG of `annotate`."""
    size: int
    """Side of that square, pixels."""
    check: float
    """Decode, scale, encode and hash it (ingest)."""
    shrink: float
    """Decode and shrink it for the screening network."""
    annotate: float
    """Crop, measure, caption and encode it."""
    load: float
    """Decode it for training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was measured of the machine and of the steps as a whole."""

    machine: str
    cores: int
    fixed: Mapping[str, float]
    """Seconds of a step that do not depend on n."""
    serial: Mapping[str, float]
    """Seconds a picture of a step that one thread alone spends: reading, writing, keeping books."""
    judge: float
    """Seconds of all cores that the screening network takes for a picture, on a CPU."""
    negative: float
    """Seconds of one core to make what is no painting, for screening."""
    row_bytes: float
    """Memory of one picture's row in Python."""
    sort: float
    """Seconds to sort one hash among n, over log2(n)."""
    write_rate: float
    """Bytes a second that one thread packs into shards."""
    hash_rate: float
    """Bytes a second of SHA-256, one thread."""
    flops: Mapping[str, Mapping[str, float]]
    """Preset → counted FLOPs of training: `tokenizer`, `painter`, `clip` a picture and step; what a step adds whatever
    its batch: `tokenizer_more`, `painter_more`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumed:
    """What nobody has measured here. Change a value and look again: `predict(..., replace(Assumed(), cores=64))`."""

    gpu: str = "NVIDIA H100 SXM"
    """The one that the two figures below are of."""
    tflops: float = 67.0
    """FP32, 10^12 a second, by NVIDIA's H100 data sheet: the trainers do not autocast to BF16 (989 there, dense)."""
    utilisation: float = 0.3
    """Share of it that training reaches, a guess: large language models report 0.3 to 0.5."""
    step_seconds: float = 0.02
    """No step is quicker, a guess: Python starts a thousand kernels and more for each."""
    gpu_memory: float = 80 * GB
    """The same data sheet."""
    by_eight: float = 0.9
    """What is left of the speed of one GPU when eight share a batch, and again for each further factor of eight."""
    cores: int = 32
    """Of one node; a common size at the three large clouds."""
    memory: float = 256 * GB
    """Of one node; a common size at the three large clouds."""
    network: float = 1.25 * GB
    """Bytes a second between node and store: 10 Gbit/s."""
    rate: float = 2.0
    """Requests a second to a museum: ingest.rate, our own politeness. The Met asks for no more than 80."""
    requests: float = 2.0
    """A picture: its record, its file."""
    deadline: float = 7 * 86400.0
    """Seconds that a step may take before another design is wanted."""
    epochs: float = 100.0
    """Of the paper, at 15,000 pictures."""
    least_epochs: float = 3.0
    """A guess: beyond, seen pictures grow with the root of their number, and then with their number."""
    gpus: bool = True
    """False: everything on the cores of one node."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """One step over n pictures."""

    step: str
    seconds: float
    """From start to end."""
    cores_seconds: float
    gpu_seconds: float = 0.0
    """Of one GPU; more GPUs share it, less `by_eight`."""
    gpus: int = 0
    memory: float = 0.0
    """Bytes that one process holds at once because of n."""
    read: float = 0.0
    """Bytes from the store, for one process."""
    written: float = 0.0
    """Bytes to the store."""
    objects: int = 0
    """Objects written."""
    fetched: float = 0.0
    """Bytes from outside."""
    requests: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    """Where the seconds go."""


def shards(pictures: int) -> int:
    return math.ceil(pictures / SHARD_ROWS)


def dedupe_seconds(pictures: int, measured: Measured) -> float:
    """Sort all hashes once for each choice of bands (`danqing.data.phash.near_pairs`)."""
    sorts = math.comb(phash.bands(pictures, NEAR_BITS), NEAR_BITS)
    return sorts * pictures * math.log2(pictures + 2) * measured.sort


def epochs(pictures: int, assumed: Assumed) -> float:
    """How often each picture is seen: the paper's 100 up to its 15,000; beyond, seen pictures grow with the root."""
    return max(assumed.least_epochs, assumed.epochs * min(1.0, math.sqrt(15_000 / max(1, pictures))))


def ingest(n: int, kind: Kind, m: Measured, a: Assumed, *, museum: bool = False) -> Cost:
    """Fetch, check with up to eight threads, write batches, compare all hashes, write shards; one process."""
    threads = min(INGEST_THREADS, a.cores)
    parts = {
        "fixed": m.fixed["ingest"],
        "check": n * kind.check / threads,
        "books": n * m.serial["ingest"],
        "write": 2 * n * kind.stored_bytes / m.write_rate,  # finished batches, then shards
        "look-alikes": dedupe_seconds(n, m),
    }
    asked = a.requests * n if museum else 0.0
    wait = asked / a.rate if museum else n * kind.source_bytes / a.network if a.gpus else 0.0
    work = sum(parts.values())
    return Cost(
        step="ingest", seconds=max(work, wait), cores_seconds=work + n * kind.check * (1 - 1 / threads),
        memory=n * m.row_bytes + SHARD_ROWS * kind.stored_bytes, written=n * kind.stored_bytes,
        objects=shards(n) + BESIDE, fetched=n * kind.source_bytes, requests=asked, parts=parts | {"wait": wait},
    )  # fmt: skip


def screen(n: int, kind: Kind, m: Measured, a: Assumed, line: Line) -> Cost:
    """Shrink all pictures (one thread), train the network, judge all, copy the corpus."""
    made = max(200, n // 4)
    side = line.screen.size
    flops = 2 * RESNET50 * (side / 224) ** 2
    gpu = flops * (n + made / 5) + 3 * flops * line.screen.steps * line.screen.batch
    gpu_seconds = gpu / (a.tflops * 1e12 * a.utilisation) if a.gpus else 0.0
    read = 2 * n * kind.stored_bytes
    parts = {
        "fixed": m.fixed["screen"],
        "shrink": n * kind.shrink,
        "not paintings": made * m.negative,
        "judge": gpu_seconds if a.gpus else n * m.judge * m.cores / a.cores,
        "books": n * m.serial["screen"],
        "write": n * kind.stored_bytes / m.write_rate,
        "hash": n * kind.stored_bytes / m.hash_rate,
    }
    own = sum(parts.values()) - (gpu_seconds if a.gpus else 0.0)
    seconds = sum(parts.values()) + (read / a.network if a.gpus else 0.0)
    # pictures as a list and as an array, what is learnt from copied and joined: see danqing.data.screen
    memory = 3 * side**2 * (2 * n + 2 * (0.8 * n + 0.8 * made) + made) + n * m.row_bytes
    return Cost(
        step="screen", seconds=seconds, cores_seconds=own, gpu_seconds=gpu_seconds, gpus=int(a.gpus), memory=memory,
        read=read, written=n * kind.stored_bytes, objects=shards(n) + BESIDE + 2, parts=parts,
    )  # fmt: skip


def annotate(n: int, kind: Kind, m: Measured, a: Assumed) -> Cost:
    """Crop, measure and caption with a thread a core; one thread reads and writes."""
    parts = {
        "fixed": m.fixed["annotate"],
        "annotate": n * kind.annotate / a.cores,
        "books": n * m.serial["annotate"],
        "write": n * kind.trained_bytes / m.write_rate,
        "hash": n * kind.stored_bytes / m.hash_rate,
    }
    read = n * kind.stored_bytes
    return Cost(
        step="annotate", seconds=sum(parts.values()) + (read / a.network if a.gpus else 0.0),
        cores_seconds=sum(parts.values()) + n * kind.annotate * (1 - 1 / a.cores), memory=n * m.row_bytes / 3,
        read=read, written=n * kind.trained_bytes, objects=shards(n) + BESIDE, parts=parts,
    )  # fmt: skip


def gpus_for(gpu_seconds: float, assumed: Assumed) -> tuple[int, float]:
    """The fewest of 1, 8, 64 … GPUs that keep the deadline, and the seconds that they take."""
    count = 1
    while True:
        left = assumed.by_eight ** math.log(count, 8)
        seconds = gpu_seconds / (count * left)
        if seconds <= assumed.deadline or count >= 8**5:
            return count, seconds
        count *= 8


def train(step: str, n: int, kind: Kind, m: Measured, a: Assumed, preset: str) -> Cost:
    """train_tokenizer, train_clip or train_painter: all training pictures in memory, decoded by one thread first."""
    line, counted = presets.preset(preset), m.flops[preset]
    name = step.removeprefix("train_")
    batch = {"tokenizer": line.tokenizer.batch, "clip": line.clip.batch, "painter": line.painter.batch}[name]
    learnt = round(SHARES["train"] * n)
    steps = max(1, math.ceil(learnt * epochs(n, a) / batch))
    flops = steps * (batch * counted[name] + counted.get(f"{name}_more", 0.0))
    pixels = 3 * kind.size**2
    held = learnt * (2 * pixels + m.row_bytes)  # a list, then an array, of all
    if name == "painter":
        t = line.tokenizer.model
        codes = 8 * (t.detail_levels * (kind.size // t.stride) ** 2 + (kind.size // t.stride // 2) ** 2)
        held += learnt * (codes + 2 * 32 * t.text_dim)
    count, seconds = gpus_for(flops / (a.tflops * 1e12 * a.utilisation), a)
    seconds = max(seconds, steps * a.step_seconds)
    parts = {"load": learnt * kind.load, "hash": n * kind.trained_bytes / m.hash_rate, "train": seconds}
    read = n * kind.trained_bytes
    written = 4 * counted[f"{name}_weights"]  # checkpoints lie on the pod's volume
    return Cost(
        step=step, seconds=sum(parts.values()) + read / a.network, cores_seconds=parts["load"] + parts["hash"],
        gpu_seconds=flops / (a.tflops * 1e12 * a.utilisation), gpus=count, memory=held, read=read, written=written,
        objects=MODEL_OBJECTS, parts=parts,
    )  # fmt: skip


def evaluate(n: int, kind: Kind, m: Measured, a: Assumed) -> Cost:
    """Features of all training pictures, and distances of what was painted to them."""
    learnt = round(SHARES["train"] * n)
    side = min(224, max(128, kind.size))
    gpu = 2 * EFFICIENTNET * (side / 224) ** 2 * learnt / (a.tflops * 1e12 * a.utilisation)
    parts = {"load": 0.9 * n * kind.load, "hash": n * kind.trained_bytes / m.hash_rate, "features": gpu}
    read = 2 * n * kind.trained_bytes  # once for the training pictures, once for the held-out ones
    return Cost(
        step="evaluate", seconds=sum(parts.values()) + read / a.network, cores_seconds=parts["load"] + parts["hash"],
        gpu_seconds=gpu, gpus=1, memory=learnt * (2 * 3 * kind.size**2 + m.row_bytes + FEATURES), read=read,
        objects=MODEL_OBJECTS, parts=parts,
    )  # fmt: skip


def predict(
    n: int, kind: Kind, measured: Measured, assumed: Assumed, *, preset: str = "gpu", museum: bool = False
) -> list[Cost]:
    """All steps that n pictures are heavy for, in order; nothing is set aside on the way. n: at least 1."""
    if n < 1:
        raise ValueError(f"{n} pictures")
    line = presets.preset(preset)
    return [
        ingest(n, kind, measured, assumed, museum=museum),
        screen(n, kind, measured, assumed, line),
        annotate(n, kind, measured, assumed),
        *(train(s, n, kind, measured, assumed, preset) for s in ("train_tokenizer", "train_clip", "train_painter")),
        evaluate(n, kind, measured, assumed),
    ]


def here(measured: Measured, kind: Kind, n: int, line: Line) -> dict[str, float]:
    """Seconds of ingest, screen and annotate on the machine that was measured: what a measurement is held against."""
    a = replace(Assumed(), gpus=False, cores=measured.cores)
    found = (ingest(n, kind, measured, a), screen(n, kind, measured, a, line), annotate(n, kind, measured, a))
    return {cost.step: cost.seconds for cost in found}


def bends_at(broken: Callable[[int], bool], most: int = 10**10) -> int | None:
    """The least number of pictures for which `broken` is true, to two digits; None if it never is. It is monotone."""
    low, high = 1, most
    if not broken(high):
        return None
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if broken(middle) else (middle, high)
    return high


def read_measured(plain: Mapping[str, Any]) -> tuple[Measured, dict[str, Kind]]:
    """From results/scale.json."""
    measured = Measured(**plain["measured"])
    return measured, {name: Kind(name=name, **values) for name, values in plain["kinds"].items()}
