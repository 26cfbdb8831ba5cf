"""A step in the pods of a TrainJob, against a server that plays the Kubernetes API; never on a cluster."""

from __future__ import annotations

import copy
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from danqing import config, files, launch, steps
from danqing.errors import ConfigError
from danqing.monitor import Silent
from danqing.platform import trainjob, trainjob_client
from danqing.platform.trainjob import Cancelled, Place
from tests.cluster.kube_server import NAMESPACE, KubeServer

CRD = Path(__file__).resolve().parents[3] / "shared" / "k8s-crds" / "trainer.kubeflow.org_trainjobs.yaml"
CLIP = config.ClipTraining(steps=4, batch=16, warmup=1, checkpoint=2, log=1)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeServer]:
    playing = KubeServer()
    monkeypatch.setenv("KUBECONFIG", str(playing.kubeconfig(tmp_path / "kubeconfig")))
    monkeypatch.setenv("POD_NAMESPACE", NAMESPACE)
    monkeypatch.setenv("POD_NAME", "launcher")
    monkeypatch.setenv("POD_UID", "1b2c")
    monkeypatch.setenv("DANQING_MEMO", str(tmp_path / "memo"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    files.write_text(tmp_path / "corpus" / "x", "1")
    yield playing
    playing.close()


def where(tmp_path: Path, **changes: Any) -> Place:
    return Place(
        **{"nodes": 2, "image": "danqing@sha256:0", "claim": "memo", "mount": str(tmp_path / "memo"), **changes}
    )


def launched(tmp_path: Path, corpus: Path | None = None, **changes: Any) -> steps.Outcome:
    inputs = {"corpus": corpus or tmp_path / "corpus"}
    return trainjob.run("train_clip", CLIP, inputs, tmp_path / "out", where=where(tmp_path, **changes), **changes)


def meanwhile(server: KubeServer, act: Callable[[str], object]) -> None:
    """Do `act` with the TrainJob's name as soon as there is one."""

    def wait() -> None:
        while not server.jobs:
            time.sleep(0.05)
        act(next(iter(server.jobs)))

    threading.Thread(target=wait, daemon=True).start()


class Recorder(Silent):
    def __init__(self) -> None:
        self.told: set[str] = set()

    def metrics(self, values: Any, step: int | None = None) -> None:
        self.told |= set(values)


@pytest.mark.slow
def test_two_pods_train_what_one_process_trains_through_broken_connections(
    server: KubeServer, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    server.runs, server.dropped, server.cuts = True, 1, {"watch": 1, "log": 1}
    heard = Recorder()
    inputs, place = {"corpus": tiny_corpus}, where(tmp_path)
    found = trainjob.run("train_clip", CLIP, inputs, tmp_path / "out", where=place, monitor=heard)
    said = capfd.readouterr().out
    (name,) = {m["metadata"]["name"] for m in server.manifests}
    for node in (0, 1):
        pod = f"{name}-node-0-{node}"
        assert said.count(f"[{pod}] {pod} starts") == 1, "a line that was cut comes once"
    assert server.cuts == {"watch": 0, "log": 0} and server.dropped == 0
    assert heard.told >= {"guide_loss", "judge_loss"}
    assert not server.jobs and not list((tmp_path / "memo" / "jobs").iterdir()), "nothing is left behind"
    monkeypatch.setenv("DANQING_MEMO", str(tmp_path / "alone"))
    expected = steps.run("train_clip", CLIP, inputs, tmp_path / "one")
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-4)
    assert (tmp_path / "out" / "guide" / "clip.safetensors").is_file()
    monkeypatch.setenv("DANQING_MEMO", str(tmp_path / "memo"))
    again = trainjob.run("train_clip", CLIP, inputs, tmp_path / "again", where=place)
    assert again.reused and len(server.manifests) == 1, "what is remembered needs no pods"


def test_a_pod_without_memory_is_named_and_everything_is_taken_away(server: KubeServer, tmp_path: Path) -> None:
    def fail(name: str) -> None:
        server.pod(name, 0, "Failed", (143, "Error"))  # ended because of the other
        server.pod(name, 1, "Failed", (137, "OOMKilled"))
        server.condition(name, "Failed", "jobset failed due to one or more job failures")

    meanwhile(server, fail)
    with pytest.raises(launch.RanksFailed, match=r"node-0-1 ended with 137 \(OOMKilled\); the TrainJob failed: jobset"):
        launched(tmp_path)
    assert not server.jobs and not list((tmp_path / "memo" / "jobs").iterdir())


def test_what_a_rank_says_is_the_cause_with_its_exit_code(server: KubeServer, tmp_path: Path) -> None:
    def fail(name: str) -> None:
        folder = tmp_path / "memo" / "jobs" / name
        lost = {"message": "process 0 of 2 lost the others", "exit_code": 5, "consequence": True}
        files.write_json(folder / "error-0.json", lost)
        cause = {"message": "step 7: loss is not finite", "exit_code": 5, "consequence": False}
        files.write_json(folder / "error-1.json", cause)
        server.condition(name, "Failed", "jobset failed")

    meanwhile(server, fail)
    with pytest.raises(launch.RanksFailed, match=r"^step 7: loss is not finite$") as failure:
        launched(tmp_path)
    assert failure.value.exit_code == 5


def test_a_cancelled_run_takes_its_pods_away(server: KubeServer, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    meanwhile(server, lambda name: (server.pod(name, 0), os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(Cancelled, match="the TrainJob is deleted") as failure:
        launched(tmp_path)
    assert failure.value.exit_code == 143 and not server.jobs
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_trainjob_that_somebody_deletes_ends_the_step(server: KubeServer, tmp_path: Path) -> None:
    meanwhile(server, lambda name: (server.jobs.pop(name), server.changed()))
    with pytest.raises(launch.RanksFailed, match="deleted by somebody else"):
        launched(tmp_path)


def test_an_api_that_is_gone_is_not_waited_for_without_end(
    server: KubeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainjob_client, "PATIENCE", 1.0)
    server.dropped = 1000
    with pytest.raises(launch.RanksFailed, match="Kubernetes API has not answered for"):
        launched(tmp_path)


@pytest.mark.parametrize(("code", "hint"), [(403, "service account"), (404, "install Kubeflow Trainer")])
def test_a_refused_trainjob_says_what_to_do(server: KubeServer, tmp_path: Path, code: int, hint: str) -> None:
    server.refuse = (code, "trainjobs.trainer.kubeflow.org is what it is")
    with pytest.raises(launch.RanksFailed, match=rf"refused \(trainjobs.* is what it is\); .*{hint}"):
        launched(tmp_path)


def test_without_a_kubernetes_api_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no Kubernetes API is known"):
        trainjob_client.TrainJob("x")


def strict(node: Any) -> Any:
    """A CRD's schema as JSON Schema that refuses what it does not name."""
    if not isinstance(node, dict):
        return node
    node = {k: v for k, v in node.items() if not k.startswith("x-kubernetes-") or k == "x-kubernetes-int-or-string"}
    if node.pop("x-kubernetes-int-or-string", False):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    for key in ("properties",):
        if key in node:
            node[key] = {name: strict(value) for name, value in node[key].items()}
            node.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            node[key] = strict(node[key])
    return node


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    if not CRD.is_file():
        pytest.skip(f"no CRDs beside the checkout ({CRD.parent})")
    version = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]
    assert version["name"] == trainjob_client.VERSION
    found: dict[str, Any] = strict(version["schema"]["openAPIV3Schema"])
    found["properties"]["metadata"] = {"type": "object"}
    return found


def full(tmp_path: Path) -> dict[str, Any]:
    place = where(
        tmp_path, processes=4, requests={"cpu": "4", "nvidia.com/gpu": "4"}, limits={"nvidia.com/gpu": "4"},
        selector={"danqing/pool": "gpu"}, tolerations=({"key": "nvidia.com/gpu", "operator": "Exists"},),
        shared_memory="8Gi", pull_secrets=("registry",), labels={"a": "b"},
    )  # fmt: skip
    return trainjob.manifest("danqing-x", Path("/memo/jobs/x/job.json"), place, {"name": "launcher", "uid": "1"})


def test_the_manifest_is_what_the_crd_asks_for(schema: dict[str, Any], tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    whole = full(tmp_path)
    jsonschema.validate(whole, schema)
    for planted in (("spec", "trainer", "gpus"), ("spec", "runtimePatches", 0, "target"), ("spec", "nodes")):
        wrong: Any = copy.deepcopy(whole)
        node = wrong
        for key in planted[:-1]:
            node = node[key]
        node[planted[-1]] = 1
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    pod = whole["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]["template"]
    pod = pod["spec"]["template"]["spec"]
    mounts = {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}
    assert mounts == {v["name"] for v in pod["volumes"]} == {"memo", "shm"}
    assert whole["spec"]["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "4"
    assert whole["spec"]["trainer"]["numProcPerNode"] == 4 and whole["spec"]["trainer"]["numNodes"] == 2
