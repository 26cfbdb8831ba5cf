"""The serving Deployments of k8s/base in containers: the version that MLflow calls champion paints at the gateway."""

from __future__ import annotations

import contextlib
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_parts import Engine, Images, answer, until
from kube_parts import Secrets, containers, deployment, manifests, playable, played
from services import free_ports

from danqing import files
from danqing.config import Register
from danqing.monitor import Silent
from danqing.package import Package
from danqing.paint import box
from danqing.platform import registry, tracking, versions
from danqing.provenance import inspect

pytestmark = pytest.mark.slow


@pytest.fixture
def passwords() -> Secrets:
    """What k8s/secrets.sh makes on a cluster."""
    return {
        "danqing-triton": {"secret": secrets.token_hex(8)},
        "danqing-mlflow": {"username": "danqing", "password": secrets.token_hex(8)},
        "danqing-gateway-db": {"uri": "sqlite:////tmp/gateway.db"},
        "danqing-gateway": {"keys": f"first {secrets.token_hex(12)}\n", "secret": secrets.token_hex(16)},
    }


@pytest.fixture
def mlflow(
    podman: Engine, images: Images, passwords: Secrets, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:  # fmt: skip
    """The address of an MLflow that wants a login, which this process has, and forgets everything in the end."""
    (port,), login = free_ports(1), passwords["danqing-mlflow"]
    settings = {
        "MLFLOW_HOST": "127.0.0.1", "MLFLOW_PORT": port, "MLFLOW_WORKERS": 1,
        "MLFLOW_AUTH_DATABASE_URI": "sqlite:////tmp/users.db", "MLFLOW_AUTH_ADMIN_USERNAME": login["username"],
        "MLFLOW_AUTH_ADMIN_PASSWORD": login["password"], "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(8),
    }  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", login["username"])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", login["password"])
    options = tuple(part for name, value in settings.items() for part in ("--env", f"{name}={value}"))
    with podman.started(images["mlflow"], options=options) as container:
        until(lambda: answer(f"http://127.0.0.1:{port}/health") is not None, lambda: podman.logs(container))
        yield f"http://127.0.0.1:{port}"


def make_champion(uri: str, scratch: Path) -> int:
    """Register the model in the box; its number."""
    files.write_json(scratch / "evaluation" / "metrics.json", {"psnr": 20.0})
    files.write_json(scratch / "decision" / "decision.json", {"promote": False})
    number = registry.register(
        box(), scratch / "evaluation", scratch / "decision", out=scratch / "out", config=Register(), monitor=Silent(),
        scratch=scratch, tracking_uri=uri,
    )["version"]  # fmt: skip
    tracking.client(uri).set_registered_model_alias("danqing", "champion", str(number))
    return int(number)


def exec_probes(found: dict) -> Iterator[tuple[str, list[str]]]:
    """Container and command of each probe of a Deployment that is a command."""
    for name, container in containers(found).items():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            with contextlib.suppress(KeyError):
                yield name, container[probe]["exec"]["command"]


def test_the_serving_deployments_paint_with_the_champion(
    podman: Engine, images: Images, passwords: Secrets, mlflow: str, tmp_path: Path
) -> None:
    number = make_champion(mlflow, tmp_path / "scratch")
    http, grpc, metrics, port = free_ports(4)
    documents = manifests("triton", "gateway", "records")
    as_written = deployment(documents, "triton")
    triton, gateway = (
        playable(deployment(documents, name), images, passwords, podman.folder / "secrets")
        for name in ("triton", "gateway")
    )
    # All share the machine's network, so each listens on a port of its own, for this machine only.
    containers(triton)["triton"]["args"] += [
        f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}",
        "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1",
    ]  # fmt: skip
    containers(triton)["rollout"]["args"] = ["--store", "/store", "--triton", f"grpc://127.0.0.1:{grpc}"]
    containers(gateway)["gateway"]["command"] = [
        "python", "-m", "bentoml", "serve", "serving.gateway.service:Gateway", "--host", "127.0.0.1",
        "--port", str(port), "--api-workers", "1",
    ]  # fmt: skip
    addresses = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "danqing-addresses"},
        "data": {"mlflow": mlflow, "triton": f"grpc://127.0.0.1:{grpc}"},
    }  # fmt: skip
    claims = [one for one in documents if one["kind"] == "PersistentVolumeClaim"]
    url, key = f"http://127.0.0.1:{port}", passwords["danqing-gateway"]["keys"].split()[1]
    with played(podman, [addresses, *claims, triton, gateway]) as names:

        def said() -> str:
            return "\n".join(f"{name}: {podman.logs(name)[-1000:]}" for name in names)

        until(lambda: answer(f"{url}/readyz") is not None, said)
        asked = {"prompt": "two red fish", "seed": 7}
        painted = answer(f"{url}/paint", asked, authorization=f"Bearer {key}")
        assert painted is not None, said()
        assert inspect(painted)["text"].fields["danqing:model"] == Package.read(box()).version
        request = urllib.request.Request(
            f"{url}/paint", json.dumps(asked).encode(), {"content-type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request)
        until(lambda: versions.read(mlflow, "danqing")[number].tags.get("rollout") == "serving", said)
        for container, command in exec_probes(as_written):
            podman("exec", f"triton-pod-0-{container}", *command)
        for name in names:
            settings = json.loads(podman("inspect", name).stdout)[0]
            assert settings["HostConfig"]["ReadonlyRootfs"] and settings["Config"]["User"].startswith("10001")
