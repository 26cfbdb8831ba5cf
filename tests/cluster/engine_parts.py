"""Podman for tests: a storage and settings of its own, a base made from Debian's packages, and the project's images.

No registry is asked for anything. Workers that run side by side share one storage; the last to leave removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE = "docker.io/library/python:3.11-slim"
TARGETS = ("cpu", "gateway", "triton-cpu", "mlflow")
"""The images that need no GPU."""
TOOLS = ("podman", "buildah", "runc", "mmdebstrap", "apt-get", "netavark", "catatonit")
HARDENED = (
    "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--user", "10001", "--tmpfs", "/tmp",
)  # fmt: skip
"""What every container of ours must be able to live with."""
_STALE = 3600.0
"""Seconds after which a storage that nobody holds was left behind by a killed run."""

# Each line answers a failure: limits above the machine's own (EPERM), no rights to make networks, crun and systemd's
# control groups where there is neither, a journal that is not running.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""
_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


def missing() -> str:
    """Why containers cannot be run here, in one line; empty where they can."""
    absent = [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/lib/podman") is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install {' '.join(absent)}"
    return "" if os.geteuid() == 0 else "only root can make the base image and mount its layers"


class Engine:
    """Podman on the storage `folder`, whose path must be short: sockets lie in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "containers.conf").write_text(_CONTAINERS)
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs so that its podman and buildah are these."""
        return {
            **os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"), "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": str(self._temporary()),
        }  # fmt: skip

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """`podman ARGUMENTS`; AssertionError with its last lines if it fails, unless `check` is False."""
        return run(["podman", *arguments], self.environment, check=check, timeout=timeout)

    def hardened(
        self, image: str, *command: str, options: tuple[str, ...] = (), check: bool = True, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` in a fresh container with a read-only root, no rights, as a plain user, and remove it."""
        return self("run", "--rm", *HARDENED, *options, image, *command, check=check, timeout=timeout)

    @contextlib.contextmanager
    def started(self, image: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[str]:
        """A hardened container that goes on while the block runs; gives its id."""
        container = self("run", "--detach", *HARDENED, *options, image, *command).stdout.strip().splitlines()[-1]
        try:
            yield container
        finally:
            self("rm", "--force", "--time", "0", container, check=False)

    def logs(self, container: str) -> str:
        done = self("logs", container, check=False)
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def service(self) -> Iterator[str]:
        """Docker's API on a socket of its own; gives the address for DOCKER_HOST."""
        socket = self.folder / f"api-{os.getpid()}.sock"
        with open(self.folder / f"api-{os.getpid()}.log", "wb") as log:
            process = subprocess.Popen(
                ["podman", "system", "service", "--time", "0", f"unix://{socket}"],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                until(socket.exists, lambda: Path(log.name).read_text(), seconds=20)
                yield f"unix://{socket}"
            finally:
                process.terminate()
                process.wait(timeout=20)
                socket.unlink(missing_ok=True)

    def remove(self) -> None:
        """End every container and delete the storage, with whatever is still mounted in it."""
        self("pod", "rm", "--all", "--force", "--time", "1", check=False)
        self("rm", "--all", "--force", "--time", "1", check=False)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            mounted = line.split()[1]
            if mounted.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", mounted], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _temporary(self) -> Path:
        folder = self.folder / "tmp"
        folder.mkdir(exist_ok=True)
        return folder


def run(
    command: list[str], environment: Mapping[str, str], *, check: bool = True, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, env=dict(environment), cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    if check:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        assert done.returncode == 0, f"{' '.join(command)[:300]} ended with {done.returncode}:\n{last}"
    return done


def until(happened: Callable[[], bool], otherwise: Callable[[], str], seconds: float = 90) -> None:
    """Wait until `happened` says so; AssertionError with what `otherwise` says."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {otherwise()[-3000:]}"
        time.sleep(0.2)


def answer(url: str, body: object = None, **headers: str) -> bytes | None:
    """What `url` answers with 200; None as long as nobody listens, or another status comes."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.read() if response.status == 200 else None
    except OSError:
        return None


@contextlib.contextmanager
def shared_storage(common: Path) -> Iterator[Engine]:
    """The engine of all workers whose common folder is `common`, or on $DANQING_TEST_STORAGE, which is kept.

    Who leaves last removes it.
    """
    kept = os.environ.get("DANQING_TEST_STORAGE")
    if kept:
        yield Engine(Path(kept).resolve())
        return
    _sweep()
    # Not in `common` itself: podman refuses long paths.
    folder = Path(tempfile.gettempdir()) / f"danqing-podman-{common.parent.name}-{common.name}"[-40:]
    lock = folder.with_suffix(".lock")
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        engine = Engine(folder)
        try:
            yield engine
        finally:
            _leave(engine, held)


def _leave(engine: Engine, held: object) -> None:
    with contextlib.suppress(BlockingIOError):  # somebody else still uses it
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
        engine.remove()
        engine.folder.with_suffix(".lock").unlink(missing_ok=True)


def _sweep() -> None:
    """Remove what a killed run left behind."""
    for lock in Path(tempfile.gettempdir()).glob("danqing-podman-*.lock"):
        with contextlib.suppress(OSError):
            if time.time() - lock.stat().st_mtime > _STALE:
                with open(lock) as held:
                    _leave(Engine(lock.with_suffix("")), held)


@contextlib.contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Keep a second worker that wants to build the same waiting until the first has done it."""
    with open(engine.folder / "build.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_base(engine: Engine) -> str:
    """A stand-in for Docker's python:3.11-slim, out of Debian's packages, under the name by which builds find it."""
    with alone(engine):
        if engine("image", "exists", BASE, check=False).returncode == 0:
            return BASE
        tar = engine.folder / "base.tar"
        # Documentation and translations are not in Docker's slim images either.
        thin = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
        run(
            ["mmdebstrap", "--variant=minbase", "--include=python3,python3-venv,libpython3.11,ca-certificates", *thin,
             '--customize-hook=chroot "$1" python3 -m venv /usr/local', "bookworm", str(tar),
             f"deb {_mirror()} bookworm main"], engine.environment,
        )  # fmt: skip
        path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        engine("import", "--change", f"ENV PATH={path}", str(tar), BASE)
        tar.unlink()
    return BASE


def _mirror() -> str:
    """Where this machine has Debian's packages from."""
    form = "$(RELEASE) $(COMPONENT) $(REPO_URI)"
    lines = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], os.environ).stdout.splitlines()
    found = [line.split()[2] for line in lines if line.startswith("bookworm main ")]
    assert found, "apt knows no source of Debian bookworm here"
    return found[0]


class Images(Mapping[str, str]):
    """Target → image. All are built together when one is first asked for, once for all workers."""

    def __init__(self, engine: Engine, base: str, session: Path) -> None:
        self.engine, self.base = engine, base
        self.out = session / "images"
        """Folder of the SBOMs."""

    def __getitem__(self, target: str) -> str:
        if target not in TARGETS:
            raise KeyError(target)
        with alone(self.engine):
            built = self.out / "built"
            if not built.exists():
                self.build(*TARGETS)
                built.touch()
        return f"localhost/danqing/{target}:test"

    def build(self, *targets: str, tree: Path = ROOT, **environment: str) -> str:
        """What `scripts/images.sh` of the checkout `tree` prints when it builds `targets`."""
        settings = {
            **self.engine.environment, "ENGINE": "podman", "BASE": self.base, "PULL": "never", "TAG": "test",
            "REGISTRY": "localhost/danqing", "OUT": str(self.out), **environment,
        }  # fmt: skip
        return run([str(tree / "scripts" / "images.sh"), *targets], settings, timeout=900).stdout

    def __iter__(self) -> Iterator[str]:
        return iter(TARGETS)

    def __len__(self) -> int:
        return len(TARGETS)
