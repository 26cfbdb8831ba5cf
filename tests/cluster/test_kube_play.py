"""The serving Deployment in containers: a version that MLflow calls champion is what the gateway paints with."""

from __future__ import annotations

import contextlib
import json
import secrets
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from engine_parts import Engine, Images, answer, until
from services import free_ports

from danqing import files
from danqing.config import Register
from danqing.monitor import Silent
from danqing.package import Package
from danqing.paint import box
from danqing.platform import registry, tracking, versions
from danqing.provenance import inspect

pytestmark = pytest.mark.slow
MANIFEST = Path(__file__).with_name("serving.yaml")


@contextlib.contextmanager
def mlflow(podman: Engine, image: str) -> Iterator[str]:
    """The address of an MLflow that forgets everything in the end."""
    (port,) = free_ports(1)
    options = ("--env", "MLFLOW_HOST=127.0.0.1", "--env", f"MLFLOW_PORT={port}", "--env", "MLFLOW_WORKERS=1")
    with podman.started(image, options=options) as container:
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


@contextlib.contextmanager
def played(podman: Engine, manifest: str, folder: Path, prepare: tuple[str, ...]) -> Iterator[list[str]]:
    """`podman kube play` of a manifest; gives the containers' ids.

    Podman knows no init containers in a Deployment: `prepare` is run with the claim's volume before.
    """
    documents = list(yaml.safe_load_all(manifest))
    claims = [one for one in documents if one["kind"] == "PersistentVolumeClaim"]
    parts = {"claims": claims, "rest": [one for one in documents if one not in claims]}
    for name, content in parts.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(content))
    try:
        podman("kube", "play", str(folder / "claims.yaml"))
        podman("run", "--rm", "--user", "10001", *prepare)
        made = podman("kube", "play", "--network", "host", str(folder / "rest.yaml")).stdout
        yield made.partition("Containers:")[2].split()
    finally:
        podman("kube", "down", str(folder / "rest.yaml"), check=False)
        for claim in claims:
            podman("volume", "rm", "--force", claim["metadata"]["name"], check=False)


def test_the_serving_deployment_paints_with_the_champion(podman: Engine, images: Images, tmp_path: Path) -> None:
    http, grpc, metrics, port = free_ports(4)
    url = f"http://127.0.0.1:{port}"
    with mlflow(podman, images["mlflow"]) as tracking_uri:
        number = make_champion(tracking_uri, tmp_path / "scratch")
        manifest = string.Template(MANIFEST.read_text()).substitute(
            http=http, grpc=grpc, metrics=metrics, port=port, secret=secrets.token_hex(8), tracking=tracking_uri,
            triton_image=images["triton-cpu"], gateway_image=images["gateway"],
        )  # fmt: skip
        prepare = ("--volume", "danqing-store:/store", images["gateway"], "mkdir", "/store/models")
        with played(podman, manifest, tmp_path, prepare) as containers:

            def said() -> str:
                return "\n".join(podman.logs(one)[-1000:] for one in containers)

            until(lambda: answer(f"{url}/readyz") is not None, said)
            painted = answer(f"{url}/paint", {"prompt": "two red fish", "seed": 7})
            assert painted is not None, said()
            assert inspect(painted)["text"].fields["danqing:model"] == Package.read(box()).version
            until(lambda: versions.read(tracking_uri, "danqing")[number].tags.get("rollout") == "serving", said)
            for one in containers:
                settings = json.loads(podman("inspect", one).stdout)[0]
                assert settings["HostConfig"]["ReadonlyRootfs"] and settings["Config"]["User"] == "10001"
