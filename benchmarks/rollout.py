"""From `promote` to the new model's first picture, while callers paint: benchmarks/results/rollout.md. Three minutes.

python -m benchmarks.rollout

The alias `champion` is moved to a version that was never served, and back, by MLflow's own API in a registry on this
machine; `danqing serve --follow` does the rest. The versions are the model in the box with different cards: to the
rollout they are different models.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import table
from danqing import files
from danqing.config import Register
from danqing.errors import ServingError
from danqing.monitor import Silent
from danqing.package import MANIFEST, Package
from danqing.platform import registry, tracking
from danqing.pretrained import box
from serving.client import Danqing

CALLERS = (0, 1, 4)
PROMPT = "misty mountains, a lone boat, freehand"


class Callers:
    """So many callers, each of whom asks again when he has his picture; when which model's picture came."""

    def __init__(self, url: str, count: int) -> None:
        self.client, self.seeds = Danqing(url), itertools.count()
        self.came: list[tuple[float, str]] = []
        self.failed: list[str] = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._paint, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _paint(self) -> None:
        while not self.stop.is_set():
            try:
                picture = self.client.paint(PROMPT, next(self.seeds))
            except ServingError as error:
                self.failed.append(str(error))
            else:
                self.came.append((time.monotonic(), str(picture.info["danqing:model"])))

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def models(root: Path, uri: str, count: int) -> dict[int, str]:
    """So many versions in a new registry; number → what stands in their pictures."""
    found = {}
    for number in range(1, count + 1):
        folder = root / f"package{number}"
        shutil.copytree(box(), folder)
        manifest = files.read_json(folder / MANIFEST)
        (folder / "card.md").write_text(f"The model in the box, number {number}.", encoding="utf-8")
        manifest["files"]["card.md"] = files.sha256(folder / "card.md")
        files.write_json(folder / MANIFEST, manifest)
        found[number] = Package.read(folder).version
        scratch = root / f"step{number}"
        for name, file, content in (("evaluation", "metrics.json", {"psnr": 20.0}),
                                    ("decision", "decision.json", {"promote": False})):  # fmt: skip
            files.write_json(scratch / name / file, content)
        registry.register(folder, scratch / "evaluation", scratch / "decision", out=scratch / "out", config=Register(),
                          monitor=Silent(), scratch=scratch, tracking_uri=uri)  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=3, help="to a new version and back, for each number of callers")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        uri = f"sqlite:///{root / 'mlflow.db'}"
        versions = models(root, uri, 1 + len(CALLERS) * given.moves)
        tracking.client(uri).set_registered_model_alias("danqing", "champion", "1")
        environment = {**os.environ, "DANQING_WORKSPACE": str(root / "workspace"), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "danqing.cli", "serve", "--follow", "--tracking", uri]
        with open(root / "log", "wb") as log:
            serving = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            client = Danqing()
            _wait(lambda: client.ready() and client.version() == versions[1], root / "log")
            fresh = iter(range(2, len(versions) + 1))
            for count in CALLERS:
                numbers = [next(fresh) for _ in range(given.moves)]
                rows.append(_moves(uri, versions, count, numbers, root / "log"))
        finally:
            serving.send_signal(signal.SIGTERM)
            serving.wait(60)
    notes = [
        f"The model in the box, {Package.read(box()).size} px, {given.moves} new versions each; the registry is looked "
        "at every two seconds. " + table.versions("mlflow", "onnxruntime", "tritonclient") + ".",
    ]
    body = table.grid(["callers meanwhile", "to a new version, s", "back, s", "their pictures", "failed"], rows)
    table.save("rollout", "From promote to the new model's pictures", notes, body)


def _moves(uri: str, versions: dict[int, str], count: int, numbers: list[int], log: Path) -> list[str]:
    callers = Callers("grpc://localhost:8001", count)
    there, back = [], []
    for number in numbers:
        there.append(_move(uri, number, versions[number], log))
        back.append(_move(uri, 1, versions[1], log))
    callers.end()
    spread = (f"{statistics.median(s):.1f} ({min(s):.1f} to {max(s):.1f})" for s in (there, back))
    return [str(count), *spread, str(len(callers.came)), str(len(callers.failed))]


def _move(uri: str, number: int, version: str, log: Path) -> float:
    """Seconds until a caller gets a picture of that version."""
    time.sleep(1.3)  # so that the look at the registry comes at different times after the move
    began = time.monotonic()
    tracking.client(uri).set_registered_model_alias("danqing", "champion", str(number))
    with Danqing() as client:
        _wait(lambda: client.version() == version, log)
        client.paint(PROMPT, 10**6 + number)
    return time.monotonic() - began


def _wait(condition: Callable[[], bool], log: Path, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:.0f} s\n{log.read_text()}")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
