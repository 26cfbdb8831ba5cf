"""Reading the model registry: which versions of a model there are, and what its aliases point to.

A registry in SQLite is read with SQLite: MLflow's client takes two seconds to import, a look at three tables none. Any
other registry, or a database that has changed its tables, is asked through MLflow.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from danqing.errors import RegistryError
from danqing.platform import tracking

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
METRIC = "metric."
"""Prefix of the tags that hold a version's evaluation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version of a registered model."""

    name: str
    number: int
    source: str
    """Address of the package folder."""
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """What was measured before it was registered; NaN where a value cannot be read."""
        return {k.removeprefix(METRIC): _number(v) for k, v in self.tags.items() if k.startswith(METRIC)}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def read(uri: str, name: str) -> dict[int, Version]:
    """All versions of the model `name`, by number; empty if it was never registered."""
    file = tracking.sqlite_file(uri)
    if file is not None:
        if not file.is_file():
            return {}
        try:
            return _read_sqlite(file, name)
        except sqlite3.Error:
            pass  # another MLflow, other tables: let MLflow itself read them
    return _read_mlflow(uri, name)


def _read_sqlite(file: Path, name: str) -> dict[int, Version]:
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as base:
        rows = base.execute(
            "select version, source, run_id from model_versions where name = ? and current_stage <> 'Deleted_Internal'",
            (name,),
        ).fetchall()
        tags: dict[int, dict[str, str]] = {}
        for number, key, value in base.execute(
            "select version, key, value from model_version_tags where name = ?", (name,)
        ):
            tags.setdefault(int(number), {})[key] = value
        aliases: dict[int, list[str]] = {}
        for number, alias in base.execute(
            "select version, alias from registered_model_aliases where name = ?", (name,)
        ):
            aliases.setdefault(int(number), []).append(alias)
    return {
        int(number): Version(
            name=name, number=int(number), source=source or "", run_id=run_id or "",
            tags=tags.get(int(number), {}), aliases=tuple(sorted(aliases.get(int(number), []))),
        )
        for number, source, run_id in sorted(rows)
    }  # fmt: skip


def _read_mlflow(uri: str, name: str) -> dict[int, Version]:
    from mlflow.exceptions import MlflowException

    with tracking.reaching(uri):
        client = tracking.client(uri)
        found: list[Any] = []
        token = None
        while True:
            page = client.search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                break
        if not found:
            return {}
        try:
            named = dict(client.get_registered_model(name).aliases)
        except MlflowException:
            named = {}
    return {
        int(v.version): Version(
            name=name, number=int(v.version), source=v.source, run_id=v.run_id or "", tags=dict(v.tags),
            aliases=tuple(sorted(alias for alias, number in named.items() if int(number) == int(v.version))),
        )
        for v in sorted(found, key=lambda v: int(v.version))
    }  # fmt: skip


def by_alias(uri: str, name: str, alias: str) -> Version | None:
    return next((v for v in read(uri, name).values() if alias in v.aliases), None)


def find(uri: str, name: str, which: int | str) -> Version:
    """The version with that number or alias; RegistryError says what there is instead."""
    known = read(uri, name)
    if str(which).isdecimal():
        version = known.get(int(which))
    else:
        version = next((v for v in known.values() if str(which) in v.aliases), None)
    if version is None:
        listed = ", ".join(f"{v.number}{'=' + '/'.join(v.aliases) if v.aliases else ''}" for v in known.values())
        what = f"it holds {listed}" if listed else "nothing is registered yet, `danqing run` does it"
        raise RegistryError(f"{uri}: model {name!r} has no version or alias {str(which)!r}; {what}")
    return version
