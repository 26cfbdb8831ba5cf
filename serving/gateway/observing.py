"""What the gateway keeps of its work: counts of what is asked for and painted, never a prompt, never a picture.

For `danqing drift`, which compares them with the training set. Off unless DANQING_GATEWAY_RECORDS names a folder; a
line a minute, a file a day, files older than `record_days` are deleted. What a crash loses is the last minute.
The other way round, the report's values are shown as metrics where DANQING_GATEWAY_DRIFT names its drift.json.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import anyio.to_thread
import numpy as np

from danqing import files, observe, served
from danqing.errors import DanqingError
from danqing.evaluate.drift import scores
from danqing.observe import Counts
from serving.gateway import metrics

log = logging.getLogger("danqing.gateway")
EVERY = 60.0
"""Seconds between two lines."""
REMEMBERED = 100_000
"""Digests of the day's prompts in memory, so that a prompt counts once; more are counted as if they were new."""
OUTCOMES = ("painted", "bad_input", "refused", "needs_approval", "too_near", "not_ready", "too_slow", "busy")


def _today() -> date:
    return datetime.now(UTC).date()


class Observer:
    """records: folder to count in, None: nowhere. report: drift.json to show as metrics, None: none."""

    def __init__(
        self, records: Path | None = None, *, keep_days: int = 90, report: Path | None = None,
        today: Callable[[], date] = _today,
    ) -> None:  # fmt: skip
        self.records, self.keep_days, self.report, self._today = records, keep_days, report, today
        self._lock = threading.Lock()
        self._day, self._counts = today(), Counts()
        self._known: set[bytes] = set()
        self._salt = secrets.token_bytes(16)

    def note(self, prompt: str, outcome: str, picture: np.ndarray | None = None) -> None:
        """A prompt and what became of it; picture uint8 (H, W, 3). The same prompt counts once a day. Blocks."""
        outcome = outcome if outcome in OUTCOMES else "other"
        metrics.prompts.labels(language=observe.language(prompt), outcome=outcome).inc()
        if self.records is None:
            return
        one = Counts()
        one.add("outcome", outcome)
        if self._is_new(prompt):
            one.add_prompt(prompt)
            if picture is not None:
                one.add_picture(picture)
        self._merge(one)

    def vote(self, model: str, good: bool) -> None:
        metrics.feedback.labels(model=model, verdict="good" if good else "bad").inc()
        if self.records is not None:
            one = Counts()
            one.add("good" if good else "bad", model)
            self._merge(one)

    def _is_new(self, prompt: str) -> bool:
        digest = hashlib.blake2b(prompt.encode("utf-8", "replace"), key=self._salt, digest_size=8).digest()
        with self._lock:
            if digest in self._known:
                return False
            if len(self._known) < REMEMBERED:
                self._known.add(digest)
            return True

    def _merge(self, one: Counts) -> None:
        if self._today() != self._day:
            self.flush()
        with self._lock:
            self._counts.merge(one)

    def flush(self) -> None:
        """Write what was counted since the last time. A disk that says no costs nobody a picture. Blocks."""
        if self.records is None:
            return
        with self._lock:
            counts, day = self._counts, self._day
            self._counts, self._day = Counts(), self._today()
            if self._day != day:
                self._known.clear()
                self._salt = secrets.token_bytes(16)
        try:
            if counts != Counts() and not served.append(self.records, day, counts):
                metrics.unrecorded.inc()
            if self._day != day:
                served.prune(self.records, self._day, self.keep_days)
        except DanqingError as error:
            metrics.unrecorded.inc()
            log.warning('"counts are not kept: %s"', str(error).replace('"', "'"))

    def show(self) -> None:
        """The values of the drift report as metrics; the last ones stay while there is no report to read. Blocks."""
        if self.report is None or not self.report.is_file():
            return
        try:
            report = files.read_json(self.report)
            made = datetime.fromisoformat(report["made"]).timestamp()
            for name, value in scores(report):
                metrics.drift.labels(attribute=name).set(value)
            metrics.drifted.set(bool(report["drifted"]))
            metrics.drift_made.set(made)
        except (DanqingError, AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning('"%s is no drift report: %s"', self.report.name, str(error).replace('"', "'"))

    async def run(self) -> None:
        """For ever; cancel it to stop, and `flush` then."""
        if self.records is not None:
            await anyio.to_thread.run_sync(self._begin, self.records)
        while True:
            await anyio.to_thread.run_sync(self.show)
            await asyncio.sleep(EVERY)
            await anyio.to_thread.run_sync(self.flush)

    def _begin(self, folder: Path) -> None:
        try:
            with files.storage(folder):
                folder.mkdir(parents=True, exist_ok=True)
            served.prune(folder, self._today(), self.keep_days)
        except DanqingError as error:
            metrics.unrecorded.inc()
            log.warning('"counts are not kept: %s"', str(error).replace('"', "'"))
