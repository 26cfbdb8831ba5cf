"""What must hold for a compiled pipeline before a cluster gets it.

python -m pipelines.checks FILE.yaml …          # exit status 1 and a line a fault; --digests: and no image by tag
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danqing import files, values
from danqing.errors import ConfigError
from danqing.platform.trainjob import SETTINGS, Place
from danqing.steps import STEPS
from pipelines.cluster import MACHINERY, quantity
from pipelines.compile import BY_DIGEST

LONGEST_FORM = 10
"""Parameters that a run form may have."""
_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a compiled pipeline with all that is said about it, as the plain values of the YAML file."""

    name: str
    step: str
    task: Mapping[str, Any]
    container: Mapping[str, Any]
    placed: Mapping[str, Any]
    """What kfp-kubernetes says of it."""

    @property
    def resources(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.container.get("resources", {})
        return found

    @property
    def launches(self) -> str:
        """Where the pods go whose TrainJob this task launches, as JSON; empty if it works itself."""
        variables = {variable["name"]: str(variable.get("value", "")) for variable in self.container.get("env", [])}
        return variables.get(SETTINGS, "")

    @property
    def heavy(self) -> bool:
        wants = self.step in STEPS and STEPS[self.step].heavy and not self.launches
        return "accelerator" in self.resources or wants


Faults = Iterator[str]


def problems(text: str, *, digests: bool = False) -> list[str]:
    """Everything that is wrong with the compiled pipeline `text`, one line a fault; empty if nothing is.

    digests: images must be named by digest.
    """
    import yaml

    try:
        spec, platform = yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError) as error:
        return [f"not the two YAML documents of a pipeline with placement: {' '.join(str(error).split())}"]
    return faults(spec, platform, digests=digests)


def faults(spec: Any, platform: Any, *, digests: bool = False) -> list[str]:
    """`problems` of the two documents that a compiled pipeline consists of."""
    unknown = list(strict(spec, platform))
    if unknown:
        return unknown  # of a document that KFP would refuse nothing else can be said
    found = list(run_form(spec))
    for task in tasks(spec, platform):
        for check in (*EACH, by_digest) if digests else EACH:
            found += [f"{task.name}: {fault}" for fault in check(task)]
    return found


def tasks(spec: Mapping[str, Any], platform: Mapping[str, Any]) -> list[Task]:
    """The tasks that run a container, those inside loops too."""
    executors = spec["deploymentSpec"]["executors"]
    placed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found = []
    for part in (spec["root"], *spec["components"].values()):
        for name, task in part.get("dag", {}).get("tasks", {}).items():
            label = spec["components"][task["componentRef"]["name"]].get("executorLabel")
            if label is not None:
                step = re.sub(r"-\d+$", "", label.removeprefix("exec-")).replace("-", "_")
                found.append(Task(name, step, task, executors[label]["container"], placed.get(label, {})))
    return found


def strict(spec: Any, platform: Any) -> Faults:
    """Both documents are what KFP reads, without an unknown field."""
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
        for settings in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
            json_format.ParseDict(settings, kubernetes.KubernetesExecutorConfig(), ignore_unknown_fields=False)
    except (json_format.ParseError, KeyError, TypeError, AttributeError) as error:
        yield f"KFP would not read it: {type(error).__name__}: {' '.join(str(error).split())}"


def run_form(spec: Mapping[str, Any]) -> Faults:
    """Few parameters, sorted, each explained in the description."""
    names = list(spec["root"].get("inputDefinitions", {}).get("parameters", {}))
    if len(names) > LONGEST_FORM:
        yield f"run form: {len(names)} parameters, at most {LONGEST_FORM}"
    if names != sorted(names):
        yield f"run form: {', '.join(names)} are not sorted"
    for name in names:
        if f"\n{name}:" not in spec["pipelineInfo"].get("description", ""):
            yield f"run form: the description does not explain {name}"


def accelerator(task: Task) -> Faults:
    """A step that wants a GPU names one that its nodes have, and how many."""
    if not task.heavy:
        return
    asked = task.resources.get("accelerator", {})
    if not asked.get("resourceType"):
        yield "no accelerator type"
    count = asked.get("resourceCount", "")
    if not (count.isdecimal() and int(count) >= 1):
        yield f"accelerator limit is {count!r}, at least 1"


def launcher(task: Task) -> Faults:
    """A launcher takes no GPU; its pods do, on nodes that have some, and are deleted with the pod that owns them."""
    if not task.launches:
        return
    if "accelerator" in task.resources:
        yield "launches a TrainJob and takes a GPU itself"
    pods = values.build(Place, json.loads(task.launches), SETTINGS)
    fields = {field["name"] for field in task.placed.get("fieldPathAsEnv", [])}
    for missing in {"POD_NAME", "POD_UID", "POD_NAMESPACE"} - fields:
        yield f"launches a TrainJob without {missing}: nobody would own it"
    for name, given in (("node selector", pods.selector), ("toleration", pods.tolerations),
                        ("room in shared memory", pods.shared_memory)):  # fmt: skip
        if not given:
            yield f"its TrainJob's pods have no {name}"
    if not any("/" in resource for resource in pods.limits):
        yield "its TrainJob's pods ask for no device"


def node_selector(task: Task) -> Faults:
    if task.heavy and not task.placed.get("nodeSelector", {}).get("labels"):
        yield "no node selector: the GPU pool is not chosen"


def toleration(task: Task) -> Faults:
    """GPU nodes are tainted with the name of their accelerator."""
    kind = task.resources.get("accelerator", {}).get("resourceType")
    keys = [one.get("key") for one in task.placed.get("tolerations", [])]
    if task.heavy and kind not in keys:
        yield f"no toleration of {kind}"


def shared_memory(task: Task) -> Faults:
    mounts = [m for m in task.placed.get("emptyDirMounts", []) if m.get("mountPath") == "/dev/shm"]  # noqa: S108
    if task.heavy and not mounts:
        yield "no /dev/shm: data loaders die in 64 MiB"
    for mount in mounts:
        size, limit = mount.get("sizeLimit", ""), task.resources.get("resourceMemoryLimit", "")
        if mount.get("medium") != "Memory" or not size:
            yield "shared memory is not memory of a named size"
        elif limit and quantity(size) >= quantity(limit):
            yield f"shared memory takes {size} of a memory limit of {limit}"


def requests(task: Task) -> Faults:
    """CPU and memory are asked for and bounded, and no more is asked for than is allowed."""
    for kind in ("Cpu", "Memory"):
        request, limit = (task.resources.get(f"resource{kind}{bound}", "") for bound in ("Request", "Limit"))
        if not request or not limit:
            yield f"no {kind.lower()} request and limit"
        elif quantity(request) > quantity(limit):
            yield f"{kind.lower()} request {request} is above the limit {limit}"


def retry(task: Task) -> Faults:
    policy = task.task.get("retryPolicy", {})
    if int(policy.get("maxRetryCount", 0)) < 1:
        yield "no retry"
    elif seconds(policy.get("backoffDuration", "0s")) <= 0 or float(policy.get("backoffFactor", 0)) <= 1:
        yield "retries without back-off"
    elif seconds(policy.get("backoffMaxDuration", "0s")) <= 0:
        yield "a back-off without end"


def seconds(text: str) -> float:
    """A duration of protobuf: 30s → 30.0."""
    return float(text.removesuffix("s"))


def deadline(task: Task) -> Faults:
    if int(task.placed.get("activeDeadlineSeconds", 0)) < 1:
        yield "no deadline"


def non_root(task: Task) -> Faults:
    context = task.placed.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or int(context.get("runAsUser", 0)) < 1:
        yield "may run as root"


def labels(task: Task) -> Faults:
    given = task.placed.get("podMetadata", {}).get("labels", {})
    for key in ("app.kubernetes.io/part-of", "app.kubernetes.io/component"):
        if not given.get(key):
            yield f"no pod label {key}"


def no_secret_in_file(task: Task) -> Faults:
    for variable in task.container.get("env", []):
        if _SECRET.search(variable["name"]):
            yield f"{variable['name']} stands in the file; take it from a Secret"


def caching(task: Task) -> Faults:
    """A forced rerun gets past KFP's cache, whose key has a task's parameters; data has its revision in it."""
    cached = task.task.get("cachingOptions", {}).get("enableCache")
    given = task.task.get("inputs", {}).get("parameters", {})
    wanted = ["rerun"] if cached and task.step not in MACHINERY else []
    if task.step == "ingest" and "componentInputParameter" in given.get("source", {}):
        wanted.append("data_revision")
    for name in wanted:
        if "componentInputParameter" not in given.get(name, {}):
            yield f"is cached whatever {name} says"


def by_digest(task: Task) -> Faults:
    image = task.container.get("image", "")
    if not BY_DIGEST.fullmatch(image):
        yield f"image {image} is not named by digest"


EACH: tuple[Callable[[Task], Faults], ...] = (
    accelerator, launcher, node_selector, toleration, shared_memory, requests, retry, deadline, non_root, labels,
    no_secret_in_file, caching,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="+", type=Path)
    parser.add_argument("--digests", action="store_true", help="images must be named by digest")
    given = parser.parse_args()
    found = []
    for file in given.file:
        with files.storage(file):
            text = file.read_text(encoding="utf-8")
        found += [f"{file}: {fault}" for fault in problems(text, digests=given.digests)]
    for line in found:
        print(line, file=sys.stderr)
    raise SystemExit(1 if found else 0)


def require_sound(text: str, what: str, *, digests: bool) -> None:
    """Raise ConfigError with every fault of the compiled pipeline `text`."""
    found = problems(text, digests=digests)
    if found:
        raise ConfigError(f"{what}: {'; '.join(found)}")


if __name__ == "__main__":
    main()
