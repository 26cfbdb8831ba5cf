"""A step shared by several pods, as a TrainJob of Kubeflow Trainer: submitted, followed, and taken away again.

The pod of the pipeline's step becomes a launcher without a GPU. It puts inputs and a job (`danqing.launch`) on the
volume that all pods mount, creates the TrainJob, whose pods run torchrun with `python -m danqing.launch JOB`, passes on
their logs, reads events and outcome from the volume, copies the output into its own artifact, and deletes the TrainJob:
at the end, after a failure, and when it is told to stop (SIGTERM, a cancelled run). Should it be killed without a word,
Kubernetes' garbage collector does it, for the TrainJob is owned by the launcher's pod.

What the cluster must have stands in docs/several-gpus.md. Tested against a server that plays the Kubernetes API and
runs the ranks as processes; never on a cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from danqing import files, launch, steps, values
from danqing.errors import ConfigError, DanqingError
from danqing.monitor import Monitor, Silent
from danqing.platform.podlogs import Logs
from danqing.platform.trainjob_client import GROUP, VERSION, TrainJob

SETTINGS = "DANQING_TRAINJOB"
"""Variable with a `Place` as JSON; the pipeline's placement sets it where a step has several nodes."""
NODE = "node"
"""Of the runtime `torch-distributed`: its replicated job, and the container in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Which pods share a step, and where."""

    nodes: int
    processes: int = 1
    """Of each pod: its GPUs."""
    image: str
    claim: str
    """PersistentVolumeClaim that launcher and pods mount: ReadWriteMany."""
    mount: str = "/memo"
    runtime: str = "torch-distributed"
    """A ClusterTrainingRuntime of Kubeflow Trainer."""
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Any, ...] = ()
    shared_memory: str = ""
    pull_secrets: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    user: int = 10001
    deadline: int = 48 * 3600
    """Seconds after which Trainer ends the TrainJob."""


def place() -> Place | None:
    """What $DANQING_TRAINJOB asks for; None where it is not set. Raises ConfigError."""
    text = os.environ.get(SETTINGS, "")
    if not text:
        return None
    try:
        return values.build(Place, json.loads(text), SETTINGS)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{SETTINGS} cannot be read ({error})") from error


class Cancelled(DanqingError):
    """The launcher was told to stop."""

    exit_code = 143


def manifest(name: str, job: Path, where: Place, owner: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The TrainJob `name` whose pods run the job file `job`. owner: name and uid of the launcher's pod."""
    volumes: list[dict[str, Any]] = [{"name": "memo", "persistentVolumeClaim": {"claimName": where.claim}}]
    mounts = [{"name": "memo", "mountPath": where.mount}]
    if where.shared_memory:
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": where.shared_memory}})
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 - a mount point in a pod
    pod: dict[str, Any] = {
        "nodeSelector": dict(where.selector),
        "tolerations": [dict(one) for one in where.tolerations],
        "imagePullSecrets": [{"name": secret} for secret in where.pull_secrets],
        "securityContext": {"runAsUser": where.user, "runAsGroup": where.user, "fsGroup": where.user,
                            "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": volumes,
        "containers": [{"name": NODE, "volumeMounts": mounts,
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}],
    }  # fmt: skip
    template = {"metadata": {"labels": dict(where.labels)}, "spec": {k: v for k, v in pod.items() if v}}
    patch = {"template": {"spec": {"replicatedJobs": [{"name": NODE, "template": {"spec": {"template": template}}}]}}}
    about: dict[str, Any] = {"name": name, "labels": dict(where.labels)}
    if owner:
        about["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", **owner}]
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "TrainJob",
        "metadata": about,
        "spec": {
            "runtimeRef": {"name": where.runtime},
            "activeDeadlineSeconds": where.deadline,
            "trainer": {
                "image": where.image,
                "command": ["python", "-m", "torch.distributed.run"],  # PET_… of the runtime says which node this is
                "args": ["-m", "danqing.launch", str(job)],
                "env": [{"name": "DANQING_MEMO", "value": where.mount}],
                "numNodes": where.nodes,
                "numProcPerNode": where.processes,
                "resourcesPerNode": {"requests": dict(where.requests), "limits": dict(where.limits)},
            },
            "runtimePatches": [{"manager": "danqing/launcher", "trainingRuntimeSpec": patch}],
        },
    }


def run(
    name: str,
    section: Any,
    inputs: Mapping[str, Path],
    out: Path,
    *,
    where: Place,
    monitor: Monitor | None = None,
    rerun: str = "",
) -> steps.Outcome:
    """Run step `name` as `danqing.steps.run` does, in the pods of a TrainJob.

    What is remembered already is taken without one. Raises launch.RanksFailed with one line that names the cause,
    Cancelled on SIGTERM.
    """
    monitor = monitor or Silent()
    if steps.remembered(name, section, inputs, rerun):
        return steps.run(name, section, inputs, out, monitor=monitor, rerun=rerun)
    title = f"danqing-{name.replace('_', '-')}-{uuid.uuid4().hex[:8]}"
    folder = Path(where.mount) / "jobs" / title
    cluster = TrainJob(title)
    with _stoppable():
        try:
            copies = {argument: folder / "inputs" / argument for argument in inputs}
            for argument, path in inputs.items():
                files.copy_tree(path, copies[argument])
            job = launch.write_job(folder, name, section, copies, folder / "out", rerun)
            monitor.progress(0, 1, f"waiting for {where.nodes} pods of TrainJob {title}")
            cluster.create(manifest(title, job, where, cluster.owner))
            with launch.following(folder, monitor), Logs(cluster.core, cluster.namespace, title, NODE):
                try:
                    ended = cluster.wait()
                except BaseException:
                    cluster.delete()  # before anything else: a pod that is told to stop has half a minute
                    raise
            found = launch.outcome(folder, ended)
            files.copy_tree(folder / "out", out)
            return found
        finally:
            cluster.delete()
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM raises Cancelled inside, so that what was begun is ended in order; a second one is not heard."""

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Cancelled("told to stop (SIGTERM): the TrainJob is deleted; run again to go on from the last checkpoint")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
