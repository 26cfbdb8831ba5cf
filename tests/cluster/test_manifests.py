"""Every manifest of every overlay, as kustomize renders it; and each check finds the fault that is planted for it.

Nothing here runs on a cluster. Custom resources are held against the CRDs beside the checkout; what CEL rules and
admission webhooks would say is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from manifest_checks import CHECKS, GPU
from manifest_commands import COMMANDS
from manifest_network import NETWORK
from manifest_parts import K8S, OVERLAYS, Doc, find, pods, render, secrets
from manifest_schemas import schema

from pipelines.cluster import Cluster

EVERYTHING = (schema, *CHECKS, *NETWORK, *COMMANDS)
BY_NAME = {check.__name__: check for check in EVERYTHING}


@pytest.mark.parametrize("check", EVERYTHING, ids=lambda check: check.__name__)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_manifests_are_in_order(overlay: str, check: Callable[[list[Doc]], Any]) -> None:
    assert list(check(render(K8S / overlay))) == []


def spec(docs: list[Doc], name: str, kind: str = "Deployment") -> Doc:
    return next(pod.spec for pod in pods(docs) if pod.where == f"{kind}/{name}")


def container(docs: list[Doc], name: str, number: int = 0, kind: str = "Deployment") -> Doc:
    return spec(docs, name, kind)["containers"][number]


def policy(docs: list[Doc], name: str) -> Doc:
    return find(docs, "NetworkPolicy", name)["spec"]


def variable(docs: list[Doc], name: str, variable: str) -> Doc:
    return next(env for env in container(docs, name)["env"] if env["name"] == variable)


def drop(docs: list[Doc], kind: str, name: str) -> None:
    docs.remove(find(docs, kind, name))


def retrain(docs: list[Doc]) -> Doc:
    return container(docs, "retrain", kind="CronJob")


# Overlay, check, what is planted, what the check must say.
FAULTS: list[tuple[str, str, Callable[[list[Doc]], object], str]] = [
    ("kind", "schema", lambda d: container(d, "triton").update(imagepullPolicy="Always"), "imagepullPolicy"),
    ("kind", "schema", lambda d: spec(d, "gateway").update(terminationGracePeriodSeconds="a while"), "a while"),
    ("kind", "schema", lambda d: find(d, "CronJob", "backup")["spec"].pop("schedule"), "'schedule' is a required"),
    ("kserve", "schema", lambda d: find(d, "InferenceService", "danqing")["spec"]["predictor"].update(x=1), "'x' was"),
    ("kserve", "schema", lambda d: find(d, "ServingRuntime", "danqing")["spec"].pop("containers"), "'containers'"),
    ("kserve", "schema", lambda d: find(d, "InferenceService", "danqing").update(kind="Inference"), "Inference"),
    ("kserve", "schema", lambda d: find(d, "InferenceService", "danqing")["spec"]["predictor"]["model"]["resources"]
     ["limits"].update(cpu=[8]), "cpu"),
    ("kind", "selectors", lambda d: find(d, "Deployment", "triton")["spec"]["selector"]["matchLabels"].update(a="b"),
     "its selector"),
    ("kind", "selectors", lambda d: find(d, "Service", "gateway")["spec"]["selector"].update(a="b"), "Service/gateway"),
    ("gpu", "selectors", lambda d: find(d, "PodDisruptionBudget", "mlflow")["spec"]["selector"]["matchLabels"].update(
        a="b"), "PodDisruptionBudget/mlflow"),
    ("kind", "selectors", lambda d: policy(d, "postgres")["ingress"][0]["from"].append(
        {"podSelector": {"matchLabels": {"app": "none"}}}), "NetworkPolicy/postgres: no pod"),
    ("kind", "volumes", lambda d: container(d, "mlflow")["volumeMounts"].append({"name": "x", "mountPath": "/x"}),
     "mounts x"),
    ("kind", "volumes", lambda d: spec(d, "mlflow")["volumes"].append({"name": "y", "emptyDir": {}}), "nobody mounts"),
    ("kserve", "volumes", lambda d: find(d, "ServingRuntime", "danqing")["spec"]["volumes"].pop(), "rollout-tmp"),
    ("kind", "ports", lambda d: find(d, "Service", "triton")["spec"]["ports"][1].update(targetPort="grcp"),
     "no port grcp"),
    ("kind", "ports", lambda d: container(d, "mlflow")["readinessProbe"]["httpGet"].update(port=8080),
     "asks port 8080"),
    ("kind", "resources", lambda d: container(d, "mlflow")["resources"]["requests"].update(memory="3Gi"), "more than"),
    ("kind", "resources", lambda d: container(d, "gateway")["resources"].pop("limits"), "no request or no limit"),
    ("kind", "resources", lambda d: spec(d, "gateway")["volumes"][0]["emptyDir"].clear(), "sizeLimit is missing"),
    ("kind", "resources", lambda d: next(v for v in spec(d, "triton")["volumes"] if v["name"] == "shm")["emptyDir"]
     .update(sizeLimit="64Gi"), "as large as"),
    ("gpu", "gpus", lambda d: spec(d, "triton").pop("tolerations"), "belong together"),
    ("gpu", "gpus", lambda d: spec(d, "triton")["nodeSelector"].clear(), "belong together"),
    ("gpu", "gpus", lambda d: [container(d, "triton")["resources"][k].pop(GPU) for k in ("limits", "requests")],
     "belong together"),
    ("kserve", "gpus", lambda d: find(d, "InferenceService", "danqing")["spec"]["predictor"].pop("nodeSelector"),
     "belong together"),
    ("kind", "restricted", lambda d: find(d, "Namespace", "danqing")["metadata"]["labels"].clear(), "PodSecurity"),
    ("kind", "restricted", lambda d: spec(d, "gateway").update(hostNetwork=True), "hostNetwork"),
    ("kind", "restricted", lambda d: spec(d, "gateway")["volumes"].append({"name": "h", "hostPath": {"path": "/"}}),
     "hostPath"),
    ("kind", "restricted", lambda d: container(d, "triton")["securityContext"].update(runAsUser=0), "as root"),
    ("kind", "restricted", lambda d: container(d, "triton")["securityContext"].pop("capabilities"), "capabilities"),
    ("kind", "restricted", lambda d: container(d, "triton")["securityContext"].pop("allowPrivilegeEscalation"),
     "gain privileges"),
    ("kind", "restricted", lambda d: container(d, "triton", 1)["securityContext"].pop("readOnlyRootFilesystem"),
     "write to its image"),
    ("kind", "restricted", lambda d: [c["securityContext"].pop("seccompProfile") for c in (
        spec(d, "gateway"), container(d, "gateway"))], "seccomp"),
    ("kind", "restricted", lambda d: spec(d, "mlflow").pop("enableServiceLinks"), "MLFLOW_PORT"),
    ("kind", "restricted", lambda d: spec(d, "retrain", "CronJob").pop("automountServiceAccountToken"), "a token"),
    ("kind", "restricted", lambda d: container(d, "gateway")["ports"][0].update(hostPort=80), "port of the node"),
    ("kserve", "restricted", lambda d: find(d, "ServingRuntime", "danqing")["spec"]["containers"][0].pop(
        "securityContext"), "InferenceService/danqing: kserve-container"),
    ("kind", "images", lambda d: container(d, "gateway").update(image="danqing/gateway:latest"), "which one is that"),
    ("kind", "images", lambda d: container(d, "gateway").update(image="registry:5000/gateway"), "which one is that"),
    ("kind", "images", lambda d: container(d, "gateway").update(image="danqing/gateway:0.0.9"), "does not name"),
    ("kind", "references", lambda d: variable(d, "mlflow", "AWS_ACCESS_KEY_ID")["valueFrom"]["secretKeyRef"].update(
        key="id"), "has no key id"),
    ("kind", "references", lambda d: drop(d, "PersistentVolumeClaim", "triton-store"), "PersistentVolumeClaim triton"),
    ("kind", "references", lambda d: drop(d, "ConfigMap", "danqing-databases"), "ConfigMap danqing-databases"),
    ("kind", "references", lambda d: spec(d, "gateway").update(serviceAccountName="admin"), "ServiceAccount admin"),
    ("kind", "references", lambda d: drop(d, "PriorityClass", "danqing-serving"), "PriorityClass danqing-serving"),
    ("gpu", "targets", lambda d: drop(d, "Deployment", "triton"), "no Deployment triton"),
    ("gpu", "targets", lambda d: find(d, "Deployment", "gateway")["spec"].update(replicas=1), "says replicas itself"),
    ("kind", "probes", lambda d: container(d, "mlflow").pop("livenessProbe"), "has no livenessProbe"),
    ("kind", "default_deny", lambda d: drop(d, "NetworkPolicy", "default-deny"), "nothing is denied"),
    ("kind", "default_deny", lambda d: policy(d, "dns")["egress"][0]["ports"].pop(), "DNS"),
    ("kind", "policy_ports", lambda d: policy(d, "triton")["ingress"][0]["ports"][0].update(port="grcp"), "port grcp"),
    ("kind", "policy_ports", lambda d: policy(d, "gateway")["egress"][0]["ports"][0].update(port=9), "no port 9"),
    ("kind", "both_ways", lambda d: policy(d, "mlflow")["ingress"][0]["from"].pop(0), "lets nobody in"),
    ("kind", "both_ways", lambda d: policy(d, "to-postgres")["podSelector"]["matchExpressions"][0]["values"].remove(
        "gateway"), "not let out"),
    ("kind", "addresses", lambda d: find(d, "ConfigMap", "danqing-addresses")["data"].update(triton="grpc://tritn:8001"),
     "no Service at tritn"),
    ("kind", "addresses", lambda d: find(d, "ConfigMap", "danqing-addresses")["data"].update(mlflow="http://mlflow:80"),
     "no Service at mlflow:80"),
    ("kind", "addresses", lambda d: policy(d, "gateway")["egress"].clear(), "no policy lets it out"),
    ("kind", "commands", lambda d: retrain(d)["command"].__setitem__(2, "danqing.platform.triger"), "no module"),
    ("kind", "commands", lambda d: retrain(d)["args"].__setitem__(0, "--drfit"), "no option --drfit"),
    ("kind", "commands", lambda d: container(d, "backup", kind="CronJob")["args"].append("--bucke"),
     "no option --bucke"),
    ("kind", "commands", lambda d: container(d, "drift", kind="CronJob")["args"].append("--corpsu"), "--corpsu"),
    ("kind", "commands", lambda d: container(d, "triton")["args"].append("--load-modle=x"), "--load-modle"),
    ("kind", "commands", lambda d: container(d, "seaweedfs")["args"].append("-s4"), "no option -s4"),
    ("kind", "commands", lambda d: container(d, "triton", 1)["args"].append("--keeep"), "no option --keeep"),
    ("kind", "commands", lambda d: spec(d, "backup", "CronJob")["initContainers"][0]["args"].append("--fil=x"),
     "--fil"),
    ("kind", "commands", lambda d: container(d, "buckets", kind="Job")["command"].__setitem__(1, "/scripts/b.py"),
     "b.py"),
    ("kind", "commands", lambda d: container(d, "postgres")["livenessProbe"]["exec"].update(command=["curl"]), "curl"),
    ("kind", "gateway_settings", lambda d: variable(d, "gateway", "DANQING_GATEWAY_TRITON").update(
        name="DANQING_GATEWAY_TRITN"), "tritn"),
    ("pipelines", "references", lambda d: find(d, "RoleBinding", "danqing")["roleRef"].update(name="x"), "no Role x"),
]  # fmt: skip


@pytest.mark.parametrize(("overlay", "check", "plant", "said"), FAULTS, ids=[f"{f[1]}-{f[3]}" for f in FAULTS])
def test_a_planted_fault_is_found(overlay: str, check: str, plant: Callable[[list[Doc]], object], said: str) -> None:
    docs = render(K8S / overlay if overlay == "pipelines" else K8S / "overlays" / overlay)
    plant(docs)
    wrong = list(BY_NAME[check](docs))
    assert any(said in line for line in wrong), wrong


def test_every_check_has_a_planted_fault() -> None:
    assert {fault[1] for fault in FAULTS} == set(BY_NAME)


def test_the_steps_find_what_a_clusters_profile_names() -> None:
    """What pipelines/placement.py gives to every task by default is in k8s/pipelines and among the secrets."""
    cluster, docs = Cluster(), [*render(K8S / "pipelines"), *secrets("pipelines")]
    assert {"mlflow_tracking_uri", "s3_endpoint_url"} <= set(find(docs, "ConfigMap", cluster.settings)["data"])
    assert find(docs, "PersistentVolumeClaim", cluster.memo_claim)["spec"]["accessModes"] == ["ReadWriteMany"]
    for secret in cluster.secrets:
        assert set(secret.env) <= set(find(docs, "Secret", secret.name)["data"])
    service = find(render(K8S / "overlays/kind"), "Service", "mlflow")
    address = find(docs, "ConfigMap", cluster.settings)["data"]["mlflow_tracking_uri"]
    assert address == f"http://mlflow.danqing.svc.cluster.local:{service['spec']['ports'][0]['port']}"


def test_kserve_runs_what_the_deployment_runs() -> None:
    """One pod, in two forms: but for names, the containers and volumes are the same."""
    gpu, kserve = render(K8S / "overlays/gpu"), render(K8S / "overlays/kserve")
    ours, theirs = spec(gpu, "triton"), spec(kserve, "danqing", "InferenceService")
    for one, other in zip(ours["containers"], theirs["containers"], strict=True):
        renamed = {**other, "name": "triton"} if other["name"] == "kserve-container" else other
        assert as_text(one) == as_text(renamed)
    for key in ("volumes", "securityContext", "tolerations", "nodeSelector", "serviceAccountName", "priorityClassName"):
        assert as_text(ours[key]) == as_text(theirs[key]), key


def as_text(value: Any) -> Any:
    """Quantities are numbers or text, lists of named things have no order."""
    if isinstance(value, dict):
        return {key: as_text(one) for key, one in value.items()}
    if isinstance(value, list):
        made = [as_text(one) for one in value]
        return (
            sorted(made, key=lambda one: one["name"])
            if made and isinstance(made[0], dict) and "name" in made[0]
            else made
        )
    return str(value)
