"""A folder with backups: what one consists of, and whether it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from danqing import files, values
from danqing.errors import ConfigError, StorageError

MANIFEST, DUMP, OBJECTS = "manifest.json", "database.sql.gz", "objects"
FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """One object of a bucket."""

    sha256: str
    size: int
    tag: str
    """What the store called this content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a backup holds."""

    made: str
    """Name of the backup: when it was begun, in UTC."""
    database: str
    """SHA-256 of the dump; empty if no database was asked for."""
    buckets: dict[str, dict[str, Stored]] = field(default_factory=dict)
    """Bucket → key → object."""

    @property
    def objects(self) -> int:
        return sum(map(len, self.buckets.values()))

    @property
    def size(self) -> int:
        """Bytes of all objects, each content as often as it occurs."""
        return sum(one.size for bucket in self.buckets.values() for one in bucket.values())


class Archive:
    """The folder `root` with any number of backups. Methods raise StorageError."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def names(self) -> list[str]:
        """The backups that are whole as far as they were finished, oldest first."""
        return sorted(
            path.parent.name for path in self.root.glob(f"*/{MANIFEST}") if not path.parent.name.startswith(".")
        )

    def choose(self, name: str = "") -> str:
        """The backup `name`, or the newest if that is empty."""
        known = self.names()
        if not known:
            raise ConfigError(f"{self.root}: there is no backup here")
        if name and name not in known:
            raise ConfigError(f"{self.root}: there is no backup {name!r}: {values.closest(name, known[-5:])}")
        return name or known[-1]

    def dump(self, name: str) -> Path:
        return self.root / name / DUMP

    def path(self, sha256: str) -> Path:
        """Where the content with this hash lies, or would lie."""
        return self.root / OBJECTS / sha256[:2] / sha256

    @contextlib.contextmanager
    def incoming(self) -> Iterator[IO[bytes]]:
        """An open file for `keep`; gone afterwards if it was not kept."""
        with files.storage(self.root):
            (self.root / OBJECTS).mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".incoming.", dir=self.root / OBJECTS)
            os.close(handle)
            try:
                with open(name, "wb") as file:
                    yield file
            finally:
                Path(name).unlink(missing_ok=True)

    def keep(self, file: IO[bytes], sha256: str) -> None:
        """What was written into `incoming` has this hash: it takes its place."""
        target = self.path(sha256)
        with files.storage(target):
            file.flush()
            os.fsync(file.fileno())
            target.parent.mkdir(exist_ok=True)
            os.replace(file.name, target)

    def read(self, name: str) -> Manifest:
        """The manifest of a backup, checked against its own hash."""
        path = self.root / name / MANIFEST
        found = files.read_json(path)
        if not isinstance(found, dict) or found.pop("sha256", None) != _digest(found):
            raise StorageError(f"{path}: damaged (its own checksum does not fit); take another backup")
        if found.pop("format", None) != FORMAT:
            raise StorageError(f"{path}: made by another release of danqing; restore it with that one")
        buckets = {bucket: {key: Stored(**one) for key, one in held.items()}
                   for bucket, held in found["buckets"].items()}  # fmt: skip
        return Manifest(made=found["made"], database=found["database"], buckets=buckets)

    def write(self, folder: Path, manifest: Manifest) -> None:
        """Put the manifest into `folder`, where the dump lies already, and give the backup its name, for good."""
        plain = {"format": FORMAT, **values.as_dict(manifest)}
        files.write_json(folder / MANIFEST, {**plain, "sha256": _digest(plain)})
        with files.storage(self.root):
            folder.rename(self.root / manifest.made)
            handle = os.open(self.root, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)

    def verify(self, name: str) -> Manifest:
        """Read all of a backup and compare every hash; returns its manifest. Raises StorageError at the first fault."""
        manifest = self.read(name)
        if manifest.database and files.sha256(self.dump(name)) != manifest.database:
            raise StorageError(f"{self.dump(name)}: damaged (SHA-256 differs); take another backup")
        checked: set[str] = set()
        for bucket, held in manifest.buckets.items():
            for key, one in held.items():
                if one.sha256 not in checked and not self.holds(one):
                    raise StorageError(
                        f"{self.path(one.sha256)}: damaged or gone, which was s3://{bucket}/{key}; while the store has "
                        "it, `create` puts it right"
                    )
                checked.add(one.sha256)
        return manifest

    def holds(self, one: Stored) -> bool:
        """Whether the content is here and whole."""
        path = self.path(one.sha256)
        return path.is_file() and path.stat().st_size == one.size and files.sha256(path) == one.sha256

    def prune(self, keep: int) -> list[str]:
        """Delete all but the newest `keep` backups, and the files that only they had; returns their names."""
        gone = self.names()[:-keep]
        for name in gone:
            with files.storage(self.root / name):
                (self.root / name / MANIFEST).unlink()  # first: half of a backup is none
                shutil.rmtree(self.root / name)
        if gone:
            held = [self.read(name).buckets.values() for name in self.names()]  # an unreadable one may want any file
            wanted = {one.sha256 for buckets in held for bucket in buckets for one in bucket.values()}
            for file in (self.root / OBJECTS).glob("*/*"):
                if file.name not in wanted:
                    file.unlink()
        return gone

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder: one process at a time."""
        with files.storage(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = open(self.root / ".lock", "w")  # noqa: SIM115 - closed by the `with` below
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageError(f"{self.root}: another backup or restore is at work here") from None
            yield


def _digest(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
