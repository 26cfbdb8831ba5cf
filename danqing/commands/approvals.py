"""`danqing approvals`: what the guard has put before a consultant, and the consultant's decisions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from danqing.commands.errors import plain_errors

if TYPE_CHECKING:
    from serving.guard.approvals import Approvals, Request

app = typer.Typer(help="Prompts that need a consultant's approval.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="A request's id, as `list` prints it.")]
Url = Annotated[
    Optional[str],
    typer.Option(
        help="The queue's database, a SQLAlchemy URL [default: $DANQING_APPROVALS_URL, else the workspace's]."
    ),
]
Who = Annotated[str, typer.Option(help="Who decides; is recorded.")]
Why = Annotated[str, typer.Option(help="The reason; is shown to the user and kept for good: do not quote the prompt.")]
Again = Annotated[bool, typer.Option("--again", help="Decide anew; the old decision stays beside the new one.")]


@app.command("list")
def list_requests(
    everything: Annotated[bool, typer.Option("--all", help="Decided and forgotten requests too.")] = False,
    url: Url = None,
) -> None:
    """Show what waits for a decision, oldest first."""
    with plain_errors():
        queue = _queue(url)
        requests = queue.all() if everything else queue.pending()
        for request in requests:
            typer.echo(_lines(request))
        if not requests:
            typer.echo("nothing waits for a decision" if not everything else "there are no requests")


@app.command()
def approve(id: Id, who: Who, reason: Why, again: Again = False, url: Url = None) -> None:
    """Let a prompt through."""
    with plain_errors():
        typer.echo(_lines(_queue(url).decide(id, True, who, reason, again=again)))


@app.command()
def reject(id: Id, who: Who, reason: Why, again: Again = False, url: Url = None) -> None:
    """Do not let a prompt through."""
    with plain_errors():
        typer.echo(_lines(_queue(url).decide(id, False, who, reason, again=again)))


@app.command()
def forget(id: Id, url: Url = None) -> None:
    """Delete a request's prompt; the decisions stay without it."""
    with plain_errors():
        _queue(url).forget(id)
        typer.echo(f"{id} is forgotten")


@app.command()
def purge(
    days: Annotated[int, typer.Option(min=0, help="Forget what nobody has touched for so many days.")], url: Url = None
) -> None:
    """Delete the prompts of old requests."""
    with plain_errors():
        typer.echo(f"{_queue(url).purge(timedelta(days=days))} requests are forgotten")


def _queue(url: str | None) -> Approvals:
    from danqing.errors import ServingError

    try:
        from serving.guard.approvals import Approvals
    except ImportError as error:
        raise ServingError(f"the queue needs {error.name}: pip install 'danqing[serve]'") from error
    return Approvals(url)


def _lines(request: Request) -> str:
    shown = "(forgotten)" if request.prompt is None else printable(request.prompt)
    lines = [f"{request.id}  {request.state}  {request.submitted_at:%Y-%m-%d %H:%M} UTC  {request.rule}", f"  {shown}"]
    for verdict in request.verdicts:
        word = "approved" if verdict.approved else "rejected"
        lines.append(
            f"  {word} by {printable(verdict.who)} on {verdict.at:%Y-%m-%d %H:%M} UTC: {printable(verdict.reason)}"
        )
    return "\n".join(lines)


def printable(text: str) -> str:
    """`text` on one line, with what would steer the terminal or hide itself written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
