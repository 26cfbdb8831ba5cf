"""What the controller keeps on disk, without a Triton."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from google.protobuf import text_format
from rollout_parts import PROMPT
from tritonclient.grpc import model_config_pb2

from danqing import files
from danqing.errors import ConfigError, DanqingError, StorageError
from danqing.package import GRAPH
from serving.rollout import naming
from serving.rollout.settings import Rollout
from serving.rollout.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def put(store, packages):
    """put(n): the release of package n, as it stands on disk after it was served."""

    def make(number):
        sha = files.fingerprint(packages[number])
        folder = store.package(sha, None, lambda into: shutil.copytree(packages[number], into, dirs_exist_ok=True))
        release = store.release(folder, sha)
        store.point(release)
        return release

    return make


def test_every_model_has_the_key_in_its_name_and_finds_the_others_by_it(store, put):
    release = put(1)
    names = {folder.name for folder in release.models()}
    assert names == {f"{name}-{release.key}" for name in ("danqing", "tokenize", "generate", "encode")}
    for folder in [*release.models(), *release.pointers()]:
        config = naming.read(folder)
        assert config.name == folder.name
        assert {step.model_name for step in config.ensemble_scheduling.step} <= names
        assert (store.models / folder.name).resolve() == folder


def test_a_pointer_asks_and_answers_as_its_version_and_remembers_nothing(put):
    release = put(1)
    pointer, version = (naming.read(release.folder / name) for name in ("danqing", f"danqing-{release.key}"))
    assert (pointer.input, pointer.output) == (version.input, version.output)
    assert {**pointer.parameters}.items() >= {**version.parameters}.items()
    assert version.response_cache.enable and not pointer.response_cache.enable
    assert pointer.parameters[naming.PACKAGE].string_value == release.sha


def test_a_python_model_calls_the_model_of_its_own_version(tmp_path):
    built = tmp_path / "built-key"
    for name, text in {
        "preview": 'backend: "python" parameters { key: "tokenize_model" value: { string_value: "tokenize" } }',
        "tokenize": 'backend: "python" parameters { key: "length" value: { string_value: "tokenize" } }',
    }.items():
        (built / name / "1").mkdir(parents=True)
        (built / name / "config.pbtxt").write_text(f'name: "{name}" {text}')
    naming.rename(built, tmp_path / "named", "0" * 64)
    called = naming.read(tmp_path / "named" / "preview-built-key").parameters["tokenize_model"].string_value
    other = naming.read(tmp_path / "named" / "tokenize-built-key").parameters["length"].string_value
    assert (called, other) == ("tokenize-built-key", "tokenize")


def test_renaming_leaves_the_repository_that_it_was_made_from(put):
    release = put(1)
    built = release.folder.with_name(release.key)
    text = (built / "danqing" / "config.pbtxt").read_text()
    assert text_format.Parse(text, model_config_pb2.ModelConfig()).name == "danqing"


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), ConnectionError("cut"), KeyboardInterrupt()]
)
def test_a_fetch_that_breaks_off_leaves_nothing(store, packages, failure):
    def broken(into):
        shutil.copyfile(packages[1] / GRAPH, into / GRAPH)
        raise failure

    with pytest.raises((DanqingError, KeyboardInterrupt)):
        store.package(files.fingerprint(packages[1]), None, broken)
    assert [path for path in store.versions.rglob("*") if path.is_file()] == []


def test_a_package_that_was_damaged_on_disk_is_fetched_again(store, put, packages):
    release = put(1)
    package = release.folder.parent / "package"
    (package / GRAPH).write_bytes(b"rust")
    put(1)
    assert files.fingerprint(package) == release.sha == files.fingerprint(packages[1])


def test_files_that_are_not_what_was_announced_do_not_stay(store, packages):
    with pytest.raises(StorageError, match="is announced as"):
        store.package("0" * 64, None, lambda into: shutil.copytree(packages[1], into, dirs_exist_ok=True))
    assert not (store.versions / ("0" * 64) / "package").exists()


def test_clearing_away_keeps_the_present_the_ones_before_and_what_is_spared(store, put):
    releases = [put(number) for number in (1, 2, 3)]
    store.point(releases[1])
    assert [release.key for release in store.served()] == [releases[i].key for i in (1, 2, 0)]
    assert store.prune(1, spare={releases[0].key}) == [releases[2].key]
    assert store.prune(1) == [releases[0].key]
    assert [release.key for release in store.served()] == [releases[1].key]
    assert all(link.exists() for link in store.models.iterdir())
    assert {link.name.partition("-")[2] for link in store.models.iterdir()} == {"", releases[1].key}


def test_sweeping_removes_the_half_and_nothing_else(store, put):
    put(1)
    before = files.fingerprint(store.root)
    (store.versions / ("0" * 64) / ".package.abc").mkdir(parents=True)
    (store.models / ".danqing.abc").mkdir()
    (store.root / ".status.json.abc").touch()
    store.sweep()
    assert files.fingerprint(store.root) == before and list(store.root.rglob(".*")) == []


def test_one_controller_at_a_time_and_a_dead_one_holds_no_lock(store):
    program = (
        "import sys, time; from pathlib import Path; from serving.rollout.store import Store\n"
        "with Store(Path(sys.argv[1])).alone() as alone: print(alone, flush=True); time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", program, store.root], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    try:
        assert other.stdout.readline() == "True\n"
        with store.alone() as alone:
            assert not alone
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    with store.alone() as alone:
        assert alone


@pytest.mark.parametrize(
    ("change", "message"),
    [({"keep": 1}, "at least 2"), ({"interval": 0}, "interval is 0"), ({"drain": float("nan")}, "drain is nan")],
)
def test_settings_that_make_no_sense_are_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        Rollout(tracking="sqlite:///x", store=tmp_path, **change)


def test_the_secret_is_not_shown(tmp_path):
    assert PROMPT not in repr(Rollout(tracking="sqlite:///x", store=tmp_path, secret=PROMPT))
