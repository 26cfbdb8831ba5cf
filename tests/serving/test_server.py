"""Starting and ending the server."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from tritonclient.utils import InferenceServerException

from danqing.errors import ServingError
from serving.client import Danqing, Unreachable, wire
from serving.triton import install
from serving.triton.server import Server, docker_line

ROOT = Path(__file__).resolve().parent.parent.parent


def children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(entry.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.parent.name))
    return found


def members(group: int) -> list[int]:
    """Processes of a process group that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def test_a_stopped_server_leaves_no_process_and_frees_its_ports(repository):
    with Server(repository) as server:
        group = server._process.pid
        assert len(members(group)) > 1  # the server and its models' processes
        ports = (server.http, server.grpc, server.metrics)
    assert members(group) == []
    for port in ports:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))


def test_only_this_machine_reaches_the_server(server):
    listening = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        if state == "0A" and int(address.split(":")[1], 16) in (server.http, server.grpc, server.metrics):
            listening.add(address.split(":")[0])
    assert listening == {"0100007F"}  # 127.0.0.1


def test_a_taken_port_is_named(repository):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"{port}.*choose another port"), Server(repository, grpc=port):
            pass


def test_one_port_cannot_serve_two_protocols(repository, free_port):
    with pytest.raises(ServingError, match="three different ports"), Server(repository, http=free_port, grpc=free_port):
        pass


def test_a_model_that_does_not_load_is_said_with_tritons_reason(repository, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(repository, broken)
    (broken / "generate" / "1" / "model.onnx").write_bytes(b"no graph")
    server = Server(broken)
    with pytest.raises(ServingError, match="generate"), server:
        pass
    assert server._process is None


def test_a_repository_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ServingError, match="nowhere"), Server(tmp_path / "nowhere"):
        pass


def test_the_models_environment_holds_what_its_file_pins():
    """And numpy 1: with numpy 2 this server's outputs come back empty."""
    python = install.ensure().python / "python"
    pins = install.ENVIRONMENT.read_text().split()
    program = "import importlib.metadata as m, sys\nfor p in sys.argv[1:]: print(f'{p}=={m.version(p)}')"
    names = [pin.split("==")[0] for pin in pins]
    done = subprocess.run([python, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout.split() == pins
    assert any(pin.startswith("numpy==1.") for pin in pins)


def test_the_gpu_command_mounts_the_repository(repository):
    line = docker_line(repository)
    assert f"{repository}:/models:ro" in line
    assert "--gpus all" in line


def test_the_gpu_command_listens_here_only_and_bears_a_path_with_a_blank(tmp_path):
    words = shlex.split(docker_line(tmp_path / "my models"))
    assert f"{tmp_path}/my models:/models:ro" in words
    assert words.count("-p") == 1 and words[words.index("-p") + 1] == "127.0.0.1:8000-8002:8000-8002"


def test_danqing_serve_serves_danqing_paint_until_it_is_told_to_stop(package, tmp_path):
    ports = []
    for _ in range(3):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            ports.append(str(listener.getsockname()[1]))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "danqing.cli", "serve", "--model", str(package)]
    command += ["--http", ports[0], "--grpc", ports[1], "--metrics", ports[2], "--log", str(tmp_path / "triton.log")]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
    try:
        lines = []
        for line in serving.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        said = "".join(lines)
        url = f"grpc://127.0.0.1:{ports[1]}"
        assert url in said
        assert "docker run" in said
        subprocess.run(
            [sys.executable, "-m", "danqing.cli", "paint", "bamboo", "--url", url, "-o", "bamboo.png", "--seed", "3"],
            check=True, env=environment, cwd=tmp_path,
        )  # fmt: skip
        with Image.open(tmp_path / "bamboo.png") as picture, Danqing(url) as client:
            assert picture.text["danqing:model"] == client.version()
    finally:
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(60) == 0
    assert "Started GRPCInferenceService" in (tmp_path / "triton.log").read_text()


@pytest.mark.slow
def test_a_model_process_that_dies_is_noticed_and_the_server_paints_again(package, repository):
    """Triton 2.51 neither starts it again nor says that it is not ready: danqing serve looks after it."""
    said = []
    with Server(repository, say=said.append) as server, Danqing(server.url, timeout=20) as client:
        before, ports = client.paint("bamboo", seed=1), (server.http, server.grpc, server.metrics)
        assert not server.crippled()
        stub = next(child for child in children(server._process.pid)
                    if f"{repository}/generate".encode() in Path(f"/proc/{child}/cmdline").read_bytes())  # fmt: skip
        os.kill(stub, signal.SIGKILL)
        with pytest.raises(ServingError, match="process has died"):
            client.paint("bamboo", seed=2)
        watching = threading.Thread(target=server.watch, args=(0.2,), daemon=True)
        watching.start()
        for _ in range(300):
            if said and client.ready():
                break
            time.sleep(0.1)
        assert client.paint("bamboo", seed=1).tobytes() == before.tobytes()
        assert (server.http, server.grpc, server.metrics) == ports and not server.crippled()
        assert said == ["a model's process has ended: Triton is started anew"]
        os.kill(server._process.pid, signal.SIGTERM)
        watching.join(30)
        assert not watching.is_alive()


@pytest.mark.slow
@pytest.mark.parametrize("serving", [True, False], ids=["while it serves", "while it starts"])
def test_a_server_that_crashes_again_and_again_is_given_up_with_its_status(repository, monkeypatch, serving):
    monkeypatch.setattr("serving.triton.server._CRASHES", 1)
    said, statuses = [], []
    with Server(repository, say=said.append) as server:
        watching = threading.Thread(target=lambda: statuses.append(server.watch(0.2)), daemon=True)
        watching.start()
        first = server._process.pid
        os.kill(first, signal.SIGKILL)
        with Danqing(server.url, retries=0) as client:
            for _ in range(300):
                process = server._process
                if process is not None and process.pid != first and (client.ready() or not serving):
                    break
                time.sleep(0.1)
            assert client.ready() == serving
        assert said == ["tritonserver has ended with status -9: Triton is started anew"]
        os.kill(process.pid, signal.SIGKILL)
        watching.join(30)
    assert statuses == [-9]


def test_a_server_that_is_being_stopped_is_an_unreachable_one_so_that_callers_try_again():
    said = "in ensemble 'danqing', [request id: <id_unknown>] Server is stopping, scheduler for model has stopped"
    with pytest.raises(Unreachable, match="being stopped"), wire.errors("grpc://127.0.0.1:1", 5):
        raise InferenceServerException(said, "StatusCode.UNAVAILABLE")
