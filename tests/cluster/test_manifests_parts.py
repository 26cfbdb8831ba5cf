"""What the manifests run besides our images' own programs, run for real: the scripts of k8s/, with the passwords of
k8s/secrets.sh, the environment and the commands of the rendered manifests, against PostgreSQL, SeaweedFS and MLflow."""

from __future__ import annotations

import base64
import gzip
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from manifest_parts import K8S, ROOT, Doc, find, kubectl, pods, render
from services import POSTGRES, WEED, Seaweed, free_ports, postgres, process, sql, until

from serving.gateway.tasks import Store
from serving.guard.approvals import Approvals

pytestmark = pytest.mark.slow


@dataclass
class Site:
    """The bundled overlay on this machine: where its parts are, and what secrets.sh made for it."""

    docs: list[Doc]
    secrets: dict[str, dict[str, str]]
    addresses: dict[str, str]
    administrator: str
    """Of PostgreSQL: an address."""

    def container(self, where: str, name: str) -> Doc:
        (pod,) = (pod for pod in pods(self.docs) if pod.where == where)
        return next(one for one in pod.containers() if one["name"] == name)

    def environment(self, where: str, name: str) -> dict[str, str]:
        """What the container sees, on a machine that has nothing of its own to say."""
        seen = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
        seen["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(POSTGRES), os.environ["PATH"]])
        for env in self.container(where, name).get("env") or []:
            source = env.get("valueFrom") or {}
            if "secretKeyRef" in source:
                seen[env["name"]] = self.secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
            elif "configMapKeyRef" in source:
                seen[env["name"]] = self.addresses[source["configMapKeyRef"]["key"]]
            else:
                seen[env["name"]] = str(env["value"])
        return seen

    def run(self, where: str, name: str, *paths: tuple[str, str]) -> str:
        """Run the container's command here, with other folders in place of its own."""
        container = self.container(where, name)
        words = [*container["command"], *(container.get("args") or [])]
        for old, new in paths:
            words = [word.replace(old, new) for word in words]
        seen = self.environment(where, name)
        words = [re.sub(r"\$\((\w+)\)", lambda found: seen[found[1]], word) for word in words]  # as Kubernetes does
        done = subprocess.run(words, env=seen, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def made(folder: Path) -> dict[str, dict[str, str]]:
    text = subprocess.run([kubectl(), "kustomize", folder], check=True, capture_output=True, text=True).stdout
    return {
        one["metadata"]["name"]: {k: base64.b64decode(v).decode() for k, v in one["data"].items()}
        for one in yaml.safe_load_all(text)
    }  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if (POSTGRES is None or not WEED.is_file()) and not os.environ.get("CI"):
        pytest.skip("there is no PostgreSQL or no SeaweedFS here")
    folder = tmp_path_factory.mktemp("site")
    with postgres("admin") as url, ExitStack() as stack:
        where = urllib.parse.urlsplit(url)
        environment = {**os.environ, "DATABASE_HOST": "127.0.0.1", "DATABASE_PORT": str(where.port)}
        subprocess.run([K8S / "secrets.sh", folder / "secrets"], check=True, env=environment, capture_output=True)
        weed = Seaweed(folder / "weed")
        (folder / "weed" / "s3.json").write_bytes((folder / "secrets" / "danqing" / "s3.json").read_bytes())
        secrets = made(folder / "secrets" / "danqing")
        weed.environment |= {"AWS_ACCESS_KEY_ID": secrets["danqing-s3"]["access_key_id"],
                             "AWS_SECRET_ACCESS_KEY": secrets["danqing-s3"]["secret_access_key"]}  # fmt: skip
        weed.start()
        stack.callback(weed.stop)
        (port,) = free_ports(1)
        addresses = {
            "triton": "grpc://127.0.0.1:1",
            "s3": weed.environment["AWS_ENDPOINT_URL"],
            "mlflow": f"http://127.0.0.1:{port}",
        }
        administrator = f"{url.rpartition('/')[0]}/postgres"
        sql(administrator, "drop database mlflow")
        found = Site(render(K8S / "overlays/kind"), secrets, addresses, administrator)
        databases = find(found.docs, "ConfigMap", "danqing-databases")["data"]["databases.sh"]
        environment = found.environment("Deployment/postgres", "postgres") | {
            "PGHOST": "127.0.0.1", "PGPORT": str(where.port), "PGPASSWORD": where.password or ""
        }  # fmt: skip
        subprocess.run(["sh", "-c", databases], check=True, env=environment, capture_output=True)
        yield found


@pytest.fixture(scope="module")
def mlflow(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's address, started as its image does, with what its container sees."""
    site.run("Job/buckets", "buckets", ("/scripts", str(K8S / "overlays/kind")))
    folder, url = tmp_path_factory.mktemp("mlflow"), site.addresses["mlflow"]
    environment = site.environment("Deployment/mlflow", "mlflow")
    environment |= {"MLFLOW_HOST": "127.0.0.1", "MLFLOW_PORT": url.rpartition(":")[2], "MLFLOW_WORKERS": "1"}
    with process(["sh", str(ROOT / "mlflow" / "serve.sh")], folder / "log", env=environment) as server:
        until(lambda: status(f"{url}/health", "localhost:5000") == 200, server, folder / "log")
        site.run("Job/mlflow-users", "users", ("/scripts", str(K8S / "base")))
        yield url


def status(url: str, host: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers={"Host": host}), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_each_role_has_its_own_databases_alone(site: Site) -> None:
    mlflow, gateway = site.secrets["danqing-mlflow-db"], site.secrets["danqing-gateway-db"]
    for secret, key in ((mlflow, "uri"), (mlflow, "users_uri"), (gateway, "uri")):
        url = secret[key].replace("+psycopg2", "")
        assert sql(url, "select current_user") == secret["user"]
    stolen = mlflow["uri"].replace("+psycopg2", "").rpartition("/")[0] + "/gateway"
    with pytest.raises(subprocess.CalledProcessError):
        sql(stolen, "select 1")


def test_the_bucket_job_may_run_again(site: Site, mlflow: str) -> None:
    assert site.run("Job/buckets", "buckets", ("/scripts", str(K8S / "overlays/kind"))) == ""


def test_mlflow_answers_the_names_that_clients_use_and_no_others(mlflow: str) -> None:
    names = ("mlflow:5000", "mlflow.danqing.svc.cluster.local:5000", "localhost:5000")
    assert [status(f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1", name) for name in names] == [401] * 3
    assert status(f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=1", "evil.example.com") == 403
    assert status(f"{mlflow}/health", "localhost:5000") == 200


def test_the_account_of_steps_and_controller_works_and_is_no_administrator(
    site: Site, mlflow: str, tmp_path: Path
) -> None:
    code = """
import mlflow, os, sys
from mlflow.server import get_app_client
client = mlflow.MlflowClient()
run = client.create_run(client.create_experiment("danqing"))
client.log_text(run.info.run_id, "by way of the server", "note.txt")
print(mlflow.artifacts.load_text(run.info.artifact_uri + "/note.txt"))
client.create_registered_model("danqing")
client.set_registered_model_tag("danqing", "rollout", "serving")
try:
    get_app_client("basic-auth", os.environ["MLFLOW_TRACKING_URI"]).create_user("mallory", "a long password")
except mlflow.exceptions.MlflowException:
    print("refused")
"""
    environment = site.environment("Deployment/triton", "rollout") | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["by way of the server", "refused"], done.stdout + done.stderr
    again = site.run("Job/mlflow-users", "users", ("/scripts", str(K8S / "base")))
    assert "danqing has the password" in again


def test_a_new_version_gets_its_tables(site: Site, mlflow: str) -> None:
    site.run("CronJob/mlflow-upgrade", "upgrade")


def test_the_gateway_keeps_tasks_and_decisions_in_postgresql(site: Site) -> None:
    uri = site.environment("Deployment/gateway", "gateway")["DANQING_GATEWAY_DATABASE"]
    store, approvals = Store(uri), Approvals(uri)
    task = store.add("first", [("bamboo", 7)])
    assert store.claim() == task and store.claim() is None
    request = approvals.submit("a deity", rule="deity", language="en")
    approvals.decide(request.id, approve=True, who="Chen Lan", reason="seated, traditional")
    approvals.close()


def test_a_dump_by_the_backup_comes_back_by_the_restore(site: Site, tmp_path: Path) -> None:
    url = site.secrets["danqing-gateway-db"]["uri"].replace("+psycopg2", "")
    sql(url, "create table decisions (who text); insert into decisions values ('Chen Lan')")
    site.run("CronJob/backup", "dump-gateway", ("/dump", str(tmp_path)))
    sql(url, "delete from decisions; create table later (x int)")
    site.run("CronJob/restore", "load-gateway", ("/dump", str(tmp_path)))
    assert sql(url, "select who from decisions") == "Chen Lan"
    assert sql(url, "select to_regclass('later') is null") == "t"
    broken = tmp_path / "gateway.sql.gz"
    broken.write_bytes(gzip.compress(b"select 1; " + os.urandom(4000))[:-100])
    with pytest.raises(AssertionError):
        site.run("CronJob/restore", "load-gateway", ("/dump", str(tmp_path)))
    assert sql(url, "select who from decisions") == "Chen Lan", "a dump that was cut off changes nothing"


def test_the_liveness_probe_sees_a_child_that_has_ended_unmourned(site: Site) -> None:
    """In the pod Triton is process 1, here a process that has a child when it is told to."""
    command = site.container("Deployment/triton", "triton")["livenessProbe"]["exec"]["command"]
    code = "import subprocess; input(); child = subprocess.Popen(['true']); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as server:
        assert server.stdin is not None
        here = [word.replace("Z 1 ", f"Z {server.pid} ") for word in command]
        assert here != command and subprocess.run(here).returncode == 0
        server.stdin.write(b"\n")
        server.stdin.flush()
        for _ in range(200):
            if subprocess.run(here).returncode == 1:
                break
            time.sleep(0.05)
        assert subprocess.run(here).returncode == 1
        server.stdin.close()
    assert subprocess.run(here).returncode == 0
