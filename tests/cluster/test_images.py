"""The images: each is built, run without rights on a read-only root, and does its job there."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import secrets
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from engine_parts import ROOT, TARGETS, Engine, Images, answer, until
from PIL import Image
from services import free_ports

import danqing
from danqing.paint import Painter, box
from serving.client import Danqing
from serving.triton.repository import build

pytestmark = pytest.mark.slow
every = pytest.mark.parametrize("target", TARGETS)
PYTHON = {"triton-cpu": "sh -c '. /opt/tritonserver/paths && exec $python/python'"}


def test_the_image_of_the_steps_paints_a_corpus(podman: Engine, images: Images) -> None:
    assert "register" in podman.hardened(images["cpu"], "danqing", "--help").stdout
    step = "danqing ingest --profile debug --set ingest.count=12 --out /tmp/corpus && ls /tmp/corpus/shards"
    assert ".parquet" in podman.hardened(images["cpu"], "sh", "-c", step).stdout


def test_every_step_can_be_imported(podman: Engine, images: Images) -> None:
    text = (
        "import importlib, boto3, psycopg2, kfp.dsl.executor_main; from danqing.steps import STEPS\n"
        "for step in STEPS.values(): importlib.import_module(step.function.partition(':')[0])"
    )
    podman.hardened(images["cpu"], "python", "-c", text)


def test_the_gateway_paints(podman: Engine, images: Images) -> None:
    (port,) = free_ports(1)
    serve = ["python", "-m", "bentoml", "serve", "serving.gateway.service:Gateway", "--host", "127.0.0.1"]
    with podman.started(
        images["gateway"], *serve, "--port", str(port), "--api-workers", "1",
        options=("--env", "DANQING_GATEWAY_HOST=127.0.0.1"),
    ) as container:  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        until(lambda: answer(f"{url}/readyz") is not None, lambda: podman.logs(container))
        painted = answer(f"{url}/paint", {"prompt": "墨竹", "seed": 7})
        assert painted is not None, podman.logs(container)
        assert Image.open(io.BytesIO(painted)).format == "PNG"
        assert b"danqing" in (answer(url) or b"")  # the studio


def test_the_gateway_wants_keys_before_others_reach_it(podman: Engine, images: Images) -> None:
    done = podman.hardened(images["gateway"], check=False)  # as it is: it would listen to everybody
    assert done.returncode != 0
    assert "without API keys" in done.stdout + done.stderr


def test_the_gateway_has_the_rollout_and_no_torch(podman: Engine, images: Images) -> None:
    podman.hardened(images["gateway"], "python", "-c", "import mlflow, psycopg2, serving.rollout.follow")
    assert "--store" in podman.hardened(images["gateway"], "python", "-m", "serving.rollout", "--help").stdout
    absent = "import importlib.util as u; assert not [n for n in ('torch', 'sentence_transformers') if u.find_spec(n)]"
    podman.hardened(images["gateway"], "python", "-c", absent)


def test_triton_paints_what_the_painter_paints(podman: Engine, images: Images, tmp_path: Path) -> None:
    repository = build(box(), podman.folder / "repositories")  # pytest's own folder is root's alone
    http, grpc, metrics = free_ports(3)
    ports = (f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}")
    with podman.started(
        images["triton-cpu"], "tritonserver", "--model-repository=/models", *ports,
        options=("--shm-size", "256m", "--volume", f"{repository}:/models:ro"),
    ) as container:  # fmt: skip
        until(lambda: answer(f"http://127.0.0.1:{http}/v2/health/ready") is not None, lambda: podman.logs(container))
        with Danqing(f"grpc://127.0.0.1:{grpc}") as client:
            painted = client.paint("two red fish", seed=7)
            assert len(list(client.preview("two red fish", seed=7))) > 1
    assert np.array_equal(np.asarray(painted), np.asarray(Painter.load(box()).paint("two red fish", seed=7)[0]))


def test_mlflow_serves_who_can_log_in(podman: Engine, images: Images) -> None:
    (port,), password = free_ports(1), secrets.token_hex(8)
    settings = {
        "MLFLOW_HOST": "127.0.0.1", "MLFLOW_PORT": str(port), "MLFLOW_WORKERS": "1",
        "MLFLOW_AUTH_DATABASE_URI": "sqlite:////tmp/users.db", "MLFLOW_AUTH_ADMIN_USERNAME": "steward",
        "MLFLOW_AUTH_ADMIN_PASSWORD": password, "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(8),
    }  # fmt: skip
    options = tuple(part for name, value in settings.items() for part in ("--env", f"{name}={value}"))
    with podman.started(images["mlflow"], options=options) as container:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answer(f"{url}/health") is not None, lambda: podman.logs(container))
        search = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(search)
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, url, "steward", password)
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(known))
        assert opener.open(search).status == 200
    podman.hardened(images["mlflow"], "python", "-c", "import psycopg2, boto3")


LEFT_BEHIND = r"""
for name in cc gcc g++ c++ ld make cargo pip pip3 uv git; do command -v $name; done
find / -xdev -type f -perm /6000
find / -xdev \( -name pip -o -name uv -o -name ensurepip \) -path '*-packages/*' -o -xdev -name 'pip-*.whl'
find /root/.cache /tmp /var/tmp /var/lib/apt/lists /var/cache/apt/archives -type f -not -name lock 2>/dev/null
find / -xdev -name '*.a' -path '/opt/*'
"""
WRITABLE = "find / -xdev -type f -writable -not -path '/proc/*' -not -path '/sys/*' 2>/dev/null; true"


@every
def test_nothing_is_left_that_installs_compiles_or_was_cached(podman: Engine, images: Images, target: str) -> None:
    as_root = ("run", "--rm", "--user", "0", images[target], "sh", "-c")
    assert podman(*as_root, LEFT_BEHIND, check=False).stdout == ""
    files = podman("run", "--rm", images[target], "sh", "-c", WRITABLE).stdout.split()
    assert not [name for name in files if not name.startswith(("/dev/", "/run/"))], "the user can change these"


@pytest.mark.parametrize("target, module", [("cpu", "danqing.train.painter"), ("gateway", "serving.gateway.app")])
def test_bytecode_is_there(podman: Engine, images: Images, target: str, module: str) -> None:
    """On a read-only root it could not be kept, and each process would compile all it imports."""
    text = (
        f"import importlib, os, sys; importlib.import_module({module!r})\n"
        "found = [vars(module).get('__cached__') or '' for module in list(sys.modules.values())]\n"
        "ours = [path for path in found if path.startswith(('/opt', '/app'))]\n"
        "print(len(ours), [path for path in ours if not os.path.exists(path)])"
    )
    count, _, lacking = podman.hardened(images[target], "python", "-c", text).stdout.partition(" ")
    assert int(count) > 100 and lacking.strip() == "[]"


@every
def test_labels_tell_the_origin(podman: Engine, images: Images, target: str) -> None:
    found = json.loads(podman("image", "inspect", images[target]).stdout)[0]
    labels = {name.rpartition(".")[2]: value for name, value in found["Labels"].items() if "opencontainers" in name}
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert labels["revision"].removesuffix("-dirty") == head.strip()
    assert labels["version"] == danqing.__version__
    assert labels["licenses"] == importlib.metadata.metadata("danqing")["License-Expression"]
    assert labels["title"] == f"danqing-{target}" and "source" in labels
    assert found["Config"]["User"] == "10001:10001"


@every
def test_the_sbom_names_what_is_installed(podman: Engine, images: Images, target: str) -> None:
    inside = podman.hardened(images[target], "cat", "/opt/danqing/sbom.cdx.json").stdout
    assert inside == (images.out / f"{target}.cdx.json").read_text()
    found = json.loads(inside)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    assert found["metadata"]["component"]["name"] == f"danqing-{target}"
    listed = {component["purl"].partition("?")[0] for component in found["components"]}
    names = "import importlib.metadata as m; print(*{d.name + '@' + d.version for d in m.distributions()})"
    python = podman.hardened(
        images[target], "sh", "-c", f'if [ -f /opt/tritonserver/paths ]; then . /opt/tritonserver/paths; fi; '
        f'"${{python:-/opt/danqing/bin}}/python" -c "{names}"',
    ).stdout.split()  # fmt: skip
    assert len(python) > 3
    assert {f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='@')}" for name in python} <= listed
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in listed)
    if target != "triton-cpu":  # whose models have an environment of their own
        pins = set((ROOT / "constraints.txt").read_text().split())
        chosen = {f"{re.sub('[-_.]+', '-', name.lower())}=={re.sub(r'[+].*', '', v)}" for name, _, v in
                  (one.partition("@") for one in python)}  # fmt: skip
        assert chosen <= pins


def test_a_change_of_code_leaves_the_dependencies_alone(podman: Engine, images: Images, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in (
        "danqing",
        "serving",
        "pretrained",
        "scripts",
        "pyproject.toml",
        "constraints.txt",
        ".containerignore",
    ):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        tree.mkdir(exist_ok=True)
        copy(ROOT / name, tree / name)
    with open(tree / "danqing" / "values.py", "a") as file:
        file.write("# changed\n")
    before = layers(podman, images["gateway"])
    images.build("gateway", tree=tree, TAG="changed", OUT=str(tmp_path))
    after = layers(podman, "localhost/danqing/gateway:changed")
    assert len(before) == len(after) and before[:-2] == after[:-2]
    assert before[-2] != after[-2]


def layers(podman: Engine, image: str) -> list[str]:
    """The layers' digests, bottom first. The last is a line about the image's origin, the one below is our code."""
    return json.loads(podman("image", "inspect", image).stdout)[0]["RootFS"]["Layers"]


def test_the_script_names_what_it_does_not_know(podman: Engine) -> None:
    done = subprocess.run([str(ROOT / "scripts/images.sh"), "gpu"], capture_output=True, text=True)
    assert done.returncode == 1 and "no target gpu" in done.stderr


def test_the_script_prints_name_digest_and_size(podman: Engine, images: Images, tmp_path: Path) -> None:
    name = images["mlflow"]
    printed = images.build("mlflow", OUT=str(tmp_path))  # from the cache
    assert re.fullmatch(
        r"danqing/mlflow:test  sha256:[0-9a-f]{64}  [1-9][0-9]* MB  \d+ s",
        printed.strip().removeprefix("localhost/"),
    )
    assert podman("image", "inspect", "--format", "{{.Id}}", name).stdout.strip() in printed
