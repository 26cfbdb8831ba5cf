"""The drift report: drift.json for the retrain trigger and the gateway's metrics, the same as HTML and Markdown."""

from __future__ import annotations

from datetime import date
from html import escape
from pathlib import Path

from danqing import files, served
from danqing.errors import StorageError
from danqing.evaluate import drift, report
from danqing.evaluate.drift import Attribute, Drift, DriftConfig

JSON, REFERENCE = "drift.json", "reference.json"
_NAMES = {"js": "JS distance", "ks": "D"}
_HEAD = ("attribute", "value", "beside it", "measured on")


def run(
    *, served_folder: Path, corpus: Path, out: Path, config: DriftConfig, since: date | None = None,
    until: date | None = None,
) -> Drift:  # fmt: skip
    """Compare what gateways counted with the training set; write drift.json, report.html, report.md and reference.json
    (the training set's counts, which may be given as `corpus` from then on). Raises StorageError and DataError.
    """
    known = drift.reference(corpus)
    seen = served.read(served_folder, since, until)
    found = drift.compare(known, seen, config, _before(out / JSON))
    files.write_json(out / REFERENCE, known.as_dict())
    files.write_text(out / "report.html", html(found))
    files.write_text(out / "report.md", markdown(found))
    files.write_json(out / JSON, drift.as_dict(found))  # last: whoever sees it finds the rest beside it
    return found


def _before(path: Path) -> dict[str, object] | None:
    """The last report; one that cannot be read is as good as none."""
    try:
        last = files.read_json(path) if path.is_file() else None
    except StorageError:
        return None
    return last if isinstance(last, dict) and last.get("version") == drift.VERSION else None


def answer(d: Drift) -> str:
    """One line: is there drift, since when, and in what."""
    if d.drifted:
        return f"There is drift since {d.since}: {'; '.join(d.reasons)}."
    short = [name for name, a in d.attributes.items() if a.value is None]
    if len(short) == len(d.attributes):
        return f"{d.prompts} prompts and {d.pictures} pictures are too few to tell."
    return "No drift" + (f"; too little to tell of {', '.join(short)}." if short else ".")


def _about(d: Drift) -> dict[str, str]:
    return {
        "Served": f"{d.prompts} prompts and {d.pictures} pictures from {d.window['since']} to {d.window['until']}; "
                  "a prompt counts once a day and gateway, with its first picture",
        "Against": f"{d.reference['prompts']} captions and {d.reference['pictures']} pictures of the training split",
        "Drift": "a value above both its floor, what chance alone would give with as many prompts, and the threshold",
        "Lines left out": str(d.broken_lines),
    }  # fmt: skip


def _row(name: str, a: Attribute) -> tuple[str, str, str, str]:
    if a.value is None or a.floor is None:
        return name, "–", "too little to tell", f"{a.served} served, {a.reference} in training"
    mark = " drifted" if a.drifted else ""
    beside = f"floor {a.floor:.2f}, threshold {a.threshold:.2f}, stability index {a.psi:.2f}"
    how = f"{_NAMES[a.measure]}, {a.served} served, {a.reference} in training"
    if a.means is not None:
        how += f"; mean {a.means[1]:.3g} served, {a.means[0]:.3g} in training"
    return name, f"{a.value:.2f}{mark}", beside, how


def _sides(d: Drift) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    return [
        (title, [_row(name, a) for name, a in d.attributes.items() if a.side == side])
        for side, title in (("prompt", "Is the same asked for?"), ("picture", "Do the pictures look the same?"))
    ]


def _moved(d: Drift) -> list[tuple[str, str]]:
    """The five terms of each drifted attribute that moved most, as text."""
    found = []
    for name, a in d.attributes.items():
        if a.drifted and a.shares:
            most = sorted(a.shares.items(), key=lambda s: -abs(s[1][1] - s[1][0]))[:5]
            found.append((name, ", ".join(f"{term} {here:.0%} (training {there:.0%})" for term, (there, here) in most)))
    return found


def _told(d: Drift) -> list[tuple[str, str]]:
    return [
        (name, ", ".join(f"{value}: {times}" for value, times in sorted(counter.items(), key=lambda c: -c[1])))
        for name, counter in d.told.items()
        if counter
    ]


def html(d: Drift) -> str:
    """One self-contained page."""
    parts = []
    for title, rows in _sides(d):
        parts += [f"<h2>{title}</h2>", report.table(rows)]
    if moved := _moved(d):
        parts += ["<h2>What moved</h2>", report.definitions(dict(moved))]
    if told := _told(d):
        parts += ["<h2>Counted, not compared</h2>", report.definitions(dict(told))]
    body = f'<p class="answer">{escape(answer(d))}</p>' + "".join(parts)
    return report.page("danqing, drift", "What is served, against what was trained on.",
                       report.definitions(_about(d)), body)  # fmt: skip


def markdown(d: Drift) -> str:
    lines = ["# danqing, drift", "", answer(d), "", *(f"- **{name}**: {text}" for name, text in _about(d).items())]
    for title, rows in _sides(d):
        lines += ["", f"## {title}", "", *("| " + " | ".join(r) + " |" for r in (_HEAD, ("---",) * 4, *rows))]
    for title, items in (("What moved", _moved(d)), ("Counted, not compared", _told(d))):
        if items:
            lines += ["", f"## {title}", "", *(f"- **{name}**: {text}" for name, text in items)]
    return "\n".join(lines) + "\n"
