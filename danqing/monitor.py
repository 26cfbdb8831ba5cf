"""How a step tells the world what it is doing, without knowing who listens.

A step calls `monitor.metrics(...)` and `monitor.progress(...)`. Who runs the step decides what that means: nothing
(`Silent`), a bar on the terminal (`Terminal`), lines of JSON that another process follows (`Events`), MLflow
(`danqing.platform.tracking`), or several of them (`Several`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Monitor(Protocol):
    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record scalars, at an optimiser step or (step=None) for the whole run."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` units are finished; `note` is one short phrase."""


class Silent:
    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        pass

    def progress(self, done: int, total: int, note: str = "") -> None:
        pass


class Several:
    def __init__(self, *monitors: Monitor) -> None:
        self.monitors = monitors

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        for monitor in self.monitors:
            monitor.metrics(values, step)

    def progress(self, done: int, total: int, note: str = "") -> None:
        for monitor in self.monitors:
            monitor.progress(done, total, note)


class Events:
    """Appends one JSON object a call to a file: {"step_name", "time", "metrics"|"progress", …}."""

    def __init__(self, path: Path, step_name: str) -> None:
        self._file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115 - lives as long as the step
        self._step_name = step_name

    def event(self, **fields: object) -> None:
        self._file.write(json.dumps({"step_name": self._step_name, "time": time.time(), **fields}) + "\n")

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.event(metrics={k: float(v) for k, v in values.items()}, step=step)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.event(progress=[done, total], note=note)


class Terminal:
    """A progress bar on a terminal; a line now and then elsewhere."""

    def __init__(self, title: str, every: float = 10.0) -> None:
        self._title, self._every, self._last = title, every, 0.0
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[note]}"), TimeRemainingColumn(), console=Console(stderr=True),
            )  # fmt: skip
            self._task = self._bar.add_task(title, total=None, note="")
            self._bar.start()

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        pass

    def progress(self, done: int, total: int, note: str = "") -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
            if done >= total:
                self._bar.stop()
        elif done >= total or time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            print(f"{self._title}: {done}/{total} {note}".rstrip(), file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
