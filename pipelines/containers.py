"""What `danqing run --runner containers` needs to know, and whether all of it is there before anything starts.

Artifacts live in an S3 store, runs and models on an MLflow server, and each step is a container on Docker or Podman.
Keys and passwords come from the environment alone: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY for this process, and
MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) for it and for the steps that speak to
MLflow.
"""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danqing import __version__
from danqing.errors import ConfigError, DanqingError, RegistryError
from danqing.platform import tracking
from danqing.values import require
from pipelines.store import Store

IMAGE = f"danqing/cpu:{__version__}"
"""What `make images` calls the image of the steps."""
SECRETS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SIZE = re.compile(r"[1-9][0-9]*[kmg]")
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


class EngineError(DanqingError):
    """Docker or Podman cannot be reached, or does not do what it is asked."""

    exit_code = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Containers:
    """Where the containers' artifacts, runs and rights come from. Checked when it is made; raises ConfigError."""

    store: str
    """s3://BUCKET or s3://BUCKET/PREFIX."""
    tracking: str
    """The MLflow server, http:// or https://."""
    endpoint: str = ""
    """The S3 server, http:// or https://; "" is Amazon's own."""
    image: str = IMAGE
    memory: str = "8g"
    """Limit of each container: a number and k, m or g."""
    shared_memory: str = "1g"
    """Shared memory of each container, for data loaders."""
    scratch: str = "1g"
    """Temporary files of each container, which are kept in memory."""
    network: str = ""
    """A network of the engine, or host; "" is the engine's usual one."""
    user: int = 10001
    """Whom the steps run as where this process is root; elsewhere they run as this process's own user."""
    patience: float = 60.0
    """Seconds for which a store that is away is asked again."""

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.store)
        good = parts.scheme == "s3" and parts.netloc and not (parts.query or parts.fragment or parts.password)
        require(
            bool(good),
            f"store is {_bare(self.store)!r}: containers need --store s3://BUCKET/PREFIX for their artifacts",
        )
        require(
            urllib.parse.urlsplit(self.tracking).scheme in ("http", "https"),
            f"the tracking address is {_bare(self.tracking)!r}: containers need an MLflow server, "
            "set MLFLOW_TRACKING_URI=http://HOST:PORT",
        )
        for name, address in (("MLFLOW_TRACKING_URI", self.tracking), ("AWS_ENDPOINT_URL", self.endpoint)):
            given = urllib.parse.urlsplit(address)
            require(given.scheme in ("http", "https") or not address, f"{name} is {_bare(address)!r}: http://HOST:PORT")
            require(given.password is None, f"{name} holds a password: set it as a variable of its own instead")
        require(
            self.network == "host" or urllib.parse.urlsplit(self.tracking).hostname not in _LOOPBACK,
            f"MLFLOW_TRACKING_URI is {self.tracking}: in a container that is the container itself; name this "
            "machine's own address, or use --network host",
        )
        require(bool(self.image) and not any(c.isspace() for c in self.image), f"image is {self.image!r}: a name")
        for name in ("memory", "shared_memory", "scratch"):
            value = getattr(self, name)
            require(bool(_SIZE.fullmatch(value)), f"{name} is {value!r}: a whole number and k, m or g, e.g. 8g")
        require(self.user > 0, f"user is {self.user}: the steps do not run as root")
        require(self.patience >= 0, f"patience is {self.patience}: seconds, not below 0")

    @property
    def bucket(self) -> str:
        return urllib.parse.urlsplit(self.store).netloc

    @property
    def prefix(self) -> str:
        return urllib.parse.urlsplit(self.store).path.strip("/")


def chosen(runner: str, **given: str) -> Containers | None:
    """The settings for `danqing run --runner`; None for processes, which take none of the others."""
    require(runner in ("processes", "containers"), f"runner is {runner!r}: use one of processes, containers")
    if runner == "containers":
        return from_environment(**given)
    for name, value in given.items():
        require(not value, f"--{name} goes with --runner containers")
    return None


def from_environment(**given: Any) -> Containers:
    """The settings with the addresses that the environment names: AWS_ENDPOINT_URL, MLFLOW_TRACKING_URI.

    given: other fields of `Containers`; what is empty keeps its default.
    """
    known = os.environ
    rest = {name: value for name, value in given.items() if value}
    addresses = {"endpoint": known.get("AWS_ENDPOINT_URL", ""), "tracking": known.get("MLFLOW_TRACKING_URI", "")}
    return Containers(**{"store": "", **addresses, **rest})


def _bare(address: str) -> str:
    """An address that may be printed."""
    return re.sub(r"//[^/@]*@", "//", address)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """What was found there."""

    settings: Containers
    client: Any
    """Of Docker's API."""
    image: str
    """The id of the image: it may be built anew while the run goes on."""
    store: Store


def ready(settings: Containers) -> Ready:
    """Look whether engine, image, bucket and tracking server are there. Raises a DanqingError that says what is not."""
    client = connect()
    store = Store(settings.bucket, settings.prefix, settings.endpoint, settings.patience)
    image = _image(client, settings.image)
    store.check()
    _tracking(settings.tracking)
    return Ready(settings=settings, client=client, image=image, store=store)


def connect() -> Any:
    """A client of the engine at $DOCKER_HOST, or of Docker or Podman where they usually listen. Raises EngineError."""
    try:
        import docker
        from docker.errors import DockerException
    except ImportError:
        raise ConfigError("the package docker is not installed: pip install 'danqing[containers]'") from None

    found = next((path for path in _sockets() if path.exists()), _sockets()[0])
    address = os.environ.get("DOCKER_HOST") or f"unix://{found}"
    try:
        # With DOCKER_TLS_VERIFY and its like, which only go with an address of one's own.
        client = docker.from_env(timeout=120, environment={**os.environ, "DOCKER_HOST": address})
        client.ping()
    except (DockerException, OSError, ValueError) as error:
        raise EngineError(
            f"{address}: no container engine answers ({_short(error)}); start Docker, or "
            "`podman system service --time 0 unix:///tmp/podman.sock` and set DOCKER_HOST=unix:///tmp/podman.sock"
        ) from error
    return client


def _sockets() -> list[Path]:
    own = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return [Path("/var/run/docker.sock"), Path(own, "podman/podman.sock"), Path("/run/podman/podman.sock")]


def _image(client: Any, name: str) -> str:
    from docker.errors import APIError, ImageNotFound, NotFound

    try:
        return str(client.images.get(name).id)
    except (ImageNotFound, NotFound):
        raise EngineError(
            f"{name}: the engine has no such image; `make images ARGS=cpu` builds danqing's, `--image` names another"
        ) from None
    except APIError as error:
        raise EngineError(f"{name}: the engine does not give this image ({_short(error)})") from error


def _tracking(uri: str) -> None:
    client = tracking.client(uri)
    try:
        with tracking.reaching(uri):
            client.search_experiments(max_results=1)
    except RegistryError as error:
        if any(sign in str(error) for sign in ("401", "not authenticated", "Unauthorized")):
            raise RegistryError(
                f"{uri}: MLflow wants a login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            ) from error
        raise


def _short(error: Exception) -> str:
    return " ".join(str(getattr(error, "explanation", None) or error).split())[:200]
