"""The report: one HTML file that carries its pictures with it, and the same figures as Markdown.

It opens anywhere: offline, on a phone, in a sandboxed frame. No script, no font, no picture comes from elsewhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

import numpy as np

from danqing.evaluate import charts
from danqing.evaluate.findings import Findings, sections
from danqing.evaluate.grids import enlarge

TITLE = "danqing, evaluated"
# The two characters of the name, 丹 and 青, as strokes: a machine without Chinese fonts shows them too.
SEAL = (
    '<svg viewBox="0 0 64 64" role="img" aria-label="丹青"><rect width="64" height="64" rx="5" fill="#a8402c"/>'
    '<g fill="none" stroke="#fbf8f1" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round">'
    '<path d="M41 12H54V48Q54 52 49 51M41 12V34Q41 46 36 52M34 31H59M46.5 18L48.5 24"/>'
    '<path d="M9 13H25M10.5 19H23.5M5 25H29M17 8V25M10 31V46Q10 50 8 53M10 31H24V50Q24 53 20 52M10 37.5H24M10 44H24"/>'
    "</g></svg>"
)


def img(picture_HWC: np.ndarray, alt: str, side: int) -> str:
    buffer = io.BytesIO()
    image = enlarge(picture_HWC, side)
    image.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    width, height = image.size
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt, quote=True)}" width="{width}" height="{height}">'


def table(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """Rows of figure, value, what stands beside it, and what it was measured on."""
    body = "".join(
        f'<tr><td>{escape(title)}</td><td class="value">{escape(value)}</td><td>{escape(beside)}</td>'
        f'<td class="how">{escape(how)}</td></tr>'
        for title, value, beside, how in rows
    )
    head = "<thead><tr><th>figure</th><th>value</th><th>beside it</th><th>measured on</th></tr></thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _samples(f: Findings) -> str:
    if f.samples is None:
        return ""
    cells = [
        f"<figure>{img(picture, prompt, 192)}"
        f"<figcaption>{escape(prompt)}<small>seed {seed}</small></figcaption></figure>"
        for picture, prompt, seed in zip(f.samples, f.prompts, f.seeds, strict=True)
    ]
    return (
        "<h2>Painted from sentences it has never seen</h2>"
        '<p class="answer">Held-out prompts, first try each; none was chosen by its picture.</p>'
        f'<div class="grid">{"".join(cells)}</div>'
    )


def _reconstructions(f: Findings) -> str:
    if f.originals is None or f.reconstructions is None:
        return ""
    cells = [
        f'<figure class="stack">{img(a, "original", 192)}{img(b, "reconstruction", 192)}</figure>'
        for a, b in zip(f.originals, f.reconstructions, strict=True)
    ]
    text = "Above the original, below what comes back."
    return f'<p class="answer">{text}</p><div class="grid small">{"".join(cells)}</div>'


def _neighbours(f: Findings) -> str:
    cells = [
        f'<figure><div class="pair">{img(n.painted, "painted", 128)}{img(n.training, "training picture", 128)}</div>'
        f"<figcaption>{escape(n.prompt)}<small>distance {n.distance:.3f}</small></figcaption></figure>"
        for n in f.neighbours
    ]
    if not cells:
        return ""
    text = "The closest pairs of all: painted on the left, the nearest training picture on the right."
    return f'<p class="answer">{text}</p><div class="grid wide">{"".join(cells)}</div>'


def _null(f: Findings) -> str:
    if f.null is None or len(f.null) < 2 or "clip_cosine" not in f.metrics:
        return ""
    drawing = charts.histogram("Mean cosine of shuffled prompts and of matched ones", f.null, f.metrics["clip_cosine"])
    words = "mean cosine: shuffled prompts (grey), each with its own prompt (red)"
    return f'<div class="charts one"><figure>{drawing}<figcaption>{words}</figcaption></figure></div>'


def _curves(f: Findings) -> str:
    parts = []
    for training, curves in f.curves.items():
        drawn = "".join(
            f"<figure>{charts.lines(f'{training}: {name}', {name: values})}"
            f"<figcaption>{escape(training)}: {escape(name.replace('_', ' '))}</figcaption></figure>"
            for name, values in curves.items()
        )
        parts.append(drawn)
    return f'<h2>How it was trained</h2><div class="charts">{"".join(parts)}</div>' if any(parts) else ""


def definitions(items: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in items.items())
    return f"<dl>{rows}</dl>"


def _omitted(f: Findings) -> str:
    if not f.omitted:
        return ""
    return f"<h2>Not measured</h2>{definitions(f.omitted)}"


def page(title: str, lead: str, about: str, body: str, *, broad: bool = False) -> str:
    """One self-contained page: style and pictures are in it."""
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main{' class=broad' if broad else ''}>"
        f'<header>{SEAL}<div><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>{about}</div></header>{body}'
        "<footer>Figures without their yardstick say nothing: each stands beside one.</footer>"
        "</main></body></html>\n"
    )


def html(f: Findings) -> str:
    """The report as one self-contained page."""
    below = {"Does it paint what it is asked?": _null, "What does the tokenizer keep?": _reconstructions,
             "Are they copies?": _neighbours}  # fmt: skip
    parts = [_samples(f)]
    for question, answer, rows in sections(f):
        parts.append(f"<h2>{escape(question)}</h2>" + (f'<p class="answer">{escape(answer)}</p>' if answer else ""))
        parts.append(table((row.title, row.value, row.beside, row.how) for row in rows))
        if question in below:
            parts.append(below[question](f))
    parts += [_curves(f), _omitted(f)]
    return page(TITLE, "What was measured, and on what.", definitions(f.about), "".join(parts))


def markdown(f: Findings) -> str:
    """The same figures as Markdown, with the sheets as files beside it."""
    lines = ["# danqing, evaluated", ""]
    lines += [f"- **{name}**: {text}" for name, text in f.about.items()]
    if f.samples is not None:
        lines += ["", "![pictures painted from held-out prompts](samples.png)"]
    for question, answer, rows in sections(f):
        lines += ["", f"## {question}", *([answer, ""] if answer else [""])]
        lines += ["| figure | value | beside it | measured on |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(_cell(c) for c in (r.title, r.value, r.beside, r.how)) + " |" for r in rows]
    if f.originals is not None:
        lines += ["", "![originals above, reconstructions below](reconstructions.png)"]
    if f.omitted:
        lines += ["", "## Not measured", "", *(f"- **{name}**: {why}" for name, why in f.omitted.items())]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
