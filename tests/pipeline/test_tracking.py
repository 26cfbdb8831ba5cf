"""A pipeline run is one run in MLflow with a nested run per step, whoever writes it. MLflow is real, on SQLite."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from danqing import steps
from danqing.errors import ConfigError, RegistryError, ValidationFailed
from danqing.monitor import Events
from danqing.platform import component, tracking
from danqing.platform.tracking import PARENT_TAG, STEP_TAG, Tracker
from pipelines.forward import Forwarder


def runs(uri: str) -> dict[str, Any]:
    """Step (or `pipeline`) → its run."""
    client = tracking.client(uri)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    return {run.data.tags[STEP_TAG]: run for run in client.search_runs([experiment.experiment_id])}


def forward(path: Path, uri: str, status: str = "FINISHED") -> None:
    forwarder = Forwarder(path, uri, "run-1", {"profile": "debug"})
    forwarder.start()
    forwarder.finish(status)
    assert forwarder.error == ""


def test_events_become_a_parent_run_and_nested_runs(uri: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("<p>report")
    (out / "weights.safetensors").write_bytes(b"heavy")
    for name in ("train_tokenizer", "evaluate"):
        events = Events(tmp_path / "events.jsonl", name)
        events.event(state="started", params={"steps": 4, "model": {"width": 96}}, tags={"git_sha": "abc"})
        for step in (1, 2):
            events.metrics({"loss": 1.0 / step}, step)
        events.metrics({"broken": math.nan}, 2)
        events.event(state="done", reused=False, results={"psnr": 21.5, "extractor": "E"}, out=str(out), seconds=2.0)
    forward(tmp_path / "events.jsonl", uri)

    found = runs(uri)
    parent, step = found["pipeline"], found["train_tokenizer"]
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert step.data.tags[PARENT_TAG] == found["evaluate"].data.tags[PARENT_TAG] == parent.info.run_id
    assert step.data.params == {"steps": "4", "model.width": "96"} and parent.data.params == {"profile": "debug"}
    assert step.data.tags["result.extractor"] == "E" and parent.data.tags["git_sha"] == "abc"
    assert parent.data.metrics == {"psnr": 21.5}, "the parent has the evaluation, to compare runs by"
    client = tracking.client(uri)
    history = client.get_metric_history(step.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5)]
    assert math.isnan(step.data.metrics["broken"])
    assert [file.path for file in client.list_artifacts(step.info.run_id)] == ["report.html"]


def test_failed_and_stopped_steps_are_marked_so(uri: str, tmp_path: Path) -> None:
    for name in ("ingest", "screen"):
        events = Events(tmp_path / "events.jsonl", name)
        events.event(state="started", params={}, tags={})
    Events(tmp_path / "events.jsonl", "ingest").event(
        state="failed", error="the disk is full", exit_code=4, out=str(tmp_path / "none")
    )
    forward(tmp_path / "events.jsonl", uri, "FAILED")
    found = runs(uri)
    assert {name: run.info.status for name, run in found.items()} == {
        "pipeline": "FAILED", "ingest": "FAILED", "screen": "KILLED",
    }  # fmt: skip
    assert found["ingest"].data.tags["result.error"] == "the disk is full"


def test_a_line_that_is_still_being_written_waits_for_its_end(uri: str, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    Events(path, "ingest").event(state="started", params={}, tags={})
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"step_name": "ingest", "state": "do')
    forward(path, uri)
    assert runs(uri)["ingest"].info.status == "KILLED"


def test_a_retried_step_goes_on_in_its_run(uri: str) -> None:
    first = Tracker(uri, "run-1").step("train_clip")
    first.params({"steps": 4})
    first.finish("FAILED")
    second = Tracker(uri, "run-1").step("train_clip")
    second.params({"steps": 4})
    assert second.run_id == first.run_id
    assert runs(uri)["train_clip"].info.status == "RUNNING"
    assert Tracker(uri, "run-2").step("train_clip").run_id != first.run_id


def test_a_run_that_kfp_has_begun_is_joined(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Tracker(uri, "kfp").step("ingest")
    parent = Tracker(uri, "kfp").parent()
    monkeypatch.setenv("MLFLOW_RUN_ID", given.run_id)
    assert Tracker(uri, "ours").step("ingest").run_id == given.run_id
    assert Tracker(uri, "ours").parent().run_id == parent.run_id


def test_tracking_that_fails_does_not_stop_a_training(capsys: pytest.CaptureFixture[str]) -> None:
    class Gone:
        def metrics(self, *_: object) -> None:
            raise ConnectionError("gone")

    monitor = tracking.Tolerant(Gone())  # type: ignore[arg-type]
    for step in range(3):
        monitor.metrics({"loss": 1.0}, step)
    assert capsys.readouterr().err.count("gone") == 1


def test_mlflow_out_of_reach_is_said_and_does_not_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    forwarder = Forwarder(tmp_path / "events.jsonl", "http://127.0.0.1:9", "run-1", {})
    forwarder.start()
    forwarder.finish()
    assert "127.0.0.1" in forwarder.error


class Artifact:
    """What KFP hands a component, as far as components use it."""

    def __init__(self, path: Path) -> None:
        self.path, self.logged = str(path), {}

    def log_metric(self, name: str, value: float) -> None:
        self.logged[name] = value


@pytest.fixture
def on_cluster(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A step `validate` as it runs in a pod: the server and the run's id in the environment, no one following."""
    for name in ("DANQING_EVENTS", "DANQING_PARENT", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("KFP_RUN_ID", "kfp-7")
    monkeypatch.setenv("DANQING_MEMO", str(tmp_path / "memo"))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "corpus.json").write_text("{}")

    def function(corpus: Path, *, out: Path, config: Any, monitor: Any, scratch: Path) -> dict[str, Any]:
        (out / "report.html").write_text("<p>forty-two")
        monitor.metrics({"checked": 1.0}, 3)
        if config.min_pictures == 99:
            raise ValidationFailed("expectation enough_pictures, column rows")
        return {"broken": 0, "judge": "E"}

    module = SimpleNamespace(function=function)
    monkeypatch.setattr(steps, "function", lambda step: module.function)
    artifacts = SimpleNamespace(
        corpus=Artifact(tmp_path / "corpus"), out=Artifact(tmp_path / "out"), metrics=Artifact(tmp_path / "metrics"),
        page=Artifact(tmp_path / "page.html"),
    )  # fmt: skip

    def run(overrides: str = "{}") -> None:
        component.run_component(
            "validate", inputs={"corpus": artifacts.corpus}, out=artifacts.out, profile="debug", overrides=overrides,
            metrics=artifacts.metrics, page=artifacts.page,
        )  # fmt: skip

    return SimpleNamespace(run=run, uri=uri, **vars(artifacts))


def test_on_a_cluster_the_component_logs_for_itself(on_cluster: SimpleNamespace) -> None:
    on_cluster.run()
    run = runs(on_cluster.uri)["validate"]
    assert run.info.status == "FINISHED" and run.data.tags["kfp_run_id"] == "kfp-7"
    assert run.data.metrics == {"checked": 1.0, "broken": 0.0}
    assert run.data.params["min_kappa"] == "0.75"
    assert on_cluster.metrics.logged == {"broken": 0.0}
    assert Path(on_cluster.page.path).read_text() == "<p>forty-two"


def test_the_report_of_a_failed_step_survives(on_cluster: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        on_cluster.run('{"validate.min_pictures": 99}')
    assert exit.value.code == ValidationFailed.exit_code
    assert capsys.readouterr().err.strip().splitlines()[-1] == "validate: expectation enough_pictures, column rows"
    assert Path(on_cluster.page.path).read_text() == "<p>forty-two"
    found = runs(on_cluster.uri)
    assert found["validate"].info.status == found["pipeline"].info.status == "FAILED"
    artifacts = tracking.client(on_cluster.uri).list_artifacts(found["validate"].info.run_id)
    assert [file.path for file in artifacts] == ["report.html"]


def test_a_registry_step_without_a_server_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from danqing import presets

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_URI is not set"):
        component._registry_arguments("gate", presets.default(), "")


def test_pipeline_parameters_win_over_overrides_and_are_checked() -> None:
    line = component.line_of("debug", '{"ingest.source": "museum", "painter.steps": 9}', source="brush", seed=3,
                             init="scratch")  # fmt: skip
    assert (line.ingest.source, line.painter.steps, line.painter.init) == ("brush", 9, "scratch")
    assert {getattr(line, name).seed for name in component._SEEDED} == {3}
    sections = [f.name for f in dataclasses.fields(line) if hasattr(getattr(line, f.name), "seed")]
    assert set(sections) == set(component._SEEDED), "one seed for every step that has one"
    with pytest.raises(ConfigError, match="init"):
        component.line_of("debug", init="magic")
