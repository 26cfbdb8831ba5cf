"""The Kubernetes API, for one TrainJob: create it, wait for its end whatever becomes of the connection, delete it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from danqing.errors import ConfigError, DanqingError
from danqing.launch import RanksFailed

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
PODS = "jobset.sigs.k8s.io/jobset-name"
"""Label of a TrainJob's pods: its name."""
PATIENCE = 300.0
"""Seconds without an answer of the Kubernetes API before the launcher gives up."""


class TrainJob:
    """One TrainJob, named `title`. Raises ConfigError where no Kubernetes API is known."""

    def __init__(self, title: str) -> None:
        from kubernetes import client, config

        try:
            config.load_incluster_config()
        except config.ConfigException:
            try:
                config.load_kube_config()
            except config.ConfigException as error:
                raise ConfigError(
                    f"no Kubernetes API is known here, neither in a pod nor by kubeconfig ({error})"
                ) from None
        self.title, self.core, self._custom = title, client.CoreV1Api(), client.CustomObjectsApi()
        self.namespace = os.environ.get("POD_NAMESPACE", "default")
        pod, uid = os.environ.get("POD_NAME", ""), os.environ.get("POD_UID", "")
        self.owner = {"name": pod, "uid": uid} if pod and uid else None
        self._of = {"group": GROUP, "version": VERSION, "namespace": self.namespace, "plural": PLURAL}
        self._created = False

    def create(self, body: Mapping[str, Any]) -> None:
        from kubernetes.client.exceptions import ApiException

        self._created = True  # from here on: a create whose answer was lost may have been done
        try:
            self._patiently(lambda: self._custom.create_namespaced_custom_object(**self._of, body=dict(body)))
        except ApiException as error:
            if error.status == 409:  # the answer of the first try was lost
                return
            told = _told(error)
            hints = {403: "give the pod's service account its role", 404: "install Kubeflow Trainer"}
            hint = f"{hints.get(error.status, 'look at the manifest')} (docs/several-gpus.md)"
            raise RanksFailed(f"the TrainJob was refused ({told}); {hint}", 1) from None

    def wait(self) -> str:
        """Until the TrainJob has ended: "" when it ended well, else why not."""
        while True:
            found = self._patiently(self._get)
            ended = _ended(found)
            if ended is not None:
                return ended and self._cause(ended)
            self._watch(found)

    def _get(self) -> dict[str, Any] | None:
        """The TrainJob; None if it is gone."""
        from kubernetes.client.exceptions import ApiException

        try:
            got: dict[str, Any] = self._custom.get_namespaced_custom_object(
                **self._of, name=self.title, _request_timeout=30
            )
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return got

    def _watch(self, since: Mapping[str, Any] | None) -> None:
        """Until something happens to it, or the stream ends, or breaks: whoever calls then asks what is."""
        import urllib3
        from kubernetes import watch
        from kubernetes.client.exceptions import ApiException

        version = str(((since or {}).get("metadata") or {}).get("resourceVersion", ""))
        stream = watch.Watch().stream(
            self._custom.list_namespaced_custom_object, **self._of, field_selector=f"metadata.name={self.title}",
            resource_version=version, timeout_seconds=60, _request_timeout=90,
        )  # fmt: skip
        try:
            for event in stream:
                if event["type"] == "DELETED" or _ended(event["object"]) is not None:
                    return
        except (ApiException, urllib3.exceptions.HTTPError, ValueError):
            time.sleep(1)

    def _cause(self, ended: str) -> str:
        """What the pods' containers say of their end, before what Trainer says."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        try:
            pods = self.core.list_namespaced_pod(
                self.namespace, label_selector=f"{PODS}={self.title}", _request_timeout=30
            ).items
        except (ApiException, urllib3.exceptions.HTTPError):
            return ended
        for pod in pods:
            for status in pod.status.container_statuses or []:
                over = status.state.terminated or (status.last_state and status.last_state.terminated)
                if over is not None and over.exit_code not in (0, 143):
                    return f"pod {pod.metadata.name} ended with {over.exit_code} ({over.reason or 'Error'}); {ended}"
        waiting = [c.message for pod in pods for c in pod.status.conditions or [] if c.reason == "Unschedulable"]
        return f"{ended}; no node for a pod: {waiting[0]}" if waiting else ended

    def delete(self) -> None:
        """Take the TrainJob and its pods away, if it was created."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        if not self._created:
            return
        self._created = False
        try:
            self._patiently(
                lambda: self._custom.delete_namespaced_custom_object(
                    **self._of, name=self.title, propagation_policy="Foreground", _request_timeout=10
                ),
                patience=min(20, PATIENCE),
            )
        except (ApiException, urllib3.exceptions.HTTPError, DanqingError) as error:
            if getattr(error, "status", None) != 404:
                print(
                    f"TrainJob {self.title} could not be deleted ({_told(error)}); its owner's end will do it",
                    flush=True,
                )

    def _patiently(self, ask: Callable[[], Any], patience: float | None = None) -> Any:
        """What `ask` returns, asked again while the API is out of reach or overloaded."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        began, pause = time.monotonic(), 0.5
        while True:
            try:
                return ask()
            except (ApiException, urllib3.exceptions.HTTPError) as error:
                again = not isinstance(error, ApiException) or error.status in (0, 429, 500, 502, 503, 504)
                if not again:
                    raise
                waited = time.monotonic() - began
                if waited > (PATIENCE if patience is None else patience):
                    raise RanksFailed(
                        f"the Kubernetes API has not answered for {waited:.0f} s ({_told(error)})", 1
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, 10)


def _ended(found: Mapping[str, Any] | None) -> str | None:
    """None while a TrainJob runs, "" when it is complete, else why it failed."""
    if found is None:
        return "the TrainJob was deleted by somebody else"
    for condition in (found.get("status") or {}).get("conditions") or []:
        if condition["status"] == "True" and condition["type"] == "Complete":
            return ""
        if condition["status"] == "True" and condition["type"] == "Failed":
            return f"the TrainJob failed: {condition['message'] or condition['reason']}"
    return None


def _told(error: Exception) -> str:
    """One line of what the API or the connection says."""
    body = getattr(error, "body", None)
    with contextlib.suppress(ValueError, TypeError):
        body = json.loads(body or "")["message"]
    return str(body or getattr(error, "reason", None) or error).strip().splitlines()[0][:200]
