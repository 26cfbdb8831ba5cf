"""What a cluster's nodes are called and how much of them a step takes: a small file per cluster, read into a config.

`clusters/` has one for each kind that we know (onprem, gke, eks); copy one and `danqing compile --cluster FILE.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from danqing import files, values
from danqing.errors import ConfigError
from danqing.steps import STEPS
from danqing.values import at_least, require

FOLDER = Path(__file__).parent / "clusters"
DEFAULT = "onprem"
MACHINERY = ("plan", "compare", "shards", "merge")
"""Components of other pipelines that are no steps of the line."""

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_UNITS = {"m": 1e-3, "": 1, **{u: 1000 ** (i + 1) for i, u in enumerate("kMGTP")}}
_UNITS |= {f"{u}i": 1024 ** (i + 1) for i, u in enumerate("KMGTP")}
# A label's value, and a name in Kubernetes: https://kubernetes.io/docs/concepts/overview/working-with-objects/names
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quantity(text: str, where: str = "quantity") -> float:
    """Kubernetes' amounts as a number: 500m → 0.5, 2Gi → 2147483648. Raises ConfigError."""
    found = _QUANTITY.fullmatch(text)
    require(found is not None, f"{where} is {text!r}: a quantity of Kubernetes is needed, e.g. 500m, 4 or 16Gi")
    assert found is not None
    return float(found.group(1)) * _UNITS[found.group(2) or ""]


def _labels(labels: Mapping[str, str], where: str) -> None:
    for key, value in labels.items():
        good = _LABEL_KEY.fullmatch(key) and _LABEL.fullmatch(value)
        require(bool(good), f"{where} has {key}: {value!r}, which Kubernetes takes for no label")


@dataclass(frozen=True, kw_only=True, slots=True)
class Toleration:
    """A taint that a pod may ignore."""

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute", ""] = "NoSchedule"

    def __post_init__(self) -> None:
        require(self.operator == "Equal" or not self.value, f"toleration of {self.key}: Exists takes no value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Nodes of one kind, and what a step takes of one."""

    accelerator: str = ""
    """Resource name that the device plugin gives to its devices; empty: none is asked for."""
    accelerators: int = 0
    selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes."""
    tolerations: tuple[Toleration, ...] = ()
    cpu: str = "1"
    cpu_limit: str = "2"
    memory: str = "4Gi"
    memory_limit: str = "8Gi"
    shared_memory: str = ""
    """Size of /dev/shm, through which data loaders hand over batches; counts against `memory_limit`. Empty: 64 MiB."""
    retries: int = 2
    """How often a failed step is tried again, after 30 s, 60 s …, at most 10 minutes."""
    nodes: int = 1
    """Pods, each with what stands here, that share a step which can be shared: by a TrainJob of Kubeflow Trainer
    (docs/several-gpus.md). A pod's own GPUs are shared without one."""
    deadline_hours: int = 6
    """After so long a try is ended; the next goes on from the last checkpoint."""

    def check(self, where: str) -> None:
        """Raise ConfigError, naming `where`, if no pod could be placed so."""
        at_least(self, where, accelerators=0, nodes=1, retries=0, deadline_hours=1)
        for name in ("cpu", "memory"):
            request, limit = getattr(self, name), getattr(self, f"{name}_limit")
            enough = quantity(request, f"{where}.{name}") <= quantity(limit, f"{where}.{name}_limit")
            require(enough, f"{where}.{name} is {request}, {name}_limit {limit}: a request is at most its limit")
        if self.shared_memory:
            fits = quantity(self.shared_memory, f"{where}.shared_memory") < quantity(self.memory_limit)
            require(fits, f"{where}.shared_memory is {self.shared_memory}: it must fit into {self.memory_limit}, "
                          "the memory_limit from which it is taken")  # fmt: skip
        both = bool(self.accelerator) == (self.accelerators > 0)
        has = f"{where}.accelerator is {self.accelerator!r} and accelerators {self.accelerators}"
        require(both, f"{has}: name and number are needed, or neither")
        _labels(self.selector, f"{where}.selector")


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """Values of a Kubernetes Secret as environment variables."""

    name: str
    env: Mapping[str, str]
    """Key in the Secret → variable."""
    optional: bool = True
    """A step starts although the Secret is not there."""

    def __post_init__(self) -> None:
        require(bool(_NAME.fullmatch(self.name)), f"secret {self.name!r}: Kubernetes takes that for no name")
        for variable in self.env.values():
            require(bool(_VARIABLE.fullmatch(variable)), f"secret {self.name}: {variable!r} is no environment variable")


def _gpu() -> Pool:
    return Pool(accelerator="nvidia.com/gpu", accelerators=1, cpu="4", cpu_limit="8", memory="32Gi",
                memory_limit="32Gi", shared_memory="8Gi", deadline_hours=48)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """Where the steps run and what they find there."""

    cpu: Pool = field(default_factory=Pool)
    gpu: Pool = field(default_factory=_gpu)
    """Of the steps that `danqing.steps` calls heavy."""
    steps: Mapping[str, Any] = field(default_factory=dict)
    """Step → keys of its pool that are others for it, e.g. {"ingest": {"deadline_hours": 72}}."""
    settings: str = "danqing"
    """ConfigMap with `mlflow_tracking_uri`, and `s3_endpoint_url` where no MLflow server passes files on."""
    memo_claim: str = "danqing-memo"
    """PersistentVolumeClaim that keeps results and checkpoints: ReadWriteMany, or one node runs everything. `user` must
    be able to write there; KFP cannot set a pod's fsGroup, the volume's class or Argo's workflowDefaults can."""
    training_runtime: str = "torch-distributed"
    """ClusterTrainingRuntime of Kubeflow Trainer, for steps of several nodes."""
    secrets: tuple[Secret, ...] = (
        Secret(name="danqing-mlflow", env={"username": "MLFLOW_TRACKING_USERNAME",
                                           "password": "MLFLOW_TRACKING_PASSWORD"}),
        Secret(name="danqing-s3", env={"access_key_id": "AWS_ACCESS_KEY_ID",
                                       "secret_access_key": "AWS_SECRET_ACCESS_KEY"}),
    )  # fmt: skip
    pull_secrets: tuple[str, ...] = ()
    """Secrets with the password of the images' registry."""
    user: int = 10001
    """User and group of every step."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """More labels for the pods."""

    def __post_init__(self) -> None:
        require(self.user > 0, f"user is {self.user}: steps run as a user without rights, not as root")
        self.cpu.check("cpu")
        self.gpu.check("gpu")
        require(self.gpu.accelerators > 0, "gpu.accelerators is 0: steps that train ask for one at least")
        _labels(self.labels, "labels")
        for name in (self.settings, self.memo_claim, *self.pull_secrets):
            require(bool(_NAME.fullmatch(name)), f"{name!r}: Kubernetes takes that for no name")
        for name in self.steps:
            known = [*STEPS, *MACHINERY]
            require(name in known, f"there is no step {name!r}: {values.closest(name, known)}")
            require(isinstance(self.steps[name], Mapping), f"steps.{name} is {self.steps[name]!r}: keys are needed")
            self.pool(name).check(f"steps.{name}")

    def heavy(self, step: str) -> bool:
        """Whether `step` is for the GPU pool; comparing times what is compared, so it is too."""
        return step == "compare" or (step in STEPS and STEPS[step].heavy)

    def pool(self, step: str) -> Pool:
        """What `step` takes of which nodes."""
        base = self.gpu if self.heavy(step) else self.cpu
        return values.build(Pool, self.steps.get(step, {}), f"steps.{step}", base)


def read(path: Path) -> Cluster:
    """A cluster's file. Raises ConfigError with file and key."""
    import yaml

    with files.storage(path):
        text = path.read_text(encoding="utf-8")
    try:
        given = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML ({' '.join(str(error).split())})") from error
    try:
        require(isinstance(given, Mapping), "keys and values are needed, see pipelines/clusters/onprem.yaml")
        return values.build(Cluster, given, base=Cluster())
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def load(name: str = DEFAULT) -> Cluster:
    """A cluster that we know by name, or the file `name` if it ends in .yaml. Raises ConfigError."""
    return read(Path(name)) if name.endswith((".yaml", ".yml")) else _known(name)


@cache
def _known(name: str) -> Cluster:
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    require(name in known, f"there is no cluster {name!r}: {values.closest(name, known)}, or a file NAME.yaml")
    return read(FOLDER / f"{name}.yaml")
