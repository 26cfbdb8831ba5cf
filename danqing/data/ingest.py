"""The first step: pictures and metadata from a source become a corpus.

Originals are never touched. Every record has a source, an id, a licence, the SHA-256 of its file, a perceptual hash
and a group. What cannot be used is set aside with its reason; exact copies are set aside, look-alikes share a group,
so that they never stand in two splits. A killed run goes on where it was: each finished batch lies on disk.

A large source is shared by several runs, each with its `ingest.shard` of `ingest.shards`: what they write are parts,
in which copies still stand beside each other. Copies and look-alikes are found where the parts are put together
(`ingest.source=parts:PATH`, danqing/data/parts.py), so that the corpus is the one that a single run writes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from danqing import files
from danqing.config import Ingest
from danqing.data import corpus, phash
from danqing.data.corpus import Record, Rejected
from danqing.data.pictures import Unusable, check
from danqing.data.sources import Failed, Fetched, Item, Source
from danqing.errors import DataError
from danqing.monitor import Monitor
from danqing.values import as_dict

NEAR_BITS = 4
"""Pictures whose hashes differ in at most so many bits count as one work, as validate.near_duplicate_bits asks."""


def source_of(config: Ingest, state: Path) -> Source:
    """The source that `config` names. state: folder where it may keep what it has learnt."""
    if config.source == "brush":
        from danqing.data.sources.brush import Brush

        return Brush(count=config.count, size=config.size, seed=config.seed)
    if config.source == "museum":
        from danqing.data.sources.museum import Museum

        # All shards together ask no more often, and for no more, than one run would.
        rate, count = config.rate / config.shards, -(-config.count // config.shards)
        return Museum(dataclasses.replace(config, rate=rate, count=count), state)
    from danqing.data.sources.folder import Folder

    return Folder(Path(config.source.removeprefix("folder:")).expanduser(), config.max_bytes)


class _Batches:
    """Finished batches on disk: a corpus file of records and a list of what was set aside, for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with files.storage(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.parquet"

    def has(self, number: int) -> bool:
        return self._path(number).is_file()

    def save(self, number: int, records: list[Record], rejected: list[Rejected]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        aside = json.dumps([[r.id, r.reason] for r in rejected], ensure_ascii=False)
        table = pa.Table.from_pylist(records, schema=corpus.schema().with_metadata({"rejected": aside}))
        with files.atomic(self._path(number)) as temporary:
            pq.write_table(table, temporary)

    def columns(self, number: int, names: list[str]) -> list[Record]:
        import pyarrow.parquet as pq

        rows: list[Record] = pq.read_table(self._path(number), columns=names).to_pylist()
        return rows

    def rejected(self, number: int) -> list[Rejected]:
        import pyarrow.parquet as pq

        aside = (pq.read_schema(self._path(number)).metadata or {}).get(b"rejected", b"[]")
        return [Rejected(id=name, reason=reason) for name, reason in json.loads(aside)]

    def records(self, number: int) -> list[Record]:
        return self.columns(number, list(corpus.COLUMNS))


def _admit(got: Fetched | Rejected | Failed, config: Ingest) -> Record | Rejected | Failed:
    if not isinstance(got, Fetched):
        return got
    licence = got.fields.get("licence", "")
    if licence not in config.licences:
        return Rejected(id=got.id, reason=f"licence {licence!r} is not one of {', '.join(config.licences)}")
    try:
        checked = check(got.data, store=config.store, max_pixels=config.max_pixels, max_bytes=config.max_bytes)
    except Unusable as error:
        return Rejected(id=got.id, reason=str(error))
    fields = {"group": got.id, **{k: v for k, v in got.fields.items() if v not in ("", None)}}
    return corpus.record(
        **{**fields, "id": got.id, "image": checked.image, "width": checked.width, "height": checked.height,
           "sha256": checked.sha256, "phash": checked.phash}
    )  # fmt: skip


def ingest(*, out: Path, config: Ingest, monitor: Monitor, scratch: Path) -> dict[str, float | str | bool]:
    """Write the corpus of `config.source` into `out`, or a part of it. Raises DataError when nothing is usable."""
    if config.source.startswith("parts:"):
        from danqing.data.parts import merge

        return merge(Path(config.source.removeprefix("parts:")).expanduser(), out)
    state = Path(scratch) / f".ingest-{hashlib.sha256(json.dumps(as_dict(config)).encode()).hexdigest()[:12]}"
    source = source_of(config, state)
    batches = _Batches(state / "batches")
    listing = source.listing()
    if not listing:
        raise DataError(f"{config.source}: there is no picture; check ingest.source and ingest.query")
    # Neighbours stay together: the parts laid end to end are in the order of the listing.
    share = slice(*(len(listing) * k // config.shards for k in (config.shard, config.shard + 1)))
    early = [entry for entry in listing[share] if isinstance(entry, Rejected)]
    items = [entry for entry in listing[share] if isinstance(entry, Item)]
    goal = min(len(items), source.limit or len(items))
    numbers, failed, admitted = [], [], 0
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for number, start in enumerate(range(0, len(items), source.batch)):
            if source.limit is not None and admitted >= source.limit:
                break
            if not batches.has(number):
                got = source.fetch(items[start : start + source.batch])
                entries = list(pool.map(lambda g: _admit(g, config), got))
                missing = [e for e in entries if isinstance(e, Failed)]
                records = [e for e in entries if isinstance(e, dict)]
                if missing and not records:
                    failed.extend(missing)  # not remembered: the next run asks again
                    continue
                failed.extend(missing)
                batches.save(number, records, [e for e in entries if isinstance(e, Rejected)])
            numbers.append(number)
            admitted += len(batches.columns(number, ["id"]))
            done = admitted if source.limit is not None else min(start + source.batch, len(items))
            monitor.progress(min(done, goal), goal, "pictures")
    close = getattr(source, "close", None)
    if close is not None:
        close()
    rejected = [*early, *(Rejected(id=f.id, reason=f.reason) for f in failed)]
    rejected += [r for number in numbers for r in batches.rejected(number)]
    if config.source.startswith("folder:"):
        corpus.carry_labels(Path(config.source.removeprefix("folder:")).expanduser(), out)
    if config.shards > 1:
        from danqing.data.parts import write_part

        admitted_records = (record for number in numbers for record in batches.records(number))
        found = write_part(out, config, admitted_records, rejected, listed=len(early), unavailable=len(failed))
    else:
        found = write_whole(out, batches, numbers, rejected, source.limit, len(failed))
    shutil.rmtree(state, ignore_errors=True)
    return found


class Kept(Protocol):
    """Records on disk, in numbered pieces."""

    def columns(self, number: int, names: list[str]) -> list[Record]: ...

    def records(self, number: int) -> Iterable[Record]: ...


def write_whole(
    out: Path, batches: Kept, numbers: Sequence[int], rejected: list[Rejected], limit: int | None, unavailable: int
) -> dict[str, float | str | bool]:
    """Write the corpus of what was admitted, without copies and with look-alikes in one group; returns its metrics.

    limit: at most so many pictures. unavailable: pictures that could not be had.
    """
    copies, groups, joined = _duplicates(batches, numbers, limit)
    rejected = [*rejected, *(Rejected(id=name, reason=reason) for name, reason in copies.items())]
    total = corpus.write(out, _final(batches, numbers, groups), rejected)
    metrics: dict[str, float | str | bool] = {
        "pictures": total,
        "groups": len(set(groups.values())),
        "set_aside": len(rejected),
        "exact_copies": sum("exact copy" in reason for reason in copies.values()),
        "look_alikes": joined,
        "unavailable": unavailable,
    }
    files.write_json(Path(out) / "metrics.json", metrics)
    return metrics


def _duplicates(batches: Kept, numbers: Sequence[int], limit: int | None) -> tuple[dict[str, str], dict[str, str], int]:
    """(id of a copy → reason, id of a kept record → group, records that a look-alike moved to another group)."""
    rows = [row for number in numbers for row in batches.columns(number, ["id", "sha256", "phash", "group"])]
    first: dict[str, str] = {}
    ids: set[str] = set()
    kept: list[Record] = []
    copies: dict[str, str] = {}
    for row in rows:
        if row["sha256"] in first:
            copies[row["id"]] = f"exact copy of {first[row['sha256']]}"
        elif row["id"] in ids:
            copies[row["id"]] = "another picture has the same id"
        elif limit is not None and len(kept) >= limit:
            copies[row["id"]] = f"more than ingest.count = {limit}"
        else:
            first[row["sha256"]] = row["id"]
            ids.add(row["id"])
            kept.append(row)
    own = [row["group"] for row in kept]
    groups = phash.merge(own, phash.connected([row["phash"] for row in kept], NEAR_BITS))
    joined = sum(a != b for a, b in zip(own, groups, strict=True))
    return copies, dict(zip((row["id"] for row in kept), groups, strict=True)), joined


def _final(batches: Kept, numbers: Sequence[int], groups: dict[str, str]) -> Iterator[dict[str, Any]]:
    written: set[str] = set()
    for number in numbers:
        for record in batches.records(number):
            if record["id"] in groups and record["id"] not in written:
                written.add(record["id"])
                yield {**record, "group": groups[record["id"]]}
