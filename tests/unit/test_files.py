"""Files are whole or not there, and what the disk says reaches the user as one line."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from danqing import files
from danqing.errors import StorageError


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_fails_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with files.atomic_folder(path) as folder:
        (folder / "x").write_text("old")
    with pytest.raises(RuntimeError), files.atomic_folder(path) as folder:
        (folder / "x").write_text("new")
        raise RuntimeError
    assert (path / "x").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission denied"), (errno.EROFS, "read-only")],
)
def test_the_disks_refusals_are_told_in_words(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(StorageError, match=words), files.storage(tmp_path):
        raise OSError(number, "…")


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})
    with pytest.raises(StorageError, match="the disk is full"), files.atomic(path) as temporary:
        temporary.write_text("{")
        with open("/dev/full", "w") as full:
            full.write("x" * 100_000)
            full.flush()
    assert files.read_json(path) == {"old": 1}


def test_weights_that_do_not_fit_on_the_disk_are_one_line_and_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import resource, sys, torch; from pathlib import Path; from danqing import files\n"
        "path = Path(sys.argv[1]); files.write_tensors(path, {'x': torch.zeros(10)})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: files.write_tensors(path, {'x': torch.zeros(10_000)})\n"
        "except files.StorageError as error: print('told:', error)\n"
    )
    path = tmp_path / "x.safetensors"
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"told: {path}: the file would be larger") and run.stdout.count("\n") == 1
    assert len(load_file(path)["x"]) == 10


def test_a_fingerprint_is_about_names_and_contents(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x").write_text("1")
    same = files.fingerprint(tmp_path / "one")
    assert same == files.fingerprint(tmp_path / "two")
    (tmp_path / "two" / "sub" / "x").rename(tmp_path / "two" / "sub" / "y")
    assert same != files.fingerprint(tmp_path / "two")
    with pytest.raises(StorageError, match="no such file or folder"):
        files.fingerprint(tmp_path / "three")


def test_copies_are_equal_and_replace_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("1")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "stale").write_text("0")
    files.copy_tree(tmp_path / "a", tmp_path / "t")
    assert files.fingerprint(tmp_path / "a") == files.fingerprint(tmp_path / "t")


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(StorageError, match=r"x\.json: not valid JSON"):
        files.read_json(tmp_path / "x.json")


def test_a_copy_that_does_not_fit_on_the_disk_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("1")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "link", full)
    monkeypatch.setattr(files.shutil, "copy2", full)
    with pytest.raises(StorageError, match="the disk is full"):
        files.copy_tree(tmp_path / "a", tmp_path / "t")
    assert (tmp_path / "a" / "b" / "x").read_text() == "1"
