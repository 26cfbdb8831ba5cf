"""MLflow as danqing uses it: one parent run per pipeline run, in it one nested run per step.

Everything goes through `MlflowClient` with explicit run ids, so that a follower thread, a step on a cluster and a test
can all write without touching MLflow's global state. MLflow is imported when the first `Tracker` is made.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from danqing.errors import RegistryError
from danqing.package import workspace

EXPERIMENT = "danqing"
RUN_TAG, STEP_TAG, PARENT_TAG = "kfp_run_id", "danqing.step", "mlflow.parentRunId"
# What is small enough to look at in MLflow's UI; pictures' shards and weights stay where they are.
ARTIFACT_SUFFIXES = frozenset({".html", ".md", ".png", ".csv", ".json"})
ARTIFACT_BYTES = 4_000_000
_MAX_PARAMS = 100  # of one log_batch call, a limit of MLflow


def default_uri(root: Path | None = None) -> str:
    """$MLFLOW_TRACKING_URI, or a SQLite file in the workspace `root` (None: the usual one)."""
    folder = workspace() if root is None else Path(root)
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"


def sqlite_file(uri: str) -> Path | None:
    """The file behind a SQLite address; None for any other address."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def client(uri: str) -> Any:
    """An `MlflowClient` for `uri`: silent, without telemetry, and quick to give up on a server that is not there."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    file = sqlite_file(uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn MLflow's and its database's errors inside into one line that names the address."""
    try:
        yield
    except RegistryError:
        raise
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("mlflow", "sqlalchemy", "sqlite3", "requests", "alembic"):
            raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RegistryError(f"{uri}: MLflow answers {first!r}; is the server up and the address right?") from error


class StepRun:
    """A `danqing.monitor.Monitor` that writes into one MLflow run."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self.run_id = client, run_id

    def metrics(self, values: Mapping[str, float], step: int | None = None, at: float | None = None) -> None:
        """at: seconds since the epoch; now if None."""
        from mlflow.entities import Metric

        stamp = int((time.time() if at is None else at) * 1000)
        entries = [Metric(name, float(value), stamp, step or 0) for name, value in values.items()]
        self._client.log_batch(self.run_id, metrics=entries)

    def progress(self, done: int, total: int, note: str = "") -> None:
        pass

    def params(self, values: Mapping[str, Any]) -> None:
        """Nested values become dotted names. Parameters that stand already (a retried step) are left alone."""
        from mlflow.entities import Param

        known = self._client.get_run(self.run_id).data.params
        flat = [Param(k, str(v)) for k, v in flatten(values).items() if k not in known]
        for start in range(0, len(flat), _MAX_PARAMS):
            self._client.log_batch(self.run_id, params=flat[start : start + _MAX_PARAMS])

    def tags(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(k, str(v)) for k, v in values.items()])

    def artifacts(self, folder: Path, under: str | None = None) -> None:
        """Log the small files of `folder` that a person would open."""
        for file in sorted(Path(folder).rglob("*")) if Path(folder).is_dir() else []:
            if file.suffix in ARTIFACT_SUFFIXES and file.is_file() and file.stat().st_size <= ARTIFACT_BYTES:
                where = file.parent.relative_to(folder).as_posix()
                parts = [part for part in (under, where if where != "." else None) if part]
                self._client.log_artifact(self.run_id, str(file), "/".join(parts) or None)

    def end(self, results: Mapping[str, Any], folder: Path | None, status: str = "FINISHED") -> None:
        """Log a step's results and the small files of its output folder, and end the run."""
        self.metrics(numbers(results))
        self.tags({f"result.{k}": str(v) for k, v in results.items() if k not in numbers(results)})
        if folder is not None:
            self.artifacts(folder)
        self.finish(status)

    def finish(self, status: str = "FINISHED") -> None:
        """status: FINISHED, FAILED or KILLED."""
        self._client.set_terminated(self.run_id, status)


class Tolerant:
    """A monitor behind which MLflow may fail: a training does not die of a tracking server that went away."""

    def __init__(self, run: StepRun) -> None:
        self._run, self._failed = run, False

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        try:
            self._run.metrics(values, step)
        except Exception as error:  # noqa: BLE001 - whatever it is, the training matters more
            if not self._failed:
                print(f"MLflow does not take metrics ({error}); going on without", file=sys.stderr, flush=True)
            self._failed = True

    def progress(self, done: int, total: int, note: str = "") -> None:
        pass


class Tracker:
    """Finds or makes the runs of one pipeline run, which `run_id` names (KFP's own on a cluster)."""

    def __init__(self, uri: str, run_id: str, experiment: str = EXPERIMENT) -> None:
        self.uri, self.run_id = uri, run_id
        with reaching(uri):
            self.client = client(uri)
            self.experiment = self._experiment(experiment)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        file = sqlite_file(self.uri)
        # Beside the database, not below the current folder, where MLflow would put them by itself.
        place = (file.parent / "mlartifacts" / name).resolve().as_uri() if file is not None else None
        try:
            return str(self.client.create_experiment(name, artifact_location=place))
        except Exception:
            found = self.client.get_experiment_by_name(name)  # another step was quicker
            if found is None:
                raise
            return str(found.experiment_id)

    def _find(self, **tags: str) -> str | None:
        """The oldest run with these tags: all who look at the same time agree on it."""
        query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        runs = self.client.search_runs(
            [self.experiment], query, max_results=1, order_by=["attributes.start_time ASC", "attributes.run_id ASC"]
        )
        return str(runs[0].info.run_id) if runs else None

    def _find_or_make(self, name: str, tags: Mapping[str, str]) -> str:
        found = self._find(**tags)
        if found is not None:
            return found
        made = str(self.client.create_run(self.experiment, tags=dict(tags), run_name=name).info.run_id)
        first = self._find(**tags) or made
        if first != made:
            self.client.delete_run(made)
        return first

    def parent(self) -> StepRun:
        """The run of the whole pipeline run. KFP's own MLflow plugin may have made one already: then it is that."""
        with reaching(self.uri):
            given = os.environ.get("MLFLOW_RUN_ID", "")
            if given:
                above = self.client.get_run(given).data.tags.get(PARENT_TAG, given)
                return StepRun(self.client, above)
            return StepRun(self.client, self._find_or_make(self.run_id, {RUN_TAG: self.run_id, STEP_TAG: "pipeline"}))

    def step(self, name: str) -> StepRun:
        """The nested run of step `name`; a retried step goes on in the same one."""
        with reaching(self.uri):
            given = os.environ.get("MLFLOW_RUN_ID", "")
            if given:
                return StepRun(self.client, given)
            tags = {RUN_TAG: self.run_id, STEP_TAG: name, PARENT_TAG: self.parent().run_id}
            run = self._find_or_make(name, tags)
            self.client.update_run(run, status="RUNNING")
            return StepRun(self.client, run)

    def note(self, step: str, results: Mapping[str, Any]) -> None:
        """Carry to the parent run what models are compared by, and end it after the last step."""
        if step == "evaluate":
            self.parent().metrics(numbers(results))
        elif step == "register":
            self.parent().tags({k: str(v) for k, v in results.items()})
            self.parent().finish()


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"width": 96}} → {"model.width": 96}."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The scalars among a step's results; truth values and words are left out."""
    return {k: float(v) for k, v in values.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
