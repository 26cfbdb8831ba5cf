"""`danqing drift`: what was served against what was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from danqing.errors import ConfigError
from danqing.evaluate import drift_report
from danqing.evaluate.drift import DriftConfig
from danqing.values import build

DAYS = 28


def drift_command(
    served: Path, corpus: Path, out: Path, *, since: str = "", until: str = "",
    overrides: Mapping[str, str] | None = None, say: Callable[[str], None] = print,
) -> None:  # fmt: skip
    """Write the report into `out` and say its answer. overrides: drift.threshold, drift.min_prompts …"""
    config = build(DriftConfig, {k.removeprefix("drift."): v for k, v in (overrides or {}).items()}, "drift")
    last = _day(until, "until") or datetime.now(UTC).date()
    first = _day(since, "since") or last - timedelta(days=DAYS - 1)
    if first > last:
        raise ConfigError(f"--since {first} is after --until {last}")
    found = drift_report.run(served_folder=served, corpus=corpus, out=out, config=config, since=first, until=last)
    say(drift_report.answer(found))
    say(f"{out / drift_report.JSON}")


def _day(text: str, name: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigError(f"--{name} is {text!r}: a day like 2026-11-24 is needed") from None
