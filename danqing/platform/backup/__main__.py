"""Backup of MLflow's database and of buckets (MLflow's files, DVC's pictures), and the way back.

python -m danqing.platform.backup create  /backup --bucket mlflow --bucket danqing --keep 14
python -m danqing.platform.backup verify  /backup
python -m danqing.platform.backup restore /backup [--name NAME] [--force]

Environment: MLFLOW_BACKEND_STORE_URI, postgresql://USER:PASSWORD@HOST:PORT/NAME, the same that the MLflow server gets
(--no-database leaves it out); DANQING_BACKUP_BUCKETS, names with blanks between them, for --bucket;
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL of the store. Needs pg_dump and psql (Debian's
postgresql-client), not older than the server. Where they are not, as in the image of the steps, a container of the
server's own image does their part, through a shared folder and --dump:
  before create    pg_dump --no-owner --no-privileges --compress=6 --file=/dump/database.sql.gz
  after restore    gunzip -c /dump/database.sql.gz | psql --single-transaction --set=ON_ERROR_STOP=1
It listens to no port; it connects to PostgreSQL (5432) and the store
(8333 for SeaweedFS), and writes below the one folder, which belongs on a volume that neither of them uses. As a
CronJob: concurrencyPolicy: Forbid. What it writes is as secret as the database: the folder is for its user alone.

Exit status: 0 done, 2 wrong options, 4 something cannot be read or written, or a backup is damaged.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from danqing import presets
from danqing.errors import ConfigError, DanqingError
from danqing.platform.backup import work
from danqing.platform.backup.archive import Archive
from danqing.platform.backup.buckets import Bucket
from danqing.platform.backup.database import Database, File

DATABASE = "MLFLOW_BACKEND_STORE_URI"


def main(arguments: list[str] | None = None) -> int:
    os.umask(0o077)
    given = _options(arguments)
    try:
        _do(given)
    except DanqingError as error:
        print(f"backup: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _do(given: argparse.Namespace) -> None:
    archive = Archive(given.folder)
    if given.command == "list":
        for name in archive.names():
            manifest = archive.read(name)
            print(f"{name}  {manifest.objects} objects, {manifest.size:,} bytes")
    elif given.command == "verify":
        name = archive.choose(given.name)
        manifest = archive.verify(name)
        print(f"backup {name} is whole: {manifest.objects} objects, {manifest.size:,} bytes")
    elif given.command == "create":
        if given.keep < 0:
            raise ConfigError(f"--keep is {given.keep}: at least 1, or 0 to delete nothing")
        names = given.bucket or os.environ.get("DANQING_BACKUP_BUCKETS", "").split()
        work.create(archive, _database(given), [Bucket(name) for name in names], keep=given.keep, say=_say)
    else:
        into = presets.parse_assignments(given.into)
        work.restore(
            archive, archive.choose(given.name), _database(given), lambda name: Bucket(into.get(name, name)),
            force=given.force, say=_say,
        )  # fmt: skip


def _database(given: argparse.Namespace) -> Database | File | None:
    if given.no_database:
        return None
    if given.dump is not None:
        return File(given.dump)
    url = os.environ.get(DATABASE, "")  # no option: a command line is there for everybody to read
    if not url:
        raise ConfigError(f"which database? Set {DATABASE}, or give --dump or --no-database")
    return Database(url)


def _say(line: str) -> None:
    print(line, flush=True)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m danqing.platform.backup", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in (
        ("create", "make a backup"), ("list", "say which backups there are"), ("verify", "compare every hash of one"),
        ("restore", "put one back"),
    ):  # fmt: skip
        command = commands.add_parser(name, help=about)
        command.add_argument("folder", type=Path, help="the folder with the backups")
        if name in ("create", "restore"):
            command.add_argument("--no-database", action="store_true", help="leave the database alone")
            command.add_argument("--dump", type=Path, metavar="FILE", help="the dump, made before or loaded after")
        if name in ("verify", "restore"):
            command.add_argument("--name", default="", help="which backup [default: the newest]")
        if name == "create":
            command.add_argument("--bucket", action="append", help="a bucket; may be given several times")
            command.add_argument("--keep", type=int, default=0, help="backups to keep [default: all]")
        if name == "restore":
            command.add_argument("--force", action="store_true", help="replace what is there")
            command.add_argument("--into", action="append", default=[], metavar="OLD=NEW",
                                 help="put a bucket's objects into another one")  # fmt: skip
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
