"""Everything that only a GPU can tell, in one call: does CUDA agree with the CPU, how fast is it, what fits.

    make gpu

Needs torch, transformers' neighbours safetensors and tokenizers, and this library; no platform package. Without a GPU
it says so and measures nothing; `python -m benchmarks.gpu --device cpu --rounds 1` rehearses it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import table
from danqing import presets
from danqing.config import Decoding
from danqing.export.graph import example
from danqing.models import families
from danqing.models.generate import Generator
from danqing.package import GENERATE
from danqing.pretrained import box
from danqing.train import loop
from danqing.train.painter import PainterJob, encode
from danqing.train.tokenizer import TokenizerJob

Row = list[str]


def seconds(run: Callable[[], object], rounds: int, device: torch.device) -> list[float]:
    """Wall time of `run`, synchronised, after three unmeasured rounds."""
    taken = []
    for number in range(rounds + 3):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number >= 3:
            taken.append(time.perf_counter() - start)
    return taken


@torch.inference_mode()
def agreement(device: torch.device) -> Row:
    """The same prompts and seeds on both devices: share of bytes within one grey level."""
    generator = Generator.load(box(), box(), Decoding())
    inputs = tuple(example(GENERATE, generator, 8).values())
    here = generator(*inputs).numpy().astype(np.int16)
    there = generator.to(device)(*(t.to(device) for t in inputs)).cpu().numpy().astype(np.int16)
    return ["picture bytes within one grey level of the CPU's, 8 pictures", f"{(np.abs(here - there) <= 1).mean():.4f}"]


@torch.inference_mode()
def painting(device: torch.device, rounds: int) -> list[Row]:
    generator = Generator.load(box(), box(), Decoding()).to(device)
    size, rows = generator.tokenizer.config.size, []
    for batch in (1, 8, 64):
        inputs = [t.to(device) for t in example(GENERATE, generator, batch).values()]
        eager = seconds(lambda inputs=inputs: generator(*inputs), rounds, device)  # type: ignore[misc]
        rows.append([f"{batch} picture(s) of {size} px, PyTorch eager, ms", table.spread(eager)])
    if device.type != "cuda":
        return rows
    inputs = [t.to(device) for t in example(GENERATE, generator, 1).values()]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):  # a capture wants a warm allocator on its own stream
        for _ in range(3):
            generator(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        generator(*inputs)
    replay = seconds(graph.replay, rounds, device)
    rows.append([f"1 picture of {size} px, one CUDA graph, ms", table.spread(replay)])
    return rows


def training(device: torch.device, rounds: int, sizes: tuple[int, ...]) -> list[Row]:
    """One optimiser step of both stages on random pictures: time does not depend on what they show."""
    rows = []
    for size in sizes:
        stride = 16 if size >= 256 else 8
        batch = 32 if device.type == "cuda" else 2
        images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
        values = {"annotate.size": size, "tokenizer.model.size": size, "tokenizer.model.stride": stride,
                  "tokenizer.init": "scratch", "tokenizer.extractor": "none", "tokenizer.batch": batch,
                  "painter.init": "scratch", "painter.batch": batch,
                  "painter.clip": 0.0, "painter.clip_batch": 1}  # fmt: skip
        line = presets.resolve("default", values)
        tokenizer = TokenizerJob(line.tokenizer, images, torch.zeros(batch, 384), None)
        rows += _step(f"tokenizer, {size} px, batch {batch}", tokenizer, batch, rounds, device)
        model = families.build(line.tokenizer.model)
        codes = encode(model, images)
        painter = PainterJob(line.painter, codes, Words(batch), model, images, None, None)  # type: ignore[arg-type]
        rows += _step(f"painter, {size} px, batch {batch}", painter, batch, rounds, device)
    return rows


class Words:
    """Text features of no sentence in particular."""

    def __init__(self, count: int) -> None:
        self.features, self.mask = torch.randn(count, 24, 384), torch.ones(count, 24, dtype=torch.int64)

    def of(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return self.features[indices], self.mask[indices]


def _step(name: str, job: loop.Job, batch: int, rounds: int, device: torch.device) -> list[Row]:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    step = iter(range(10**9))
    taken = seconds(lambda: job.step(next(step), np.arange(batch)), rounds, device)
    memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device.type == "cuda" else ""
    rate = batch / statistics.median(taken)
    return [[f"training step: {name}, ms", f"{table.spread(taken)}, {rate:.0f} pictures/s{memory}"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=20)
    wanted = parser.parse_args()
    device = torch.device(wanted.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device here: nothing was measured")
        return
    cuda = device.type == "cuda"
    rows = [agreement(device), *painting(device, wanted.rounds)]
    rows += training(device, wanted.rounds, (64, 128, 256) if cuda else (64,))
    notes = [f"Median (least to most) of {wanted.rounds}. float32. {table.versions('torch')}."]
    name = "gpu-" + torch.cuda.get_device_name().lower().replace(" ", "-") if cuda else "rehearsal"
    table.write(name, "On a GPU" if cuda else "A rehearsal without a GPU", notes, ["what", "value"], rows)


if __name__ == "__main__":
    main()
