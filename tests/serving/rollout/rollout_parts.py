"""What the tests of the rollout share: a registry's owner, a caller who checks every picture, waiting."""

from __future__ import annotations

import collections
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from danqing import files
from danqing.config import Register
from danqing.monitor import Silent
from danqing.paint import Painter
from danqing.platform import registry, tracking, versions
from serving.client import Danqing
from serving.rollout.controller import Controller
from serving.rollout.settings import Rollout

PROMPT, SECRET = "bamboo in the rain", "a word"


def until(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.02)


class Registry:
    """A registry as its owner sees it, through MLflow's own client."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def register(self, package: Path, scratch: Path) -> int:
        for name, file, content in (
            ("evaluation", "metrics.json", {"psnr": 20.0}),
            ("decision", "decision.json", {"promote": False}),
            ("out", "unused.json", {}),
        ):
            files.write_json(scratch / name / file, content)
        return registry.register(
            package, scratch / "evaluation", scratch / "decision", out=scratch / "out", config=Register(),
            monitor=Silent(), scratch=scratch, tracking_uri=self.uri,
        )["version"]  # fmt: skip

    @property
    def client(self):
        return tracking.client(self.uri)

    def move(self, number: int) -> None:
        self.client.set_registered_model_alias("danqing", "champion", str(number))

    def tag(self, number: int, name: str = "rollout") -> str | None:
        return versions.read(self.uri, "danqing")[number].tags.get(name)

    def set_tag(self, number: int, name: str, value: str) -> None:
        self.client.set_model_version_tag("danqing", str(number), name, value)

    def describe(self, number: int, text: str | None = None) -> str:
        if text is not None:
            self.client.update_model_version("danqing", str(number), description=text)
        return self.client.get_model_version("danqing", str(number)).description or ""


class Listening(Controller):
    """A controller whose lines are kept and whose finished rounds are counted."""

    def __init__(self, settings: Rollout) -> None:
        self.lines: list[str] = []
        self.rounds = 0
        super().__init__(settings, self.lines.append)

    def step(self) -> None:
        super().step()
        self.rounds += 1

    def sees(self) -> None:
        """Wait for a round that began after this call: before, what is served may be what was served before."""
        begun = self.rounds
        until(lambda: self.rounds >= begun + 2, f"two rounds: {self.lines[-5:]}")


class Caller:
    """Paints all the time, one seed in two again and again, and looks whose picture it gets each time."""

    def __init__(self, url: str, painters: dict[int, Painter]) -> None:
        self.client, self.painters = Danqing(url), painters
        self.painted: list[int] = []
        self.failed: list[Exception] = []
        self.strange = 0
        self.gap = 0.0
        """Seconds between two pictures, at most."""
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._paint, args=(start,)) for start in (0, 1000)]

    def __enter__(self) -> Caller:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.client.close()

    def _paint(self, start: int) -> None:
        for i in itertools.count():
            if self._stop.is_set():
                return
            time.sleep(0.01)  # steady rather than all that the machine can do
            seed = start if i % 2 else start + i
            try:
                picture = self.client.paint(PROMPT, seed=seed)
            except Exception as error:
                self.failed.append(error)
                continue
            now = time.monotonic()
            self.gap, self._last = max(self.gap, now - self._last), now
            number = whose(picture, seed, self.painters)
            self.strange += number is None
            self.painted.append(number)

    def goes_on(self, pictures: int = 20) -> None:
        """Wait for so many more pictures."""
        wanted = len(self.painted) + pictures
        until(lambda: len(self.painted) >= wanted, f"{pictures} more pictures (errors: {self.failed[-1:]})")

    def check(self, *expected: type[Exception]) -> dict[str, object]:
        """Every answer was one model's picture or one of the `expected` errors; a row of the table of faults."""
        others = [error for error in self.failed if type(error) not in expected]
        assert not others, f"{len(others)} requests failed otherwise: {others[:3]}"
        assert self.strange == 0, f"{self.strange} of {len(self.painted)} pictures are no model's"
        assert len(self.painted) > 20, "too few callers to tell"
        kinds = collections.Counter(type(error).__name__ for error in self.failed)
        return {
            "requests": len(self.painted) + len(self.failed), "pictures": len(self.painted), "wrong pictures": 0,
            "errors": ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "0",
            "longest without a picture, s": round(self.gap, 1),
        }  # fmt: skip


def whose(picture, seed: int, painters: dict[int, Painter]) -> int | None:
    """The number of the one model that paints this picture."""
    own = [n for n, p in painters.items() if np.array_equal(picture, p.paint(PROMPT, seed=seed)[0])]
    return own[0] if len(own) == 1 else None
