"""Where the steps run on a cluster, and what they find there. kfp.local ignores all of it.

The cluster brings: a node pool labelled and tainted as below, a ConfigMap `danqing` with `mlflow_tracking_uri`, and a
PersistentVolumeClaim `danqing-memo`, on which a step that is tried again finds its last checkpoint.
"""

from kfp import kubernetes
from kfp.dsl import PipelineTask

ACCELERATOR = "nvidia.com/gpu"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a mount point in a pod
POOL_LABEL, POOL = "danqing/pool", "gpu"
SETTINGS = "danqing"
MEMO_CLAIM, MEMO = "danqing-memo", "/memo"


def gpu_pool(task: PipelineTask, *, gpus: int = 1, memory: str = "32Gi", shared_memory: str = "8Gi") -> PipelineTask:
    """Put `task` on the GPU pool: accelerator, taint, node label, memory, and room in /dev/shm for data loaders."""
    task.set_accelerator_type(ACCELERATOR).set_accelerator_limit(gpus)
    task.set_memory_request(memory).set_memory_limit(memory)
    kubernetes.add_toleration(task, key=ACCELERATOR, operator="Exists", effect="NoSchedule")
    kubernetes.add_node_selector(task, label_key=POOL_LABEL, label_value=POOL)
    kubernetes.empty_dir_mount(
        task, volume_name="shm", mount_path=SHARED_MEMORY, medium="Memory", size_limit=shared_memory
    )
    return task


def settings(task: PipelineTask) -> PipelineTask:
    """Give `task` the MLflow address and the id of the run, without either becoming a part of KFP's cache key."""
    kubernetes.use_config_map_as_env(task, SETTINGS, {"mlflow_tracking_uri": "MLFLOW_TRACKING_URI"}, optional=True)
    kubernetes.use_field_path_as_env(task, env_name="KFP_RUN_ID", field_path="metadata.labels['pipeline/runid']")
    return task


def resumable(task: PipelineTask, *, retries: int = 2) -> PipelineTask:
    """Try `task` again after a failure, from its last checkpoint, which survives on a volume."""
    kubernetes.mount_pvc(task, pvc_name=MEMO_CLAIM, mount_path=MEMO)
    task.set_env_variable("DANQING_MEMO", MEMO)
    task.set_retry(num_retries=retries, backoff_duration="30s", backoff_factor=2, backoff_max_duration="10m")
    return task
