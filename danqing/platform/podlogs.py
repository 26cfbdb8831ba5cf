"""What the pods of a JobSet write, passed on line by line while they run."""

from __future__ import annotations

import threading
import time
from typing import Any

from danqing.platform.trainjob_client import PODS


class Logs:
    """Inside, every line of every pod of JobSet `title` is printed with the pod's name before it.

    A connection that breaks is opened again, and goes on after the last line that came. container: whose output.
    """

    def __init__(self, core: Any, namespace: str, title: str, container: str) -> None:
        self._core, self._namespace, self._title, self._container = core, namespace, title, container
        self._stop = threading.Event()
        self._phases: dict[str, str] = {}
        self._thread = threading.Thread(target=self._look, name="logs", daemon=True)

    def __enter__(self) -> Logs:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=15)  # what was written last comes still; a stream that hangs is left to the daemon

    def _look(self) -> None:
        """Follow each pod as it appears."""
        import urllib3
        from kubernetes.client.exceptions import ApiException

        followers: list[threading.Thread] = []
        selector = f"{PODS}={self._title}"
        while not self._stop.is_set():
            try:
                pods = self._core.list_namespaced_pod(
                    self._namespace, label_selector=selector, _request_timeout=30
                ).items
            except (ApiException, urllib3.exceptions.HTTPError):
                pods = []
            for pod in pods:
                known = pod.metadata.name in self._phases
                if pod.status.phase == "Pending":
                    continue
                self._phases[pod.metadata.name] = pod.status.phase
                if not known:
                    thread = threading.Thread(target=self._follow, args=(pod.metadata.name,), daemon=True)
                    thread.start()
                    followers.append(thread)
            self._stop.wait(2)
        for thread in followers:
            thread.join(timeout=5)

    def _follow(self, pod: str) -> None:
        import urllib3
        from kubernetes.client.exceptions import ApiException

        last, when = "", time.monotonic()
        while True:
            since = {"since_seconds": int(time.monotonic() - when) + 5} if last else {}
            try:
                stream = self._core.read_namespaced_pod_log(
                    pod, self._namespace, container=self._container, follow=True, timestamps=True,
                    _preload_content=False, _request_timeout=(10, 300), **since,
                )  # fmt: skip
                for block in _lines(stream):
                    stamp, _, text = block.partition(" ")
                    if stamp > last:  # RFC 3339 of one zone: ordered as text
                        last, when = stamp, time.monotonic()
                        print(f"[{pod}] {text}", flush=True)
                if self._phases[pod] != "Running":
                    return  # else something between here and the pod has ended the stream in good order
            except urllib3.exceptions.HTTPError:
                pass
            except ApiException as error:
                if error.status == 404:
                    return
            if self._stop.wait(1):
                return


def _lines(stream: Any) -> Any:
    """Whole lines of a streamed answer; a last one that is none comes again. Raises urllib3's errors if it is cut."""
    rest = b""
    for block in stream.stream(4096):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", errors="replace")
