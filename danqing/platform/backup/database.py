"""PostgreSQL out of and into one file, by its own tools."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import urllib.parse
import zlib
from collections.abc import Mapping
from pathlib import Path

from danqing import files
from danqing.errors import ConfigError, StorageError

_LAST = b"-- PostgreSQL database dump complete"
_EMPTY = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public'"


DUMP_OPTIONS = ("--no-owner", "--no-privileges", "--compress=6")


def whole(dump: Path) -> None:
    """Raise StorageError unless pg_dump wrote the file `dump` to its end."""
    try:
        with files.storage(dump), gzip.open(dump) as text:
            if any(line.startswith(_LAST) for line in text):
                return
    except (EOFError, zlib.error, StorageError) as error:
        raise StorageError(f"{dump}: no dump ({error}); pg_dump {' '.join(DUMP_OPTIONS)} writes one") from error
    raise StorageError(f"{dump}: pg_dump ended early; run it again")


class File:
    """In place of a `Database`: a dump that somebody else makes beforehand, or loads afterwards."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)

    def dump(self, out: Path) -> None:
        whole(self.path)
        with files.storage(out):
            shutil.copyfile(self.path, out)

    def is_empty(self) -> bool:
        return not self.path.exists()

    def load(self, dump: Path, *, replace: bool) -> None:
        with files.atomic(self.path) as temporary:
            shutil.copyfile(dump, temporary)


class Database:
    """The database at `url`, postgresql://USER:PASSWORD@HOST:PORT/NAME, with or without a driver's name in it.

    Methods raise StorageError. The password goes to the tools by their environment, never by the command line.
    """

    def __init__(self, url: str, *, timeout: float = 3600.0) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme.partition("+")[0] not in ("postgresql", "postgres") or not parts.path.strip("/"):
            raise ConfigError("the database's address must be postgresql://USER:PASSWORD@HOST:PORT/NAME")
        query = dict(urllib.parse.parse_qsl(parts.query))
        given = {
            "PGHOST": parts.hostname or query.get("host"), "PGPORT": str(parts.port) if parts.port else None,
            "PGUSER": parts.username, "PGPASSWORD": parts.password, "PGDATABASE": parts.path.strip("/"),
            "PGSSLMODE": query.get("sslmode"), "PGSSLROOTCERT": query.get("sslrootcert"), "PGCONNECT_TIMEOUT": "15",
            "PGOPTIONS": "-c client_min_messages=warning",
        }  # fmt: skip
        self._environment = {name: urllib.parse.unquote(value) for name, value in given.items() if value}
        self._timeout = timeout
        self.name = f"{parts.hostname or 'localhost'}/{parts.path.strip('/')}"

    def dump(self, out: Path) -> None:
        """Write everything into the file `out`, SQL in gzip, as of one moment."""
        self._call("pg_dump", *DUMP_OPTIONS, f"--file={out}")
        whole(out)

    def is_empty(self) -> bool:
        """Whether nothing was ever made in it."""
        return self._call("psql", "--no-psqlrc", "-Atqc", _EMPTY).strip() == "0"

    def load(self, dump: Path, *, replace: bool) -> None:
        """Take what `dump` wrote, all or nothing. replace: what is there goes first."""
        first = "set lock_timeout = '30s';\n"
        if replace:
            first += "drop schema public cascade;\ncreate schema public;\n"
        command = [
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--single-transaction",
            "--set=ON_ERROR_STOP=1",
            "--output=/dev/null",
        ]
        self._call(*command, "--file=-", start=first, then=dump)

    def _call(self, *command: str, start: str = "", then: Path | None = None) -> str:
        if shutil.which(command[0]) is None:
            raise StorageError(f"{command[0]} is not here: install PostgreSQL's client tools (postgresql-client)")
        environment: Mapping[str, str] = {**os.environ, **self._environment, "LC_ALL": "C"}
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:  # fmt: skip
            assert process.stdin is not None
            try:
                try:
                    if then is not None:
                        process.stdin.write(start.encode())
                        with files.storage(then), gzip.open(then) as text:
                            shutil.copyfileobj(text, process.stdin, 1 << 20)
                except BrokenPipeError:
                    pass  # psql has stopped at an error, which it says below
                output = process.communicate(timeout=self._timeout)[0].decode(errors="replace")
            except subprocess.TimeoutExpired:
                process.kill()
                raise StorageError(f"{self.name}: {command[0]} took longer than {self._timeout:g} s") from None
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            lines = [line for line in output.splitlines() if "error" in line.lower()] or output.splitlines() or ["?"]
            hint = "; stop the servers that use it" if "lock timeout" in output else ""
            raise StorageError(f"{self.name}: {command[0]}: {lines[0]}{hint}")
        return output
