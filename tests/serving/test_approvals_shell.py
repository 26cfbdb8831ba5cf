"""`danqing approvals`: a consultant at work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from danqing.cli import app
from serving.guard.approvals import Approvals


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "approvals.db"


@pytest.fixture
def shell(file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("DANQING_APPROVALS_URL", f"sqlite:///{file}")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["approvals", *arguments])
        return result.exit_code, result.output

    return run


def test_a_consultant_works_from_the_shell(shell: Callable[..., tuple[int, str]], file: Path) -> None:
    assert shell("list") == (0, "nothing waits for a decision\n")
    queue = Approvals(f"sqlite:///{file}")
    request = queue.submit("Guanyin \x1b[2J\u202e seated", "deity", "en")
    code, shown = shell("list")
    assert code == 0 and request.id in shown and "deity" in shown
    assert "Guanyin \\x1b[2J\\u202e seated" in shown  # nothing that steers the terminal or hides
    decision = ("--who", "Chen Lan", "--reason", "seated")
    assert shell("approve", request.id, *decision)[0] == 0
    code, shown = shell("reject", request.id, *decision)
    assert code == 6 and "decided already" in shown
    assert shell("reject", request.id, *decision, "--again")[0] == 0
    assert "rejected" in shell("list", "--all")[1]
    assert shell("list")[1] == "nothing waits for a decision\n"
    assert shell("forget", request.id)[0] == 0
    assert "Guanyin" not in shell("list", "--all")[1]
    assert shell("purge", "--days", "0") == (0, "0 requests are forgotten\n")
    queue.close()
