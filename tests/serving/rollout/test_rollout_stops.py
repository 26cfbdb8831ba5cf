"""Whatever stops, when, and comes back: callers get whole versions, and in the end the champion."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rollout_parts import PROMPT, SECRET, Caller, Listening, Registry, until, whose

from danqing.platform import registry
from serving.client import Danqing, wire
from serving.rollout.settings import Rollout
from serving.triton.server import Server

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow


def start(command: list[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}, start_new_session=True,
    )  # fmt: skip


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@contextlib.contextmanager
def patience(process: subprocess.Popen[str], seconds: float = 60.0) -> Iterator[None]:
    """End a process that has nothing more to say: whoever listens to it is not kept waiting for ever."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def heard(process: subprocess.Popen[str], words: str) -> list[str]:
    """The lines of a process up to the first one with `words` in it."""
    lines = []
    with patience(process):
        for line in process.stdout:
            lines.append(line)
            if words in line:
                return lines
    raise AssertionError(f"{words!r} was never said: {lines}")


def test_a_controller_that_is_killed_anywhere_goes_on_where_it_was(
    owned, control, served, caller, now, tmp_path, survived
):
    server, store = served
    owned.move(1)
    first = control(keep=2, drain=0.001)
    for number in (1, 3, 1):  # version 2, of the tests before, is gone from memory and disk then
        owned.move(number)
        for _ in range(4):
            first.step()
            time.sleep(0.01)
    owned.move(2)
    command = ["serving.rollout", "--store", str(store), "--tracking", owned.uri, "--triton", server.url]
    with caller() as painting:
        for point in ("fetching", "is here", "is built", "is loaded", "passed the smoke test", "is served"):
            process = start(command, tmp_path, DANQING_TRITON_SECRET=SECRET)
            heard(process, point)
            kill(process)
            assert now() in (1, 2)
        process = start(command, tmp_path, DANQING_TRITON_SECRET=SECRET)
        until(lambda: owned.tag(2) == "serving", "version 2")
        process.terminate()
        assert process.wait(30) == 0 and "stopped" in process.stdout.read()
    survived("the controller is killed at six points", painting)
    assert now() == 2
    assert list(store.rglob(".*")) == [], "nothing half-done is left"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """An empty store of this test's own."""
    (tmp_path / "store" / "models").mkdir(parents=True)
    yield tmp_path / "store"


def test_a_triton_that_restarts_serves_the_last_version_by_itself(owned, own, painters):
    with Server(own / "models", secret=SECRET) as server:
        with Danqing(server.url) as client:
            assert not client.ready()
        ports = {"http": server.http, "grpc": server.grpc, "metrics": server.metrics}
        controller = Listening(Rollout(tracking=owned.uri, store=own, triton=server.url, secret=SECRET))
        owned.move(2)
        controller.step()
    controller.step()
    assert controller.status.triton_failures == 1
    with Server(own / "models", secret=SECRET, **ports) as server, Danqing(server.url) as client:
        assert whose(client.paint(PROMPT, seed=1), 1, painters) == 2, "before any controller has looked"
        owned.move(3)
        until(lambda: (controller.step(), controller.status.version == 3)[1], f"version 3: {controller.lines}")
        assert whose(client.paint(PROMPT, seed=1), 1, painters) == 3


def mounted(folder: Path, megabytes: float, *options: str) -> None:
    size = f"size={int(megabytes * 1024)}k"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join([*options, size]), "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")


def test_a_full_disk_leaves_the_old_version_and_the_next_try_finds_room(owned, tmp_path, painters, survived):
    store = tmp_path / "disk"
    store.mkdir()
    mounted(store, 100)
    try:
        (store / "models").mkdir()
        with Server(store / "models", secret=SECRET) as server, Danqing(server.url) as client:
            settings = Rollout(tracking=owned.uri, store=store, triton=server.url, secret=SECRET, retry=0.001)
            controller = Listening(settings)
            owned.move(1)
            controller.step()
            used = (lambda: shutil.disk_usage(store).used / 2**20)()
            package = sum(file.stat().st_size for file in next(store.glob("versions/*/package")).iterdir()) / 2**20
            owned.move(2)
            with Caller(server.url, painters) as painting:
                for room, what in ((0.5 * package, "package"), (1.5 * package, "tiny-")):  # fetching; building
                    mounted(store, used + room, "remount")
                    controller.step()
                    told = owned.tag(2)
                    assert "the disk is full" in told and what in told.split(": the disk")[0], told
                    assert whose(client.paint(PROMPT, seed=1), 1, painters) == 1
                    assert list(store.rglob(".*")) == [], "the half is removed"
                mounted(store, 100, "remount")
                controller.step()
                assert owned.tag(2) == "serving"
                assert whose(client.paint(PROMPT, seed=1), 1, painters) == 2
                painting.goes_on()
            survived("the disk is full, twice", painting)
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)


def ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for listener in sockets:
        listener.bind(("127.0.0.1", 0))
    found = [str(listener.getsockname()[1]) for listener in sockets]
    for listener in sockets:
        listener.close()
    return found


def mlflow_server(folder: Path, port: str) -> subprocess.Popen[str]:
    command = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--serve-artifacts"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", port]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = start([*command, "--workers", "1"], folder, **settings)
    heard(process, "startup complete")
    return process


def test_a_registry_behind_http_is_followed_and_may_go_away(
    control, packages, now, caller, tmp_path, monkeypatch, survived
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (port,) = ports(1)
    process = mlflow_server(tmp_path, port)
    try:
        owned = Registry(f"http://127.0.0.1:{port}")
        for number in (1, 2):
            assert owned.register(packages[number], tmp_path) == number
        controller = control(tracking=owned.uri)
        registry.promote(1, tracking_uri=owned.uri)
        controller.step()
        assert now() == 1 and owned.tag(1) == "serving", controller.lines
        with caller() as painting:
            registry.promote(2, tracking_uri=owned.uri)
            controller.step()
            assert now() == 2 and owned.tag(2) == "serving", controller.lines
            os.killpg(process.pid, signal.SIGSTOP)  # it takes connections and says nothing
            with monkeypatch.context() as patch:
                patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
                for _ in range(2):
                    controller.step()
            assert now() == 2 and controller.status.registry_failures == 2
            os.killpg(process.pid, signal.SIGCONT)
            registry.rollback(tracking_uri=owned.uri)
            controller.step()
            assert now() == 1 and any("registry answers again" in line for line in controller.lines)
        survived("the registry says nothing for a while", painting)
    finally:
        kill(process)


def descendant(process: int, *words: str) -> int:
    """The child of `process` with the first word in its command line, of that the one with the next, and so on."""
    for word in words:
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == process and word.encode() in (entry / "cmdline").read_bytes():
                    process = int(entry.name)
                    break
        else:
            raise AssertionError(f"{process} has no child with {word!r} in its command line")
    return process


def test_danqing_serve_follows_the_champion_and_outlives_a_killed_model_and_a_killed_server(
    owned, packages, painters, tmp_path, survived
):
    http, grpc, metrics = ports(3)
    command = ["danqing.cli", "serve", "--follow", "--tracking", owned.uri, "--model", str(packages[1])]
    command += ["--http", http, "--grpc", grpc, "--metrics", metrics]
    process = start(command, tmp_path, DANQING_WORKSPACE=str(tmp_path / "workspace"))
    try:
        heard(process, "is served until there is a champion")
        with Danqing(f"grpc://127.0.0.1:{grpc}") as client:
            assert whose(client.paint(PROMPT, seed=1), 1, painters) == 1
            registry.promote(2, tracking_uri=owned.uri)
            heard(process, "version 2 is served")
            assert whose(client.paint(PROMPT, seed=1), 1, painters) == 2
        for fault, path in {
            "a model's process is killed": ("tritonserver", "generate"), "the server is killed": ("tritonserver",)
        }.items():  # fmt: skip
            with Caller(f"grpc://127.0.0.1:{grpc}", painters) as painting:
                painting.goes_on()
                os.kill(descendant(process.pid, *path), signal.SIGKILL)
                heard(process, "is started anew")
                painting.goes_on()
            survived(fault, painting, wire.Broken, wire.Unreachable, wire.Loading)
            assert set(painting.painted) == {2} and painting.failed
        process.terminate()
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            kill(process)
