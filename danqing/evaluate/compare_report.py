"""A comparison as one HTML page and as Markdown, in the form of the paper's Tables 1 and 3 and Figures 8 to 12."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from danqing.evaluate import charts
from danqing.evaluate.compare import Comparison, Curve, Figure, Result, at, lead, painter_loss
from danqing.evaluate.report import definitions, img, page
from danqing.variants import VARIANTS, Claim

TITLE = "danqing, compared"
LEADER = "full"
Cells = list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    title: str
    name: str
    form: str = "{:.2f}"
    higher: bool | None = None
    """Whether more is better; None where nothing is."""
    scale: float = 1.0


QUALITY = (
    Column(title="epochs to converge: tokenizer", name="tokenizer_epochs", form="{:.0f}", higher=False),
    Column(title="painter", name="painter_epochs", form="{:.0f}", higher=False),
    Column(title="cross-entropy of hidden codes", name="painter_best", higher=False),
    Column(title="detail codes used, %", name="val_detail_usage", form="{:.1f}", higher=True, scale=100.0),
    Column(title="Inception-type score", name="classifier_score", higher=True),
    Column(title="Fréchet distance", name="frechet_distance", form="{:.1f}", higher=False),
    Column(title="kernel distance × 10³", name="kernel_distance", form="{:.0f}", higher=False, scale=1e3),
    Column(title="PSNR, dB", name="psnr", higher=True),
    Column(title="line energy", name="line_energy"),
    Column(title="lines in place", name="line_correlation", higher=True),
    Column(title="cosine", name="clip_cosine", form="{:.3f}", higher=True),
    Column(title="CLIPScore", name="clip_score", higher=True),
    Column(title="matched over shuffled", name="match_margin", form="{:+.3f}", higher=True),
)
COLLAPSED = 0.05
"""Share of the codes below which a codebook has collapsed."""
BARS = (
    "psnr", "line_correlation", "painter_best", "kernel_distance", "match_margin", "clip_cosine", "frechet_distance",
)  # fmt: skip
"""What the question "who is ahead?" is asked of."""
OF_TOKENIZER, OF_PAINTER = ("psnr", "line_correlation"), ("painter_best",)
SAME_TOKENIZER = ("no_clip", "no_align")
"""Who have the full model's own tokenizer: what measures it is equal, and losses over its codes compare."""


def _column(name: str) -> Column:
    return next(c for c in QUALITY if c.name == name)


def _figure(c: Comparison, variant: str, column: Column) -> Figure:
    found = c.figure(variant, column.name)
    return Figure(mean=found.mean * column.scale, sd=found.sd * column.scale, seeds=found.seeds)


def _title(variant: str) -> str:
    return VARIANTS[variant].title


def _in_table(c: Comparison, table: str) -> list[str]:
    return [v for v in c.variants if table in VARIANTS[v].tables]


def quality(c: Comparison, variants: Sequence[str]) -> list[Cells]:
    return [[_title(v), *(_figure(c, v, column).text(column.form) for column in QUALITY)] for v in variants]


COSTS = (
    "bits a picture", "parameters, M", "MACs, G", "the other counter, G", "BitOPs, T", "ms a picture",
    "ms a step: tokenizer", "painter", "training, min", "PSNR at equal time, dB",
)  # fmt: skip


def costs(c: Comparison, variants: Sequence[str]) -> list[Cells]:
    rows = []
    for v in variants:
        cost, times, model = c.costs[v], c.times[v], c.of(v)[0].line.tokenizer.model
        minutes = (c.seconds(v, "tokenizer") + c.seconds(v, "painter")) / 60
        rows.append([
            _title(v), f"{model.bits:.0f}", f"{cost.parameters / 1e6:.2f}", f"{cost.macs / 1e9:.2f}",
            f"{cost.macs_by_calls / 1e9:.2f}", f"{cost.bitops / 1e12:.2f}", f"{1e3 * times.picture:.0f}",
            f"{1e3 * times.tokenizer_step:.0f}", f"{1e3 * times.painter_step:.0f}", f"{minutes:.1f}",
            c.figure(v, "psnr_at_equal_time").text(),
        ])  # fmt: skip
    return rows


CLAIMS = ("epochs", "IS", "FID", "PSNR", "cosine", "params", "ms")


def claims(claim: Claim | None) -> Cells:
    if claim is None:
        return ["–"] * len(CLAIMS)
    return [str(claim.epochs), f"{claim.inception:.1f}", f"{claim.frechet:.1f}", f"{claim.psnr:.1f}",
            f"{claim.cosine:.2f}", claim.parameters, str(claim.milliseconds)]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Lead:
    variant: str
    column: Column
    sds: float

    @property
    def word(self) -> str:
        if math.isnan(self.sds):
            return "cannot be said"
        return "ahead" if self.sds > 1 else "behind" if self.sds < -1 else "level"


def leads(c: Comparison) -> list[Lead]:
    """How far the full model is ahead of every other variant, on what counts."""
    found = []
    for variant in c.variants:
        if variant == LEADER or LEADER not in c.variants:
            continue
        for name in BARS:
            column = _column(name)
            if name in (OF_TOKENIZER if variant in SAME_TOKENIZER else OF_PAINTER):
                continue
            ahead = lead(c.figure(LEADER, name), c.figure(variant, name), bool(column.higher))
            found.append(Lead(variant=variant, column=column, sds=ahead))
    return found


def verdict(found: Iterable[Lead]) -> str:
    """One honest sentence or two."""
    found = list(found)
    if not found:
        return ""
    if all(math.isnan(x.sds) for x in found):
        return "One seed a variant: nobody can be called ahead of anybody."
    ahead, rest = [x for x in found if x.word == "ahead"], [x for x in found if x.word != "ahead"]
    text = f"The full model is ahead by more than one standard deviation in {len(ahead)} of {len(found)} comparisons."
    for word in ("behind", "level", "cannot be said"):
        named = [f"{x.column.title.partition(',')[0]} ({_title(x.variant)})" for x in rest if x.word == word]
        if named:
            text += f" {word.capitalize()}: {'; '.join(named)}."
    return text


def notes(c: Comparison) -> dict[str, str]:
    """Variant's title → what must be known beside its figures: what was said of it before, and what was seen here."""
    found = {}
    for variant in c.variants:
        text, used = VARIANTS[variant].trap, c.figure(variant, "detail_usage").mean
        if used < COLLAPSED:
            text += (
                f" Only {100 * used:.1f} % of its codes are in use here: its figures are those of a collapsed codebook."
            )
        if text:
            found[_title(variant)] = text.strip()
    return found


def _matrix(head: Sequence[str], rows: Iterable[Cells], paper: Iterable[Cells] = ()) -> str:
    """A table of figures; `paper` adds the paper's own at the right, apart."""
    claimed = list(paper)
    top = ""
    if claimed:
        ours, theirs = "measured here, mean ± sd over seeds", "what the paper claims of its own"
        top = f'<tr><th colspan="{len(head)}">{ours}</th>'
        top += f'<th class="paper edge" colspan="{len(CLAIMS)}">{theirs}</th></tr>'
    named = "".join(f"<th>{escape(h)}</th>" for h in head)
    if claimed:
        named += "".join(f'<th class="{_apart(i)}">{h}</th>' for i, h in enumerate(CLAIMS))
    body = ""
    for number, row in enumerate(rows):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        if claimed:
            cells += "".join(f'<td class="{_apart(i)}">{escape(cell)}</td>' for i, cell in enumerate(claimed[number]))
        body += f"<tr>{cells}</tr>"
    return _scrolling(f"{top}<tr>{named}</tr>", body)


def _apart(index: int) -> str:
    return "paper edge" if index == 0 else "paper"


def _scrolling(head: str, body: str) -> str:
    return f'<div class="scroll"><table class="matrix"><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _leads_table(c: Comparison) -> str:
    found = {(x.variant, x.column.name): x for x in leads(c)}
    others = [v for v in c.variants if v != LEADER]
    head = "".join(f"<th>{escape(h)}</th>" for h in ["the full model against", *(_column(n).title for n in BARS)])
    body = ""
    for v in others:
        cells = ""
        for name in BARS:
            x = found.get((v, name))
            word = x.word if x else ""
            text = "same tokenizer" if x is None else f"{x.sds:+.1f} sd" if math.isfinite(x.sds) else "–"
            cells += f'<td class="{word if word in ("ahead", "behind") else ""}">{text}</td>'
        body += f"<tr><td>{escape(_title(v))}</td>{cells}</tr>"
    return (
        f'<div class="scroll"><table class="matrix"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """The mean of curves that were looked at at the same steps."""
    steps = sorted({step for curve in curves for step, _ in curve})
    return [(step, float(np.nanmean([at(curve, step) for curve in curves if curve]))) for step in steps]


def _series(c: Comparison, read: Callable[[Result], Curve], part: str) -> dict[str, Curve]:
    """Variant → mean curve over seeds, in epochs."""
    found = {}
    for v in c.variants:
        results = c.of(v)
        curve = mean_curve([read(r) for r in results])
        found[v] = [(results[0].epochs(part, step), value) for step, value in curve]
    return found


def _psnr(r: Result) -> Curve:
    return r.curves["tokenizer"].get("val_psnr", [])


def _lines(r: Result) -> Curve:
    return r.curves["tokenizer"].get("val_line_correlation", [])


def _charts(c: Comparison) -> str:
    drawn = []
    plots: list[tuple[str, Callable[[Result], Curve], str]] = [
        ("tokenizer: PSNR on validation, dB, by epoch", _psnr, "tokenizer"),
        ("tokenizer: lines in place on validation, by epoch", _lines, "tokenizer"),
        ("painter: loss on validation, nats, by epoch", painter_loss, "painter"),
    ]
    for title, read, part in plots:
        if any((series := _series(c, read, part)).values()):
            drawn.append(_chart(title, series, c.variants))
    timed = {}
    for v, curve in _series(c, _psnr, "tokenizer").items():
        r = c.of(v)[0]
        second = c.times[v].tokenizer_step / r.epochs("tokenizer", 1)
        timed[v] = [(x * second / 60, y) for x, y in curve]
    if any(timed.values()):
        drawn.append(_chart("tokenizer: PSNR on validation, dB, by minute of training", timed, c.variants))
    key = "".join(
        f'<span><svg class="chart" viewBox="0 0 22 8"><line class="line line{i}" x1="0" x2="22" y1="4" y2="4"/></svg>'
        f"{escape(_title(v))}</span>"
        for i, v in enumerate(c.variants)
    )
    return f'<div class="key">{key}</div><div class="charts">{"".join(drawn)}</div>' if drawn else ""


def _chart(title: str, series: dict[str, Curve], order: Sequence[str]) -> str:
    drawn = {v: s for v, s in series.items() if s}
    chart = charts.lines(title, drawn, [order.index(v) for v in drawn])
    return f"<figure>{chart}<figcaption>{escape(title)}</figcaption></figure>"


def _strips(c: Comparison, kind: str, first: str = "") -> str:
    rows = []
    top = c.results[0].strips.get(first)
    if top is not None:
        rows.append(("original", top))
    rows += [(_title(v), c.of(v)[0].strips[kind]) for v in c.variants if kind in c.of(v)[0].strips]
    cells = "".join(f"<div>{escape(name)}</div>{img(strip, name, strip.shape[1])}" for name, strip in rows)
    return f'<div class="strips">{cells}</div>'


def _progress(c: Comparison) -> str:
    """The first prompt of the validation split, painted at successive epochs by each variant."""
    rows = []
    for v in c.variants:
        r = c.of(v)[0]
        steps = sorted(r.progress)[:: max(1, len(r.progress) // 8)][-8:]
        if steps:
            side = r.progress[steps[0]].shape[0]
            strip = np.concatenate([r.progress[s][:, :side] for s in steps], 1)
            epochs = ", ".join(f"{r.epochs('painter', s):.0f}" for s in steps)
            rows.append((f"{_title(v)}: epochs {epochs}", strip))
    cells = "".join(f"<div>{escape(name)}</div>{img(strip, name, strip.shape[1])}" for name, strip in rows)
    return f'<h2>The same prompt at successive epochs</h2><div class="strips">{cells}</div>' if rows else ""


def html(c: Comparison) -> str:
    ablation, rivals = _in_table(c, "1"), _in_table(c, "3")
    head, cost_head = ["", *(q.title for q in QUALITY)], ["", *COSTS]
    body = [f'<h2>Is the full model ahead?</h2><p class="answer">{escape(verdict(leads(c)))}</p>{_leads_table(c)}']
    for title, variants in (("Ablation (the paper's Table 1)", ablation), ("Rivals (the paper's Table 3)", rivals)):
        if not variants:
            continue
        paper = [claims(VARIANTS[v].claim) for v in variants] if variants is ablation else []
        body.append(f"<h2>{title}</h2>{_matrix(head, quality(c, variants), paper)}")
        body.append(_matrix(cost_head, costs(c, variants)))
    body.append(f"<h2>How they learn</h2>{_charts(c)}")
    body.append(f"<h2>Given back (Fig. 11)</h2>{_strips(c, 'reconstruction', 'original')}")
    prompts = "; ".join(c.results[0].prompts)
    body.append(f'<h2>Painted</h2><p class="answer">{escape(prompts)}</p>{_strips(c, "painted")}')
    body.append(_progress(c))
    body.append(f"<h2>What must be known beside the figures</h2>{definitions(notes(c))}")
    lead_text = "The full model, without its parts, and beside its rivals: the same data, steps and painter."
    return page(TITLE, lead_text, definitions(c.about), "".join(body), broad=True)


def markdown(c: Comparison) -> str:
    """The same figures for a repository: tables only."""

    def table(head: Sequence[str], rows: Iterable[Cells]) -> list[str]:
        return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(r) + " |" for r in rows)]

    lines = [f"# {TITLE}", "", *(f"- **{name}**: {text}" for name, text in c.about.items()), "", verdict(leads(c)), ""]
    for title, variants in (("Ablation (the paper's Table 1)", _in_table(c, "1")),
                            ("Rivals (the paper's Table 3)", _in_table(c, "3"))):  # fmt: skip
        if variants:
            lines += [f"## {title}", "", *table(["variant", *(q.title for q in QUALITY)], quality(c, variants)), ""]
            lines += [*table(["variant", *COSTS], costs(c, variants)), ""]
    claimed = [[_title(v), *claims(VARIANTS[v].claim)] for v in _in_table(c, "1")]
    lines += ["## What the paper claims of its own", "", "Other data, extractor, size and budget.", ""]
    lines += [*table(["variant", *CLAIMS], claimed), "", "## What must be known beside the figures", ""]
    lines += [f"- **{name}**: {text}" for name, text in notes(c).items()]
    return "\n".join(lines) + "\n"
