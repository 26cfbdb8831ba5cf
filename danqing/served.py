"""What a gateway has counted, on disk: one file a day and machine, one line of JSON a minute at most.

A line is written at once and begins anew after whatever a killed process left behind, so the file can be read at any
time; half a line is no JSON and is left out. Sizes are bounded: of a day's file and in days.
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from danqing import files
from danqing.errors import StorageError
from danqing.observe import Counts

MOST_BYTES = 8_000_000
"""Of one file; a minute's line has 1 to 3 kB, a day 1,440 minutes."""
MOST_FILES = 2000
_NAME = re.compile(r"^(\d{4}-\d{2}-\d{2})\.[A-Za-z0-9_-]{1,64}\.jsonl$")


def _name(day: date) -> str:
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "unknown"
    return f"{day.isoformat()}.{host}.jsonl"


def _listed(folder: Path) -> list[tuple[date, Path]]:
    found = []
    with files.storage(folder):
        for path in folder.iterdir():
            match = _NAME.match(path.name)
            if match:
                try:
                    found.append((date.fromisoformat(match.group(1)), path))
                except ValueError:
                    continue
    return sorted(found)


def append(folder: Path, day: date, counts: Counts) -> bool:
    """Add `counts` to what was counted on `day`; False where the day's file is full. Raises StorageError."""
    line = json.dumps(counts.as_dict(), separators=(",", ":")).encode()
    path = Path(folder) / _name(day)
    with files.storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            if os.fstat(handle).st_size + len(line) + 2 > MOST_BYTES:
                return False
            written = os.write(handle, b"\n" + line + b"\n")
        finally:
            os.close(handle)
        if written < len(line) + 1:  # not even the whole line: it will be taken for half a line
            raise StorageError(f"{path}: the disk is full; free some space")
    return True


def prune(folder: Path, today: date, keep_days: int) -> int:
    """Delete the files of days that are `keep_days` or more before today, and the oldest beyond `MOST_FILES`."""
    found = _listed(folder)
    old = [path for day, path in found if day <= today - timedelta(days=keep_days)]
    rest = [path for _, path in found if path not in set(old)]
    gone = [*old, *rest[: max(0, len(rest) - MOST_FILES)]]
    with files.storage(folder):
        for path in gone:
            path.unlink(missing_ok=True)
    return len(gone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What was served from `since` to `until`, the first and the last day of which there is a record."""

    counts: Counts
    since: str
    until: str
    broken: int
    """Lines that could not be read: what a killed process was writing."""


def read(folder: Path, since: date | None = None, until: date | None = None) -> Served:
    """Everything counted on the days from `since` to `until`, both included. StorageError where nothing was."""
    folder = Path(folder)
    counts, days, broken = Counts(), [], 0
    if not folder.is_dir():
        raise StorageError(
            f"{folder}: there is no such folder; a gateway makes it, if DANQING_GATEWAY_RECORDS names it"
        )
    for day, path in _listed(folder):
        if (since is not None and day < since) or (until is not None and day > until):
            continue
        with files.storage(path):
            lines = path.read_bytes().split(b"\n")
        for line in lines:
            if not line.strip():
                continue
            try:
                counts.merge(Counts.from_dict(json.loads(line)))
            except (ValueError, StorageError):
                broken += 1
                continue
            days.append(day)
    if not days:
        raise StorageError(f"{folder}: nothing was counted in these days; the gateway counts if it is told where")
    return Served(counts=counts, since=min(days).isoformat(), until=max(days).isoformat(), broken=broken)
