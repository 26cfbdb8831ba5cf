"""The Dockerfiles as texts: what hadolint says of them, and that their bases are pinned."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from engine_parts import ROOT

FILES = ("components/Dockerfile", "serving/gateway/Dockerfile", "serving/triton/Dockerfile", "mlflow/Dockerfile")
_PINNED = re.compile(r"^ARG (\w*BASE)=(\S+:\S+@sha256:[0-9a-f]{64})$", re.MULTILINE)


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), "--no-color", str(path)], capture_output=True, text=True
    )


@pytest.mark.parametrize("name", FILES)
def test_hadolint_finds_nothing(name: str) -> None:
    done = hadolint(ROOT / name)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "fault, rule",
    [
        ("RUN apt-get update && apt-get install -y gcc", "DL3008"),
        ("RUN pip install numpy", "DL3013"),
        ("USER root", "DL3002"),
        ("FROM debian:latest", "DL3007"),
    ],
)
def test_hadolint_finds_a_planted_fault(fault: str, rule: str, tmp_path: Path) -> None:
    planted = tmp_path / "Dockerfile"
    planted.write_text((ROOT / "components/Dockerfile").read_text() + f"\n{fault}\n")
    done = hadolint(planted)
    assert done.returncode != 0 and rule in done.stdout, done.stdout


@pytest.mark.parametrize("name", FILES)
def test_bases_are_named_once_and_pinned_by_digest(name: str) -> None:
    text = (ROOT / name).read_text()
    bases = dict(_PINNED.findall(text))
    assert "BASE" in bases
    stages = {"scratch"}
    for source, stage in re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE):
        assert source in stages or source.strip("${}") in bases, (
            f"{name}: {source} is neither a stage nor a pinned base"
        )
        stages.add(stage)
    assert len(re.findall("^FROM ", text, re.MULTILINE)) == len(stages) - 1, f"{name}: a FROM without a name"


def test_all_images_have_the_same_base_and_installer() -> None:
    texts = [(ROOT / name).read_text() for name in FILES]
    assert len({dict(_PINNED.findall(text))["BASE"] for text in texts}) == 1
    assert len({version for text in texts for version in re.findall(r"^ARG UV=(\S+)$", text, re.MULTILINE)}) == 1
