"""What the controller keeps on disk: packages by their content, and the repository that Triton reads.

    <store>/
      versions/<package_sha256>/package/       as the registry gave it, checked
      versions/<package_sha256>/<key>/         the repository built of it (serving/triton/repository.py)
      versions/<package_sha256>/<key>.named/   the same files under names of their own (naming.py)
      versions/<package_sha256>/<key>.served   its date says when callers last got this version
      models/                                  Triton's --model-repository: links into the folders above
      models/danqing                           the pointer: the version that callers get, now and after a restart
      lock

Every folder is written under another name, brought to disk and renamed, and every link replaced in one step: whatever
stops the controller, and when, Triton finds whole versions only. Folders are named by content, so that two controllers
who make the same make it once. The lock is there for what is not so: deciding, loading and clearing away. It is a
`flock`, which dies with its holder; NFS since version 4 and most shared volumes pass it on between machines. Where
one does not, two controllers do the same work twice and still end on the champion, for each compares what its Triton
serves with the registry, round after round.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from danqing import files
from danqing.errors import DanqingError, StorageError
from danqing.package import GRAPH, MANIFEST, Package
from serving.rollout import naming
from serving.rollout.naming import Release
from serving.triton.repository import build

_SHA = re.compile(r"[0-9a-f]{64}")
_SERVED = ".served"


class Store:
    """The folder `root`; made if it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()
        self.versions, self.models = self.root / "versions", self.root / "models"
        with files.storage(self.root):
            self.versions.mkdir(parents=True, exist_ok=True)
            self.models.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether this is the only controller at work here, which it stays until the block ends."""
        with files.storage(self.root):
            lock = open(self.root / "lock", "a")  # noqa: SIM115 - closed below
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def package(self, sha: str, onnx: str | None, fetch: Callable[[Path], None]) -> Path:
        """The package with the fingerprint `sha`; fetched into a new folder unless it is here and unharmed.

        onnx: SHA-256 of its graph, if it is known. Raises DanqingError: what came is not what was announced.
        """
        if not _SHA.fullmatch(sha):
            raise StorageError(f"package_sha256 is {sha[:80]!r}, no SHA-256; register the version again")
        folder = self.versions / sha / "package"
        if not folder.is_dir() or files.fingerprint(folder) != sha:
            with files.atomic_folder(folder) as new:
                fetch(new)
                try:
                    _check(new, sha)
                except DanqingError as error:
                    raise StorageError(str(error).replace(str(new), "package")) from error
                _settle(new)
        if onnx is not None and files.sha256(folder / GRAPH) != onnx:
            raise StorageError(f"onnx_sha256 is announced as {onnx[:12]}…, {GRAPH} is another file")
        return folder

    def release(self, package: Path, sha: str) -> Release:
        """The version as Triton can load it; built if it is not here yet, and linked into `models`."""
        built = build(package, self.versions / sha)
        release = Release(sha=sha, folder=built.with_name(built.name + naming.SUFFIX))
        if not release.folder.is_dir():
            with files.atomic_folder(release.folder) as new:
                naming.rename(built, new, sha)
                _settle(new)
        for folder in release.models():
            self._link(folder)
        return release

    def point(self, release: Release) -> None:
        """Make `release` what a Triton that starts now serves."""
        with files.storage(self.root):
            (release.folder.with_name(release.key + _SERVED)).touch()
        for name in naming.POINTERS:
            if (release.folder / name).is_dir():
                self._link(release.folder / name)
            else:
                with files.storage(self.models):
                    (self.models / name).unlink(missing_ok=True)

    def served(self) -> list[Release]:
        """The versions that callers have got and that are still here: the present one first, then the latest."""
        present = self.models / naming.POINTERS[0]
        now = present.resolve().parent if present.exists() else None
        marks = sorted(self.versions.glob(f"*/*{_SERVED}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        found = [
            Release(sha=mark.parent.name, folder=mark.with_name(mark.name.removesuffix(_SERVED) + naming.SUFFIX))
            for mark in marks
        ]
        found = [release for release in found if release.folder.is_dir()]
        return sorted(found, key=lambda release: release.folder != now)

    def prune(self, keep: int, spare: Collection[str] = ()) -> list[str]:
        """Remove all but the `keep` versions served last; the keys that went. spare: keys and packages that stay."""
        kept = [*self.served()[:keep]]
        kept += [r for r in self._releases() if (r.key in spare or r.sha in spare) and r not in kept]
        gone = [release for release in self._releases() if release not in kept]
        for release in gone:
            self.discard(release)
        alive = {*spare, *(release.sha for release in kept)}
        for folder in self.versions.iterdir():
            if folder.name not in alive:
                self._remove(folder)
        return [release.key for release in gone]

    def discard(self, release: Release) -> None:
        """Remove what was built for `release`, but not the package: the next try builds it anew."""
        for link in self.models.glob(f"*-{release.key}"):
            link.unlink(missing_ok=True)
        release.folder.with_name(release.key + _SERVED).unlink(missing_ok=True)
        self._remove(release.folder)
        self._remove(release.folder.with_name(release.key))

    def sweep(self) -> None:
        """Remove what a controller that was killed left half-done."""
        for pattern in (".*", "versions/.*", "versions/*/.*", "models/.*"):
            for path in self.root.glob(pattern):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _releases(self) -> list[Release]:
        found = self.versions.glob(f"[0-9a-f]*/[!.]*{naming.SUFFIX}")
        return [Release(sha=folder.parent.name, folder=folder) for folder in sorted(found)]

    def _link(self, folder: Path) -> None:
        """Let models/<name> be `folder`, from one moment to the next."""
        link, target = self.models / folder.name, os.path.relpath(folder, self.models)
        if link.is_symlink() and os.readlink(link) == target:
            return
        with files.storage(link):
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=self.models))
            try:
                (temporary / "link").symlink_to(target)
                (temporary / "link").replace(link)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def _remove(self, folder: Path) -> None:
        """Take `folder` away at once, so that nobody finds a part of it."""
        if folder.is_dir():
            away = folder.with_name(f".{folder.name}.gone")
            shutil.rmtree(away, ignore_errors=True)
            with contextlib.suppress(OSError):
                folder.replace(away)
            shutil.rmtree(away, ignore_errors=True)


def _check(folder: Path, sha: str) -> None:
    if not (folder / MANIFEST).is_file():
        raise StorageError(f"the version has no files, or no {MANIFEST} among them; register it again")
    found = files.fingerprint(folder)
    if found != sha:
        raise StorageError(f"package_sha256 is announced as {sha[:12]}…, its files have {found[:12]}…")
    Package.read(folder)


def _settle(folder: Path) -> None:
    """Bring a folder to disk, so that it survives a power failure after it has got its name."""
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
