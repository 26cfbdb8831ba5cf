"""What a model owner types: register with its origin, promote and rollback under any name."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from danqing.cli import app
from danqing.platform import registry, versions
from pipelines.summary import Summary


@pytest.fixture
def danqing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uri: str) -> Callable[..., str]:
    """danqing(*words): the command line in an empty folder, with this test's registry; returns its output."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("DANQING_MEMO", str(tmp_path / "memo"))
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    return call


@pytest.fixture
def register(danqing: Callable[..., str], folder: Callable, package: Callable) -> Callable[..., str]:
    """register(words, *options): a package, measured and refused by the gate, becomes a version."""

    def call(words: str, *options: str) -> str:
        return danqing(
            "register", "--package", package(words), "--evaluation", folder("evaluation", "metrics.json", {}),
            "--decision", folder("decision", "decision.json", {"promote": False}), "--out", f"registered-{words}",
            *options,
        )  # fmt: skip

    return call


def _lock(tmp_path: Path, package: str) -> None:
    outs = {"annotate": {"path": "data/corpus", "md5": "c0ffee.dir"}, "export": {"path": package, "md5": "dec0de.dir"}}
    stages = {name: {"cmd": "x", "outs": [out]} for name, out in outs.items()}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), encoding="utf-8")


def test_a_package_that_dvc_made_carries_the_revision_of_its_corpus(
    register: Callable[..., str], tmp_path: Path, uri: str
) -> None:
    _lock(tmp_path, "package-one")
    register("one")
    register("two")
    tags = {number: version.tags for number, version in versions.read(uri, "danqing").items()}
    assert tags[1]["dvc_revision"] == "c0ffee.dir"
    assert "dvc_revision" not in tags[2], "of a package that DVC does not know nobody knows the corpus"


def test_a_model_of_another_name_is_promoted_and_rolled_back_by_name(
    danqing: Callable[..., str], register: Callable[..., str], uri: str
) -> None:
    for words in ("one", "two"):
        register(words, "--set", "register.name=ink wash")
        danqing("promote", "--name", "ink wash")
    assert registry.champion(uri, "ink wash").number == 2
    assert "version 1 is champion again" in danqing("rollback", "--name", "ink wash")
    assert registry.champion(uri, "ink wash").number == 1
    assert registry.champion(uri) is None


@pytest.mark.parametrize(("model", "words"), [("danqing", []), ("ink wash", ["--name", "ink wash"])])
def test_a_run_suggests_the_promotion_of_its_own_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, words: list[str]
) -> None:
    monkeypatch.setenv("DANQING_WORKSPACE", str(tmp_path))
    summary = Summary(
        run_id="run", workspace=tmp_path.resolve(), seconds=1, steps={}, reused=(), latest={}, model=model, version=3,
        promoted=False, champion=None, reasons=(), mlflow="http://server",
    )  # fmt: skip
    said = io.StringIO()
    summary.show(Console(file=said))
    assert shlex.split(said.getvalue().split("`")[1]) == ["danqing", "promote", "3", *words]
