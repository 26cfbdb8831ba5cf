"""Where the steps run on a cluster, and what they find there. kfp.local ignores all of it.

The cluster brings what its profile names (`pipelines/cluster.py`): labelled nodes, a ConfigMap `danqing` with
`mlflow_tracking_uri`, a PersistentVolumeClaim `danqing-memo` on which a step that is tried again finds its last
checkpoint, and, if MLflow or the store ask for them, Secrets with passwords.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
from collections.abc import Iterator
from dataclasses import dataclass

from kfp import kubernetes
from kfp.dsl import PipelineTask

from components import CPU_IMAGE, CUDA_IMAGE
from danqing import values
from danqing.platform import trainjob
from danqing.steps import STEPS
from pipelines.cluster import Cluster, Pool, load

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount point in a pod
MEMO = "/memo"
BACKOFF = {"backoff_duration": "30s", "backoff_factor": 2.0, "backoff_max_duration": "10m"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A cluster, and the images that it runs."""

    cluster: Cluster
    cpu_image: str = CPU_IMAGE
    cuda_image: str = CUDA_IMAGE


_site: contextvars.ContextVar[Site | None] = contextvars.ContextVar("site", default=None)


def site() -> Site:
    """For whom pipelines are being traced: the default cluster unless inside `on`."""
    return _site.get() or Site(cluster=load())


@contextlib.contextmanager
def on(place: Site) -> Iterator[None]:
    """Pipelines that are traced inside are for `place`."""
    token = _site.set(place)
    try:
        yield
    finally:
        _site.reset(token)


def cpu_task(task: PipelineTask, step: str, *, resumable: bool = False) -> PipelineTask:
    """Put the task of `step` where no GPU is needed; with `resumable`, its checkpoints survive on a volume."""
    return _place(task, step, site().cpu_image, resumable)


def gpu_task(task: PipelineTask, step: str, *, resumable: bool = True) -> PipelineTask:
    """Put the task of `step` on the GPU pool: accelerator, node labels, taints, and room in /dev/shm."""
    pool = site().cluster.pool(step)
    task.set_accelerator_type(pool.accelerator).set_accelerator_limit(pool.accelerators)
    return _place(task, step, site().cuda_image, resumable)


def launcher_task(task: PipelineTask, step: str) -> PipelineTask:
    """Make the task of `step` a launcher on the CPU pool, whose TrainJob takes several pods of the GPU pool."""
    cluster = site().cluster
    pool = cluster.pool(step)
    _place(task, step, site().cuda_image, resumable=True, nodes=cluster.cpu)
    devices = {pool.accelerator: str(pool.accelerators)} if pool.accelerator else {}
    where = trainjob.Place(
        nodes=pool.nodes, processes=max(1, pool.accelerators), image=site().cuda_image, claim=cluster.memo_claim,
        mount=MEMO, runtime=cluster.training_runtime,
        requests={"cpu": pool.cpu, "memory": pool.memory, **devices},
        limits={"cpu": pool.cpu_limit, "memory": pool.memory_limit, **devices}, selector=pool.selector,
        tolerations=tuple({k: v for k, v in values.as_dict(one).items() if v} for one in pool.tolerations),
        shared_memory=pool.shared_memory, pull_secrets=cluster.pull_secrets, labels={**cluster.labels, **_ours(step)},
        user=cluster.user, deadline=pool.deadline_hours * 3600,
    )  # fmt: skip
    task.set_env_variable(trainjob.SETTINGS, json.dumps(values.as_dict(where), sort_keys=True))
    for variable, path in {"POD_NAME": "name", "POD_UID": "uid", "POD_NAMESPACE": "namespace"}.items():
        kubernetes.use_field_path_as_env(task, env_name=variable, field_path=f"metadata.{path}")
    return task


def place(task: PipelineTask, step: str) -> PipelineTask:
    """Put the task of `step` where it belongs. Whatever takes hours goes on from its checkpoint after a failure."""
    if site().cluster.pool(step).nodes > 1 and step in STEPS and STEPS[step].parallel:
        return launcher_task(task, step)
    if site().cluster.heavy(step):
        return gpu_task(task, step, resumable=step != "compare")
    return cpu_task(task, step, resumable=step == "ingest")  # hours of asking a museum


def _place(task: PipelineTask, step: str, image: str, resumable: bool, nodes: Pool | None = None) -> PipelineTask:
    """nodes: where, if not where the step's pool is."""
    cluster = site().cluster
    pool = cluster.pool(step)
    task.set_container_image(image)
    task.set_env_variable("DANQING_IMAGE", image)  # a model version's tag says what made it
    _nodes(task, nodes or pool)
    _identity(task, step, cluster)
    settings(task, cluster)
    task.set_retry(num_retries=pool.retries, **BACKOFF)
    kubernetes.set_timeout(task, seconds=pool.deadline_hours * 3600)  # of each try
    if resumable:
        kubernetes.mount_pvc(task, pvc_name=cluster.memo_claim, mount_path=MEMO)
        task.set_env_variable("DANQING_MEMO", MEMO)
    return task


def _nodes(task: PipelineTask, pool: Pool) -> None:
    task.set_cpu_request(pool.cpu).set_cpu_limit(pool.cpu_limit)
    task.set_memory_request(pool.memory).set_memory_limit(pool.memory_limit)
    for key, value in pool.selector.items():
        kubernetes.add_node_selector(task, label_key=key, label_value=value)
    for one in pool.tolerations:
        kubernetes.add_toleration(
            task, key=one.key, operator=one.operator, value=one.value or None, effect=one.effect or None
        )
    if pool.shared_memory:
        kubernetes.empty_dir_mount(
            task, volume_name="shm", mount_path=SHARED_MEMORY, medium="Memory", size_limit=pool.shared_memory
        )


def _identity(task: PipelineTask, step: str, cluster: Cluster) -> None:
    """No root; KFP's backend itself adds: no privilege escalation, no capabilities, the runtime's seccomp profile."""
    kubernetes.set_security_context(task, run_as_user=cluster.user, run_as_group=cluster.user, run_as_non_root=True)
    for key, value in {**cluster.labels, **_ours(step)}.items():
        kubernetes.add_pod_label(task, key, value)


def _ours(step: str) -> dict[str, str]:
    return {"app.kubernetes.io/part-of": "danqing", "app.kubernetes.io/component": step.replace("_", "-")}


def settings(task: PipelineTask, cluster: Cluster) -> None:
    """Give `task` addresses, passwords and the id of the run, without any of it in the file or in KFP's cache key."""
    addresses = {"mlflow_tracking_uri": "MLFLOW_TRACKING_URI", "s3_endpoint_url": "MLFLOW_S3_ENDPOINT_URL"}
    for key, variable in addresses.items():  # one by one: an optional map must have all of its keys
        kubernetes.use_config_map_as_env(task, cluster.settings, {key: variable}, optional=True)
    for secret in cluster.secrets:
        kubernetes.use_secret_as_env(task, secret.name, dict(secret.env), optional=secret.optional)
    if cluster.pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(cluster.pull_secrets))
    kubernetes.use_field_path_as_env(task, env_name="KFP_RUN_ID", field_path="metadata.labels['pipeline/runid']")
