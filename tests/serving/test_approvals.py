"""The consultant's queue: nothing that was said is lost, changed or shown to the wrong eyes."""

from __future__ import annotations

import logging
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sql

from danqing.errors import ApprovalError, DanqingError
from serving.guard import approvals as module
from serving.guard.approvals import Approvals, default_url

PROMPT = "a seated Guanyin, fine-brush"
UUID4 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "queue" / "approvals.db"


@pytest.fixture(params=["sqlite", "server"])
def url(request: pytest.FixtureRequest, file: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{file}"
        return
    server = os.environ.get("DANQING_TEST_DATABASE")
    if not server:
        pytest.skip("no database server: set DANQING_TEST_DATABASE to the URL of an empty one")
    engine = sql.create_engine(server)
    yield server
    with engine.begin() as connection:
        connection.execute(sql.text("DROP TABLE danqing_decisions, danqing_requests"))
    engine.dispose()


@pytest.fixture
def queue(url: str) -> Iterator[Approvals]:
    opened = Approvals(url)
    yield opened
    opened.close()


def test_a_request_waits_is_decided_and_lets_the_prompt_through(queue: Approvals) -> None:
    request = queue.submit(PROMPT, "deity", "en")
    assert UUID4.match(request.id)
    assert (request.state, request.prompt, request.rule, request.language) == ("pending", PROMPT, "deity", "en")
    assert [one.id for one in queue.pending()] == [request.id]
    assert not queue.approved(PROMPT, "deity")
    decided = queue.decide(request.id, True, "Chen Lan", "seated, traditional")
    assert decided.state == "approved"
    assert [(v.approved, v.who, v.reason) for v in decided.verdicts] == [(True, "Chen Lan", "seated, traditional")]
    assert queue.approved(PROMPT, "deity")
    assert not queue.approved(PROMPT, "sacred-object")
    assert queue.pending() == []


def test_a_rejected_prompt_is_not_let_through(queue: Approvals) -> None:
    request = queue.submit(PROMPT, "deity", "en")
    assert queue.decide(request.id, False, "Chen Lan", "comic").state == "rejected"
    assert not queue.approved(PROMPT, "deity")


@pytest.mark.parametrize(
    "same",
    ["A SEATED GUANYIN, fine-brush", "  a seated\u3000Guanyin,\nfine-brush ", "a seated Guan\u200byin, fine-brush",
     "ａ ｓｅａｔｅｄ Guanyin, fine-brush"],
)  # fmt: skip
def test_the_same_prompt_in_another_dress_is_one_request(queue: Approvals, same: str) -> None:
    request = queue.submit(PROMPT, "deity", "en")
    assert queue.submit(same, "deity", "zh").id == request.id
    queue.decide(request.id, True, "Chen Lan", "fine")
    assert queue.approved(same, "deity")
    assert queue.submit(same, "deity", "en").state == "approved"


@pytest.mark.parametrize(("prompt", "rule"), [("a standing Guanyin, fine-brush", "deity"), (PROMPT, "leader")])
def test_another_prompt_or_rule_is_another_request(queue: Approvals, prompt: str, rule: str) -> None:
    first = queue.submit(PROMPT, "deity", "en")
    queue.decide(first.id, True, "Chen Lan", "fine")
    assert queue.submit(prompt, rule, "en").id != first.id
    assert not queue.approved(prompt, rule)


def test_a_decision_is_revised_only_by_another_beside_it(queue: Approvals) -> None:
    request = queue.submit(PROMPT, "deity", "en")
    queue.decide(request.id, True, "Chen Lan", "seated")
    with pytest.raises(ApprovalError, match="decided already"):
        queue.decide(request.id, False, "Li Wei", "no")
    decided = queue.decide(request.id, False, "Li Wei", "the attribute is wrong", again=True)
    assert [(v.approved, v.who) for v in decided.verdicts] == [(True, "Chen Lan"), (False, "Li Wei")]
    assert not queue.approved(PROMPT, "deity")


@pytest.mark.parametrize("statement", ["UPDATE danqing_decisions SET who = 'nobody'", "DELETE FROM danqing_decisions"])
def test_the_database_itself_refuses_to_change_a_decision(queue: Approvals, url: str, statement: str) -> None:
    queue.decide(queue.submit(PROMPT, "deity", "en").id, True, "Chen Lan", "fine")
    engine = sql.create_engine(url)
    with pytest.raises(sql.exc.DBAPIError, match="only ever added"), engine.begin() as connection:
        connection.execute(sql.text(statement))
    engine.dispose()


def test_a_decision_that_somebody_else_made_meanwhile_stays(queue: Approvals, monkeypatch: pytest.MonkeyPatch) -> None:
    request = queue.submit(PROMPT, "deity", "en")
    queue.decide(request.id, True, "Chen Lan", "fine")
    monkeypatch.setattr(queue, "get", lambda id: request)  # what Li Wei has seen: nothing is decided yet
    with pytest.raises(ApprovalError, match="by somebody else"):
        queue.decide(request.id, False, "Li Wei", "no")
    assert queue.approved(PROMPT, "deity")


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda q, id: q.decide(id, True, " ", "fine"), "who decides"),
        (lambda q, id: q.decide(id, True, "Chen Lan", ""), "the reason"),
        (lambda q, id: q.decide("nobody", True, "Chen Lan", "fine"), "no request 'nobody'"),
        (lambda q, id: q.get("nobody"), "approvals list"),
        (lambda q, id: q.forget("nobody"), "no request"),
        (lambda q, id: q.submit(PROMPT, "deity", "fr"), "language"),
        (lambda q, id: q.submit("x" * 2001, "deity", "en"), "2001 characters"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(
    queue: Approvals, act: Callable[[Approvals, str], object], message: str
) -> None:
    request = queue.submit(PROMPT, "deity", "en")
    with pytest.raises(ApprovalError, match=message):
        act(queue, request.id)
    assert queue.all() == [request]


def test_no_more_wait_than_a_consultant_could_read(queue: Approvals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 2)
    first = queue.submit("one", "deity", "en")
    queue.submit("two", "deity", "en")
    with pytest.raises(ApprovalError, match="2 requests wait"):
        queue.submit("three", "deity", "en")
    assert queue.submit("one", "deity", "en").id == first.id
    queue.decide(first.id, False, "Chen Lan", "no")
    assert queue.submit("three", "deity", "en").state == "pending"


def test_a_forgotten_prompt_is_gone_and_its_decisions_stay(queue: Approvals) -> None:
    request = queue.submit(PROMPT, "deity", "en")
    queue.decide(request.id, True, "Chen Lan", "fine")
    queue.forget(request.id)
    kept = queue.get(request.id)
    assert (kept.state, kept.prompt, [v.who for v in kept.verdicts]) == ("forgotten", None, ["Chen Lan"])
    assert not queue.approved(PROMPT, "deity")
    assert queue.pending() == []
    with pytest.raises(ApprovalError, match="forgotten"):
        queue.decide(request.id, True, "Chen Lan", "fine", again=True)
    assert queue.submit(PROMPT, "deity", "en").id != request.id


def test_a_forgotten_prompt_is_not_in_the_file_any_more(file: Path) -> None:
    queue = Approvals(f"sqlite:///{file}")
    request = queue.submit(PROMPT, "deity", "en")
    assert PROMPT.encode() in file.read_bytes()
    queue.forget(request.id)
    queue.close()
    assert PROMPT.encode() not in file.read_bytes()


def test_purge_forgets_what_is_old_and_counts_from_the_last_decision(
    queue: Approvals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_now", lambda: "2020-01-01T00:00:00.000000+00:00")
    old, revived = (queue.submit(prompt, "deity", "en") for prompt in ("old", "revived"))
    queue.decide(old.id, True, "Chen Lan", "fine")
    monkeypatch.undo()
    queue.decide(revived.id, True, "Chen Lan", "fine")
    new = queue.submit("new", "deity", "en")
    assert queue.purge(timedelta(days=30)) == 1
    assert [queue.get(one.id).state for one in (old, revived, new)] == ["forgotten", "approved", "pending"]
    assert queue.purge(timedelta(days=30)) == 0


def test_hostile_text_is_kept_as_far_as_a_database_can(queue: Approvals) -> None:
    request = queue.submit("Guanyin'; DROP TABLE x; --\0\ud800 观音", "deity", "zh")
    assert request.prompt == "Guanyin'; DROP TABLE x; -- 观音"
    assert queue.approved("Guanyin\ud800", "deity") is False


_ENDLESS = """
import sys
from serving.guard.approvals import Approvals
queue = Approvals(sys.argv[1])
for number in range(10**6):
    request = queue.submit(f"prompt {number}", "deity", "en")
    queue.decide(request.id, True, "Chen Lan", "fine")
    print(request.id, flush=True)
"""
_SHARED = """
import sys
from serving.guard.approvals import Approvals
queue = Approvals(sys.argv[1])
for number in range(25):
    print(queue.submit(f"prompt {number}", "deity", "en").id)
"""


def start(code: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)


def test_what_was_answered_survives_a_kill(url: str) -> None:
    writer = start(_ENDLESS, url)
    assert writer.stdout is not None
    told = [writer.stdout.readline().strip() for _ in range(5)]
    writer.send_signal(signal.SIGKILL)
    told += writer.stdout.read().split("\n")[:-1]
    writer.wait()
    writer.stdout.close()
    queue = Approvals(url)
    assert [queue.get(id).state for id in told] == ["approved"] * len(told)
    assert queue.submit("after the kill", "deity", "en").state == "pending"
    queue.close()


def test_two_processes_share_one_queue(url: str) -> None:
    writers = [start(_SHARED, url) for _ in range(2)]  # both make the tables
    first, second = (writer.communicate()[0].split() for writer in writers)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert first == second
    assert len(set(first)) == 25
    queue = Approvals(url)
    assert {one.id for one in queue.pending()} == set(first)
    queue.close()


def test_a_stop_between_table_and_trigger_heals(file: Path) -> None:
    Approvals(f"sqlite:///{file}").close()
    with sqlite3.connect(file) as raw:
        raw.execute("DROP TRIGGER danqing_no_DELETE")
    queue = Approvals(f"sqlite:///{file}")
    queue.decide(queue.submit(PROMPT, "deity", "en").id, True, "Chen Lan", "fine")
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"), sqlite3.connect(file) as raw:
        raw.execute("DELETE FROM danqing_decisions")
    queue.close()


def test_only_its_owner_reads_the_file(file: Path) -> None:
    Approvals(f"sqlite:///{file}").close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "no SQLAlchemy URL"),
        ("unheardof://host/db", "no SQLAlchemy URL"),
        ("sqlite:////proc/no/approvals.db", "/proc/no/approvals.db"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_in_one_line(url: str, message: str) -> None:
    with pytest.raises(DanqingError, match=message) as caught:
        Approvals(url)
    assert "\n" not in str(caught.value)


def test_neither_a_log_nor_an_error_quotes_a_prompt(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    queue = Approvals(f"sqlite:///{file}")
    queue.submit(PROMPT, "deity", "en")
    with sqlite3.connect(file) as raw:
        raw.execute("ALTER TABLE danqing_requests RENAME TO gone")
    with pytest.raises(ApprovalError, match="no such table") as caught:
        queue.submit("a standing Guanyin", "deity", "en")
    assert "Guanyin" not in str(caught.value)
    assert "Guanyin" not in caplog.text
    queue.close()


def test_the_address_comes_from_the_environment_or_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DANQING_APPROVALS_URL", raising=False)
    monkeypatch.setenv("DANQING_WORKSPACE", str(tmp_path))
    assert default_url() == f"sqlite:///{tmp_path / 'approvals.db'}"
    monkeypatch.setenv("DANQING_APPROVALS_URL", "postgresql://host/danqing")
    assert default_url() == "postgresql://host/danqing"
