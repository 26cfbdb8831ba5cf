"""A small HTTP server that plays the Kubernetes API for TrainJobs, and a machine on which their pods are processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, STAMP = "team", "2026-01-01T00:00:00Z"
JOBS = f"/apis/trainer.kubeflow.org/v1alpha1/namespaces/{NAMESPACE}/trainjobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


class KubeServer:
    """jobs: name → TrainJob. pods: name → Pod. logs: pod → its lines. Whoever changes them calls `changed`."""

    def __init__(self, runs: bool = False) -> None:
        self.runs = runs
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.manifests: list[dict[str, Any]] = []
        self.refuse: tuple[int, str] | None = None
        """What a POST is answered."""
        self.dropped = 0
        """Requests that are still to be cut without an answer."""
        self.cuts = {"watch": 0, "log": 0}
        """Streams that are still to be cut in the middle of a line."""
        self.version = 1
        self.news = threading.Condition()
        self.processes: list[subprocess.Popen[str]] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def close(self) -> None:
        self.stop_pods()
        self.http.shutdown()
        self.http.server_close()

    def kubeconfig(self, path: Path) -> Path:
        entry = {"name": "play"}
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "play",
            "clusters": [{**entry, "cluster": {"server": self.url}}], "users": [{**entry, "user": {}}],
            "contexts": [{**entry, "context": {"cluster": "play", "user": "play"}}],
        }))  # fmt: skip
        return path

    def changed(self) -> None:
        with self.news:
            self.version += 1
            for job in self.jobs.values():
                job["metadata"]["resourceVersion"] = str(self.version)
            self.news.notify_all()

    def condition(self, name: str, kind: str, message: str = "") -> None:
        self.jobs[name].setdefault("status", {})["conditions"] = [
            {"type": kind, "status": "True", "reason": kind, "message": message, "lastTransitionTime": STAMP}
        ]
        self.changed()

    def pod(self, job: str, node: int, phase: str = "Running", over: tuple[int, str] | None = None) -> str:
        """Add or change a pod; over: exit code and reason of its container."""
        name = f"{job}-node-0-{node}"
        state: dict[str, Any] = {"running": {}} if over is None else {
            "terminated": {"exitCode": over[0], "reason": over[1]}
        }  # fmt: skip
        self.pods[name] = {
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"jobset.sigs.k8s.io/jobset-name": job}},
            "status": {"phase": phase, "containerStatuses": [
                {"name": "node", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}]},
        }  # fmt: skip
        self.logs.setdefault(name, [])
        self.changed()
        return name

    def say(self, pod: str, text: str) -> None:
        self.logs[pod].append(f"{time.strftime('%Y-%m-%dT%H:%M:%S')}.{len(self.logs[pod]):09d}Z {text}")
        self.changed()

    # What Kubeflow Trainer and the nodes would do: a process for each pod, as the runtime torch-distributed has it.

    def start_pods(self, manifest: dict[str, Any]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        name, trainer = manifest["metadata"]["name"], manifest["spec"]["trainer"]
        own = {one["name"]: one["value"] for one in trainer["env"]}
        for node in range(trainer["numNodes"]):
            pet = {"PET_NNODES": trainer["numNodes"], "PET_NPROC_PER_NODE": trainer["numProcPerNode"],
                   "PET_NODE_RANK": node, "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": port}  # fmt: skip
            assert trainer["command"][0] == "python"
            process = subprocess.Popen(
                [sys.executable, *trainer["command"][1:], *trainer["args"]], text=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, cwd=ROOT,
                env=os.environ | own | {k: str(v) for k, v in pet.items()} | {"PYTHONPATH": str(ROOT),
                                                                              "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            self.processes.append(process)
            threading.Thread(target=self._read, args=(self.pod(name, node), process), daemon=True).start()
        threading.Thread(target=self._wait, args=(name,), daemon=True).start()

    def _read(self, pod: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.say(pod, f"{pod} starts")
        for line in process.stdout:
            self.say(pod, line.rstrip())

    def _wait(self, name: str) -> None:
        while any(p.poll() is None for p in self.processes) and not any(p.poll() for p in self.processes):
            time.sleep(0.1)
        failed = any(p.poll() for p in self.processes)
        self.stop_pods()
        for node, process in enumerate(self.processes):
            code = process.wait()
            self.pod(name, node, "Failed" if code else "Succeeded", (code, "Error" if code else "Completed"))
        if name in self.jobs:
            self.condition(
                name, *(("Failed", "jobset failed due to one or more job failures") if failed else ("Complete",))
            )

    def stop_pods(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # type: ignore[misc]
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self, code: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def status(self, code: int, message: str) -> None:
                self.answer(code, {"kind": "Status", "code": code, "message": message})

            def begin(self) -> tuple[str, dict[str, str]] | None:
                at = urlsplit(self.path)
                server.asked.append((self.command, at.path))
                if server.dropped:
                    server.dropped -= 1
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return None
                return at.path, {k: v[0] for k, v in parse_qs(at.query).items()}

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if (asked := self.begin()) is None:
                    return
                if server.refuse:
                    return self.status(*server.refuse)
                assert asked[0] == JOBS, asked
                server.manifests.append(body)
                server.jobs[body["metadata"]["name"]] = json.loads(json.dumps(body))
                server.changed()
                if server.runs:
                    server.start_pods(body)
                return self.answer(201, server.jobs[body["metadata"]["name"]])

            def do_DELETE(self) -> None:
                if (asked := self.begin()) is None:
                    return
                name = asked[0].removeprefix(JOBS + "/")
                if server.jobs.pop(name, None) is None:
                    return self.status(404, "not found")
                server.stop_pods()
                server.changed()
                return self.answer(200, {"kind": "Status", "status": "Success"})

            def do_GET(self) -> None:
                if (asked := self.begin()) is None:
                    return
                path, query = asked
                if path == JOBS:
                    self.watch(query)
                elif path.startswith(JOBS):
                    job = server.jobs.get(path.removeprefix(JOBS + "/"))
                    self.answer(200, job) if job else self.status(404, "not found")
                elif path == PODS:
                    key, _, value = query["labelSelector"].partition("=")
                    found = [p for p in list(server.pods.values()) if p["metadata"]["labels"].get(key) == value]
                    self.answer(200, {"kind": "PodList", "apiVersion": "v1", "items": found})
                else:
                    self.follow(path.removeprefix(PODS + "/").removesuffix("/log"))

            def chunk(self, data: bytes) -> None:
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()

            def stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()

            def cut(self, kind: str, data: bytes) -> bool:
                if not server.cuts[kind]:
                    return False
                server.cuts[kind] -= 1
                self.chunk(data[: len(data) // 2])
                self.connection.shutdown(socket.SHUT_RDWR)
                return True

            def watch(self, query: dict[str, str]) -> None:
                assert query["watch"] == "True", query
                name, since = query["fieldSelector"].removeprefix("metadata.name="), int(query["resourceVersion"])
                self.stream()
                ends = time.monotonic() + float(query["timeoutSeconds"])
                while time.monotonic() < ends:
                    with server.news:
                        if server.version <= since:
                            server.news.wait(0.2)
                        version = server.version
                    if version <= since:
                        continue
                    since, job = version, server.jobs.get(name)
                    event = (
                        {"type": "MODIFIED", "object": job} if job else {"type": "DELETED", "object": {"metadata": {}}}
                    )
                    data = json.dumps(event).encode() + b"\n"
                    if self.cut("watch", data):
                        return
                    try:
                        self.chunk(data)
                    except OSError:
                        return
                self.chunk(b"")

            def follow(self, pod: str) -> None:
                if pod not in server.pods:
                    return self.status(404, "not found")
                self.stream()
                sent = 0
                while True:
                    lines = server.logs[pod][sent:]
                    sent += len(lines)
                    for line in lines:
                        data = line.encode() + b"\n"
                        if self.cut("log", data):
                            return None
                        try:
                            self.chunk(data)
                        except OSError:
                            return None
                    if server.pods[pod]["status"]["phase"] != "Running" and sent == len(server.logs[pod]):
                        return self.chunk(b"")
                    time.sleep(0.1)

        return Handler
