"""k8s/README.md: its paths, commands, options and names are there. What it says of clusters was never tried on one."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from manifest_commands import help_of
from manifest_parts import K8S, ROOT, Doc, kubectl, pods, render

from danqing.observe import Counts

TEXT = (K8S / "README.md").read_text(encoding="utf-8")
EXTERNAL = {"ml-pipeline-ui", "NAME", "restore", "backup-now"}
"""Kubeflow's, the reader's, and what a command before has made."""


def commands() -> list[list[str]]:
    """Every command that is shown, as words: of blocks line by line, and of the text where it begins with kubectl."""
    blocks = "\n".join(re.findall(r"^ *```\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    lines = re.split(r"\n(?=(?:[^']*'[^']*')*[^']*$)", blocks)  # a quoted text may have several lines
    prose = re.sub(r"^ *```\n.*?^ *```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    lines += [" ".join(found.split()) for found in re.findall(r"`((?:kubectl|danqing|scripts/)[^`]* [^`]*)`", prose)]
    return [shlex.split(line.strip().removesuffix("&")) for line in lines if line.strip()]


@cache
def documents() -> list[Doc]:
    return render(K8S / "overlays/kind")


def complaints(words: list[str]) -> list[str]:
    """What is wrong with a command."""
    program = words[0]
    if program == "kubectl":
        return _kubectl(words[1 : words.index("--")] if "--" in words else words[1:])
    if program == "danqing":
        text = help_of(("danqing", words[1])) or ""
        return _unknown(words, text)
    if program.startswith(("scripts/", "k8s/")):
        missing = [] if (ROOT / program).is_file() else [f"there is no {program}"]
        known = (ROOT / program).read_text() if not missing else ""
        return missing + [f"{program} knows no {word}" for word in words[1:] if word not in known]
    return [] if program in ("kind", "curl", "export", "python", "mlflow") else [f"what is {program}?"]


def _unknown(words: list[str], text: str) -> list[str]:
    known = set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))
    return [f"{' '.join(words[:3])} has no option {word}" for word in words
            if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]  # fmt: skip


@cache
def _kubectl_help(verb: str) -> str:
    both = [[kubectl(), *verb.split(), "--help"], [kubectl(), "options"]]
    return "".join(subprocess.run(one, capture_output=True, text=True).stdout for one in both)


def _kubectl(words: list[str]) -> list[str]:
    verbs = [word for index, word in enumerate(words) if not word.startswith("-") and words[index - 1] != "-n"]
    verb = " ".join(verbs[:2]) if verbs[0] in ("rollout", "create") else verbs[0]
    wrong = _unknown(words, _kubectl_help(verb))
    for word in words:
        kind, _, name = word.removeprefix("--from=").partition("/")
        kinds = {"deployment": "Deployment", "service": "Service", "cronjob": "CronJob"}
        if kind in kinds and name and name not in EXTERNAL:
            there = [d["metadata"]["name"] for d in documents() if d["kind"] == kinds[kind]]
            wrong += [] if name in there else [f"there is no {word}"]
            if "-c" in words and words[words.index("-c") + 1].isalpha():
                (pod,) = (pod for pod in pods(documents()) if pod.where == f"{kinds[kind]}/{name}")
                inside = words[words.index("-c") + 1]
                wrong += [] if inside in {c["name"] for c in pod.containers()} else [f"{word} has no {inside}"]
        if word.startswith("k8s/") and not word.startswith("k8s/secrets"):
            wrong += [] if (ROOT / word).exists() else [f"there is no {word}"]
    return wrong


def test_every_command_that_is_shown_is_one() -> None:
    shown = commands()
    assert len(shown) > 40
    assert [(words, said) for words in shown if (said := complaints(words))] == []


@pytest.mark.parametrize(("planted", "said"), [
    ("kubectl apply -k k8s/overlays/knid", "there is no k8s/overlays/knid"),
    ("kubectl -n danqing rollout status deployment/tritn", "there is no deployment/tritn"),
    ("kubectl -n danqing logs deployment/triton -c rolout", "deployment/triton has no rolout"),
    ("kubectl create job --form=cronjob/backup x", "no option --form"),
    ("danqing paint x --ulr y", "no option --ulr"), ("scripts/image.sh", "no scripts/image.sh"),
    ("scripts/images.sh gpu-server", "knows no gpu-server"), ("kubeclt get pods", "what is kubeclt?"),
])  # fmt: skip
def test_a_planted_fault_is_found(planted: str, said: str) -> None:
    assert any(said in line for line in complaints(shlex.split(planted)))


def test_links_and_paths_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT):
        assert (K8S / target).exists(), target
    for path in re.findall(r"`((?:k8s|pipelines|tests|scripts|base|overlays|images|monitoring)/[\w./-]+)`", TEXT):
        if not (path + "/").startswith("k8s/secrets/"):  # made by k8s/secrets.sh
            assert (ROOT / path).exists() or (K8S / path).exists(), path


def test_images_are_loaded_by_the_names_that_run() -> None:
    loaded = {word for words in commands() if words[0] == "kind" for word in words if ":" in word}
    ran = {c["image"] for pod in pods(documents()) for c in pod.containers()}
    assert loaded == {image for image in ran if image.startswith("danqing/")}


def test_the_files_of_secrets_are_made(tmp_path: Path) -> None:
    subprocess.run([K8S / "secrets.sh", tmp_path], check=True, capture_output=True)
    for path in re.findall(r"k8s/secrets/([\w./-]+)", TEXT):
        assert (tmp_path / path).exists(), path
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert all(path.stat().st_mode & 0o077 == 0 for path in before)
    subprocess.run([K8S / "secrets.sh", tmp_path], check=True, capture_output=True)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}, "a second run changes nothing"


def test_the_reference_is_made_as_the_text_says(tmp_path: Path) -> None:
    (tmp_path / "CORPUS").write_text(json.dumps(Counts().as_dict()))
    (code,) = (words[2] for words in commands() if words[:2] == ["python", "-c"])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert json.loads((tmp_path / "reference.json").read_text()) == Counts().as_dict()
