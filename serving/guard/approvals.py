"""The consultant's queue: prompts that wait for a decision, and every decision that was ever made, in a database.

    approvals = Approvals("sqlite:///approvals.db")
    request = approvals.submit(prompt, rule="deity", language="en")
    approvals.decide(request.id, approve=True, who="Chen Lan", reason="seated, traditional")

The database holds prompts, because the consultant has to read them; nothing else does, and no message or log line
quotes one. `forget` and `purge` take them out again. Decisions are only ever added: who decided what and when stays,
beside any later decision, and the database itself (SQLite, PostgreSQL) refuses to change or delete one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from danqing.errors import ApprovalError
from danqing.package import workspace
from serving.guard.database import connect, decisions, prepare, requests
from serving.guard.text import plain

State = Literal["pending", "approved", "rejected", "forgotten"]
LONGEST = 2000
"""Characters of a prompt that is taken; a painter reads fewer."""
MOST_PENDING = 1000
"""Requests that may wait at once, so that nobody can fill the disk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One decision. at: UTC."""

    approved: bool
    who: str
    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A prompt that a rule sent to the consultant. prompt: None once it is forgotten. verdicts: the last one holds."""

    id: str
    prompt: str | None
    rule: str
    language: str
    submitted_at: datetime
    verdicts: tuple[Verdict, ...] = ()

    @property
    def state(self) -> State:
        if self.prompt is None:
            return "forgotten"
        return "pending" if not self.verdicts else "approved" if self.verdicts[-1].approved else "rejected"


def default_url(root: Path | None = None) -> str:
    """$DANQING_APPROVALS_URL, or a SQLite file in the workspace `root` (None: the usual one)."""
    folder = workspace() if root is None else Path(root)
    return os.environ.get("DANQING_APPROVALS_URL") or f"sqlite:///{folder.resolve() / 'approvals.db'}"


class Approvals:
    """The queue in the database at a SQLAlchemy URL. Safe to share between threads and between processes.

    url: None takes `default_url`. Tables are made where they are missing. Every method raises ApprovalError where the
    database cannot be used.
    """

    def __init__(self, url: str | None = None) -> None:
        self._engine = connect(default_url() if url is None else url)
        self.url = self._engine.url.render_as_string(hide_password=True)
        with self._database():
            prepare(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def submit(self, prompt: str, rule: str, language: str) -> Request:
        """The request for `prompt` under `rule`: a new one, or the one that is pending or decided already.

        Two prompts are one that differ in case, width, blanks or invisible characters only. language: the user's, "en"
        or "zh". Raises ApprovalError on a prompt that is too long, and while too many wait.
        """
        if language not in ("en", "zh"):
            raise ApprovalError(f'the language is {language!r}: use "en" or "zh"')
        if len(prompt) > LONGEST:
            raise ApprovalError(f"the prompt has {len(prompt)} characters; a consultant is shown {LONGEST} at most")
        key = _key(prompt, rule)
        known = self._read(requests.c.key == key)
        if known:
            return known[0]
        if self._count_pending() >= MOST_PENDING:
            raise ApprovalError(f"{MOST_PENDING} requests wait already; try again when some are decided")
        kept = prompt.encode("utf-8", "ignore").decode().replace("\0", "")  # what a database can hold of it
        row = {"id": str(uuid.uuid4()), "key": key, "prompt": kept, "rule": rule, "language": language,
               "submitted_at": _now()}  # fmt: skip
        with self._database():
            try:
                with self._engine.begin() as connection:
                    connection.execute(requests.insert().values(row))
            except IntegrityError:  # another process was faster
                return self.submit(prompt, rule, language)
        return self.get(row["id"])

    def pending(self) -> list[Request]:
        """What waits for a decision, oldest first."""
        return self._read(_waiting())

    def all(self) -> list[Request]:
        """Every request, oldest first, the forgotten ones too."""
        return self._read(sql.true())

    def get(self, id: str) -> Request:
        """Raises ApprovalError where there is no such request."""
        found = self._read(requests.c.id == id)
        if not found:
            raise ApprovalError(f"there is no request {id!r}; `danqing approvals list` names those that wait")
        return found[0]

    def decide(self, id: str, approve: bool, who: str, reason: str, *, again: bool = False) -> Request:
        """Add a decision. again: needed where there is one already; that one stays beside the new one, which holds.

        reason: is shown to the user and is never deleted, so it should not quote the prompt.
        """
        request = self.get(id)
        if request.prompt is None:
            raise ApprovalError(f"request {id} is forgotten; there is nothing to decide on")
        if not who.strip() or not reason.strip():
            raise ApprovalError("who decides, and the reason, are both needed")
        taken = f"request {id} is decided already ({request.state}); to decide it anew, say so (--again)"
        if request.verdicts and not again:
            raise ApprovalError(taken)
        row = {"request": id, "number": len(request.verdicts) + 1, "approved": approve, "who": who.strip(),
               "reason": reason.strip(), "decided_at": _now()}  # fmt: skip
        with self._database():
            try:
                with self._engine.begin() as connection:
                    connection.execute(decisions.insert().values(row))
            except IntegrityError:  # somebody else's decision took this number
                raise ApprovalError(f"request {id} has just been decided by somebody else; look at it again") from None
        return self.get(id)

    def approved(self, prompt: str, rule: str) -> bool:
        """Whether the last decision on `prompt` under `rule` lets it through."""
        return any(request.state == "approved" for request in self._read(requests.c.key == _key(prompt, rule)))

    def forget(self, id: str) -> None:
        """Delete the prompt of a request, and with it what the request was for. Its decisions stay, without it."""
        self.get(id)
        self._forget(requests.c.id == id)

    def purge(self, older_than: timedelta) -> int:
        """Forget every request that was last touched (submitted or decided) longer ago than that; how many it were."""
        before = (datetime.now(UTC) - older_than).isoformat(timespec="microseconds")
        touched = sql.select(decisions.c.request).where(decisions.c.decided_at >= before)
        return self._forget((requests.c.submitted_at < before) & requests.c.id.not_in(touched))

    def _forget(self, which: sql.ColumnElement[bool]) -> int:
        blank = requests.update().where(which, requests.c.prompt.is_not(None)).values(prompt=None, key=None)
        with self._database(), self._engine.begin() as connection:
            return int(connection.execute(blank).rowcount)

    def _read(self, which: sql.ColumnElement[bool]) -> list[Request]:
        asked = sql.select(requests).where(which).order_by(requests.c.submitted_at, requests.c.id)
        with self._database(), self._engine.connect() as connection:
            rows = connection.execute(asked).all()
            verdicts: dict[str, list[Verdict]] = {row.id: [] for row in rows}
            ids = sql.select(requests.c.id).where(which)
            made = sql.select(decisions).where(decisions.c.request.in_(ids)).order_by(decisions.c.number)
            for one in connection.execute(made):
                if one.request in verdicts:  # else it came about between the two questions
                    verdicts[one.request].append(Verdict(approved=one.approved, who=one.who, reason=one.reason,
                                                         at=datetime.fromisoformat(one.decided_at)))  # fmt: skip
        return [Request(id=row.id, prompt=row.prompt, rule=row.rule, language=row.language,
                        submitted_at=datetime.fromisoformat(row.submitted_at), verdicts=tuple(verdicts[row.id]))
                for row in rows]  # fmt: skip

    def _count_pending(self) -> int:
        with self._database(), self._engine.connect() as connection:
            return int(connection.scalar(sql.select(sql.func.count()).select_from(requests).where(_waiting())) or 0)

    @contextlib.contextmanager
    def _database(self) -> Iterator[None]:
        """A database error becomes one line without parameters: they may hold a prompt."""
        try:
            yield
        except SQLAlchemyError as error:
            first = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise ApprovalError(f"{self.url}: the database answers {first!r}; is it there and writable?") from None


def _waiting() -> sql.ColumnElement[bool]:
    return requests.c.prompt.is_not(None) & requests.c.id.not_in(sql.select(decisions.c.request))


def _key(prompt: str, rule: str) -> str:
    return hashlib.sha256(f"{rule}\0{plain(prompt)}".encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
