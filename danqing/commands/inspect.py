"""`danqing inspect`: where a picture comes from, and whether that is still true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from danqing import files
from danqing.errors import ConfigError, DataError
from danqing.provenance import Report, certificates, inspect, read_secret

INTACT, TAMPERED, ABSENT = 0, 1, 2
"""Exit codes. An error has the code of its class, 3 for a file that cannot be read as a picture."""


def inspect_command(
    picture: Path,
    *,
    as_json: bool = False,
    trust: Path | None = None,
    secret: Path | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Print what `picture` says of its origin; returns the exit code.

    A signer whom nobody vouches for is told of, and fails only if `trust` (PEM) says who is trusted.
    """
    anchors = b""
    if trust is not None:
        with files.storage(trust):
            anchors = trust.read_bytes()
    try:
        if trust is not None:
            certificates.check_anchors(anchors)
        report = inspect(picture, secret=read_secret(secret), trust=anchors)
    except ConfigError as error:
        raise DataError(str(error)) from None  # its own exit code says here that there is no origin
    except DataError as error:
        raise (error if str(picture) in str(error) else DataError(f"{picture}: {error}")) from None
    if as_json:
        say(json.dumps(report.as_dict(), indent=2))
    else:
        for line in table(str(picture), report):
            say(line)
    if report.verdict == "absent":
        return ABSENT
    doubtful = trust is not None and report["c2pa"].state == "untrusted"
    return TAMPERED if report.verdict == "tampered" or doubtful else INTACT


def table(name: str, report: Report) -> list[str]:
    """The report as lines of text."""
    lines = [f"{name}  {report.format}, {report.width} x {report.height}", ""]
    lines += [f"{layer.name:<11}{layer.state:<11}{plain(layer.why)}" for layer in report.layers]
    for layer in report.layers:
        # The manifest says the notes once more: shown where they differ, or where there are no notes.
        shown = {key: value for key, value in layer.fields.items()
                 if value and (layer.name != "c2pa" or report["text"].fields.get(key) != value)}  # fmt: skip
        if shown:
            width = max(map(len, shown)) + 2
            lines += ["", layer.name, *(f"  {plain(key):<{width}}{plain(value)}" for key, value in shown.items())]
    return [*lines, "", report.summary]


def plain(text: str) -> str:
    """`text` without what would steer a terminal: a stranger has written it."""
    return "".join(char if char.isprintable() else "?" for char in text)[:2000]
