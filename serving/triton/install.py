"""Fetches a real tritonserver for this machine, once, into a cache folder of danqing's own.

NVIDIA's wheel `nvidia-pytriton` carries a whole tritonserver (2.51). It goes into a folder of its own, off the import
path, and the models' Python environment (`environment.txt`: numpy 1, which that server asks for) into another. This is
a server for tests and laptops, of 2024; production runs NVIDIA's current image on the same model repository.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from danqing import files
from danqing.errors import ServingError

SERVER = "nvidia-pytriton==0.7.0"
IMAGE = "nvcr.io/nvidia/tritonserver:25.08-py3"
ENVIRONMENT = Path(__file__).parent / "environment.txt"
_BACKENDS = Path(__file__).parent / "backends"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    server: Path
    """The executable."""
    libraries: Path
    caches: Path
    backends: Path
    python: Path
    """`bin` folder of the models' environment."""


def cache() -> Path:
    """Where danqing keeps what it can fetch or build again: $DANQING_CACHE, or ~/.cache/danqing."""
    named = os.environ.get("DANQING_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "danqing"


def ensure(say: Callable[[str], None] = lambda line: None) -> Installation:
    """The installation, made first if it is not there; `say` hears a line about each part that takes a while.

    Raises ServingError where there is no such server: it runs on Linux, x86-64 or ARM, with CPython 3.11 or 3.12.
    """
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise ServingError(
            f"tritonserver has no build for {platform.system()} on {platform.machine()}; run NVIDIA's image: {IMAGE}"
        )
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        raise ServingError(
            f"tritonserver's models need Python 3.11 or 3.12, this is {_PYTHON}; use one of these, or the image {IMAGE}"
        )
    home = (cache() / "triton").absolute()
    with _alone(home):
        wheel = _server(home, say)
        environment = _environment(home, say)
        triton = wheel / "pytriton" / "tritonserver"
        return Installation(
            server=triton / "bin" / "tritonserver",
            libraries=wheel / "nvidia_pytriton.libs",
            caches=triton / "caches",
            backends=_backends(home, triton),
            python=environment / "bin",
        )


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep a second process that wants the same waiting until the first is done."""
    with files.storage(home):
        home.mkdir(parents=True, exist_ok=True)
        with open(home / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _server(home: Path, say: Callable[[str], None]) -> Path:
    folder = home / f"{SERVER.replace('==', '-')}-py{_PYTHON}"
    if not folder.is_dir():
        say("fetching tritonserver (55 MB, once)")
        with files.atomic_folder(folder) as new:
            _install(["--no-deps", "--target", str(new), SERVER], Path(sys.executable))
            executable = new / "pytriton" / "tritonserver" / "bin" / "tritonserver"
            if not executable.is_file():
                raise ServingError(f"{SERVER} was installed but holds no tritonserver; report this")
            executable.chmod(0o755)
    return folder


def _environment(home: Path, say: Callable[[str], None]) -> Path:
    pins = hashlib.sha256(ENVIRONMENT.read_bytes()).hexdigest()[:8]
    # A virtual environment cannot be moved into place when it is finished: a marker says that it is.
    folder = home / f"environment-{pins}-py{_PYTHON}"
    marker = folder / "complete"
    if not marker.is_file():
        say("making the models' Python environment (210 MB, once)")
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        # All that is imported is pinned there: nothing is to be resolved.
        _install(["--no-deps", "-r", str(ENVIRONMENT)], folder / "bin" / "python")
        marker.touch()
    return folder


def _backends(home: Path, triton: Path) -> Path:
    """Triton's Python backend with the stub of this Python, and our stand-in for the onnxruntime backend."""
    stub = triton / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
    digest = hashlib.sha256(f"{SERVER} {_PYTHON}".encode())
    ours = sorted(_BACKENDS.glob("*/model.py"))
    for path in ours:
        digest.update(path.read_bytes())
    folder = home / f"backends-{digest.hexdigest()[:8]}"
    if not folder.is_dir():
        with files.atomic_folder(folder) as new:
            shutil.copytree(triton / "backends" / "python", new / "python")
            shutil.copyfile(stub, new / "python" / stub.name)
            (new / "python" / stub.name).chmod(0o755)
            for path in ours:
                (new / path.parent.name).mkdir()
                shutil.copyfile(path, new / path.parent.name / path.name)
    return folder


def _install(arguments: list[str], python: Path) -> None:
    """Install into the environment of `python`, by uv where there is one, else by pip, as the user has set them up."""
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    commands = [[uv, "pip", "install", "--python", str(python), *arguments]] if uv else []
    commands.append([sys.executable, "-m", "pip", "--python", str(python), "install", *arguments])
    for command in commands[:-1]:
        with contextlib.suppress(ServingError):
            return _run(command)
    _run(commands[-1])


def _run(command: list[str]) -> None:
    environment = dict(os.environ)
    # uv does not read pip's settings; a machine that names its wheels and index for pip means uv as well.
    for ours, theirs in (("UV_FIND_LINKS", "PIP_FIND_LINKS"), ("UV_DEFAULT_INDEX", "PIP_INDEX_URL")):
        if environment.get(theirs) and not environment.get(ours):
            environment[ours] = environment[theirs]
    if environment.get("PIP_CERT") and not environment.get("SSL_CERT_FILE"):
        environment["SSL_CERT_FILE"] = environment["PIP_CERT"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()][-3:]
        raise ServingError(f"installing tritonserver failed ({Path(command[0]).name}): {' | '.join(last)}")
