"""Timing and tables: medians, interleaved, with the machine named."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from danqing.machine import machine as machine

RESULTS = Path(__file__).parent / "results"
Name = TypeVar("Name", bound=Hashable)


def versions(*names: str) -> str:
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join([f"Python {platform.python_version()}", *found])


def interleaved(rivals: Mapping[Name, Callable[[], object]], rounds: int) -> dict[Name, list[float]]:
    """Seconds of each rival in each round, after one unmeasured round; by turns, so that noise meets all alike."""
    for run in rivals.values():
        run()
    seconds: dict[Name, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, run in rivals.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(seconds: Sequence[float], unit: float = 1e3, digits: int = 1) -> str:
    """Median, and in brackets the least and the most, in units of 1/`unit` seconds."""
    low, mid, high = (unit * f(seconds) for f in (min, statistics.median, max))
    return f"{mid:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, a line a row."""
    return ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]


def save(name: str, title: str, notes: Sequence[str], body: Sequence[str]) -> Path:
    """results/`name`.md of whole lines; the text is printed too."""
    text = "\n".join([f"# {title}", "", f"Machine: {machine()}. {date.today().isoformat()}.", *notes, "", *body]) + "\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path


def write(name: str, title: str, notes: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """results/`name`.md of one table; it is printed too."""
    return save(name, title, notes, grid(header, rows))
