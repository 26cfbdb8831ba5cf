"""What a person sees of a run on the terminal: a line a step, a bar for the one that runs; plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines.events import Event

_QUIET = 10.0  # seconds between two lines about the progress of one step, where there is no terminal


class Display:
    """Shows the steps of one run as their events come in. Use it as a context."""

    def __init__(self, steps: Sequence[str], console: Console) -> None:
        self._console = console
        self._began: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}
        self._passing: set[str] = set()
        if console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.fields[mark]}"), TextColumn("{task.description}"), BarColumn(bar_width=24),
                TimeElapsedColumn(), TextColumn("[dim]{task.fields[note]}"),
                console=console, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            width = max(len(step) for step in steps)
            for step in steps:
                self._tasks[step] = self._bars.add_task(step.ljust(width), total=1, start=False, mark="·", note="")

    def __enter__(self) -> Display:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, event: Event) -> None:
        step = event["step_name"]
        if event.get("state") == "started":
            self._start(step)
        elif event.get("state") == "done":
            self._end(step, "reused" if event["reused"] else "done", event["seconds"])
        elif event.get("state") == "failed":
            self._fail(step)
        elif event.get("state") == "retried":
            self._retry(step, event["attempt"])
        elif "progress" in event:
            done, total = event["progress"]
            self._progress(step, done, total, event.get("note", ""))

    def _start(self, step: str) -> None:
        self._began[step] = time.monotonic()
        if self._bars is None:
            self._console.print(f"{step} …", highlight=False)
            return
        if step not in self._tasks:  # of a loop: it comes and goes
            self._passing.add(step)
            self._tasks[step] = self._bars.add_task(step, total=1, start=False, mark="·", note="")
        self._bars.start_task(self._tasks[step])
        self._bars.update(self._tasks[step], total=None, mark="[yellow]▸")

    def _progress(self, step: str, done: float, total: float, note: str) -> None:
        if self._bars is not None and step in self._tasks:
            shown = f"{done:g}/{total:g} {note}" if total > 1 else note
            self._bars.update(self._tasks[step], total=total or None, completed=done, note=escape(shown))
        elif self._bars is None and time.monotonic() - self._said.get(step, 0.0) >= _QUIET:
            self._said[step] = time.monotonic()
            self._console.print(f"  {step}: {done:g}/{total:g} {escape(note)}".rstrip(), highlight=False)

    def _end(self, step: str, how: str, seconds: float) -> None:
        if self._bars is None:
            self._console.print(f"{step} {how}, {seconds:.1f} s", highlight=False)
        elif step in self._passing:
            self._bars.remove_task(self._tasks.pop(step))
            self._bars.console.print(f"{step} {how}, {seconds:.1f} s", highlight=False)
        elif step in self._tasks:
            note = "unchanged, reused" if how == "reused" else ""
            self._bars.update(
                self._tasks[step], total=1, completed=1, mark="[cyan]=" if note else "[green]✓", note=note
            )
            self._bars.stop_task(self._tasks[step])

    def _fail(self, step: str) -> None:
        if self._bars is None:
            self._console.print(f"{step} failed", highlight=False)
        elif step in self._tasks:
            self._bars.update(self._tasks[step], total=1, mark="[red]✗", note="failed")
            self._bars.stop_task(self._tasks[step])

    def _retry(self, step: str, attempt: int) -> None:
        if self._bars is None:
            self._console.print(f"{step}: tried again ({attempt})", highlight=False)
        elif step in self._tasks:
            self._bars.update(self._tasks[step], total=None, mark="[yellow]▸", note=f"try {attempt}")
