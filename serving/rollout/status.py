"""The status file: what is served, what went wrong and how often, for people, probes and dashboards."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from danqing import files
from danqing.errors import DanqingError


@dataclass(kw_only=True)
class Status:
    """What the status file says. Its modification time is the end of the last round: a probe looks at that."""

    serving: str = ""
    """Key of the version that callers get."""
    model: str = ""
    """The same as it stands in the pictures."""
    version: int | None = None
    """Its number in the registry; None for the fallback and what was served before this controller started."""
    since: str = ""
    switches: int = 0
    refusals: int = 0
    restorations: int = 0
    """How often a Triton that served nothing got the last version back from disk."""
    registry_failures: int = 0
    triton_failures: int = 0
    last_error: str = ""
    last_error_at: str = ""


class StatusFile:
    """Keeps `path` up to date; a file that cannot be written is no reason to stop serving."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: dict[str, object] | None = None

    def write(self, status: Status) -> None:
        """Write the file where `status` has changed; say in any case that a round has ended."""
        with contextlib.suppress(DanqingError, OSError):
            values = asdict(status)
            if values != self._written:
                files.write_json(self.path, values)
                self._written = values
            os.utime(self.path)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
