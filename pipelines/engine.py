"""kfp.local's Docker executor as danqing needs it: our thin layer over `kfp.local.DockerRunner`.

What KFP's launcher does in a pod is done here around each container: the artifacts that the task reads are fetched
from the store before it starts, those that it wrote are stored when it has ended well. A container sees the folders
of its own task and nothing else of this machine.

Three things of kfp.local are put right on the way. It lets the engine remove a container that has ended, and then
takes one whose exit code is gone for a success; it gives the command as arguments of whatever the image's entrypoint
is; and it forgets the artifacts of a container that writes no executor_output.json.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from danqing.steps import STEPS
from pipelines.containers import SECRETS, Ready
from pipelines.store import Content

ARTIFACTS = "/danqing/run"
"""Where a container finds what its task reads and writes."""
TOLD, MEMO, PICTURES = "/danqing/told", "/memo", "/pictures"
WORKSPACE_LABEL, RUN_LABEL = "danqing.workspace", "danqing.run"
_SPEAK_TO_MLFLOW = ("gate", "register")


@dataclass(kw_only=True)
class Engine:
    """One run's containers. `running` makes kfp.local use it."""

    ready: Ready
    run_id: str
    root: Path
    """The workspace."""
    folder: Path
    """Of this run, in the workspace."""
    pictures: Path | None = None
    """A folder that `ingest` reads, as PICTURES."""
    threads: int | None = None
    contents: dict[str, Content] = field(default_factory=dict)
    """Address of an artifact in a container → what was stored of it."""
    attempts: dict[str, int] = field(default_factory=dict)
    """Task's folder in a container → how often it was started."""
    _now: threading.local = field(default_factory=threading.local)

    def runner(self) -> Any:
        """The rights and limits of every container."""
        from kfp import local

        settings = self.ready.settings
        rights: dict[str, Any] = {
            "user": self._user(), "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"],
            "tmpfs": {"/tmp": f"rw,nosuid,nodev,size={settings.scratch},mode=1777"},  # noqa: S108 - in a container
            "mem_limit": settings.memory, "memswap_limit": settings.memory, "shm_size": settings.shared_memory,
            "labels": {WORKSPACE_LABEL: str(self.root), RUN_LABEL: self.run_id},
        }  # fmt: skip
        if settings.network:
            rights["network_mode"] = settings.network
        known = self.ready.client.info().get("SecurityOptions") or []
        if any("selinux" in option for option in known):
            rights["security_opt"].append("label=disable")  # instead of relabelling the user's folders
        if os.getuid() and any("rootless" in option for option in known):
            rights["userns_mode"] = "keep-id"  # what the steps write then belongs to this user
        environment = {
            "DANQING_EVENTS": f"{TOLD}/events.jsonl", "DANQING_MEMO": MEMO, "DANQING_IMAGE": self.ready.image,
            "KFP_RUN_ID": self.run_id, "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        if self.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self.threads)
        return local.DockerRunner(**rights, environment=environment)

    def _user(self) -> str:
        return f"{os.getuid()}:{os.getgid()}" if os.getuid() else ":".join(2 * [str(self.ready.settings.user)])

    def secrets(self, step: str) -> dict[str, str]:
        """What only the steps that speak to MLflow are told."""
        if step not in _SPEAK_TO_MLFLOW:
            return {}
        known = {name: os.environ[name] for name in SECRETS if os.environ.get(name)}
        return {"MLFLOW_TRACKING_URI": self.ready.settings.tracking, **known}

    def adapted(self, spec: Any) -> Any:
        """A copy of the pipeline with the image that is used here for danqing's own."""
        from components import CPU_IMAGE, CUDA_IMAGE

        copy = type(spec)()
        copy.CopyFrom(spec)
        for executor in copy.deployment_spec["executors"].values():
            if "container" in executor and executor["container"]["image"] in (CPU_IMAGE, CUDA_IMAGE):
                executor["container"]["image"] = self.ready.image
        return copy

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """kfp.local's Docker tasks are this engine's while the block runs."""
        from kfp.local import docker_task_handler, executor_input_utils, executor_output_utils

        from pipelines.task import ContainerTask

        make, read = executor_input_utils.construct_executor_input, executor_output_utils.get_outputs_for_task

        def remember(*arguments: Any, **named: Any) -> Any:
            self._now.input = make(*arguments, **named)  # a task's command need not contain it
            return self._now.input

        def outputs(executor_input: Any, component_spec: Any) -> dict[str, Any]:
            here = self.outputs_here(executor_input)
            found = read(executor_input=here, component_spec=component_spec)
            return {**self.declared(executor_input, component_spec), **found}

        self.remove_leftovers()
        with (
            _replaced(docker_task_handler, "DockerTaskHandler", lambda **given: ContainerTask(self, **given)),
            _replaced(executor_input_utils, "construct_executor_input", remember),
            _replaced(executor_output_utils, "get_outputs_for_task", outputs),
        ):
            yield

    @property
    def executor_input(self) -> Any:
        """Of the task that this thread is about to run."""
        return self._now.input

    def host(self, path: str) -> Path:
        """Where on this machine the output lies that a container calls `path`."""
        return self.folder / "tasks" / PurePosixPath(path).relative_to(ARTIFACTS).parent / "out" / Path(path).name

    def key(self, path: str) -> str:
        """Of an artifact in the store."""
        return f"{self.run_id}/{PurePosixPath(path).relative_to(ARTIFACTS)}"

    def outputs_here(self, executor_input: Any) -> Any:
        """A copy of a task's ExecutorInput whose files of results are this machine's."""
        copy = type(executor_input)()
        copy.CopyFrom(executor_input)
        copy.outputs.output_file = str(self.host(copy.outputs.output_file))
        for parameter in copy.outputs.parameters.values():
            parameter.output_file = str(self.host(parameter.output_file))
        return copy

    def declared(self, executor_input: Any, component_spec: Any) -> dict[str, Any]:
        """A task's declared output artifacts as KFP's objects."""
        from kfp.local import executor_output_utils

        return {
            name: executor_output_utils.artifact_list_to_dsl_artifact(
                artifacts, is_artifact_list=component_spec.output_definitions.artifacts[name].is_artifact_list
            )
            for name, artifacts in executor_input.outputs.artifacts.items()
        }

    def remove_leftovers(self) -> None:
        """End the containers of a run that was killed: two must never write one checkpoint."""
        from docker.errors import DockerException

        wanted = {"label": f"{WORKSPACE_LABEL}={self.root}"}
        for container in self.ready.client.containers.list(all=True, filters=wanted):
            with contextlib.suppress(DockerException):
                container.remove(force=True)

    def fresh(self, folder: Path) -> Path:
        """An empty folder that the steps may write to."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self.give(folder)
        return folder

    def memo(self, step: str) -> Path:
        """What the step remembers between its tries and from run to run, in the workspace."""
        folder = self.root / "memo" / step
        folder.mkdir(parents=True, exist_ok=True)
        self.give(folder)  # the process runner may have written there
        return folder

    def give(self, folder: Path) -> None:
        if os.getuid() == 0:
            user = self.ready.settings.user
            for path in (folder, *folder.rglob("*")):
                if not path.is_symlink():
                    os.chown(path, user, user)

    def tell(self, step: str, /, **event: Any) -> None:
        """Append to the events of the run, as `danqing.monitor.Events` does."""
        line = json.dumps({"step_name": step, "time": time.time(), **event}) + "\n"
        with open(self.folder / "events.jsonl", "a", encoding="utf-8") as file:
            file.write(line)


@contextlib.contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def step_of(task: str) -> str:
    """The step that a task runs: KFP writes train-tokenizer."""
    name = task.replace("-", "_")
    return name if name in STEPS else task


def here(event: Mapping[str, Any], engine: Engine) -> dict[str, Any]:
    """A container's event with this machine's path of its output."""
    out = event.get("out")
    if isinstance(out, str) and PurePosixPath(out).is_relative_to(ARTIFACTS):
        return {**event, "out": str(engine.host(out))}
    return {k: v for k, v in event.items() if k != "out"} | ({"out": os.devnull} if out is not None else {})


def parse(line: bytes) -> dict[str, Any] | None:
    """An event that a container wrote; None if it is none."""
    with contextlib.suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict) and isinstance(event.get("step_name"), str):
            return event
    return None
