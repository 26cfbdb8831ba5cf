"""Who becomes champion, and how the registry remembers it. MLflow is the real one, on SQLite."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from danqing import package as packages
from danqing.config import Gate, Register
from danqing.errors import RegistryError, StorageError
from danqing.monitor import Silent
from danqing.platform import registry, versions
from danqing.platform.versions import Version

GOOD = {"match_p": 0.001, "psnr": 20.0, "kernel_distance": 0.50, "extractor": "EfficientNet-Lite0"}
BARS = Gate(max_p=0.01, min_psnr=15, kernel_slack=0.1)


def champion_with(**tags: str) -> Version:
    return Version(name="danqing", number=7, source="", run_id="", tags=tags, aliases=("champion",))


OLD = champion_with(**{"metric.kernel_distance": "0.50"})


def test_without_a_champion_the_absolute_bars_decide() -> None:
    assert registry.decide(GOOD, None, BARS)[0]


@pytest.mark.parametrize("name", ["match_p", "psnr", "kernel_distance"])
@pytest.mark.parametrize("champion", [None, OLD], ids=["no champion", "champion"])
@pytest.mark.parametrize("value", ["missing", None, math.nan, math.inf, -math.inf, "20", True])
def test_what_is_missing_or_no_number_never_passes(name: str, champion: Version | None, value: Any) -> None:
    measured = {k: v for k, v in GOOD.items() if k != name} | ({} if value == "missing" else {name: value})
    promote, reasons = registry.decide(measured, champion, BARS)
    assert not promote
    assert [reason for reason in reasons if reason.startswith("FAILED")] == [r for r in reasons if f" {name} is" in r]


@pytest.mark.parametrize(
    ("change", "promoted"),
    [
        ({"match_p": 0.01}, True), ({"match_p": 0.0101}, False),
        ({"psnr": 15.0}, True), ({"psnr": 14.99}, False),
        ({"kernel_distance": 0.55}, True), ({"kernel_distance": 0.5501}, False), ({"kernel_distance": -0.1}, True),
    ],
)  # fmt: skip
def test_each_bar_decides_at_its_limit(change: dict, promoted: bool) -> None:
    assert registry.decide(GOOD | change, OLD, BARS)[0] == promoted


def test_the_slack_holds_for_a_champion_below_zero() -> None:
    old = champion_with(**{"metric.kernel_distance": "-0.10"})
    assert registry.decide(GOOD | {"kernel_distance": -0.091}, old, BARS)[0]
    assert not registry.decide(GOOD | {"kernel_distance": -0.08}, old, BARS)[0]


@pytest.mark.parametrize("theirs", [{}, {"metric.kernel_distance": "nan"}, {"metric.kernel_distance": "unreadable"}])
def test_a_champion_that_cannot_be_compared_with_is_replaced_by_hand_only(theirs: dict) -> None:
    promote, reasons = registry.decide(GOOD, champion_with(**theirs), BARS)
    assert not promote and any("by hand" in reason for reason in reasons)


def test_a_champion_measured_on_other_pictures_is_replaced_by_hand_only() -> None:
    old = champion_with(**{"metric.kernel_distance": "0.001", "held_out": "brush"})
    assert not registry.decide(GOOD | {"held_out": "brush"}, old, BARS)[0]
    promote, reasons = registry.decide(GOOD | {"held_out": "museum"}, old, BARS)
    assert not promote and any("other pictures: promote by hand" in reason for reason in reasons)


def gate(evaluation: Path, out: Path, uri: str) -> dict:
    out.mkdir(exist_ok=True)
    result = registry.gate(evaluation, out=out, config=BARS, monitor=Silent(), scratch=out, tracking_uri=uri)
    decision = json.loads((out / "decision.json").read_text())
    assert decision["promote"] == result["promote"]
    return decision


def test_the_gate_writes_its_decision_even_for_a_metric_that_is_nan(folder: Callable, tmp_path: Path, uri: str) -> None:
    decision = gate(folder("evaluation", "metrics.json", GOOD | {"match_p": math.nan}), tmp_path / "out", uri)
    assert decision["promote"] is False and decision["champion"] is None
    assert any(reason.startswith("FAILED: match_p") for reason in decision["reasons"])
    assert "stays challenger" in (tmp_path / "out" / "decision.md").read_text()


@pytest.fixture
def registered(folder: Callable, package: Callable, tmp_path: Path, uri: str) -> Callable[..., dict]:
    """registered(words, promote, **lineage): run the step `register` on a package."""

    def run(words: str, promote: bool, **lineage: str) -> dict:
        out = tmp_path / "registered"
        out.mkdir(exist_ok=True)
        return registry.register(
            package(words), folder("evaluation", "metrics.json", GOOD),
            folder("decision", "decision.json", {"promote": promote}),
            out=out, config=Register(), monitor=Silent(), scratch=out, tracking_uri=uri, lineage=lineage,
        )  # fmt: skip

    return run


def aliases(uri: str) -> dict[str, int]:
    return {alias: version.number for version in versions.read(uri, "danqing").values() for alias in version.aliases}


def test_a_registered_version_carries_its_origin_its_evaluation_and_its_files(registered: Callable, uri: str) -> None:
    lineage = {"git_sha": "abc", "dvc_revision": "d41d.dir", "kfp_run_id": "run-1", "config_hash": "c0ffee"}
    assert registered("one", True, **lineage) == {"version": 1, "promoted": True, "champion": 1}
    version = registry.champion(uri)
    assert version is not None and lineage.items() <= version.tags.items()
    assert version.metrics == {k: v for k, v in GOOD.items() if k != "extractor"}
    assert len(version.tags["onnx_sha256"]) == 64
    folder = registry.download("champion", tracking_uri=uri)
    assert (folder / "generate.onnx").read_text() == "graph one"


def test_registering_again_makes_no_second_version(registered: Callable, uri: str) -> None:
    first = registered("one", True, kfp_run_id="run-1")
    assert registered("one", True, kfp_run_id="run-2") == first
    assert aliases(uri) == {"champion": 1, "challenger": 1}


def test_a_model_that_fails_the_gate_is_challenger_only(registered: Callable, uri: str) -> None:
    registered("one", True)
    assert registered("two", False) == {"version": 2, "promoted": False, "champion": 1}
    assert aliases(uri) == {"champion": 1, "challenger": 2}


def test_promotion_keeps_the_way_back_and_rollback_takes_it(registered: Callable, uri: str) -> None:
    registered("one", True)
    registered("two", True)
    assert aliases(uri) == {"champion": 2, "challenger": 2, "previous": 1}
    assert registry.rollback(tracking_uri=uri).number == 1
    assert aliases(uri) == {"champion": 1, "challenger": 2, "previous": 2}
    assert registry.rollback(tracking_uri=uri).number == 2
    assert registry.promote("challenger", tracking_uri=uri).number == 2, "promoting the champion changes nothing"
    assert aliases(uri) == {"champion": 2, "challenger": 2, "previous": 1}


def test_the_workspace_points_to_the_champion(registered: Callable, uri: str, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    registered("one", True)
    assert (packages.champion(workspace) / "generate.onnx").read_text() == "graph one"
    registered("two", True)
    assert (packages.champion(workspace) / "generate.onnx").read_text() == "graph two"
    registry.rollback(tracking_uri=uri)
    assert (packages.champion(workspace) / "generate.onnx").read_text() == "graph one"


def test_the_pointer_follows_an_alias_that_was_moved_elsewhere(registered: Callable, uri: str, tmp_path: Path) -> None:
    from danqing.platform import tracking

    registered("one", True)
    registered("two", True)
    tracking.client(uri).set_registered_model_alias("danqing", "champion", "1")
    registry.point(uri)
    assert (packages.champion(tmp_path / "workspace") / "generate.onnx").read_text() == "graph one"


def test_what_is_not_there_is_named_with_what_is(registered: Callable, uri: str) -> None:
    with pytest.raises(RegistryError, match="nothing is registered yet"):
        registry.promote(1, tracking_uri=uri)
    with pytest.raises(RegistryError, match="no previous champion"):
        registry.rollback(tracking_uri=uri)
    registered("one", True)
    with pytest.raises(RegistryError, match=r"'9'.*1=challenger/champion"):
        registry.promote(9, tracking_uri=uri)
    assert registry.previous(uri) is None


def test_a_package_that_was_damaged_is_not_handed_out(registered: Callable, uri: str) -> None:
    registered("one", True)
    (registry.download(1, tracking_uri=uri) / "generate.onnx").write_text("damaged")
    with pytest.raises(StorageError, match=r"generate\.onnx"):
        registry.download(1, tracking_uri=uri)


def test_reading_with_sqlite_and_reading_with_mlflow_agree(registered: Callable, uri: str) -> None:
    registered("one", True, git_sha="abc")
    registered("two", True)
    assert versions._read_mlflow(uri, "danqing") == versions.read(uri, "danqing")
    assert len(versions.read(uri, "danqing")) == 2


def test_a_database_with_other_tables_is_left_to_mlflow(
    registered: Callable, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered("one", True)

    def changed(*_: object) -> dict:
        raise sqlite3.OperationalError("no such table")

    monkeypatch.setattr(versions, "_read_sqlite", changed)
    champion = registry.champion(uri)
    assert champion is not None and champion.number == 1


def test_a_server_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match=r"http://127\.0\.0\.1:9") as error:
        registry.champion("http://127.0.0.1:9")
    assert "\n" not in str(error.value)
