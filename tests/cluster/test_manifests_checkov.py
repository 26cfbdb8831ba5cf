"""checkov's rules for Kubernetes, over every overlay. Its severities come from a service that is not asked, so every
rule counts, but for those that are named here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifest_parts import K8S, OVERLAYS, Doc, find, render

from serving.triton import install

pytestmark = pytest.mark.slow
PINS = Path(__file__).with_name("checkov.txt")
SKIPPED = {
    "CKV_K8S_15": "imagePullPolicy Always: with digests the default asks the registry no more than it must",
    "CKV_K8S_35": "secrets as files: MLflow, libpq, boto3 and Triton take theirs from the environment only",
    "CKV_K8S_43": "digests: they are put into k8s/images at deployment, a test of ours holds images to that file",
}


def checkov() -> Path:
    """The program, installed once into a cache: its hundred packages would fight with ours."""
    pins = hashlib.sha256(PINS.read_bytes()).hexdigest()[:8]
    home = install.cache() / "checkov"
    folder = home / f"{pins}-py{sys.version_info.major}.{sys.version_info.minor}"
    with install._alone(home):
        if not (folder / "complete").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
            install._install(["-r", str(PINS)], folder / "bin" / "python")
            (folder / "complete").touch()
    return folder / "bin" / "checkov"


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """File → what checkov holds against it; all overlays, and one with planted faults, in one run."""
    folder = tmp_path_factory.mktemp("manifests")
    everything = {overlay.replace("/", "-"): render(K8S / overlay) for overlay in OVERLAYS}
    everything["planted"] = plant(render(K8S / "overlays/kind"))
    for name, docs in everything.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(docs))
    command = [str(checkov()), "-d", str(folder), "--framework", "kubernetes", "--skip-download", "-o", "json",
               "--skip-check", ",".join(SKIPPED)]  # fmt: skip
    environment = {**os.environ, "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "ERROR"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    report: Any = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0 and report["summary"]["passed"] > 1000, report["summary"]
    found: dict[str, list[str]] = {name: [] for name in everything}
    for one in report["results"]["failed_checks"]:
        found[Path(one["file_path"]).stem].append(f"{one['check_id']} {one['check_name']}: {one['resource']}")
    return found


def plant(docs: list[Doc]) -> list[Doc]:
    container = find(docs, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]
    container["securityContext"] = {"privileged": True}
    container["image"] = "danqing/gateway:latest"
    find(docs, "Deployment", "mlflow")["spec"]["template"]["spec"]["hostPID"] = True
    return docs


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_checkov_finds_nothing(failed: dict[str, list[str]], overlay: str) -> None:
    assert failed[overlay.replace("/", "-")] == []


@pytest.mark.parametrize("rule", ["CKV_K8S_16 ", "CKV_K8S_14 ", "CKV_K8S_17 ", "CKV_K8S_20 ", "CKV_K8S_22 "])
def test_checkov_finds_what_is_planted(failed: dict[str, list[str]], rule: str) -> None:
    assert any(line.startswith(rule) for line in failed["planted"]), failed["planted"]
