"""Files that are either whole or not there: atomic writes, content hashes, one clear line when the disk says no."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danqing.errors import StorageError

if TYPE_CHECKING:
    from torch import Tensor

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EFBIG: "the file would be larger than is allowed here",
    errno.EACCES: "permission denied; choose a folder that you may write to",
    errno.EPERM: "permission denied; choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
}


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn an `OSError` inside into a `StorageError` that names `path` and says what to do."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise StorageError(f"{path}: {reason}") from error


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path`; it takes the name `path`, on disk for good, when the block ends well."""
    path = Path(path)
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; it replaces the folder `path` when the block ends well."""
    path = Path(path)
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
                path.replace(old / "it")
                temporary.replace(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file. Its writer has an error of its own where others have `OSError`."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        try:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            raise OSError(int(number.group(1)) if number else errno.EIO, str(error)) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, so that equal values are equal files."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    with storage(path):
        text = Path(path).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise StorageError(f"{path}: not valid JSON ({error}); delete it and run the step again") from error


def sha256(path: Path) -> str:
    """The SHA-256 of one file, in hexadecimal."""
    digest = hashlib.sha256()
    with storage(path), open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """The SHA-256 over names and contents of everything below `path` (or of the one file `path`)."""
    path = Path(path)
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        raise StorageError(f"{path}: there is no such file or folder; run the step that writes it first")
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode())
    return digest.hexdigest()


def copy_tree(source: Path, target: Path) -> None:
    """Make `target` the same as `source`, by hard links where the file system can, by copies elsewhere."""

    def link(src: str, dst: str) -> None:
        try:
            os.link(src, dst)
        except OSError:
            shutil.copy2(src, dst)

    with storage(target):
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():
            target.unlink(missing_ok=True)
            link(str(source), str(target))
            return
        target.mkdir()
        for item in sorted(source.rglob("*")):  # not shutil.copytree: it gathers errors until none has its number
            if item.is_dir():
                (target / item.relative_to(source)).mkdir()
            else:
                link(str(item), str(target / item.relative_to(source)))
