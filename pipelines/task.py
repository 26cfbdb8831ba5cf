"""One task in one container: its artifacts in, the container watched until it ends, its artifacts out, or the cause."""

from __future__ import annotations

import collections
import contextlib
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import Any

from danqing.errors import StorageError
from pipelines.engine import ARTIFACTS, MEMO, PICTURES, TOLD, Engine, here, parse, step_of
from pipelines.store import plain

_EVERY = 0.25
"""Seconds between two looks at a container. Its API could wait by itself; Podman 4's burns a core meanwhile."""
_LINES, _LETTERS = 3, 300
_HOPELESS = (2, 3)
"""Exit codes of a wrong configuration and of a wrong corpus: the next try would end the same way."""
# The container's first process. What is printed goes into a file, because the engines' streams of it end late, or not,
# or begin only with the first word; and the kernel's count of what it killed for want of memory is left behind, because
# not every engine tells (Podman 4 on cgroups v1 never does).
_FIRST = f"""\
exec > {TOLD}/log 2>&1
"$0" "$@"
code=$?
cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control > {TOLD}/memory 2>/dev/null
exit $code
"""


class TaskStopped(RuntimeError):
    """A task failed in a way that no other try can mend."""


class ContainerTask:
    """What kfp.local calls a task handler."""

    def __init__(
        self, engine: Engine, *, image: str, full_command: list[str], pipeline_root: str, runner: Any,
        env_vars: dict[str, str],
    ) -> None:  # fmt: skip
        self._engine, self._image, self._command = engine, image, full_command
        self._rights, self._environment = dict(runner.container_run_args), env_vars
        self._given = engine.executor_input
        self._root = str(PurePosixPath(self._given.outputs.output_file).parent)  # in the container
        self.name = PurePosixPath(self._root).name
        self.step = step_of(self.name)
        self._place = engine.folder / "tasks" / PurePosixPath(self._root).relative_to(ARTIFACTS)
        self._told_failure = ""

    def run(self) -> Any:
        """KFP's status of the task."""
        from docker.errors import DockerException
        from kfp.local import status
        from requests.exceptions import RequestException

        attempt = self._engine.attempts[self._root] = self._engine.attempts.get(self._root, 0) + 1
        if attempt > 1:
            self._engine.tell(self.step, state="retried", attempt=attempt)
        try:
            mounts = self._fetch()
            code, killed = self._container(mounts)
            if code == 0 and not killed:
                self._store()
                return status.Status.SUCCESS
        except StorageError as error:  # the store, which was asked for long enough, or this machine's disk
            self._fail(str(error), error.exit_code)
            raise TaskStopped(f"{self.step}: {error}") from error
        except (DockerException, RequestException) as error:
            told = " ".join(str(getattr(error, "explanation", None) or error).split())
            self._fail(f"the container engine failed: {told[:_LETTERS]}")
            return status.Status.FAILURE
        finally:
            shutil.rmtree(self._place / "in", ignore_errors=True)
        if killed or (code in _HOPELESS and self._told_failure):
            raise TaskStopped(f"{self.step} ended with exit code {code}")
        return status.Status.FAILURE

    def _fetch(self) -> list[Any]:
        """Get what the task reads, and say what its container may see."""
        from docker.types import Mount

        engine, place = self._engine, self._place
        mounts = [
            Mount(self._root, str(engine.fresh(place / "out")), type="bind"),
            Mount(TOLD, str(engine.fresh(place / "told")), type="bind"),
            Mount(f"{MEMO}/{self.step}", str(engine.memo(self.step)), type="bind"),
        ]
        shutil.rmtree(place / "in", ignore_errors=True)
        uris = sorted({a.uri for artifacts in self._given.inputs.artifacts.values() for a in artifacts.artifacts})
        for number, uri in enumerate(uris):
            if uri not in engine.contents:
                raise StorageError(f"{uri}: no task of this run has stored it; containers read artifacts of their own")
            target = place / "in" / str(number)
            engine.ready.store.get(engine.key(uri), engine.contents[uri], target)
            if target.exists():
                mounts.append(Mount(uri, str(target), type="bind", read_only=True))
        if self.step == "ingest" and engine.pictures is not None:
            mounts.append(Mount(PICTURES, str(engine.pictures), type="bind", read_only=True))
        return mounts

    def _store(self) -> None:
        plain(self._place / "out")
        for artifacts in self._given.outputs.artifacts.values():
            for artifact in artifacts.artifacts:
                source = self._engine.host(artifact.uri)
                # Metrics are numbers alone.
                stored = self._engine.ready.store.put(source, self._engine.key(artifact.uri)) if source.exists() else {}
                self._engine.contents[artifact.uri] = stored

    def _container(self, mounts: list[Any]) -> tuple[int, bool]:
        """Run it to its end: (exit code, whether the kernel killed something in it for want of memory)."""
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        created = self._engine.ready.client.containers.create(
            self._image, entrypoint=["sh"], command=["-c", _FIRST, *self._command], mounts=mounts,
            environment={**self._environment, **self._engine.secrets(self.step)}, **self._rights,
        )  # fmt: skip
        relay, printed = (
            _Relay(self._place / "told" / "events.jsonl", self._engine),
            _Printed(self._place / "told" / "log"),
        )
        try:
            created.start()
            while True:
                created.reload()
                relay.pass_on()  # after the look: what was written before the end is read
                printed.pass_on()
                if created.status in ("exited", "dead", "stopped"):
                    break
                time.sleep(_EVERY)
            printed.end()
            state = created.attrs["State"]
        finally:
            with contextlib.suppress(DockerException, RequestException):  # the next run removes it
                created.remove(force=True)  # running still, if the user has had enough
        self._told_failure = relay.failure
        code = int(state["ExitCode"])
        starved = bool(state.get("OOMKilled")) or _starved(self._place / "told" / "memory")
        if code != 0:
            self._say_why(code, starved, printed.last)
        return code, starved and code != 0

    def _say_why(self, code: int, starved: bool, lines: collections.deque[str]) -> None:
        limit = self._engine.ready.settings.memory
        if starved:
            self._fail(f"killed for want of memory (limit {limit}); give it more with --memory")
        elif self._told_failure:
            print(f"{self.step} ended with exit code {code}")  # and has said itself why
        elif code == 137:
            self._fail(f"killed (exit code 137) by somebody or by the machine, not by its memory limit of {limit}; "
                       "run again to go on from the last checkpoint")  # fmt: skip
        else:
            last = " | ".join(lines)[-_LETTERS:] or "it printed nothing"
            self._fail(f"its container ended with exit code {code}: {last}")

    def _fail(self, message: str, exit_code: int = 1) -> None:
        """Tell whoever follows the run, for a step that cannot."""
        out = self._engine.host(f"{self._root}/out")
        self._engine.tell(self.step, state="failed", error=message, exit_code=exit_code, out=str(out))
        print(f"{self.step}: {message}")


class _Tail:
    """A file that a container appends to, line by line."""

    def __init__(self, path: Path) -> None:
        self._path, self._position, self._rest = path, 0, b""

    def lines(self) -> list[bytes]:
        """The whole lines since the last time."""
        if self._path.is_symlink() or not self._path.is_file():
            return []
        with open(self._path, "rb") as file:
            file.seek(self._position)
            data = file.read()
        self._position += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


class _Relay(_Tail):
    """Passes on a container's events to the run's own."""

    def __init__(self, path: Path, engine: Engine) -> None:
        super().__init__(path)
        self.failure = ""
        """What the step itself said, if it failed."""
        self._engine = engine

    def pass_on(self) -> None:
        for event in filter(None, map(parse, self.lines())):
            if event.get("state") == "failed":
                self.failure = str(event.get("error"))
            name = event.pop("step_name")
            self._engine.tell(name, **here(event, self._engine))


class _Printed(_Tail):
    """Prints what a container prints, and keeps the last lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.last: collections.deque[str] = collections.deque(maxlen=_LINES)

    def pass_on(self) -> None:
        for line in self.lines():
            self._show(line)

    def end(self) -> None:
        """The last line may have no end."""
        self.pass_on()
        self._show(self._rest)

    def _show(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if text:
            self.last.append(text)
            print(text)


def _starved(file: Path) -> bool:
    """Whether the kernel's counts in `file` name a process that was killed for want of memory."""
    if file.is_symlink() or not file.is_file():
        return False
    words = [line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines()]
    return any(len(pair) == 2 and pair[0] == "oom_kill" and pair[1] not in ("0",) for pair in words)
