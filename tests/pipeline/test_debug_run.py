"""The debug preset, all steps real, from pictures to a registered model: what `danqing run` promises."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from danqing import steps
from danqing.package import Package
from danqing.platform import registry, versions
from pipelines.local import run_local
from pipelines.summary import Summary

pytestmark = pytest.mark.slow


def run(workspace: Path) -> tuple[Summary, str]:
    stream = io.StringIO()
    return run_local("debug", workspace=workspace, stream=stream), stream.getvalue()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Summary, str]]:
    patch = pytest.MonkeyPatch()
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield run(tmp_path_factory.mktemp("first"))
    patch.undo()


def test_the_line_ends_with_a_registered_model_that_can_be_loaded(first: tuple[Summary, str]) -> None:
    summary, seen = first
    assert set(summary.steps) == set(steps.STEPS)
    version = versions.find(summary.mlflow, summary.model, "challenger")
    assert version.number == summary.version and {"git_sha", "config_hash", "onnx_sha256"} <= set(version.tags)
    assert version.tags["kfp_run_id"] == summary.run_id
    assert Package.read(registry.download(version.number, tracking_uri=summary.mlflow)).size == 64
    for name in ("samples.png", "report.html", "reconstructions.png", "validation.html"):
        assert summary.latest[name].stat().st_size > 1000
    assert f"version {summary.version}" in seen


def test_the_same_run_elsewhere_measures_the_same(first: tuple[Summary, str], tmp_path: Path) -> None:
    again, _ = run(tmp_path)
    assert not again.reused
    assert again.steps["evaluate"] == first[0].steps["evaluate"]
    for name in ("ingest", "screen", "annotate", "train_tokenizer", "train_clip", "train_painter"):
        assert again.steps[name] == first[0].steps[name], name
    assert again.latest["samples.png"].read_bytes() == first[0].latest["samples.png"].read_bytes()


def test_the_same_run_in_the_same_workspace_reuses_and_says_so(first: tuple[Summary, str]) -> None:
    again, seen = run(first[0].workspace)
    assert set(again.reused) == set(steps.STEPS) - {"gate", "register"}
    assert again.steps["evaluate"] == first[0].steps["evaluate"]
    assert again.version == first[0].version, "the same package is the same version"
    assert "reused" in seen
