"""A server on a real port that speaks the few calls of the KFP API (v2beta1) that we use, and can be made to fail.

It stands in for Kubeflow's backend, which cannot run here: what it answers follows the API's published definition, not
a backend that was asked.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = "/apis/v2beta1"


class Kfp:
    """The server's memory, and what shall go wrong: `faults` maps "METHOD kind" to a list that is used up in order.

    A fault is a status to answer with, "silent" (no answer in time), "lost" (done, but the answer does not come) or
    "html" (a login page).
    """

    def __init__(self) -> None:
        self.pipelines = [{"pipeline_id": "p1", "display_name": "danqing"}]
        self.versions = [{"pipeline_version_id": "v1", "created_at": "2026-01-01T00:00:00Z"},
                         {"pipeline_version_id": "v2", "created_at": "2026-02-01T00:00:00Z"}]  # fmt: skip
        self.experiments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.faults: dict[str, list[Any]] = {}
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self.page = 100
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def get(self, kind: str, path: list[str], query: dict[str, str]) -> dict[str, Any]:
        if kind == "pipelines" and path[-1] == "versions":
            newest = sorted(self.versions, key=lambda one: one["created_at"], reverse=True)
            assert query["sort_by"] == "created_at desc"
            return {"pipeline_versions": newest[: int(query["page_size"])]}
        if kind == "runs":
            found = [run for run in self.runs if run["experiment_id"] == query["experiment_id"]][::-1]
            start = int(query.get("page_token") or 0)
            more = {"next_page_token": str(start + self.page)} if start + self.page < len(found) else {}
            return {"runs": found[start : start + self.page], **more}
        predicate = json.loads(query["filter"])["predicates"][0]
        assert (predicate["operation"], predicate["key"]) == ("EQUALS", "display_name")
        everything = {"pipelines": self.pipelines, "experiments": self.experiments}[kind]
        return {kind: [one for one in everything if one["display_name"] == predicate["stringValue"]]}

    def post(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        held = {"runs": self.runs, "experiments": self.experiments}[kind]
        number = {"runs": "run_id", "experiments": "experiment_id"}[kind]
        held.append({**body, number: f"{kind}-{len(held) + 1}", **({"state": "PENDING"} if kind == "runs" else {})})
        return held[-1]


def _handler(kfp: Kfp) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def _serve(self, method: str) -> None:
            parts = urllib.parse.urlsplit(self.path)
            path = parts.path.removeprefix(f"{ROOT}/").split("/")
            what = f"{method} {path[0]}"
            kfp.asked.append(what)
            kfp.tokens.add(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = kfp.faults.get(what, [])
            fault = fault.pop(0) if fault else None
            if fault == "silent":
                kfp.released.wait(20)
                return
            if isinstance(fault, int):
                return self._answer(fault, {"code": 13, "message": "the database is away"})
            if fault == "html":
                return self._answer(200, "<html>a login page</html>")
            query = dict(urllib.parse.parse_qsl(parts.query))
            done = kfp.get(path[0], path, query) if method == "GET" else kfp.post(path[0], json.loads(body))
            if fault == "lost":
                time.sleep(0.05)
                self.connection.close()
                return
            self._answer(200, done)

        def _answer(self, status: int, body: Any) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
