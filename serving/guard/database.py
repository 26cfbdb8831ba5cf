"""Where the consultant's queue is kept: two tables, and a database that lets nobody rewrite a decision."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from danqing import files
from danqing.errors import ApprovalError

_WAIT = 30  # seconds for another process to finish writing

_tables = sql.MetaData()
requests = sql.Table(
    "danqing_requests", _tables,
    sql.Column("id", sql.String(36), primary_key=True),
    sql.Column("key", sql.String(64), unique=True),  # null once forgotten: a digest of a short text can be guessed back
    sql.Column("prompt", sql.Text),
    sql.Column("rule", sql.String(100), nullable=False),
    sql.Column("language", sql.String(2), nullable=False),
    sql.Column("submitted_at", sql.String(32), nullable=False),
)  # fmt: skip
decisions = sql.Table(
    "danqing_decisions", _tables,
    sql.Column("request", sql.ForeignKey("danqing_requests.id"), primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("approved", sql.Boolean, nullable=False),
    sql.Column("who", sql.String(200), nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("decided_at", sql.String(32), nullable=False),
)  # fmt: skip
_CHANGES = ("UPDATE", "DELETE")
_ONLY_ADDED = "decisions are only ever added"
# Run at every start, so that a stop between table and trigger heals. Other databases keep the rule without help.
_GUARDS = {
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS danqing_no_{change} BEFORE {change} ON danqing_decisions "
        f"BEGIN SELECT RAISE(ABORT, '{_ONLY_ADDED}'); END"
        for change in _CHANGES
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION danqing_only_added() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_ONLY_ADDED}'; END $$",
        "CREATE OR REPLACE TRIGGER danqing_only_added BEFORE UPDATE OR DELETE ON danqing_decisions "
        "FOR EACH ROW EXECUTE FUNCTION danqing_only_added()",
    ],
}
_ONE_AT_A_TIME = {"postgresql": "SELECT pg_advisory_xact_lock(20260323)"}


def connect(url: str) -> sql.Engine:
    """An engine that shows no parameters in its errors. Raises ApprovalError, and StorageError for a SQLite file."""
    try:
        address = sql.make_url(url)
        options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": True}
        if address.get_backend_name() == "sqlite":
            options = {"hide_parameters": True, "connect_args": {"timeout": _WAIT}}
            if address.database and not address.database.startswith((":memory:", "file:")):
                _own_file(Path(address.database))
        engine = sql.create_engine(address, **options)
    except (ArgumentError, NoSuchModuleError):
        raise ApprovalError(
            "the database's address is no SQLAlchemy URL, such as sqlite:////data/approvals.db"
        ) from None
    except ModuleNotFoundError as error:
        raise ApprovalError(f"the database's driver {error.name!r} is missing: pip install {error.name}") from None
    if engine.dialect.name == "sqlite":
        sql.event.listen(engine, "connect", _wipe_what_is_deleted)
    return engine


def prepare(engine: sql.Engine) -> None:
    """Make what is missing of the tables, and of the triggers that keep decisions as they are."""
    kind = engine.dialect.name
    with engine.begin() as connection:
        if kind in _ONE_AT_A_TIME:
            connection.execute(sql.text(_ONE_AT_A_TIME[kind]))
        for table in _tables.sorted_tables:
            connection.execute(sql.schema.CreateTable(table, if_not_exists=True))
        for statement in _GUARDS.get(kind, []):
            connection.execute(sql.text(statement))


def _wipe_what_is_deleted(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA secure_delete = ON")  # otherwise a forgotten prompt stays in the file's free pages


def _own_file(path: Path) -> None:
    """A file that only its owner reads, before the first prompt is in it."""
    with files.storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
