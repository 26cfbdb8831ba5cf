"""What `danqing run --runner containers` is told, and what it answers when that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from danqing.cli import app
from danqing.errors import ConfigError, StorageError
from pipelines.containers import IMAGE, Containers, EngineError, chosen, connect
from pipelines.engine import step_of
from pipelines.inside import pictures
from pipelines.local import RunFailed
from pipelines.store import plain
from pipelines.task import _starved

GOOD: dict[str, Any] = {"store": "s3://bucket/some/prefix", "tracking": "http://mlflow.example.org:5000"}


def test_good_settings_say_where_things_go() -> None:
    given = Containers(**GOOD)
    assert (given.bucket, given.prefix, given.image, given.user) == ("bucket", "some/prefix", IMAGE, 10001)
    assert Containers(**{**GOOD, "store": "s3://bucket"}).prefix == ""


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"store": ""}, "need --store s3://BUCKET/PREFIX"),
        ({"store": "/some/folder"}, "need --store"),
        ({"store": "s3:///prefix"}, "need --store"),
        ({"tracking": ""}, "set MLFLOW_TRACKING_URI=http://"),
        ({"tracking": "sqlite:///mlflow.db"}, "containers need an MLflow server"),
        ({"tracking": "http://127.0.0.1:5000"}, "use --network host"),
        ({"endpoint": "localhost:8333"}, "AWS_ENDPOINT_URL is 'localhost:8333'"),
        ({"memory": "lots"}, "memory is 'lots': a whole number and k, m or g"),
        ({"memory": "0g"}, "memory is '0g'"),
        ({"shared_memory": "1.5g"}, "shared_memory"),
        ({"image": "two words"}, "image is"),
        ({"user": 0}, "do not run as root"),
        ({"patience": -1.0}, "patience"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_to_do(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        Containers(**{**GOOD, **wrong})
    assert says in str(error.value) and "\n" not in str(error.value)


def test_passwords_in_addresses_are_refused_and_not_repeated() -> None:
    for name, address in (("tracking", "http://me:hush@mlflow:5000"), ("tracking", "postgresql://me:hush@db/mlflow"),
                          ("endpoint", "https://me:hush@s3:9000"), ("store", "s3://me:hush@bucket")):  # fmt: skip
        with pytest.raises(ConfigError) as error:
            Containers(**{**GOOD, name: address})
        assert "hush" not in str(error.value)


def test_addresses_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3:8333")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    given = chosen("containers", store="s3://b/p", image="", memory="12g", network="")
    assert given == Containers(
        store="s3://b/p", tracking="http://mlflow:5000", endpoint="http://s3:8333", memory="12g", image=IMAGE
    )


def test_the_other_runner_takes_none_of_it() -> None:
    assert chosen("processes", store="", image="") is None
    with pytest.raises(ConfigError, match="--store goes with --runner containers"):
        chosen("processes", store="s3://b/p")
    with pytest.raises(ConfigError, match="use one of processes, containers"):
        chosen("pods")


def test_the_command_line_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(app, ["run", "--runner", "containers", "--workspace", str(tmp_path / "w")])
    assert done.exit_code == 2 and "need --store s3://BUCKET/PREFIX" in " ".join(done.output.split())
    assert not (tmp_path / "w").exists()


def test_an_engine_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match=r"none\.sock: no container engine answers .* start Docker, or `podman"):
        connect()


def test_a_folder_of_pictures_is_shown_to_the_container_under_a_name_of_its_own(tmp_path: Path) -> None:
    assert pictures("brush", "") == (None, "")
    assert pictures(f"folder:{tmp_path}", "") == (tmp_path.resolve(), "folder:/pictures")
    with pytest.raises(ConfigError, match="there is no such folder"):
        pictures(f"folder:{tmp_path}/none", "")


def test_a_link_in_an_output_is_refused(tmp_path: Path) -> None:
    """A container cannot make this process read a file of the machine for it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "weights").write_text("fine")
    plain(tmp_path / "out")
    (tmp_path / "out" / "secret").symlink_to("/etc/shadow")
    with pytest.raises(StorageError, match="secret: a link"):
        plain(tmp_path / "out")


def test_the_kernels_counts_are_read_in_both_of_their_forms(tmp_path: Path) -> None:
    counts = tmp_path / "memory"
    assert not _starved(counts)
    counts.write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\n")  # cgroups v2
    assert not _starved(counts)
    counts.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")  # v1
    assert _starved(counts)


def test_steps_have_their_own_names_again() -> None:
    assert (step_of("train-tokenizer"), step_of("some-toy")) == ("train_tokenizer", "some-toy")
    assert RunFailed("x").exit_code == 1
