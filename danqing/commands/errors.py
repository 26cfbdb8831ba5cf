"""How an error reaches the shell."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import typer

from danqing import ranks
from danqing.errors import DanqingError


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """A DanqingError is one line and its exit code; everything else is a defect and keeps its traceback."""
    try:
        yield
    except DanqingError as error:
        who = f"danqing, process {os.environ['RANK']}" if ranks.quiet() else "danqing"
        typer.secho(f"{who}: {error}", err=True, fg=typer.colors.RED if sys.stderr.isatty() else None)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        typer.echo("danqing: interrupted; run the same command again to go on", err=True)
        raise typer.Exit(130) from None
