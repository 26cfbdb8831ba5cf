"""The loop: look where `champion` points, bring that version into Triton beside the old one, try it, change over.

Each round compares what Triton serves with what the registry says and does what is missing, so that it does not matter
what happened before: a Triton that restarted, an alias that moved fifty times, a controller that was killed. What goes
wrong leaves the served version where it is, is said on the model version, and is tried again later and later.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from danqing import files
from danqing.errors import DanqingError, RegistryError, ServingError
from danqing.package import Package
from danqing.platform.registry import PACKAGE_TAG
from danqing.platform.versions import Version
from serving.rollout.naming import Release, Served
from serving.rollout.registry import Registry
from serving.rollout.settings import Rollout
from serving.rollout.smoke import smoke
from serving.rollout.status import Status, StatusFile, now
from serving.rollout.store import Store
from serving.rollout.triton import Triton


class _Moved(Exception):
    """The alias points elsewhere by now."""


class Controller:
    """Follows the registry for one Triton. `say` hears one line an event."""

    def __init__(self, settings: Rollout, say: Callable[[str], None] = print) -> None:
        self.settings, self._say = settings, say
        self.store = Store(settings.store)
        self.triton = Triton(settings.triton, settings.secret, load_timeout=settings.load_timeout)
        self.registry = Registry(settings.tracking, settings.name, fetch_timeout=settings.fetch_timeout)
        self.status = Status()
        self._file = StatusFile(settings.status or settings.store / "status.json")
        self._swept = False
        self._settled: Served | None = None  # what this process has found or made right
        self._refused: tuple[object, float, float] | None = None  # what, when to try it again, and the wait after that
        self._idle: dict[str, float] = {}  # key → since when a loaded version is of no use
        self._down: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Rounds until `stop` is set. Nothing that goes wrong in one ends the loop."""
        self._say(f"rollout: following {self.settings.name!r} in {self.settings.tracking}")
        while not stop.is_set():
            self.step()
            stop.wait(self.settings.interval)

    def step(self) -> None:
        """One round, unless another controller is at work on the store."""
        try:
            with self.store.alone() as alone:
                if alone:
                    self._round()
        except Exception as error:  # noqa: BLE001 - tomorrow's champion matters more than today's surprise
            self._trouble(f"{type(error).__name__}: {error}" if not isinstance(error, DanqingError) else str(error))
        self._file.write(self.status)

    def _round(self) -> None:
        if not self._swept:
            self.store.sweep()
            self._swept = True
        with self._reaching("triton", ServingError):
            served = self.triton.pointed()
            if served is None or not served.key:
                served = self._restore()
            self._note(served)
            champion = None
            with self._reaching("registry", RegistryError):
                champion = self.registry.champion()
                if champion is not None:
                    self._follow(champion, served)
                self.registry.tell()
            if champion is None and served is None and self.settings.fallback is not None:
                self._fall_back(self.settings.fallback)

    def _restore(self) -> Served | None:
        """Triton serves nothing, or parts of two versions: give it the last one back, or the one before."""
        for release in self.store.served():
            try:
                self._try(release)
                self._point(release, None)
            except ServingError as error:
                self._trouble(f"{release.key} is not served again: {error}")
            else:
                self.status.restorations += 1
                return release.served()
        return None

    def _follow(self, champion: Version, served: Served | None) -> None:
        sha = champion.tags.get(PACKAGE_TAG, "")
        what = (champion.number, sha, champion.tags.get("onnx_sha256"))
        if served is not None and served == self._settled and served.sha == sha:
            self._refused = None
            self._retire(served.key)
            return
        wait = self.settings.retry
        if self._refused is not None and self._refused[0] == what:
            _, again, wait = self._refused
            if time.monotonic() < again:
                return
        try:
            release = self._bring(champion, sha)
            if served != release.served():
                self._change(release, champion.number)
        except _Moved:
            self._say(f"rollout: version {champion.number} is champion no more; not served")
            return
        except (DanqingError, OSError) as error:
            self._refused = (what, time.monotonic() + wait, min(2 * wait, 600.0))
            self.status.refusals += 1
            self._trouble(f"version {champion.number} is refused: {error}")
            self.registry.refused(champion.number, str(error))
            self.store.sweep()
        else:
            self._refused = None
            self._settled = release.served()
            self._note(self._settled, champion.number)
            self.registry.serves(champion.number)
        self.store.prune(self.settings.keep, spare={sha, *self.triton.loaded()})

    def _bring(self, champion: Version, sha: str) -> Release:
        """The champion's files, checked and built."""
        number = champion.number
        if not sha:
            raise RegistryError(f"it has no tag {PACKAGE_TAG}; register it with danqing")

        def fetch(into: Path) -> None:
            self._say(f"rollout: version {number}: fetching")
            self.registry.fetch(champion, into)

        package = self.store.package(sha, champion.tags.get("onnx_sha256"), fetch)
        self._say(f"rollout: version {number}: package {sha[:12]} is here and in order")
        release = self.store.release(package, sha)
        self._say(f"rollout: version {number}: {release.key} is built")
        return release

    def _change(self, release: Release, number: int) -> None:
        started = time.monotonic()
        try:
            self._try(release)
        except ServingError:
            self.store.discard(release)  # perhaps the disk has lost a part of it
            raise
        with contextlib.suppress(RegistryError):
            now = self.registry.champion()
            if now is not None and now.number != number:
                raise _Moved
        before = next((r for r in self.store.served() if r.key != release.key), None)
        self._point(release, before)
        self.status.switches += 1
        self._say(f"rollout: version {number} is served, {time.monotonic() - started:.1f} s after its files were ready")

    def _try(self, release: Release) -> None:
        """Load `release` beside what is served and paint with it; unload it if that goes wrong."""
        try:
            self.triton.load(release)
            self._say(f"rollout: {release.key} is loaded")
            smoke(self.triton, release)
            self._say(f"rollout: {release.key} has passed the smoke test")
        except ServingError:
            with contextlib.suppress(ServingError):
                self.triton.unload(release.key)
            raise

    def _point(self, release: Release, before: Release | None) -> None:
        # On disk first: should Triton restart now, it serves what has just been tried.
        self.store.point(release)
        try:
            self.triton.point(release)
        except ServingError:
            if before is not None:
                self.store.point(before)
                with contextlib.suppress(ServingError):
                    self.triton.point(before)
            raise
        self._idle.pop(release.key, None)

    def _note(self, served: Served | None, number: int | None = None) -> None:
        key = served.key if served is not None else ""
        if key != self.status.serving:
            self.status.serving, self.status.model, self.status.since = key, key.rpartition("-")[0], now()
            self.status.version = None
        self.status.version = number if number is not None else self.status.version

    def _retire(self, key: str) -> None:
        """Unload what has been of no use for a while: all but the served version and the one before it."""
        useful = {key, *(release.key for release in self.store.served()[:2])}
        for other in sorted(self.triton.loaded() - useful):
            since = self._idle.setdefault(other, time.monotonic())
            if time.monotonic() - since >= self.settings.drain:
                self.triton.unload(other)
                self._say(f"rollout: {other} is unloaded")
                del self._idle[other]

    def _fall_back(self, folder: Path) -> None:
        package = Package.read(folder)
        release = self.store.release(package.folder, files.fingerprint(package.folder))
        self._try(release)
        self._point(release, None)
        self._note(release.served())
        self._say(f"rollout: {package.version} is served until there is a champion")

    @contextlib.contextmanager
    def _reaching(self, what: str, kind: type[DanqingError]) -> Iterator[None]:
        """Say once that a server is away and once that it is back; count the rounds without it."""
        try:
            yield
        except kind as error:
            name = f"{what}_failures"
            setattr(self.status, name, getattr(self.status, name) + 1)
            if what not in self._down:
                self._trouble(str(error))
            self._down.add(what)
        else:
            if what in self._down:
                self._say(f"rollout: {what} answers again")
            self._down.discard(what)

    def _trouble(self, text: str) -> None:
        if text != self.status.last_error:
            self._say(f"rollout: {text}")
        self.status.last_error, self.status.last_error_at = text, now()
