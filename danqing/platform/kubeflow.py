"""Kubeflow Pipelines as the retrain trigger uses it: find a pipeline, list an experiment's runs, start one.

The generated client that `kfp.Client` wraps, taken directly, because only it lets a caller bound every request. What
only reads is asked again after a failure; a start never is, since a server that does not answer may have started.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from danqing.errors import ClusterError

TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where a pod finds the token of its ServiceAccount that Kubeflow asks for, if the volume is mounted."""
GOING_ON = ("PENDING", "RUNNING", "PAUSED", "CANCELING", "RUNTIME_STATE_UNSPECIFIED", "")
_PAUSES = (0.5, 2.0)  # seconds before another try to read

T = TypeVar("T")


class NoAnswer(ClusterError):
    """The server did not say what became of a start: it may have started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A pipeline run as a list of runs tells it."""

    run_id: str
    name: str
    state: str
    description: str

    @property
    def going_on(self) -> bool:
        return self.state in GOING_ON


class Kubeflow:
    """The KFP API (v2beta1) at `host`. Every method raises ClusterError with one line.

    namespace: of the experiment, where Kubeflow has many users; "" elsewhere. timeout: seconds
    without an answer after which a request is given up.
    """

    def __init__(self, host: str, *, namespace: str = "", timeout: int = 20) -> None:
        import kfp_server_api

        configuration = kfp_server_api.Configuration(host=host.rstrip("/"))
        configuration.retries = 0  # urllib3 would ask again by itself, which multiplies the time-out
        token = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH") or TOKEN)
        if token.is_file():
            configuration.api_key["authorization"] = token.read_text(encoding="utf-8").strip()
            configuration.api_key_prefix["authorization"] = "Bearer"
        self._client = client = kfp_server_api.ApiClient(configuration)
        self._pipelines = kfp_server_api.PipelineServiceApi(client)
        self._experiments = kfp_server_api.ExperimentServiceApi(client)
        self._runs = kfp_server_api.RunServiceApi(client)
        self._model = kfp_server_api
        self.host, self.namespace, self.timeout = host, namespace, timeout

    def newest_version(self, pipeline: str) -> tuple[str, str]:
        """(pipeline id, id of its newest version) of the uploaded pipeline `pipeline`."""
        found = self._read(self._pipelines.pipeline_service_list_pipelines, filter=_named(pipeline),
                           **({"namespace": self.namespace} if self.namespace else {})).pipelines or []  # fmt: skip
        found = [one for one in found if one.display_name == pipeline]
        if not found:
            raise ClusterError(f"{self.host}: there is no pipeline {pipeline!r}; `danqing compile` and upload it")
        pipeline_id = found[0].pipeline_id
        versions = self._read(
            self._pipelines.pipeline_service_list_pipeline_versions, pipeline_id, sort_by="created_at desc",
            page_size=1,
        ).pipeline_versions  # fmt: skip
        if not versions:
            raise ClusterError(f"{self.host}: pipeline {pipeline!r} has no version; upload one")
        return pipeline_id, versions[0].pipeline_version_id

    def experiment(self, name: str, *, create: bool = True) -> str:
        """The id of the experiment `name`; "" if it is not there and not to be created."""
        where = {"namespace": self.namespace} if self.namespace else {}
        found = self._read(self._experiments.experiment_service_list_experiments, filter=_named(name), **where)
        for one in found.experiments or []:
            if one.display_name == name:
                return str(one.experiment_id)
        if not create:
            return ""
        made = self._model.V2beta1Experiment(display_name=name, namespace=self.namespace or None)
        return str(self._once(self._experiments.experiment_service_create_experiment, made).experiment_id)

    def runs(self, experiment: str) -> list[Run]:
        """Every run of the experiment with this id that was not deleted, newest first."""
        found: list[Run] = []
        token = ""
        while True:
            page = self._read(
                self._runs.run_service_list_runs, experiment_id=experiment, page_size=100, page_token=token,
                sort_by="created_at desc",
            )  # fmt: skip
            found += [_run(one) for one in page.runs or []]
            token = page.next_page_token or ""
            if not token:
                return found

    def start(
        self, name: str, experiment: str, version: tuple[str, str], parameters: Mapping[str, Any], description: str
    ) -> Run:
        """Start a run of `version` (of `newest_version`). NoAnswer: it is not known whether it has started."""
        reference = self._model.V2beta1PipelineVersionReference(pipeline_id=version[0], pipeline_version_id=version[1])
        body = self._model.V2beta1Run(
            display_name=name, experiment_id=experiment, description=description,
            pipeline_version_reference=reference,
            runtime_config=self._model.V2beta1RuntimeConfig(parameters=dict(parameters)),
        )  # fmt: skip
        run = _run(self._once(self._runs.run_service_create_run, body))
        if not run.run_id:
            raise NoAnswer(f"{self.host}: Kubeflow's answer to a start names no run")
        return run

    def _read(self, call: Callable[..., T], *given: Any, **named: Any) -> T:
        for pause in _PAUSES:
            try:
                return self._once(call, *given, **named)
            except NoAnswer:
                time.sleep(pause)
        return self._once(call, *given, **named)

    def _once(self, call: Callable[..., T], *given: Any, **named: Any) -> T:
        from urllib3.exceptions import HTTPError

        try:
            answer = call(*given, **named, _request_timeout=self.timeout)
            if not isinstance(json.loads(self._client.last_response.data), dict):
                raise ValueError("no JSON object")  # the generated client takes a login page for an empty answer
            return answer
        except self._model.ApiException as error:
            kind = ClusterError if 400 <= (error.status or 0) < 500 else NoAnswer
            raise kind(f"{self.host}: Kubeflow answers {error.status} {_reason(error)}") from error
        except HTTPError as error:
            cause = getattr(error, "reason", None) or error
            what = str(cause).rpartition(": ")[2] or type(cause).__name__
            raise NoAnswer(f"{self.host}: no answer from Kubeflow ({what}); is the address right?") from error
        except ValueError as error:  # what is no JSON, or not what the API promises
            raise NoAnswer(f"{self.host}: not the answer of a Kubeflow Pipelines API ({error})") from error


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _run(found: Any) -> Run:
    return Run(
        run_id=found.run_id or "", name=found.display_name or "", state=found.state or "",
        description=found.description or "",
    )  # fmt: skip


def _reason(error: Any) -> str:
    """The server's own message in a short line."""
    try:
        said = json.loads(error.body)
        text = str(said.get("message") or said.get("error_message") or said.get("error") or error.reason)
    except (TypeError, ValueError, AttributeError):
        text = str(error.reason)
    return " ".join(text.split())[:300]
