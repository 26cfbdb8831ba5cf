"""`run_local`: the compiled pipeline in real processes, with toys for the steps (tests/pipeline/toys) to be quick."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from danqing import steps
from danqing.errors import ConfigError, StorageError
from danqing.platform import tracking
from pipelines import local
from pipelines.local import RunFailed, run_local

TOYS = Path(__file__).parent / "toys"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _empty_registry: Path) -> Callable[..., tuple]:
    """run(count): (summary, what the user saw); count says what goes wrong (see toy_steps)."""
    monkeypatch.setenv("PYTHONPATH", str(TOYS))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace = tmp_path / "work space"  # a blank in a path is nothing unusual
    workspace.mkdir()
    shutil.copyfile(_empty_registry, workspace / "mlflow.db")

    def go(count: int = 20, **arguments: object) -> tuple:
        stream = io.StringIO()
        try:
            summary = run_local(
                "debug", {"ingest.count": count}, workspace=workspace, init="scratch", stream=stream, **arguments
            )
        except RunFailed as error:
            if count in (13, 14, 15):
                return error, stream.getvalue()
            log = next((workspace / "runs").glob("*/run.log"))
            raise AssertionError(f"{error}\n{log.read_text()[-3000:]}") from error
        return summary, stream.getvalue()

    return go


def test_a_run_ends_with_a_model_and_says_where_everything_is(run: Callable) -> None:
    before = dict(os.environ)
    summary, seen = run()
    assert dict(os.environ) == before and sys.stdout is not None
    assert set(summary.steps) == set(steps.STEPS) and summary.reused == ()
    assert summary.version == summary.champion == 1 and summary.promoted
    for name in ("samples.png", "report.html", "validation.html"):
        assert summary.latest[name].is_file() and str(summary.latest[name]) in seen
    for told in ("mlflow ui --backend-store-uri 'sqlite:///", "danqing paint", "danqing serve", "version 1, champion"):
        assert told in seen
    assert "KFP Executor" not in seen and "KFP Executor" in (
        summary.workspace / "runs" / summary.run_id / "run.log"
    ).read_text(encoding="utf-8")
    assert (summary.workspace / "champion.json").is_file()
    client = tracking.client(summary.mlflow)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    found = {r.data.tags[tracking.STEP_TAG]: r.info.status for r in client.search_runs([experiment.experiment_id])}
    assert found == dict.fromkeys(["pipeline", *steps.STEPS], "FINISHED")

    again, seen = run()
    assert set(again.reused) == set(steps.STEPS) - {"gate", "register"}
    assert "reused" in seen and again.version == 1
    assert {k: v for k, v in again.steps.items() if k != "gate"} == {
        k: v for k, v in summary.steps.items() if k != "gate"
    }

    forced, seen = run(rerun="monday")
    assert forced.reused == () and "reused" not in seen


def test_a_broken_corpus_stops_the_run_with_one_line_and_its_report(run: Callable, tmp_path: Path) -> None:
    error, seen = run(13)
    assert isinstance(error, RunFailed) and error.exit_code == 3
    assert str(error).startswith("validate: expectation picture_count: column id: 13 brings bad luck (log: ")
    assert "\n" not in str(error) and "train_tokenizer …" not in seen
    (page,) = (tmp_path / "work space" / "runs").glob("*/artifacts/*/validate/page")
    assert page.read_text() == "<p>the corpus"


def test_a_killed_training_resumes_and_ends_at_the_same_losses(run: Callable, tmp_path: Path) -> None:
    error, _ = run(14)
    assert isinstance(error, RunFailed) and str(error).startswith("train_tokenizer: its process ended without a word")
    summary, _ = run(14)
    undisturbed, _ = run(20)
    (resumed,) = (tmp_path / "work space" / "memo" / "train_tokenizer").glob("*/out/resumed")
    assert resumed.with_name("tokenizer.json").read_text() == "[1.0, 0.5, 0.3333333333333333, 0.25]"
    assert summary.steps["train_tokenizer"] == undisturbed.steps["train_tokenizer"]


def test_an_unforeseen_error_is_named_and_its_traceback_is_in_the_log(run: Callable, tmp_path: Path) -> None:
    error, _ = run(15)
    assert str(error).startswith("train_tokenizer: RuntimeError: nobody foresaw this (log: ")
    (log,) = (tmp_path / "work space" / "runs").glob("*/run.log")
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_two_runs_do_not_share_a_workspace(tmp_path: Path) -> None:
    with open(tmp_path / "run.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another run"):
            run_local("debug", workspace=tmp_path, stream=io.StringIO())


def test_a_wrong_configuration_is_refused_before_anything_starts(tmp_path: Path) -> None:
    for arguments in ({"profile": "debgu"}, {"overrides": {"painter.stepps": 1}}, {"init": "magic"}):
        with pytest.raises(ConfigError):
            run_local(workspace=tmp_path / "new", **{"profile": "debug"} | arguments)
    assert not (tmp_path / "new").exists()


def test_a_workspace_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        run_local("debug", workspace=tmp_path / "file", stream=io.StringIO())


def test_an_interpreter_path_with_a_blank_gets_a_plain_name(tmp_path: Path) -> None:
    blank = tmp_path / "my projects" / "python"
    blank.parent.mkdir()
    blank.symlink_to(sys.executable)
    plain = local._plain_path(str(blank), tmp_path)
    assert " " not in plain
    done = subprocess.run([plain, "-c", "print('blank' * 2)"], capture_output=True, text=True, check=True)
    assert done.stdout == "blankblank\n"
    assert local._plain_path("/usr/bin/python3", tmp_path) == "/usr/bin/python3"


def test_a_step_ends_when_the_run_that_started_it_is_gone() -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    code = "from danqing.platform import component; import time; component._die_with_parent(); time.sleep(60)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "DANQING_PARENT": gone.stdout.strip()}, timeout=50
    )
    assert done.returncode == 1
