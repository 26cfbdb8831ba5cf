"""Parts of a corpus that several runs of `ingest` share, and how one corpus is made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from danqing import files
from danqing.config import Ingest
from danqing.data import corpus
from danqing.data.corpus import Record, Rejected
from danqing.data.ingest import write_whole
from danqing.errors import DataError
from danqing.values import as_dict

PART = "part.json"


def write_part(
    out: Path, config: Ingest, records: Iterable[Mapping[str, Any]], rejected: list[Rejected], *, listed: int,
    unavailable: int,
) -> dict[str, float | str | bool]:  # fmt: skip
    """Write what one shard admitted, copies and all; returns its metrics. It may be nothing.

    listed: how many of `rejected`, at its beginning, the source's listing had set aside already.
    """
    total = corpus.write(out, records, rejected, part=True)
    about = {
        "shard": config.shard, "shards": config.shards, "records": total, "listed": listed, "unavailable": unavailable,
        "settings": _settings(config), "limit": config.count if config.source == "museum" else None,
    }  # fmt: skip
    files.write_json(Path(out) / PART, about)
    metrics: dict[str, float | str | bool] = {
        "pictures": total, "set_aside": len(rejected), "unavailable": unavailable, "shard": config.shard,
    }  # fmt: skip
    files.write_json(Path(out) / "metrics.json", metrics)
    return metrics


def merge(folder: Path, out: Path) -> dict[str, float | str | bool]:
    """Write the corpus of all parts below `folder` into `out`; returns the metrics of `ingest`.

    Raises DataError if a part is missing, stands there twice, or was made with other settings.
    """
    parts = _Parts(folder)
    aside = [(corpus.rejected(part), about["listed"]) for part, about in zip(parts.folders, parts.about, strict=True)]
    rejected = [entry for entries, listed in aside for entry in entries[:listed]]
    rejected += [entry for entries, listed in aside for entry in entries[listed:]]
    unavailable = sum(about["unavailable"] for about in parts.about)
    corpus.carry_labels(parts.folders[0], out)
    return write_whole(out, parts, range(len(parts.folders)), rejected, parts.about[0]["limit"], unavailable)


class _Parts:
    """The parts below a folder, in the order of their shards; each is a piece of the corpus."""

    def __init__(self, folder: Path) -> None:
        found = [(files.read_json(path), path.parent) for path in sorted(folder.glob(f"*/{PART}"))]
        if not found:
            raise DataError(f"{folder}: no parts are here (*/{PART}); ingest with ingest.shards above 1 writes them")
        found.sort(key=lambda pair: int(pair[0]["shard"]))
        self.about, self.folders = [about for about, _ in found], [part for _, part in found]
        numbers, wanted = [about["shard"] for about in self.about], range(self.about[0]["shards"])
        if len({(about["settings"], about["shards"]) for about in self.about}) > 1:
            raise DataError(f"{folder}: the parts were made with different settings; make all of them with the same")
        if missing := sorted(set(wanted) - set(numbers)):
            names = ", ".join(map(str, missing))
            raise DataError(f"{folder}: of {len(wanted)} parts, {names} are missing; run ingest for these shards too")
        if len(numbers) > len(wanted):
            raise DataError(f"{folder}: a part is there twice ({numbers}); remove one of them")

    def columns(self, number: int, names: list[str]) -> list[Record]:
        return list(corpus.read(self.folders[number], names)) if self.about[number]["records"] else []

    def records(self, number: int) -> Iterator[Record]:
        return corpus.read(self.folders[number]) if self.about[number]["records"] else iter(())


def _settings(config: Ingest) -> str:
    """What must be the same in all parts."""
    shared = {name: value for name, value in as_dict(config).items() if name != "shard"}
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]
