"""Load on Triton and on the gateway, beside the graph alone and beside a naive server: benchmarks/results/serving.md.

python -m benchmarks.serving

No request repeats another's seed, so that no answer comes from a cache. Clients run on the same machine and take their
share of its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from benchmarks import table
from danqing.package import Package
from danqing.pretrained import box
from danqing.wordpieces import WordPieces
from serving.client import AsyncDanqing
from serving.gateway.run import command
from serving.gateway.settings import PREFIX, Settings
from serving.triton.repository import build
from serving.triton.server import Server

PROMPT = "misty mountains, a lone boat, freehand"
CONCURRENCY = (1, 4, 16)
BATCHES = (1, 2, 4, 8)
GATEWAYS = {"gateway, HTTP": "text,aigc,c2pa,watermark", "gateway without marks": ""}
"""Contender → the layers of origin that it puts into each picture; the first are the default's."""
Paint = Callable[[int], Awaitable[object]]
"""A seed → one picture, painted by somebody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What a fleet of callers met."""

    rate: float
    """Pictures a second."""
    seconds: list[float]
    """Of each picture."""

    def row(self, name: str, concurrency: int) -> list[str]:
        p50, p95, p99 = (1e3 * np.percentile(self.seconds, p) for p in (50, 95, 99))
        return [name, str(concurrency), f"{self.rate:.2f}", f"{p50:.0f}", f"{p95:.0f}", f"{p99:.0f}"]


async def fleet(paint: Paint, concurrency: int, seconds: float, seeds: Iterator[int]) -> Load:
    """So many callers, each of whom asks again when he has his picture."""
    await paint(next(seeds))
    taken: list[float] = []
    start = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - start < seconds:
            began = time.perf_counter()
            await paint(next(seeds))
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return Load(rate=len(taken) / (time.perf_counter() - start), seconds=taken)


def alone(package: Package, seconds: float) -> dict[int, float]:
    """Pictures a second of the graph in onnxruntime, nothing around it, by batch size."""
    session = package.session()
    ids, mask = WordPieces(package.text_length)([PROMPT])
    found = {}
    for batch in BATCHES:
        feeds = {"ids": ids.repeat(batch, 0), "mask": mask.repeat(batch, 0), "seed": np.arange(batch),
                 "guidance": np.full(batch, package.guidance, np.float32)}  # fmt: skip
        session.run(["picture"], feeds)
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            session.run(["picture"], feeds)
            done += batch
        found[batch] = done / (time.perf_counter() - start)
    return found


NAIVE = """
import io, threading
import torch
from fastapi import FastAPI, Response
from PIL import Image
from danqing.config import Decoding
from danqing.models.generate import Generator
from danqing.pretrained import box

app, turn = FastAPI(), threading.Lock()
generator = Generator.load(box(), box(), Decoding())

@app.get("/paint")
def paint(prompt: str, seed: int):
    with turn, torch.inference_mode():
        ids, mask = (torch.from_numpy(a) for a in generator.text.pieces([prompt]))
        picture = generator(ids, mask, torch.tensor([seed]), torch.tensor([generator.decoding.guidance]))[0]
    buffer = io.BytesIO()
    Image.fromarray(picture.numpy()).save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png")
"""
"""What is quickly written: PyTorch eager behind FastAPI, one request at a time."""


@contextlib.contextmanager
def process(arguments: list[str], environment: dict[str, str], url: str, folder: Path) -> Iterator[None]:
    """A server that answers at `url`; it and its children are gone afterwards."""
    with open(folder / "server.log", "wb") as log:
        started = subprocess.Popen(
            arguments, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for _ in range(900):
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url, trust_env=False).status_code < 500:
                    break
            if started.poll() is not None:
                raise SystemExit((folder / "server.log").read_text())
            time.sleep(0.1)
        yield
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(20)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3, help="of everything, by turns; the median counts")
    given = parser.parse_args()
    package, seeds = Package.read(box()), iter(range(10**9))
    loads: dict[tuple[str, int], list[Load]] = {}
    graph: dict[int, list[float]] = {batch: [] for batch in BATCHES}

    def measure(name: str, paint: Paint) -> None:
        for concurrency in CONCURRENCY:
            loads.setdefault((name, concurrency), []).append(run(fleet(paint, concurrency, given.seconds, seeds)))

    with tempfile.TemporaryDirectory() as name, asyncio.Runner() as runner:
        run, folder = runner.run, Path(name)
        for _ in range(given.rounds):
            for batch, rate in alone(package, given.seconds / 4).items():
                graph[batch].append(rate)
            with Server(build(box(), folder / "repositories")) as server:
                client = AsyncDanqing(server.url)
                measure("Triton, gRPC", lambda seed, client=client: client.paint(PROMPT, seed))  # type: ignore[misc]
                run(client.close())
                for contender, layers in GATEWAYS.items():
                    settings = Settings(triton=server.url, port=free_port(), concurrency=64,
                                        database=f"sqlite:///{folder / 'gateway.db'}")  # fmt: skip
                    arguments, environment = command(settings)
                    environment[f"{PREFIX}LAYERS"] = layers
                    url = f"http://127.0.0.1:{settings.port}"
                    with process(arguments, environment, f"{url}/livez", folder):
                        http = httpx.AsyncClient(base_url=url, timeout=120, trust_env=False)
                        measure(contender, lambda seed, http=http: _post(http, seed))  # type: ignore[misc]
                        run(http.aclose())
            port = free_port()
            (folder / "naive.py").write_text(NAIVE, encoding="utf-8")
            uvicorn = [sys.executable, "-m", "uvicorn", "naive:app", "--port", str(port), "--log-level", "warning"]
            root = str(Path(__file__).parents[1])
            with process(uvicorn, {**os.environ, "PYTHONPATH": root}, f"http://127.0.0.1:{port}/openapi.json", folder):
                http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
                measure("PyTorch behind FastAPI", lambda seed, http=http: _get(http, seed))  # type: ignore[misc]
                run(http.aclose())
    report(package, graph, loads, given.seconds, given.rounds)


async def _post(http: httpx.AsyncClient, seed: int) -> None:
    (await http.post("/paint", json={"prompt": PROMPT, "seed": seed, "scale": 1})).raise_for_status()


async def _get(http: httpx.AsyncClient, seed: int) -> None:
    (await http.get("/paint", params={"prompt": PROMPT, "seed": seed})).raise_for_status()


def report(package: Package, graph: dict[int, list[float]], loads: dict[tuple[str, int], list[Load]],
           seconds: float, rounds: int) -> None:  # fmt: skip
    best = max(graph, key=lambda batch: statistics.median(graph[batch]))
    most = statistics.median(graph[best])
    rates = {key: statistics.median(load.rate for load in found) for key, found in loads.items()}
    middle = {key: statistics.median([s for load in found for s in load.seconds]) for key, found in loads.items()}
    rows = [[f"the graph in onnxruntime, batches of {batch}", "–", f"{statistics.median(found):.2f}", "–", "–", "–"]
            for batch, found in graph.items()]  # fmt: skip
    for (name, concurrency), found in loads.items():
        every = Load(rate=rates[name, concurrency], seconds=[s for load in found for s in load.seconds])
        rows.append(every.row(name, concurrency))
    top = CONCURRENCY[-1]
    triton, naive = (rates[name, top] for name in ("Triton, gRPC", "PyTorch behind FastAPI"))
    claims = [
        [f"Triton at {top} callers, of the graph alone at its best batch", f"{100 * triton / most:.0f} %"],
        [f"Triton at {top} callers, times the naive server", f"{triton / naive:.2f}"],
    ]
    for name in GATEWAYS:
        extra = 1e3 * (middle[name, 1] - middle["Triton, gRPC", 1])
        claims.append([f"{name}, at {top} callers, of Triton", f"{100 * rates[name, top] / triton:.0f} %"])
        claims.append([f"{name}, over Triton at one caller, median", f"{extra:.1f} ms"])
    notes = [
        f"The model in the box, {package.size} px; each load {seconds:.0f} s, {rounds} rounds by turns, callers on the "
        "same machine. Rate: median of the rounds; times: of all pictures.",
        "Triton is the laptop's: 2.51 with onnxruntime's wheel in its Python backend. " +
        table.versions("onnxruntime", "torch", "bentoml", "fastapi") + ".",
    ]  # fmt: skip
    body = [*table.grid(["what", "callers", "pictures / s", "p50, ms", "p95, ms", "p99, ms"], rows), "",
            *table.grid(["ratio", "value"], claims)]  # fmt: skip
    table.save("serving", "Serving under load", notes, body)


if __name__ == "__main__":
    main()
