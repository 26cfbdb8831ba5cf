"""On a CPU: a picture from the shell, in process against PyTorch, the brush, and a training step.

make bench
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import table
from danqing.package import GENERATE, Package
from danqing.pretrained import box

PROMPT = "misty mountains, a lone boat, freehand"
BRUSH, BRUSH_SIZE = 400, 128


def shell(rounds: int) -> list[float]:
    """Seconds of `danqing paint` from start to exit, with the model in the box."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("danqing")), "paint", PROMPT, "--seed", "7", "-o", "picture.png"]
        for _ in range(rounds + 1):
            start = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
    return seconds[1:]


def in_process(rounds: int) -> dict[str, list[float]]:
    """One picture by onnxruntime, and by PyTorch (eager) with the same weights and codes."""
    import torch

    from danqing.config import Decoding
    from danqing.export.graph import example
    from danqing.models.generate import Generator

    generator = Generator.load(box(), box(), Decoding())
    session = Package.read(box()).session()
    inputs = example(GENERATE, generator, 1)
    feed = {name: tensor.numpy() for name, tensor in inputs.items()}

    def eager() -> object:
        with torch.inference_mode():
            return generator(*inputs.values())

    return table.interleaved({"onnxruntime": lambda: session.run(["picture"], feed), "PyTorch": eager}, rounds)


def _brush(seed: int) -> int:
    import cv2

    from danqing.data import brush

    cv2.setNumThreads(1)
    return brush.paint(brush.compose(seed), BRUSH_SIZE).size


def brush_rate() -> float:
    """Brush pictures a second, one process a core."""
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(_brush, range(workers * 8), chunksize=4))
        start = time.perf_counter()
        list(pool.map(_brush, range(BRUSH), chunksize=16))
        return BRUSH / (time.perf_counter() - start)


def main() -> None:
    rounds = 15
    from_shell, rivals, rate = shell(rounds), in_process(rounds), brush_rate()
    ratio = statistics.median(rivals["PyTorch"]) / statistics.median(rivals["onnxruntime"])
    rows = [
        ["`danqing paint` from the shell to the file, s", table.spread(from_shell, 1, 2)],
        ["one picture in process, onnxruntime, ms", table.spread(rivals["onnxruntime"])],
        ["one picture in process, PyTorch eager, ms", table.spread(rivals["PyTorch"])],
        ["PyTorch's time over onnxruntime's", f"{ratio:.2f}"],
        [f"brush pictures a second at {BRUSH_SIZE} px", f"{rate:.0f}"],
    ]
    size = Package.read(box()).size
    notes = [
        f"Median (least to most) of {rounds}, the rivals by turns; the model in the box, {size} px.",
        table.versions("onnxruntime", "torch") + ".",
    ]
    table.write("cpu", "Painting on a CPU", notes, ["what", "value"], rows)


if __name__ == "__main__":
    main()
