"""Making a backup, and putting one back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from danqing import files
from danqing.errors import ConfigError, StorageError
from danqing.platform.backup.archive import DUMP, Archive, Manifest, Stored
from danqing.platform.backup.buckets import Bucket, Entry
from danqing.platform.backup.database import Database, File

AT_ONCE = 8
"""Objects that travel at the same time."""

Say = Callable[[str], None]
T = TypeVar("T")


def create(
    archive: Archive, database: Database | File | None, buckets: Sequence[Bucket], *, keep: int = 0, say: Say
) -> str:
    """Make a backup, database first; returns its name. keep: delete older ones beyond so many; 0 deletes none."""
    if database is None and not buckets:
        raise ConfigError("nothing to back up: name the database, buckets or both")
    with archive.alone():
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        before = archive.names()
        known = _known(archive, before, say)
        with files.storage(archive.root):
            for left in archive.root.glob(".making.*"):  # of a backup that was cut off
                shutil.rmtree(left)
            for left in archive.root.glob("objects/.incoming.*"):
                left.unlink()
            folder = Path(tempfile.mkdtemp(prefix=".making.", dir=archive.root))
        try:
            digest = ""
            if database is not None:
                database.dump(folder / DUMP)
                digest = files.sha256(folder / DUMP)
                say(f"{database.name}: {(folder / DUMP).stat().st_size:,} bytes")
            held = {bucket.name: _fetch(archive, bucket, known.get(bucket.name, {}), say) for bucket in buckets}
            archive.write(folder, Manifest(made=name, database=digest, buckets=held))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        say(f"backup {name} in {archive.root}")
        for gone in archive.prune(keep) if keep else []:
            say(f"deleted {gone}")
    return name


def _known(archive: Archive, names: Sequence[str], say: Say) -> Mapping[str, Mapping[str, Stored]]:
    """What the last backup holds; nothing if it is damaged, which is no reason to make no other."""
    try:
        return archive.read(names[-1]).buckets if names else {}
    except StorageError as error:
        say(f"not built upon: {error}")
        return {}


def _fetch(archive: Archive, bucket: Bucket, known: Mapping[str, Stored], say: Say) -> dict[str, Stored]:
    """Copy what the last backup has not got; what it has stays where it is, if a look at all of it says it is whole."""

    def one(entry: Entry) -> tuple[str, Stored, bool]:
        old = known.get(entry.key)
        if old is not None and (old.size, old.tag) == (entry.size, entry.tag) and archive.holds(old):
            return entry.key, old, False
        with archive.incoming() as file:
            sha256, size = bucket.read(entry.key, file)
            archive.keep(file, sha256)
        return entry.key, Stored(sha256=sha256, size=size, tag=entry.tag), True

    copied = _at_once(one, bucket.entries())
    new = sum(is_new for _, _, is_new in copied)
    say(f"s3://{bucket.name}: {len(copied)} objects, {new} of them new")
    return {key: stored for key, stored, _ in copied}


def restore(
    archive: Archive,
    name: str,
    database: Database | File | None,
    bucket: Callable[[str], Bucket],
    *,
    force: bool,
    say: Say,
) -> Manifest:
    """Put the backup `name` back: objects first, each read again and compared, then the database.

    database: None leaves the database alone. bucket: gives the bucket for a name in the backup. force: what is there
    already is overwritten; without it, a database that is not empty or another object under the same key is an error,
    and nothing has been written then. With a `File`, its dump is for somebody else to load.
    """
    with archive.alone():
        manifest = archive.verify(name)
        say(f"backup {name} is whole: {manifest.objects} objects, {manifest.size:,} bytes")
        if database is not None and not manifest.database:
            raise ConfigError(f"{archive.root / name}: holds no database")
        empty = database is None or database.is_empty()
        if database is not None and not empty and not force:
            what = "there already" if isinstance(database, File) else "the database is not empty"
            raise StorageError(f"{database.name}: {what}; --force replaces what is there")
        plans = []
        for held_as, objects in manifest.buckets.items():
            target = bucket(held_as)
            target.make()
            plans.append((target, objects, _missing(target, objects, force)))
        for target, objects, missing in plans:
            _at_once(lambda key, t=target, o=objects: _put(archive, t, key, o[key]), missing)  # type: ignore[misc]
            say(f"s3://{target.name}: {len(missing)} objects put back, {len(objects) - len(missing)} were there")
        if database is not None:
            database.load(archive.dump(name), replace=not empty)
            say(f"{database.name}: restored")
    return manifest


def _missing(target: Bucket, objects: Mapping[str, Stored], force: bool) -> list[str]:
    """The keys that are to be written. Raises StorageError where another object has a key, unless `force`."""
    there = {entry.key: entry for entry in target.entries()}
    missing = []
    for key, one in objects.items():
        found = there.get(key)
        if found is not None and found.size == one.size and target.read(key)[0] == one.sha256:
            continue
        if found is not None and not force:
            raise StorageError(f"s3://{target.name}/{key}: another object is there; --force overwrites it")
        missing.append(key)
    return missing


def _put(archive: Archive, target: Bucket, key: str, one: Stored) -> None:
    target.write(key, archive.path(one.sha256))
    if target.read(key)[0] != one.sha256:
        raise StorageError(f"s3://{target.name}/{key}: the store gives back other bytes than it got; look at the store")


def _at_once(work: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
    """The results in order; the first error ends it, without doing the rest."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
