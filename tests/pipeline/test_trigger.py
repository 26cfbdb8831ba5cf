"""The retrain trigger: one run for one cause, whatever Kubeflow, MLflow and the network do meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kfp_server import Kfp

from danqing.config import Register
from danqing.errors import ClusterError, ConfigError, RegistryError, StorageError
from danqing.monitor import Silent
from danqing.platform import kubeflow, registry, tracking, trigger
from danqing.platform.kubeflow import Run

POINTER = "outs:\n- md5: {}.dir\n  size: 12\n  hash: md5\n  path: pictures\n"


@pytest.fixture
def kfp() -> Iterator[Kfp]:
    server = Kfp()
    yield server
    server.close()


class Desk:
    """What the trigger looks at, and the trigger."""

    def __init__(self, kfp: Kfp, uri: str, folder: Path) -> None:
        self.kfp, self.uri, self.lines = kfp, uri, []
        self.pointer, self.report = folder / "pictures.dvc", folder / "drift.json"
        self.data("a")
        self.drift(False)

    def data(self, revision: str) -> None:
        self.pointer.write_text(POINTER.format(revision))

    def drift(self, drifted: bool, since: str | None = "2026-11-20", **more: Any) -> None:
        self.report.write_text(
            json.dumps({"drifted": drifted, "reasons": ["length of prompts"], "since": since} | more)
        )

    def look(self, **changes: Any) -> Run | None:
        self.lines = []
        settings = {"host": self.kfp.url, "tracking": self.uri, "data": str(self.pointer), "drift": str(self.report)}
        return trigger.look(trigger.Settings(**{**settings, **changes}), self.lines.append)

    def finish(self, state: str = "SUCCEEDED") -> None:
        for run in self.kfp.runs:
            run["state"] = state

    @property
    def said(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def desk(kfp: Kfp, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(kubeflow, "_PAUSES", (0.0, 0.0))
    return Desk(kfp, uri, tmp_path)


def test_a_new_revision_starts_one_run_of_the_newest_version_with_its_revision(desk: Desk) -> None:
    run = desk.look(parameters={"profile": "gpu", "seed": "7"})
    assert run is not None and "started runs-1" in desk.said and "revision a.dir" in desk.said
    (made,) = desk.kfp.runs
    assert made["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v2"}
    assert made["runtime_config"]["parameters"] == {"profile": "gpu", "seed": 7, "data_revision": "a.dir"}
    assert desk.kfp.experiments[0]["display_name"] == "danqing-retrain"
    desk.finish()
    assert desk.look() is None and "no run is needed" in desk.said
    desk.data("b")
    assert desk.look() is not None
    assert [run["runtime_config"]["parameters"]["data_revision"] for run in desk.kfp.runs] == ["a.dir", "b.dir"]


def test_drift_starts_one_run_that_computes_anew_and_the_next_drift_another(desk: Desk) -> None:
    desk.look()
    desk.finish()
    desk.drift(True)
    assert desk.look() is not None and "drift since 2026-11-20 (length of prompts)" in desk.said
    desk.finish()
    assert desk.look() is None
    desk.drift(True, "2026-12-24")
    assert desk.look() is not None
    words = [run["runtime_config"]["parameters"].get("rerun") for run in desk.kfp.runs]
    assert words[0] is None and None not in words[1:] and words[1] != words[2]


def test_new_pictures_and_drift_at_once_are_one_run(desk: Desk) -> None:
    desk.drift(True)
    assert desk.look() is not None
    assert len(desk.kfp.runs) == 1 and "revision a.dir" in desk.said and "drift since" in desk.said
    desk.finish()
    assert desk.look() is None and len(desk.kfp.runs) == 1


def test_nothing_is_started_beside_a_run_that_goes_on_and_nothing_is_forgotten(desk: Desk) -> None:
    desk.look()
    desk.data("b")
    assert desk.look() is None and "not yet: run runs-1" in desk.said
    desk.finish()
    assert desk.look() is not None and len(desk.kfp.runs) == 2


def test_a_failed_run_is_not_started_anew(desk: Desk) -> None:
    desk.look()
    desk.finish("FAILED")
    assert desk.look() is None and len(desk.kfp.runs) == 1


def test_kubeflows_memory_stands_in_for_mlflows(desk: Desk, uri: str) -> None:
    """As after a crash between start and note, or in a new registry."""
    desk.look()
    desk.finish("FAILED")
    tracking.client(uri).set_experiment_tag(
        tracking.client(uri).get_experiment_by_name("danqing").experiment_id, "retrain.data", "not JSON"
    )
    desk.kfp.page = 1
    desk.kfp.runs += [{"run_id": f"by-hand-{i}", "experiment_id": "experiments-1", "state": "SUCCEEDED"}
                      for i in range(3)]  # fmt: skip
    assert desk.look() is None and "run runs-1 (FAILED) was started for it" in desk.said
    desk.kfp.runs.clear()
    assert desk.look() is None, "and then MLflow knows it again"


def test_mlflows_memory_stands_in_for_runs_that_were_deleted(desk: Desk) -> None:
    desk.look()
    desk.kfp.runs.clear()
    assert desk.look() is None and "run runs-1 was started for it at" in desk.said


def test_what_a_model_was_trained_on_needs_no_run(
    desk: Desk, uri: str, package: Callable[[str], Path], folder: Callable[..., Path], tmp_path: Path
) -> None:
    registry.register(
        package("one"), folder("evaluation", "metrics.json", {"psnr": 1.0}),
        folder("decision", "decision.json", {"promote": False}), out=tmp_path / "out", config=Register(),
        monitor=Silent(), scratch=tmp_path, tracking_uri=uri, lineage={"dvc_revision": "a.dir"},
    )  # fmt: skip
    assert desk.look() is None and "version 1 was trained on revision a.dir" in desk.said
    desk.data("b")
    assert desk.look() is not None


def test_a_dry_run_says_what_it_would_do_and_does_nothing(desk: Desk, uri: str) -> None:
    assert desk.look(dry_run=True) is None
    assert 'would start danqing with {"data_revision": "a.dir"}, because the pictures' in desk.said
    assert not desk.kfp.runs and not desk.kfp.experiments
    experiment = tracking.client(uri).get_experiment_by_name("danqing")
    assert experiment is None or not any(tag.startswith("retrain.") for tag in experiment.tags)
    assert desk.look() is not None


def test_a_server_that_stumbles_while_reading_is_asked_again(desk: Desk) -> None:
    desk.kfp.faults = {"GET experiments": [500, 503], "GET runs": ["lost", "html"], "GET pipelines": [502, "html"]}
    assert desk.look() is not None and len(desk.kfp.runs) == 1


def test_a_server_that_stays_away_is_an_error_and_the_next_look_starts(desk: Desk) -> None:
    desk.kfp.faults = {"GET experiments": [500] * 3}
    with pytest.raises(ClusterError, match="Kubeflow answers 500 the database is away"):
        desk.look()
    assert desk.kfp.asked == ["GET experiments"] * 3
    assert desk.look() is not None


@pytest.mark.parametrize("fault", [500, "silent", "html"])
def test_a_start_that_fails_is_not_repeated_blindly(desk: Desk, fault: Any) -> None:
    desk.kfp.faults = {"POST runs": [fault]}
    with pytest.raises(ClusterError, match="no run is to be seen, the next look decides"):
        desk.look(timeout=1)
    assert desk.kfp.asked.count("POST runs") == 1 and not desk.kfp.runs
    assert desk.look() is not None and len(desk.kfp.runs) == 1


def test_a_start_whose_answer_is_lost_is_found_and_not_repeated(desk: Desk) -> None:
    desk.kfp.faults = {"POST runs": ["lost"]}
    run = desk.look()
    assert run is not None and run.run_id == "runs-1" and len(desk.kfp.runs) == 1
    desk.finish()
    assert desk.look() is None and len(desk.kfp.runs) == 1


def test_a_refused_start_says_why_and_is_not_asked_for_again(desk: Desk) -> None:
    desk.kfp.faults = {"POST runs": [400]}
    with pytest.raises(ClusterError, match=r"Kubeflow answers 400 the database is away$"):
        desk.look()
    assert desk.kfp.asked.count("POST runs") == 1


def test_a_login_page_is_no_empty_list_of_runs(desk: Desk) -> None:
    desk.kfp.faults = {"GET runs": ["html"] * 3}
    with pytest.raises(ClusterError, match="not the answer of a Kubeflow Pipelines API"):
        desk.look()
    assert not desk.kfp.runs


def test_a_silent_server_is_given_up(desk: Desk) -> None:
    desk.kfp.faults = {"GET experiments": ["silent"] * 3}
    with pytest.raises(ClusterError, match="no answer from Kubeflow"):
        desk.look(timeout=1)


def test_nobody_at_the_address(desk: Desk) -> None:
    desk.kfp.close()
    with pytest.raises(ClusterError, match="no answer from Kubeflow"):
        desk.look()


def test_a_pipeline_that_was_not_uploaded_is_named(desk: Desk) -> None:
    desk.kfp.pipelines.clear()
    with pytest.raises(ClusterError, match="there is no pipeline 'danqing'"):
        desk.look()


def test_without_mlflow_nothing_is_started(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match="MLflow answers"):
        desk.look(tracking="http://127.0.0.1:9")
    assert not desk.kfp.runs and not desk.kfp.asked


def test_the_pods_token_is_shown_to_kubeflow(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("a-token-of-this-test\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    desk.look(namespace="painters")
    assert desk.kfp.tokens == {"Bearer a-token-of-this-test"}
    assert desk.kfp.experiments[0]["namespace"] == "painters"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no drift report"),
        ("[]", "no drift report"),
        ('{"drifted": "yes"}', "`drifted` is 'yes'"),
        ('{"drifted": true}', "`since` is None"),
    ],
)
def test_a_report_that_is_none_starts_nothing(desk: Desk, text: str, said: str) -> None:
    desk.report.write_text(text)
    with pytest.raises(StorageError, match=said):
        desk.look()
    assert not desk.kfp.runs


def test_the_pointer_may_be_a_dvc_file_a_lock_or_a_tracked_folder(desk: Desk, tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    lock.write_text("schema: '2.0'\nstages:\n  ingest:\n    outs:\n    - path: data/corpus\n      md5: c.dir\n")
    (tmp_path / "pictures").mkdir()
    for address, revision in ((f"{lock}#data/corpus", "c.dir"), (str(tmp_path / "pictures"), "a.dir")):
        desk.look(data=address, dry_run=True)
        assert f"revision {revision}" in desk.said
    for wrong in (f"{lock}#data/other", str(desk.report)):
        with pytest.raises(StorageError, match="has no revision there"):
            desk.look(data=wrong)
    with pytest.raises(StorageError, match="missing"):
        desk.look(data=str(tmp_path / "missing.dvc"))


class Forge(BaseHTTPRequestHandler):
    """Where a team keeps its repository: it shows a pointer to whoever has the token, and sends all others away."""

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == "Bearer a-token-of-this-test"
        data = POINTER.format("h").encode() if known else b"who are you?"
        self.send_response(200 if known and self.path.endswith("/pictures.dvc") else 403 if not known else 404)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def test_the_pointer_may_lie_in_a_repository_behind_http(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Forge) as forge:
        threading.Thread(target=forge.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{forge.server_address[1]}/raw/main/pictures.dvc"
        with pytest.raises(StorageError, match=f"{address}: Forbidden"):
            desk.look(data=address)
        monkeypatch.setenv("DANQING_DATA_TOKEN", "a-token-of-this-test")
        desk.look(data=address, drift="")
        assert "revision h.dir" in desk.said
        with pytest.raises(StorageError, match="Not Found"):
            desk.look(data=f"{address}.gone")
        forge.shutdown()
    with pytest.raises(StorageError, match="refused"):
        desk.look(data=address)


def test_options_are_checked_before_anything_is_asked() -> None:
    for given, said in (
        ({"host": ""}, "where is Kubeflow"),
        ({"data": ""}, "nothing to look at"),
        ({"timeout": 0}, "at least 1 second"),
        ({"parameters": {"rerun": "x"}}, "the trigger sets it itself"),
    ):
        with pytest.raises(ConfigError, match=said):
            trigger.Settings(**{"host": "http://x", "tracking": "y", "data": "z", **given})


def test_the_program_as_a_cronjob_calls_it(desk: Desk, tmp_path: Path) -> None:
    environment = {**os.environ, "KF_PIPELINES_ENDPOINT": desk.kfp.url, "MLFLOW_TRACKING_URI": desk.uri,
                   "DANQING_DATA": str(desk.pointer)}  # fmt: skip
    command = [sys.executable, "-m", "danqing.platform.trigger", "--set", "profile=gpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0 and "started runs-1" in done.stdout, done.stderr


def test_an_error_is_one_line_and_a_status(desk: Desk, capsys: pytest.CaptureFixture) -> None:
    desk.kfp.close()
    given = ["--kubeflow", desk.kfp.url, "--tracking", desk.uri]
    assert trigger.main([*given, "--data", str(desk.pointer)]) == 8
    assert trigger.main([*given, "--data", "nowhere.dvc"]) == 4
    assert trigger.main(given) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("trigger: ") for line in lines)
