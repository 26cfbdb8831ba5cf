"""`podman kube play` of the Deployments in k8s/base, as far as Podman 4.3 goes.

What it knows of Kubernetes decides what is taken out of a manifest here, each for a reason:
- probes, lifecycle, limits: it has no systemd timers here for the first, and no right to set the last (the test asks
  the probes itself);
- spread, priority, accounts: there is one node and no API server;
- secrets, and $(NAME) in arguments: files of a secret come out in base64, and names stay as they are;
- /dev/shm: an emptyDir there would belong to root, while Podman's own is for everybody;
- ports: are the machine's own;
- fsGroup: is not known, so a claim's volume is made for our user.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from engine_parts import ROOT, Engine

BASE = ROOT / "k8s" / "base"
_OWNER = {"volume.podman.io/uid": "10001", "volume.podman.io/gid": "10001"}
_NOT_IN_PODS = ("topologySpreadConstraints", "priorityClassName", "serviceAccountName", "automountServiceAccountToken")
_NOT_IN_CONTAINERS = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "resources", "ports")
Secrets = Mapping[str, Mapping[str, str]]
"""Name → key → what is in it."""


def manifests(*names: str) -> list[dict[str, Any]]:
    """The documents of these files of k8s/base."""
    return [document for name in names for document in yaml.safe_load_all((BASE / f"{name}.yaml").read_text())]


def deployment(documents: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(d for d in documents if (d["kind"], d["metadata"]["name"]) == ("Deployment", name))


def containers(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name → container of a Deployment; to be changed in place."""
    return {container["name"]: container for container in found["spec"]["template"]["spec"]["containers"]}


def playable(found: dict[str, Any], images: Mapping[str, str], secrets: Secrets, folder: Path) -> dict[str, Any]:
    """A Deployment that Podman understands. images: by the names of our targets. folder: for the secrets' files."""
    found = copy.deepcopy(found)
    pod = found["spec"]["template"]["spec"]
    for field in _NOT_IN_PODS:
        pod.pop(field, None)
    for container in pod["containers"]:
        for field in _NOT_IN_CONTAINERS:
            container.pop(field, None)
        container["image"] = images[container["image"].removeprefix("danqing-")]
        container["imagePullPolicy"] = "Never"
        container["volumeMounts"] = [one for one in container["volumeMounts"] if one["mountPath"] != "/dev/shm"]
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                variable["value"] = secrets[reference["name"]][reference["key"]]
                del variable["valueFrom"]
        known = {variable["name"]: variable.get("value", "") for variable in container.get("env", [])}
        for field in ("command", "args"):
            if field in container:
                container[field] = [
                    re.sub(r"\$\((\w+)\)", lambda m: known[m[1]], text)  # noqa: B023 - used at once
                    for text in container[field]
                ]
    for volume in pod["volumes"]:
        if "secret" in volume:
            name = volume.pop("secret")["secretName"]
            (folder / name).mkdir(parents=True, exist_ok=True)
            for key, content in secrets[name].items():
                (folder / name / key).write_text(content)
            volume["hostPath"] = {"path": str(folder / name), "type": "Directory"}
    return found


@contextlib.contextmanager
def played(podman: Engine, documents: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Play Deployments, ConfigMaps and claims in the machine's own network; gives the containers' names."""
    kept = [copy.deepcopy(d) for d in documents if d["kind"] in ("Deployment", "ConfigMap", "PersistentVolumeClaim")]
    for one in kept:
        if one["kind"] == "PersistentVolumeClaim":
            one["metadata"]["annotations"] = _OWNER
    path = podman.folder / "play.yaml"
    path.write_text(yaml.safe_dump_all(kept))
    try:
        podman("kube", "play", "--network", "host", str(path))
        pods = [f"{one['metadata']['name']}-pod-0" for one in kept if one["kind"] == "Deployment"]
        yield [
            name
            for name in podman("ps", "--all", "--format", "{{.Names}}").stdout.split()
            if name.startswith(tuple(f"{pod}-" for pod in pods))
        ]
    finally:
        podman("kube", "down", str(path), check=False)
        for one in kept:
            if one["kind"] == "PersistentVolumeClaim":
                podman("volume", "rm", "--force", one["metadata"]["name"], check=False)
