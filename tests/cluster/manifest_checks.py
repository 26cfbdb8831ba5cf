"""What a schema does not see. Each check takes rendered documents and says what is wrong, a line each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from manifest_parts import K8S, Doc, Pod, pods, quantity, secrets

GPU = "nvidia.com/gpu"
BROUGHT = {
    ("ServiceAccount", "pipeline-runner"): "Kubeflow Pipelines",
    ("Deployment", "danqing-predictor"): "KServe, for the InferenceService danqing",
    ("Service", "ml-pipeline.kubeflow"): "Kubeflow Pipelines",
}
"""What the manifests name and somebody else brings."""
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def matches(selector: Doc, labels: dict[str, str]) -> bool:
    for one in selector.get("matchExpressions") or []:
        inside = labels.get(one["key"]) in one.get("values", [])
        if inside != (one["operator"] == "In"):
            return False
    return all(labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items())


def of(docs: list[Doc], kind: str) -> list[Doc]:
    return [doc for doc in docs if doc["kind"] == kind]


def selectors(docs: list[Doc]) -> Iterator[str]:
    everybody = pods(docs)
    for pod in everybody:
        if pod.selector is not None and not matches({"matchLabels": pod.selector}, pod.labels):
            yield f"{pod.where}: its selector {pod.selector} is not among its pods' labels {pod.labels}"
    for doc in docs:
        spec, name = doc.get("spec") or {}, f"{doc['kind']}/{doc['metadata']['name']}"
        wanted = []
        if doc["kind"] == "Service":
            wanted = [{"matchLabels": spec["selector"]}]
        elif doc["kind"] == "PodDisruptionBudget":
            wanted = [spec["selector"]]
        elif doc["kind"] == "NetworkPolicy":
            peers = [p for r in (spec.get("ingress") or []) for p in r.get("from") or []]
            peers += [p for r in (spec.get("egress") or []) for p in r.get("to") or []]
            wanted = [spec["podSelector"]]
            wanted += [p["podSelector"] for p in peers if "podSelector" in p and "namespaceSelector" not in p]
        for selector in wanted:
            if not any(matches(selector, pod.labels) for pod in everybody):
                yield f"{name}: no pod has the labels {selector}"
    for pod in everybody:
        for spread in pod.spec.get("topologySpreadConstraints") or []:
            if not matches(spread["labelSelector"], pod.labels):
                yield f"{pod.where}: topologySpreadConstraints look for other pods"


def volumes(docs: list[Doc]) -> Iterator[str]:
    for pod in pods(docs):
        have = [v["name"] for v in pod.spec.get("volumes") or []]
        used = set()
        for container in pod.containers():
            paths = [m["mountPath"] for m in container.get("volumeMounts") or []]
            if len(paths) != len(set(paths)):
                yield f"{pod.where}: {container['name']} mounts two volumes at one place"
            for mount in container.get("volumeMounts") or []:
                used.add(mount["name"])
                if mount["name"] not in have:
                    yield f"{pod.where}: {container['name']} mounts {mount['name']}, which is no volume"
        for name in set(have) - used:
            yield f"{pod.where}: nobody mounts volume {name}"
        if len(have) != len(set(have)):
            yield f"{pod.where}: two volumes of one name"


def ports(docs: list[Doc]) -> Iterator[str]:
    everybody = pods(docs)
    for pod in everybody:
        numbers = [p["containerPort"] for c in pod.spec["containers"] for p in c.get("ports") or []]
        if len(numbers) != len(set(numbers)):
            yield f"{pod.where}: two containers listen on one port"
        for container in pod.containers():
            own = {p.get("name"): p["containerPort"] for p in container.get("ports") or []}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                action = container.get(probe) or {}
                port = (action.get("httpGet") or action.get("tcpSocket") or {}).get("port")
                if port is not None and port not in own and port not in own.values():
                    yield f"{pod.where}: {probe} of {container['name']} asks port {port}, which it does not have"
    for service in of(docs, "Service"):
        for pod in everybody:
            if not matches({"matchLabels": service["spec"]["selector"]}, pod.labels):
                continue
            for port in service["spec"]["ports"]:
                target = port.get("targetPort", port["port"])
                if target not in pod.ports() and target not in pod.ports().values():
                    yield f"Service/{service['metadata']['name']}: {pod.where} has no port {target}"


def resources(docs: list[Doc]) -> Iterator[str]:
    for pod in pods(docs):
        memory = 0.0
        for container in pod.containers():
            where = f"{pod.where}: {container['name']}"
            asked, most = ((container.get("resources") or {}).get(k) or {} for k in ("requests", "limits"))
            for name in ("cpu", "memory", "ephemeral-storage"):
                if name not in asked or name not in most:
                    yield f"{where} has no request or no limit of {name}"
            for name in asked:
                if name in most and quantity(asked[name]) > quantity(most[name]):
                    yield f"{where} asks for {asked[name]} {name}, more than its limit {most[name]}"
            memory += quantity(most.get("memory", 0))
        for volume in pod.spec.get("volumes") or []:
            size = (volume.get("emptyDir") or {}).get("sizeLimit")
            if "emptyDir" in volume and size is None:
                yield f"{pod.where}: volume {volume['name']} may fill the node's disk: sizeLimit is missing"
            elif (volume.get("emptyDir") or {}).get("medium") == "Memory" and quantity(size) >= memory:
                yield f"{pod.where}: volume {volume['name']} is as large as the pod's memory"


def gpus(docs: list[Doc]) -> Iterator[str]:
    """Limit, toleration and node selector: all three or none."""
    for pod in pods(docs):
        limits = [((c.get("resources") or {}).get("limits") or {}).get(GPU) for c in pod.containers()]
        asks = [((c.get("resources") or {}).get("requests") or {}).get(GPU) for c in pod.containers()]
        tolerates = any(t.get("key") == GPU for t in pod.spec.get("tolerations") or [])
        triple = (any(limits), tolerates, "danqing/pool" in (pod.spec.get("nodeSelector") or {}))
        if any(triple) and not all(triple):
            yield f"{pod.where}: GPU limit, toleration and node selector belong together, there are {triple}"
        for limit, ask in zip(limits, asks, strict=True):
            if ask is not None and str(ask) != str(limit):
                yield f"{pod.where}: a GPU's request must be its limit"


def restricted(docs: list[Doc]) -> Iterator[str]:
    """The PodSecurity standard `restricted`, and what we add: a read-only root, no token, no service links."""
    for doc in of(docs, "Namespace"):
        if (doc["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"Namespace/{doc['metadata']['name']}: PodSecurity is not `restricted`"
    for pod in pods(docs):
        spec, context = pod.spec, pod.spec.get("securityContext") or {}
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(key):
                yield f"{pod.where}: {key}"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.where}: a token of the API server is mounted"
        if spec.get("enableServiceLinks") is not False:
            yield f"{pod.where}: enableServiceLinks sets variables like MLFLOW_PORT=tcp://…"
        for volume in spec.get("volumes") or []:
            for kind in set(volume) - {"name"} - _VOLUMES:
                yield f"{pod.where}: volume {volume['name']} is a {kind}"
        for container in pod.containers():
            yield from _container(f"{pod.where}: {container['name']}", container, context)


def _container(where: str, container: Doc, pod: Doc) -> Iterator[str]:
    own = container.get("securityContext") or {}
    if not own.get("runAsNonRoot", pod.get("runAsNonRoot")) or own.get("runAsUser", pod.get("runAsUser")) in (0, None):
        yield f"{where} may run as root"
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        yield f"{where} may gain privileges"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []) or set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"{where} keeps capabilities"
    if (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") not in (
        "RuntimeDefault",
        "Localhost",
    ):
        yield f"{where} has no seccomp profile"
    if not own.get("readOnlyRootFilesystem"):
        yield f"{where} may write to its image"
    if any("hostPort" in port for port in container.get("ports") or []):
        yield f"{where} takes a port of the node"


def images(docs: list[Doc]) -> Iterator[str]:
    """A digest, or the one kustomize entry that says which."""
    entries = yaml.safe_load((K8S / "images" / "kustomization.yaml").read_text())["images"]
    names = [entry["name"] for entry in entries]
    if len(names) != len(set(names)):
        yield f"k8s/images has two entries of one name: {names}"
    known = {
        f"{e['newName']}@{e['digest']}" if "digest" in e else f"{e['newName']}:{e['newTag']}" for e in entries
    }  # fmt: skip
    for pod in pods(docs):
        for container in pod.containers():
            image = container["image"]
            if image.endswith(":latest") or not re.search(r":[^/]+$|@sha256:", image):
                yield f"{pod.where}: {container['name']} runs {image}: which one is that?"
            elif not re.search(r"@sha256:[0-9a-f]{64}$", image) and image not in known:
                yield f"{pod.where}: {container['name']} runs {image}, which k8s/images does not name"


def references(docs: list[Doc]) -> Iterator[str]:
    """Every ConfigMap, Secret, claim, account and priority that is named is there, with the key that is named."""
    have = {(d["kind"], d["metadata"]["name"]): d for d in [*docs, *secrets()]}

    def missing(kind: str, name: str, key: str | None, where: str) -> Iterator[str]:
        if (kind, name) in BROUGHT:
            return
        found = have.get((kind, name))
        if found is None:
            yield f"{where}: there is no {kind} {name}"
        elif key is not None and key not in (found.get("data") or {}):
            yield f"{where}: {kind} {name} has no key {key}"

    for pod in pods(docs):
        for kind, name, key in _named(pod):
            yield from missing(kind, name, key, pod.where)
    for binding in of(docs, "RoleBinding"):
        where = f"RoleBinding/{binding['metadata']['name']}"
        yield from missing(binding["roleRef"]["kind"], binding["roleRef"]["name"], None, where)
        for subject in binding["subjects"]:
            yield from missing(subject["kind"], subject["name"], None, where)


def _named(pod: Pod) -> Iterator[tuple[str, str, str | None]]:
    yield "ServiceAccount", pod.spec.get("serviceAccountName", "default"), None
    yield "PriorityClass", pod.spec.get("priorityClassName", "none"), None
    for container in pod.containers():
        for env in container.get("env") or []:
            source = env.get("valueFrom") or {}
            for kind, ref in (("ConfigMap", source.get("configMapKeyRef")), ("Secret", source.get("secretKeyRef"))):
                if ref:
                    yield kind, ref["name"], ref["key"]
        for env in container.get("envFrom") or []:
            for kind, ref in (("ConfigMap", env.get("configMapRef")), ("Secret", env.get("secretRef"))):
                if ref:
                    yield kind, ref["name"], None
    for volume in pod.spec.get("volumes") or []:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], None
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], None


def targets(docs: list[Doc]) -> Iterator[str]:
    """What autoscalers scale is there, and says no number itself."""
    have: dict[tuple[str, str], Any] = {(d["kind"], d["metadata"]["name"]): d for d in docs}
    for scaler in of(docs, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        found, where = (
            have.get((target["kind"], target["name"])),
            f"HorizontalPodAutoscaler/{scaler['metadata']['name']}",
        )
        if found is None and (target["kind"], target["name"]) not in BROUGHT:
            yield f"{where}: there is no {target['kind']} {target['name']}"
        elif found is not None and "replicas" in found["spec"]:
            yield f"{where}: {target['name']} says replicas itself: each `apply` would reset it"
        if scaler["spec"].get("minReplicas", 1) > scaler["spec"]["maxReplicas"]:
            yield f"{where}: minReplicas is above maxReplicas"


def probes(docs: list[Doc]) -> Iterator[str]:
    for pod in pods(docs):
        for container in pod.spec["containers"] if pod.serves else []:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                if probe not in container:
                    yield f"{pod.where}: {container['name']} has no {probe}"


Check = Callable[[list[Doc]], Iterator[str]]
CHECKS: tuple[Check, ...] = (
    selectors, volumes, ports, resources, gpus, restricted, images, references, targets, probes
)  # fmt: skip
