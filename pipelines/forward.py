"""Events of a local run → MLflow: one parent run, a nested run a step.

The steps' processes then need no MLflow, whose import costs each of them two seconds; it happens once, here, while the
first step runs. MLflow may be slow or fail: the run goes on, and the summary says so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from danqing.platform import tracking
from pipelines.events import Event, follow


class Forwarder:
    """A thread that follows the events of run `run_id`. `error` says why MLflow did not get them, if it did not."""

    def __init__(self, path: Path, uri: str, run_id: str, params: Mapping[str, Any]) -> None:
        self.error = ""
        self._path, self._uri, self._run_id, self._params = path, uri, run_id, params
        self._stop, self._status = threading.Event(), "FINISHED"
        self._runs: dict[str, tracking.StepRun] = {}
        self._thread = threading.Thread(target=self._forward, name="mlflow", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, status: str = "FINISHED", timeout: float = 60.0) -> None:
        """Wait until all is written; status: FINISHED, FAILED or KILLED, of the parent run."""
        self._status = status
        self._stop.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self.error = self.error or f"{self._uri}: no answer within {timeout:.0f} s"

    def _forward(self) -> None:
        try:
            tracker = tracking.Tracker(self._uri, self._run_id)
            parent = tracker.parent()
            parent.params(self._params)
            for events in follow(self._path, self._stop, every=1.0):
                for event in events:
                    self._take(tracker, event)
            for run in self._runs.values():  # what neither ended nor failed was stopped
                run.finish("KILLED")
            parent.finish(self._status)
        except Exception as error:  # noqa: BLE001 - the run goes on, and its summary says why MLflow did not
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.error = lines[0]

    def _take(self, tracker: tracking.Tracker, event: Event) -> None:
        name, state = event["step_name"], event.get("state")
        if state == "started" or name not in self._runs:
            self._runs[name] = tracker.step(name)
        run = self._runs[name]
        if state == "started":
            run.params(event["params"])
            run.tags(event["tags"])
            tracker.parent().tags(event["tags"])
        elif state == "done":
            run.metrics({"seconds": event["seconds"]})
            run.tags({"reused": str(event["reused"])})
            run.end(event["results"], Path(event["out"]))
            tracker.note(name, event["results"])
            del self._runs[name]
        elif state == "failed":
            run.end({"error": event["error"]}, Path(event["out"]), "FAILED")
            del self._runs[name]
        elif "metrics" in event:
            run.metrics(event["metrics"], event["step"], at=event["time"])
