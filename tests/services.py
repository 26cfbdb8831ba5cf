"""A PostgreSQL, an S3 store (SeaweedFS) and an MLflow server on this machine's loopback, for one test module.

Each has data, ports and passwords of its own, and ends with its block.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WEED = Path(sys.executable).with_name("weed")
POSTGRES = next((Path(found) for found in sorted(glob.glob("/usr/lib/postgresql/*/bin"))[::-1]), None)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def until(ready: Callable[[], bool], process: subprocess.Popen, log: Path, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(Exception):
            if ready():
                return
        alive = process.poll() is None and time.monotonic() < deadline
        assert alive, log.read_text(errors="replace")[-3000:]
        time.sleep(0.1)


@contextlib.contextmanager
def process(command: list[str], log: Path, kind: int = signal.SIGTERM, **more: Any) -> Iterator[subprocess.Popen]:
    """A server in a process group of its own, all of which ends with the block. kind: the signal that ends it."""
    with open(log, "w") as file:
        running = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, **more)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(running.pid, kind)
            running.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


@contextlib.contextmanager
def postgres(user: str = "mlflow") -> Iterator[str]:
    """The address of a new PostgreSQL's database `mlflow`; the password is made for it. user: its administrator."""
    assert POSTGRES is not None
    root = Path(tempfile.mkdtemp(prefix="pg-"))  # not below pytest's own folder, which is root's alone
    who: dict[str, Any] = {}
    if os.getuid() == 0:  # PostgreSQL does not run as root
        shutil.chown(root, "postgres", "postgres")
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
    password, (port,) = secrets.token_hex(16), free_ports(1)
    try:
        (root / "password").write_text(password)
        (root / "password").chmod(0o644)
        subprocess.run(
            [POSTGRES / "initdb", "-D", root / "data", "-U", user, "-A", "scram-sha-256", "--no-sync",
             f"--pwfile={root / 'password'}"], check=True, capture_output=True, cwd=root, **who,
        )  # fmt: skip
        command = [str(POSTGRES / "postgres"), "-D", str(root / "data"), "-p", str(port), "-h", "127.0.0.1",
                   "-k", str(root), "-F"]  # fmt: skip
        (root / "log").touch()
        with process(command, root / "log", signal.SIGINT, cwd=root, **who) as server:
            url = f"postgresql://{user}:{password}@127.0.0.1:{port}"
            until(lambda: sql(f"{url}/postgres", "select 1") == "1", server, root / "log")
            sql(f"{url}/postgres", "create database mlflow")
            yield f"{url}/mlflow"
    finally:
        shutil.rmtree(root, ignore_errors=True)


def sql(url: str, text: str) -> str:
    assert POSTGRES is not None
    command = [POSTGRES / "psql", "--no-psqlrc", "-Atq", "-v", "ON_ERROR_STOP=1", url, "-c", text]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Seaweed:
    """A SeaweedFS that knows one pair of keys. It can be stopped and started again: same address, same data."""

    def __init__(self, folder: Path) -> None:
        key, secret = "steward", secrets.token_hex(16)
        (folder / "data").mkdir(parents=True)
        rights = ["Admin", "Read", "Write", "List"]
        who = {"name": "steward", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": rights}
        (folder / "s3.json").write_text(json.dumps({"identities": [who]}))
        # Each port p also takes p + 10000 for gRPC, so they must be small and named one by one.
        names = ("master.port", "volume.port", "filer.port", "s3.port", "master.port.grpc", "volume.port.grpc",
                 "filer.port.grpc", "s3.port.grpc")  # fmt: skip
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._command = [
            str(WEED), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3",
            "-volume.max=50", "-master.electionTimeout=1s", "-master.heartbeatInterval=200ms",
            "-s3.port.iceberg=0", "-s3.port.lance=0",  # else two servers fight over these
            f"-s3.config={folder / 's3.json'}", *(f"-{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        self._ports = tuple(ports.values())
        self._log, self._running = folder / "log", contextlib.ExitStack()
        url = f"http://127.0.0.1:{ports['s3.port']}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": url, "MLFLOW_S3_ENDPOINT_URL": url,
        }  # fmt: skip
        """With which S3 clients reach it."""

    def start(self) -> None:
        server = self._running.enter_context(process(self._command, self._log, signal.SIGKILL))
        client = s3(self.environment)

        def ready() -> bool:
            client.create_bucket(Bucket="is-it-up")
            client.delete_bucket(Bucket="is-it-up")
            return True

        until(ready, server, self._log)

    def stop(self) -> None:
        self._running.close()
        for port in self._ports:  # it is killed, and so leaves its sockets behind
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[dict[str, str]]:
    """The environment with which S3 clients reach a new SeaweedFS."""
    server = Seaweed(folder)
    try:
        server.start()
        yield server.environment
    finally:
        server.stop()


def s3(environment: dict[str, str]) -> Any:
    """A client for the store that `environment` names."""
    import botocore.session

    return botocore.session.Session().create_client(
        "s3", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip


@contextlib.contextmanager
def mlflow(database: str, store: dict[str, str], log: Path, *, login: tuple[str, str] | None = None) -> Iterator[str]:
    """The address of an MLflow server on that database, with its files in the bucket `mlflow`.

    login: name and password (12 characters or more) of its administrator; without it, it asks nobody who they are.
    """
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1",
        "--backend-store-uri", database.replace("://", "+psycopg2://"),
        "--artifacts-destination=s3://mlflow", "--serve-artifacts",
    ]  # fmt: skip
    environment = {
        **os.environ,
        **store,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    if login is not None:
        command.append("--app-name=basic-auth")
        environment |= _users(database, log.with_suffix(".ini"), login)
    with process(command, log, env=environment) as server:
        until(lambda: urllib.request.urlopen(f"{url}/health", timeout=5).status == 200, server, log)
        yield url


def _users(database: str, settings: Path, login: tuple[str, str]) -> dict[str, str]:
    """What MLflow needs to know its users, who are kept in a second database of the same PostgreSQL."""
    users = f"{database}_users"
    sql(database, f"create database {users.rpartition('/')[2]}")
    # A password's hash takes most of a request's time, so it is compared once a minute.
    settings.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {users.replace('://', '+psycopg2://')}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\nauth_cache_ttl_seconds = 60\n"
    )
    settings.chmod(0o600)
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_AUTH_ADMIN_USERNAME": login[0],
        "MLFLOW_AUTH_ADMIN_PASSWORD": login[1], "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
    }  # fmt: skip
