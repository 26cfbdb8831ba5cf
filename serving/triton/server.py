"""Runs a real tritonserver on a package: `danqing serve` on a laptop, and a context manager for tests.

    with Server(build(package, target)) as server:
        Danqing(server.url).paint("bamboo in the rain")

Only this machine can reach it unless another `host` is given: Triton has no login of its own.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from danqing.errors import ServingError
from danqing.package import champion
from serving.client import wire
from serving.triton import install
from serving.triton.repository import build

HTTP, GRPC, METRICS = 8000, 8001, 8002
CONTROL_KEY = "danqing-control"
"""Name of the key that Triton compares with the secret; gRPC callers send it as `triton-grpc-protocol-<name>`."""
_CRASHES, _CRASH_WINDOW = 3, 60.0
"""So many crashes within so many seconds are started anew; what crashes more often has a cause that stays."""
_CACHE_BYTES = 64 * 2**20


class Server:
    """A tritonserver on the model repository `repository`; starts on entering, and leaves no process behind.

    http, grpc, metrics: ports, None takes free ones. say: hears what takes a while. log: file for Triton's own lines,
    None keeps them in a temporary one, of which an error quotes the end. secret: None serves what is in the repository
    now; a word lets whoever sends it load and unload models, and serves `danqing` if it is there yet.
    """

    def __init__(
        self,
        repository: Path,
        *,
        host: str = "127.0.0.1",
        http: int | None = None,
        grpc: int | None = None,
        metrics: int | None = None,
        say: Callable[[str], None] = lambda line: None,
        log: Path | None = None,
        secret: str | None = None,
        timeout: float = 120.0,
    ) -> None:
        self.repository, self.host, self.timeout = Path(repository), host, timeout
        self.secret = secret
        self._wanted = (http, grpc, metrics)
        self._say, self._log_path = say, log
        self._log: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.http = self.grpc = self.metrics = 0

    @property
    def url(self) -> str:
        """What a client calls."""
        return f"grpc://{self._reachable}:{self.grpc}"

    @property
    def http_url(self) -> str:
        return f"http://{self._reachable}:{self.http}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self._reachable}:{self.metrics}/metrics"

    @property
    def _reachable(self) -> str:
        return "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it serves. ServingError: a port is taken, or Triton ended or is not ready."""
        self._launch()
        try:
            if not self._becomes_ready():
                assert self._process is not None
                raise ServingError(f"tritonserver ended with status {self._process.returncode}: {self.last_lines()}")
        except BaseException:
            self.stop()
            raise

    def _launch(self) -> None:
        if not self.repository.is_dir():
            raise ServingError(f"{self.repository}: there is no such model repository; build one from a package")
        installation = install.ensure(self._say)
        self._wanted = self.http, self.grpc, self.metrics = _ports(self.host, self._wanted)
        if self._log_path is None:
            handle, name = tempfile.mkstemp(prefix="danqing-triton-", suffix=".log")
            os.close(handle)
            self._log_file, self._log_is_ours = Path(name), True
        else:
            self._log_file, self._log_is_ours = Path(self._log_path), False
        self._log = open(self._log_file, "wb")  # noqa: SIM115 - lives as long as the server
        environment = dict(os.environ)
        environment["PATH"] = f"{installation.python}{os.pathsep}{environment.get('PATH', '')}"
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(
            [str(sysconfig.get_config_var("LIBDIR")), str(installation.libraries)]
        )
        # The models' environment must not see this program's packages.
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            environment.pop(name, None)
        self._process = subprocess.Popen(
            self._command(installation),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own: its model processes can be ended with it
        )

    def _command(self, installation: install.Installation) -> list[str]:
        return [
            str(installation.server),
            f"--model-repository={self.repository.absolute()}",
            f"--backend-directory={installation.backends}",
            f"--cache-directory={installation.caches}",
            f"--cache-config=local,size={_CACHE_BYTES}",
            f"--http-address={self.host}", f"--http-port={self.http}",
            f"--grpc-address={self.host}", f"--grpc-port={self.grpc}",
            f"--metrics-address={self.host}", f"--metrics-port={self.metrics}",
            "--allow-gpu-metrics=false",
            "--exit-timeout-secs=5",
            "--backend-config=python,stub-timeout-seconds=60",
            # One prefix a server: two on one machine do not find each other's memory.
            f"--backend-config=python,shm-region-prefix-name=danqing-{self.grpc}-",
            *([] if self.secret is None else control(self.secret)),
        ]  # fmt: skip

    def _becomes_ready(self) -> bool:
        """Block until it serves; False if it ends before. ServingError: it does neither in its time."""
        assert self._process is not None
        deadline = time.monotonic() + self.timeout
        # Under control there may be no model yet, or one that does not load: the controller sees to it.
        awaited = "ready" if self.secret is None else "live"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if _ready(f"{self.http_url}/v2/health/{awaited}"):
                return True
            time.sleep(0.1)
        raise ServingError(f"tritonserver was not ready after {self.timeout:.0f} s: {self.last_lines()}")

    def last_lines(self, count: int = 4) -> str:
        """The end of Triton's log that says something: errors where there are any."""
        lines = self._log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        telling = [line for line in lines if line.startswith("E") or "error" in line.lower() or "fail" in line.lower()]
        text = " | ".join((telling or lines)[-count:]) or "it said nothing"
        if "libpython" in text:
            text += f" | this Python has no shared library; install libpython{sys.version_info.major}." + str(
                sys.version_info.minor
            )
        return text

    def watch(self, interval: float = 1.0) -> int:
        """Block until the server is told to end, or ends by itself again and again; its exit status.

        A server that crashes is started anew, on its ports. So is one whose model's process has ended: Triton does not
        start that again and goes on calling itself ready
        (https://github.com/triton-inference-server/server/issues/8604).
        """
        assert self._process is not None
        before: set[int] = set()
        crashes: list[float] = []
        while True:
            why = ""
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(interval)
                crashes = [at for at in crashes if time.monotonic() - at < _CRASH_WINDOW] + [time.monotonic()]
                if status == 0 or len(crashes) > _CRASHES:
                    return status
                why = f"tritonserver has ended with status {status}"
            ended = self.crippled()
            if ended & before:  # a model that is unloaded, or fails to load, is in between for a moment
                why = why or "a model's process has ended"
            if why:
                self._say(f"{why}: Triton is started anew")
                self.stop()
                self._launch()
                self._becomes_ready()  # or ends once more, which the next round counts
                ended = set()
            before = ended

    def crippled(self) -> set[int]:
        """Processes of models that have ended and that Triton has not cleared away: their callers get errors."""
        assert self._process is not None
        found = set()
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything; state and parent follow it.
                state, parent = entry.read_text().rpartition(")")[2].split()[:2]
                if int(parent) == self._process.pid and state == "Z":
                    found.add(int(entry.parent.name))
        return found

    def stop(self) -> None:
        """End the server and its model processes; returns when they are gone and the ports are free again."""
        if self._process is not None:
            group = self._process.pid
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=15)
            # What is left of the group by now does not want to go.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None
            if self._log_is_ours:
                self._log_file.unlink(missing_ok=True)


def control(secret: str) -> list[str]:
    """Triton's options for a server whose models are loaded and unloaded from outside, by who knows `secret` alone.

    Who may load models may run code in the server. See "Secure Deployment Considerations" in Triton's user guide.
    """
    return [
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in (wire.PAINT, wire.EDIT, wire.PREVIEW)),  # those that are there
        "--exit-on-error=false",
        f"--grpc-restricted-protocol=model-repository:{CONTROL_KEY}={secret}",
        f"--http-restricted-api=model-repository:{CONTROL_KEY}={secret}",
    ]


def _ready(url: str) -> bool:
    # A loopback address needs no proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _ports(host: str, wanted: tuple[int | None, int | None, int | None]) -> tuple[int, int, int]:
    """Ports for HTTP, gRPC and metrics: the given ones if they are free, others from the system."""
    given = [port for port in wanted if port is not None]
    if len(set(given)) != len(given):
        raise ServingError(f"HTTP, gRPC and metrics need three different ports, not {', '.join(map(str, given))}")
    with contextlib.ExitStack() as stack:
        ports = []
        for port in wanted:
            listener = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
            # As Triton does it: a port on which closed connections still linger is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port or 0))
                listener.listen()
            except (OSError, OverflowError) as error:
                raise ServingError(f"cannot listen on {host}:{port} ({error}); choose another port") from error
            ports.append(listener.getsockname()[1])
    return ports[0], ports[1], ports[2]


def docker_line(repository: Path) -> str:
    """The command that serves `repository` by NVIDIA's image, on a GPU, to this machine only."""
    # The image brings numpy, and a backend of its own that runs the graph.
    pins = [p for p in install.ENVIRONMENT.read_text(encoding="utf-8").split() if not p.startswith(("numpy", "onnx"))]
    mount = shlex.quote(f"{repository.absolute()}:/models:ro")
    return (
        "docker run --rm --gpus all --shm-size 1g -p 127.0.0.1:8000-8002:8000-8002 "
        f"-v {mount} {install.IMAGE} sh -c 'pip install -q --no-deps {' '.join(pins)} && "
        "tritonserver --model-repository=/models --cache-config=local,size=67108864'"
    )


def serve(
    package: Path | None = None,
    *,
    host: str = "127.0.0.1",
    http: int = HTTP,
    grpc: int = GRPC,
    metrics: int = METRICS,
    log: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve `package` (None: the champion, else the model in the box) until Ctrl-C or SIGTERM.

    Raises ServingError when the server cannot be started, or ends by itself.
    """
    repository = build(champion() if package is None else package, install.cache() / "repositories")
    server = Server(repository, host=host, http=http, grpc=grpc, metrics=metrics, say=say, log=log)

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with server:
            say(f"serving {repository.name}: gRPC {server.url}, HTTP {server.http_url}, metrics {server.metrics_url}")
            say(f'try: danqing paint "a lone boat under misty mountains, freehand" --url {server.url} -o boat.png')
            say(f"on a GPU, by NVIDIA's image: {docker_line(repository)}")
            say("Ctrl-C stops it")
            status = server.watch()
            raise ServingError(f"tritonserver ended with status {status}: {server.last_lines()}")
    except KeyboardInterrupt:
        say("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)
