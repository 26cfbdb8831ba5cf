"""The validation report: one page that needs no network, where Great Expectations' Data Docs load styles from afar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one expectation found."""

    name: str
    why: str
    table: str
    column: str
    kind: str
    """Great Expectations' name of it."""
    passed: bool
    checked: int
    unexpected: int
    observed: str
    examples: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """One line: the expectation, its column, how many rows and which."""
        found = f": {self.unexpected} of {self.checked}" if self.unexpected else ""
        seen = f": found {self.observed}" if self.observed and not self.unexpected else ""
        rows = f" ({'; '.join(self.examples)}{' …' if self.unexpected > len(self.examples) else ''})"
        return f"expectation {self.name}, column {self.column}{found}{seen}{rows if self.examples else ''}: {self.why}"


_STYLE = """
:root { color-scheme: light dark; --line: #8885; --good: #2e7d32; --bad: #c62828 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 2rem }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600 } td.number { text-align: right; font-variant-numeric: tabular-nums }
.passed { color: var(--good) } .broken { color: var(--bad); font-weight: 600 }
code { font-size: .92em } small { opacity: .75 }
.bar { background: #8883; height: .7rem; min-width: 8rem } .bar i { display: block; height: 100%; background: #607d8b }
"""


def page(findings: Sequence[Finding], tables: Mapping[str, Any]) -> str:
    """The report as HTML. tables: those of `corpus_tables` that could be made; splits and themes are shown."""
    broken = [finding for finding in findings if not finding.passed]
    verdict = (
        f"<p class=broken>{len(broken)} of {len(findings)} expectations are broken: the run stops here.</p>"
        if broken
        else f"<p class=passed>All {len(findings)} expectations hold.</p>"
    )
    pictures = tables.get("pictures")
    count = f"<p>{len(pictures)} pictures in {pictures['group'].nunique()} groups.</p>" if pictures is not None else ""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Corpus validation</title><style>{_STYLE}</style><h1>Corpus validation</h1>{verdict}{count}"
        + _findings(sorted(findings, key=lambda finding: finding.passed))
        + _shares("Themes", tables.get("themes"))
        + _shares("Splits", tables.get("splits"))
        + _origins(pictures)
        + "</html>\n"
    )


def _findings(findings: Sequence[Finding]) -> str:
    rows = []
    for f in findings:
        mark = "<td class=passed>holds" if f.passed else "<td class=broken>broken"
        seen = f"{f.unexpected} of {f.checked}" if f.checked else escape(f.observed)
        examples = "<br>".join(f"<code>{escape(text)}</code>" for text in f.examples)
        rows.append(
            f"<tr>{mark}<td>{escape(f.name)}<br><small>{escape(f.why)}</small><td><code>{escape(f.column)}</code>"
            f"<td class=number>{seen}<td>{examples}"
        )
    return (
        "<h2>Expectations</h2><table><tr><th>Result<th>Expectation<th>Column<th>Rows against it<th>Examples"
        + "".join(rows)
        + "</table>"
    )


def _shares(title: str, table: Any) -> str:
    if table is None:
        return ""
    rows = []
    for row in table.to_dict("records"):
        note = f"{row['wanted']:.0%} ± {row['allowed']:.1%}" if "wanted" in row else f"{row['pictures']} pictures"
        rows.append(
            f"<tr><td>{escape(str(row['id']))}<td><div class=bar><i style='width:{row['share']:.1%}'></i></div>"
            f"<td class=number>{row['share']:.1%}<td><small>{note}</small>"
        )
    return f"<h2>{title}</h2><table>" + "".join(rows) + "</table>"


def _origins(pictures: Any) -> str:
    if pictures is None:
        return ""
    counts = pictures.groupby(["source", "licence", "caption_origin"]).size().reset_index(name="pictures")
    rows = "".join(
        f"<tr><td>{escape(row['source'])}<td>{escape(row['licence'])}<td>{escape(row['caption_origin'])}"
        f"<td class=number>{row['pictures']}"
        for row in counts.to_dict("records")
    )
    return f"<h2>Sources</h2><table><tr><th>Source<th>Licence<th>Captions from<th>Pictures{rows}</table>"
