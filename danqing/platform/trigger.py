"""Starts a training run on Kubeflow when the pictures have a new DVC revision or the drift report says so.

Looks once and ends; a CronJob runs it (concurrencyPolicy: Forbid, activeDeadlineSeconds: 600). One run for one cause,
whatever happens: what a run was started for stands in the run's description, in tags of MLflow's experiment, and, once
it has registered a model, in the model version's tag dvc_revision. A run that failed is not started anew: somebody
should look at it first. Nothing is started beside a run that is still going on.

python -m danqing.platform.trigger --data https://git.example/raw/main/data/pictures.dvc --drift s3://danqing/drift.json

Environment (each has an option): KF_PIPELINES_ENDPOINT, DANQING_DATA, DANQING_DRIFT, DANQING_NAMESPACE.
MLFLOW_TRACKING_URI and, where MLflow asks for a login, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD;
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL for s3:// addresses; DANQING_DATA_TOKEN, a bearer token
for --data. Where Kubeflow has many users, mount a projected ServiceAccount token with the audience
pipelines.kubeflow.org at /var/run/secrets/kubeflow/pipelines/token. It listens to no port and writes no file; it
connects to Kubeflow (8888), MLflow (5000) and wherever the two addresses lead.

Exit status: 0 a run was started or none is needed, 2 wrong options, 4 a report or pointer cannot be read, 7 MLflow,
8 Kubeflow does not answer or refuses.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from danqing import config, presets
from danqing.errors import ClusterError, ConfigError, DanqingError, StorageError
from danqing.platform import remote, tracking, versioning, versions
from danqing.platform.kubeflow import Kubeflow, NoAnswer, Run

DATA, DRIFT = "data", "drift"
TAG = "retrain."
"""Prefix of the experiment's tags that say what was last started for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why to train."""

    kind: str
    key: str
    """What tells this cause from another of its kind: a DVC revision, or since when there is drift."""
    why: str

    @property
    def mark(self) -> str:
        """The line of a run's description that says it was started for this."""
        return f"cause: {self.kind} {self.key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a look needs to know."""

    host: str
    tracking: str
    data: str = ""
    """Address of a .dvc file or `dvc.lock#out`, or a folder that DVC tracks; empty: not looked at."""
    drift: str = ""
    """Address of the drift report; empty: not looked at."""
    pipeline: str = "danqing"
    experiment: str = "danqing-retrain"
    namespace: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """More parameters of the pipeline."""
    name: str = config.Register().name
    timeout: int = 20
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not self.host:
            raise ConfigError("where is Kubeflow? Give --kubeflow, or set KF_PIPELINES_ENDPOINT")
        if not (self.data or self.drift):
            raise ConfigError("nothing to look at: give --data, --drift or both")
        if self.timeout < 1:
            raise ConfigError(f"--timeout is {self.timeout}: at least 1 second")
        if taken := {"data_revision", "rerun"} & set(self.parameters):
            raise ConfigError(f"--set {taken.pop()}: the trigger sets it itself")


def look(settings: Settings, say: Callable[[str], None] = print) -> Run | None:
    """Look once; the run that was started, or None. Says why, either way. Raises DanqingError."""
    revision, causes = _revision(settings), []
    if revision:
        causes.append(Cause(kind=DATA, key=revision, why=f"the pictures have revision {revision}"))
    if settings.drift:
        found = drifted(settings.drift, settings.timeout)
        causes += [found] if found else []
        if not found:
            say("drift: the report says no")
    causes = [cause for cause in causes if not _trained(settings, cause, say)]
    if not causes:
        say("no run is needed")
        return None
    kubeflow = Kubeflow(settings.host, namespace=settings.namespace, timeout=settings.timeout)
    experiment = kubeflow.experiment(settings.experiment, create=not settings.dry_run)
    runs = kubeflow.runs(experiment) if experiment else []
    fresh = []
    for cause in causes:
        earlier = started_for(cause, runs)
        if earlier is None:
            fresh.append(cause)
            continue
        say(f"{cause.kind}: run {earlier.run_id} ({earlier.state or 'just started'}) was started for it")
        if not settings.dry_run:
            _remember(settings, [cause], earlier)
    if not fresh:
        say("no run is needed")
        return None
    busy = next((run for run in runs if run.going_on), None)
    if busy is not None:
        say(f"not yet: run {busy.run_id} ({busy.name}) is still going on")
        return None
    return _start(settings, kubeflow, experiment, revision, fresh, say)


def _start(
    settings: Settings, kubeflow: Kubeflow, experiment: str, revision: str, causes: list[Cause],
    say: Callable[[str], None],
) -> Run | None:  # fmt: skip
    why = " and ".join(cause.why for cause in causes)
    parameters: dict[str, str | int] = {**settings.parameters}
    if "seed" in parameters:
        parameters["seed"] = _whole(settings.parameters["seed"])  # Kubeflow takes no text for a number
    if revision:
        parameters["data_revision"] = revision
    if any(cause.kind == DRIFT for cause in causes):  # the pictures may be unchanged, and all results remembered
        parameters["rerun"] = _digest(causes)
    version = kubeflow.newest_version(settings.pipeline)
    if settings.dry_run:
        say(f"would start {settings.pipeline} with {json.dumps(parameters, sort_keys=True)}, because {why}")
        return None
    description = "\n".join([f"Started by danqing.platform.trigger, because {why}.", *(c.mark for c in causes)])
    name = f"retrain {'+'.join(cause.kind for cause in causes)} {_digest(causes)}"
    try:
        run = kubeflow.start(name, experiment, version, parameters, description)
    except NoAnswer as error:
        found = started_for(causes[0], kubeflow.runs(experiment))
        if found is None:
            raise ClusterError(f"{error}; no run is to be seen, the next look decides") from error
        run = found
    say(f"started {run.run_id} ({name}), because {why}")
    _remember(settings, causes, run)
    return run


def started_for(cause: Cause, runs: list[Run]) -> Run | None:
    """The run that was started for `cause`, whatever became of it."""
    return next((run for run in runs if cause.mark in run.description.splitlines()), None)


def drifted(address: str, timeout: int = 20) -> Cause | None:
    """What a drift report asks for; None if it says that all is well. Raises StorageError."""
    text = remote.read_text(address, timeout=timeout)
    try:
        report = json.loads(text)
        drifted, since = report["drifted"], report.get("since")
        reasons = [str(reason) for reason in report.get("reasons") or []]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{address}: no drift report ({type(error).__name__}: {error})") from error
    if not isinstance(drifted, bool) or (drifted and not since):
        raise StorageError(f"{address}: no drift report: `drifted` is {drifted!r}, `since` is {since!r}")
    if not drifted:
        return None
    why = f"there is drift since {since}" + (f" ({'; '.join(reasons)})" if reasons else "")
    return Cause(kind=DRIFT, key=" ".join(str(since).split()), why=" ".join(why.split())[:1000])


def _revision(settings: Settings) -> str:
    """The DVC revision of the pictures; empty if it is not looked at. Raises StorageError."""
    if not settings.data:
        return ""
    address, _, out = settings.data.partition("#")
    if "://" not in address and Path(address).is_dir():
        found = versioning.dvc_revision(Path(address))
    else:
        token = os.environ.get("DANQING_DATA_TOKEN", "")
        found = versioning.revision_in(remote.read_text(address, timeout=settings.timeout, token=token), out)
    if not found:
        raise StorageError(f"{settings.data}: DVC's pointer has no revision there; is it a .dvc file, or dvc.lock#OUT?")
    return found


def _trained(settings: Settings, cause: Cause, say: Callable[[str], None]) -> bool:
    """Whether MLflow says that a run was started for this, or that a model was trained on it."""
    with tracking.reaching(settings.tracking):
        experiment = tracking.client(settings.tracking).get_experiment_by_name(tracking.EXPERIMENT)
    tag = (experiment.tags if experiment else {}).get(TAG + cause.kind, "")
    try:
        last = json.loads(tag) if tag else {}
    except ValueError:
        last = {}  # somebody wrote there; Kubeflow's own list of runs still tells
    if last.get("cause") == cause.key:
        say(f"{cause.kind}: run {last.get('run')} was started for it at {last.get('at')}")
        return True
    if cause.kind == DATA:
        known = versions.read(settings.tracking, settings.name).values()
        made = next((version for version in known if version.tags.get("dvc_revision") == cause.key), None)
        if made is not None:
            say(f"data: version {made.number} was trained on revision {cause.key}")
            return True
    return False


def _remember(settings: Settings, causes: list[Cause], run: Run) -> None:
    """Kubeflow's runs may be deleted; MLflow keeps what was last started for."""
    with tracking.reaching(settings.tracking):
        client = tracking.client(settings.tracking)
        experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
        number = experiment.experiment_id if experiment else client.create_experiment(tracking.EXPERIMENT)
        for cause in causes:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            text = json.dumps({"cause": cause.key, "run": run.run_id, "at": now})
            client.set_experiment_tag(number, TAG + cause.kind, text)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"--set seed={text}: a whole number is needed") from None


def _digest(causes: list[Cause]) -> str:
    return hashlib.sha256("\n".join(cause.mark for cause in causes).encode()).hexdigest()[:12]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m danqing.platform.trigger", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    got = os.environ.get
    parser.add_argument("--kubeflow", default=got("KF_PIPELINES_ENDPOINT", ""), metavar="URL",
                        help="Kubeflow Pipelines' API, e.g. http://ml-pipeline.kubeflow:8888")  # fmt: skip
    parser.add_argument("--tracking", default=got("MLFLOW_TRACKING_URI", ""), metavar="URL", help="MLflow's address")
    parser.add_argument("--data", default=got("DANQING_DATA", ""), metavar="ADDRESS",
                        help=".dvc file or dvc.lock#OUT (path, http(s)://, s3://), or folder under DVC")  # fmt: skip
    parser.add_argument("--drift", default=got("DANQING_DRIFT", ""), metavar="ADDRESS",
                        help="the drift report, drift.json: path, http(s):// or s3://")  # fmt: skip
    parser.add_argument(
        "--namespace", default=got("DANQING_NAMESPACE", ""), help="where Kubeflow has many users: whose"
    )
    parser.add_argument("--pipeline", default="danqing", help="the uploaded pipeline; its newest version is run")
    parser.add_argument("--experiment", default="danqing-retrain", help="Kubeflow's experiment for these runs alone")
    parser.add_argument("--set", dest="parameters", action="append", default=[], metavar="KEY=VALUE",
                        help="a parameter of the pipeline, e.g. profile=gpu")  # fmt: skip
    parser.add_argument("--name", default=config.Register().name, help="the registered model")
    parser.add_argument("--timeout", type=int, default=20, help="seconds to wait for an answer")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    given = vars(parser.parse_args(arguments))
    try:
        settings = Settings(
            host=given.pop("kubeflow"), tracking=given.pop("tracking") or tracking.default_uri(),
            parameters=presets.parse_assignments(given.pop("parameters")), **given,
        )  # fmt: skip
        look(settings, lambda line: print(line, flush=True))
    except DanqingError as error:
        print(f"trigger: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
