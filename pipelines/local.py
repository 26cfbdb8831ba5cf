"""Run the pipeline on this machine: the definition that compiles for the cluster, executed by kfp.local.

    from pipelines.local import run_local
    run_local("debug", workspace=Path(".danqing"))

Each step is a process of its own, or a container (`pipelines.containers`), as it is a pod of its own on a cluster.
KFP's chatter and the steps' output go to a log file; the steps' events (`danqing.monitor.Events`) feed the display and
MLflow.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from danqing import files
from danqing.errors import ConfigError, DanqingError
from danqing.package import workspace as default_workspace
from danqing.platform import registry, tracking
from danqing.platform.component import line_of
from danqing.steps import STEPS
from pipelines.containers import Containers, ready
from pipelines.display import Display
from pipelines.events import Event, follow
from pipelines.forward import Forwarder
from pipelines.inside import Inside, orchestrate, pictures
from pipelines.summary import Summary, summarise


class RunFailed(DanqingError):
    """A step failed; the exit code is that of the step's own error."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A pipeline run that ended well."""

    run_id: str
    seconds: float
    done: Mapping[str, Event]
    """Step → its last event."""
    tracking_error: str


def run_local(
    profile: str = "default",
    overrides: Mapping[str, Any] | str | None = None,
    *,
    workspace: Path | None = None,
    source: str = "",
    seed: int = -1,
    init: str = "",
    data_revision: str = "",
    rerun: str = "",
    containers: Containers | None = None,
    stream: IO[str] | None = None,
) -> Summary:
    """Run the whole line in `workspace` (default: $DANQING_WORKSPACE, or .danqing here) and print a summary.

    The other arguments are the pipeline's parameters (`pipelines.painting`). containers: run each step in one, with
    these settings; in a process if None. stream: where to show progress and summary, standard output if None. Raises
    RunFailed with one line that names step, cause and log file; and, before anything starts, ConfigError on a
    configuration that cannot be and another DanqingError on an engine, store or server that is not there.
    """
    text = overrides if isinstance(overrides, str) else json.dumps(dict(overrides or {}), sort_keys=True)
    line = line_of(profile, text, source, seed, init)
    arguments = {
        "profile": profile, "overrides": text or "{}", "source": source, "seed": seed, "init": init,
        "data_revision": data_revision, "rerun": rerun,
    }  # fmt: skip
    root = root_of(workspace)
    console = Console(file=stream or sys.stdout)
    inside = None
    if containers is not None:
        chosen, arguments["source"] = pictures(line.ingest.source, source)
        inside = Inside(ready=ready(containers), pictures=chosen)

    def pipeline() -> Any:
        from pipelines.painting import danqing

        return danqing.pipeline_spec

    ran = execute(pipeline, arguments, list(STEPS), root, console, f"profile {profile}", inside=inside)
    uri = tracking.default_uri(root)
    if tracking.sqlite_file(uri) is None:
        registry.point(uri, line.register.name, root)  # `danqing paint` here then paints with the server's champion
    summary = summarise(root, ran.run_id, line, ran.done, uri, seconds=ran.seconds, tracking_error=ran.tracking_error)
    if inside is not None:  # what the steps wrote is in the store
        shutil.rmtree(root / "runs" / ran.run_id / "tasks", ignore_errors=True)
    summary.show(console)
    return summary


def root_of(workspace: Path | None) -> Path:
    return (default_workspace() if workspace is None else Path(workspace)).resolve()


def execute(
    pipeline: Callable[[], Any], arguments: Mapping[str, Any], steps: Sequence[str], root: Path, console: Console,
    title: str, *, threads: int | None = None, inside: Inside | None = None,
) -> Ran:  # fmt: skip
    """Run a pipeline in the workspace `root`, showing `steps` as they go and telling MLflow. Raises RunFailed.

    pipeline: gives the compiled specification; it is called where KFP may be imported. threads: of each step's
    process, where several run at once. inside: containers for the steps, instead of processes.
    """
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    folder = root / "runs" / run_id
    with files.storage(root):
        folder.mkdir(parents=True)
        log = open(folder / "run.log", "w", buffering=1, encoding="utf-8")  # noqa: SIM115 - closed by the `with` below
    uri = tracking.default_uri(root)
    with log, _alone(root):
        console.print(f"danqing run {run_id}, {title}, in {root}", highlight=False, soft_wrap=True)
        follower = _Follower(folder / "events.jsonl", Display(steps, console))
        forwarder = Forwarder(folder / "events.jsonl", uri, run_id, arguments)
        began = time.monotonic()
        status = "KILLED"
        try:
            with _environment(root, folder, run_id, uri, threads), follower, _quiet(log):
                forwarder.start()
                if inside is not None:
                    ended_well = inside.execute(pipeline, arguments, root, folder, threads)
                else:
                    ended_well = _execute(pipeline, arguments, folder)
            status = "FINISHED" if ended_well and follower.failed is None else "FAILED"
        finally:
            with contextlib.redirect_stderr(log), contextlib.redirect_stdout(log):
                forwarder.finish(status)
        if status == "FAILED":
            raise _failure(follower, folder / "run.log")
    seconds = time.monotonic() - began
    return Ran(run_id=run_id, seconds=seconds, done=follower.done, tracking_error=forwarder.error)


def _execute(pipeline: Callable[[], Any], arguments: Mapping[str, Any], folder: Path) -> bool:
    """Run the pipeline; whether KFP says that it ended well."""
    from kfp import local

    runner = local.SubprocessRunner(use_venv=False)
    return orchestrate(runner, str(folder / "artifacts"), _here(pipeline()), arguments)


def _here(spec: Any) -> Any:
    """A copy of the pipeline without what only a cluster can give.

    A volume's path in the environment would send the memo to a place that is not here, and trying again belongs to
    the user, who sees the error.
    """
    copy = type(spec)()
    copy.CopyFrom(spec)
    for part in (copy.root, *copy.components.values()):  # a loop's body is a component with tasks of its own
        for task in part.dag.tasks.values():
            task.ClearField("retry_policy")
    for executor in copy.deployment_spec["executors"].values():
        executor["container"].fields.pop("env", None)
    return copy


class _Follower:
    """A thread that shows the events and keeps what the end of the run needs."""

    def __init__(self, path: Path, display: Display) -> None:
        self.done: dict[str, Event] = {}
        self.failed: Event | None = None
        self.running = ""
        self._path, self._display, self._stop = path, display, threading.Event()
        self._thread = threading.Thread(target=self._follow, name="display", daemon=True)

    def __enter__(self) -> _Follower:
        self._display.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._display.__exit__()

    def _follow(self) -> None:
        for events in follow(self._path, self._stop):
            for event in events:
                state = event.get("state")
                if state in ("started", "retried"):
                    self.running, self.failed = event["step_name"], None
                elif state == "done":
                    self.done[event["step_name"]], self.running = event, ""
                elif state == "failed":
                    self.failed = event
                self._display.show(event)


def _failure(follower: _Follower, log: Path) -> RunFailed:
    """The one line that the user reads."""
    if follower.failed is not None:
        event = follower.failed
        return RunFailed(f"{event['step_name']}: {event['error']} (log: {log})", event["exit_code"])
    if follower.running:
        return RunFailed(
            f"{follower.running}: its process ended without a word, killed or out of memory; "
            f"run again to go on from the last checkpoint (log: {log})"
        )
    lines = [row.strip() for row in log.read_text(encoding="utf-8", errors="replace").splitlines() if row.strip()]
    cause = next((row for row in reversed(lines) if "Error" in row), lines[-1] if lines else "no output")
    return RunFailed(f"the pipeline failed: {cause} (log: {log})")


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the workspace: two runs would write the same checkpoints."""
    with files.storage(root / "run.lock"), open(root / "run.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{root}: another run is using this workspace; wait for it or choose another") from None
        yield


@contextlib.contextmanager
def _quiet(log: IO[str]) -> Iterator[None]:
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield


@contextlib.contextmanager
def _environment(root: Path, folder: Path, run_id: str, uri: str, threads: int | None) -> Iterator[None]:
    """What the steps' processes inherit, and a temporary folder for what KFP leaves behind."""
    # Not in the workspace: sockets in temporary folders bear no long paths.
    with tempfile.TemporaryDirectory(prefix="danqing-", ignore_cleanup_errors=True) as temporary:
        values = {
            "DANQING_EVENTS": str(folder / "events.jsonl"),
            "DANQING_MEMO": str(root / "memo"),
            "DANQING_PARENT": str(os.getpid()),
            "DANQING_WORKSPACE": str(root),
            "KFP_RUN_ID": run_id,
            "MLFLOW_TRACKING_URI": uri,
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": temporary,
        }
        if threads is not None:
            values["OMP_NUM_THREADS"] = str(threads)
        before = {name: os.environ.get(name) for name in values}
        interpreter, directory = sys.executable, tempfile.tempdir
        os.environ.update(values)
        tempfile.tempdir = None  # asks TMPDIR again
        sys.executable = _plain_path(interpreter, Path(temporary))
        try:
            yield
        finally:
            sys.executable, tempfile.tempdir = interpreter, directory
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _plain_path(interpreter: str, temporary: Path) -> str:
    """The interpreter under a path that KFP's shell line can hold: KFP does not quote it."""
    if shlex.quote(interpreter) == interpreter:
        return interpreter
    wrapper = temporary / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.quote(interpreter)} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    return str(wrapper)
