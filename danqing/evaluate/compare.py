"""Trials of several variants, each with several seeds, brought into one comparison.

Figures are means ± standard deviations over seeds. A variant is ahead of another only where their means differ by more
than the root mean square of their deviations; with one seed nobody is ahead of anybody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danqing import config, files, presets
from danqing.data import corpus as corpora
from danqing.errors import DataError
from danqing.evaluate.charts import read_curves
from danqing.evaluate.cost import Cost
from danqing.evaluate.timing import Times
from danqing.variants import Trial

Curve = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What one trial left."""

    trial: Trial
    line: config.Line
    metrics: Mapping[str, float]
    curves: Mapping[str, Mapping[str, Curve]]
    """tokenizer, painter → name → [(step, value)]."""
    progress: Mapping[int, np.ndarray]
    """Step of the painter → a row of pictures, uint8 (S, n·S, 3)."""
    strips: Mapping[str, np.ndarray]
    """original, reconstruction, painted → a row of pictures."""
    prompts: Sequence[str]
    tokenizer: Path
    painter: Path

    def epochs(self, part: str, step: float) -> float:
        """Steps of the `tokenizer` or the `painter` in passes over the training pictures."""
        section = self.line.tokenizer if part == "tokenizer" else self.line.painter
        return step * section.batch / self.metrics["reference"]


def collect(
    profile: str, trials: Sequence[Trial], evaluations: Sequence[Path], tokenizers: Sequence[Path],
    painters: Sequence[Path],
) -> list[Result]:  # fmt: skip
    """Results from the folders that the steps of each trial wrote, in the order of `trials`."""
    if not len(trials) == len(evaluations) == len(tokenizers) == len(painters):
        raise DataError(f"{len(trials)} trials, but {len(evaluations)} evaluations: a comparison needs all of them")
    results = []
    for trial, evaluation, tokenizer, painter in zip(trials, evaluations, tokenizers, painters, strict=True):
        found = {**files.read_json(tokenizer / "metrics.json"), **files.read_json(evaluation / "metrics.json")}
        rows = sorted((painter / "progress").glob("step-*.png"))
        results.append(
            Result(
                trial=trial,
                line=presets.resolve(profile, trial.overrides),
                metrics={k: float(v) for k, v in found.items() if isinstance(v, (int, float))},
                curves={"tokenizer": read_curves(tokenizer / "curves.csv"),
                        "painter": read_curves(painter / "curves.csv")},
                progress={int(p.stem.removeprefix("step-")): corpora.decode(p.read_bytes()) for p in rows},
                strips={p.stem: corpora.decode(p.read_bytes()) for p in (evaluation / "strips").glob("*.png")},
                prompts=files.read_json(evaluation / "strips/prompts.json"),
                tokenizer=tokenizer,
                painter=painter,
            )
        )  # fmt: skip
    return results


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A figure over seeds. sd is nan for a single seed."""

    mean: float
    sd: float
    seeds: int

    def text(self, form: str = "{:.2f}") -> str:
        if not math.isfinite(self.mean):
            return "–"
        return form.format(self.mean) + (f" ± {form.replace('+', '').format(self.sd)}" if self.seeds > 1 else "")


def figure(values: Sequence[float]) -> Figure:
    known = [v for v in values if math.isfinite(v)]
    if not known:
        return Figure(mean=math.nan, sd=math.nan, seeds=0)
    sd = float(np.std(known, ddof=1)) if len(known) > 1 else math.nan
    return Figure(mean=float(np.mean(known)), sd=sd, seeds=len(known))


def lead(ours: Figure, theirs: Figure, higher: bool) -> float:
    """How far ours is ahead, in root mean squares of both deviations; nan where that cannot be said."""
    spread = math.sqrt((ours.sd**2 + theirs.sd**2) / 2)
    ahead = (ours.mean - theirs.mean) if higher else (theirs.mean - ours.mean)
    if math.isnan(spread) or spread == 0:
        return math.nan
    return ahead / spread


def converged(curve: Curve, higher: bool, within: float = 0.01) -> float:
    """The first step at which a validation curve is within 1 % of its best; nan without a curve."""
    if not curve:
        return math.nan
    best = (max if higher else min)(value for _, value in curve)
    near = [s for s, v in curve if (v >= best - within * abs(best) if higher else v <= best + within * abs(best))]
    return near[0]


def at(curve: Curve, step: float) -> float:
    """The curve's value at `step`, linear between looks; nan before the first look, the last value after the last."""
    if not curve or step < curve[0][0]:
        return math.nan
    steps, values = zip(*curve, strict=True)
    return float(np.interp(step, steps, values))


def painter_loss(result: Result) -> Curve:
    """Validation loss of the painter: nats of all hidden codes, global and detail."""
    curves = result.curves["painter"]
    glob = dict(curves.get("val_global", []))
    return [(step, value + glob.get(step, 0.0)) for step, value in curves.get("val_detail", [])]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    profile: str
    results: Sequence[Result]
    costs: Mapping[str, Cost]
    times: Mapping[str, Times]
    about: Mapping[str, str]

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(r.trial.variant for r in self.results))

    def of(self, variant: str) -> list[Result]:
        return [r for r in self.results if r.trial.variant == variant]

    def figure(self, variant: str, name: str) -> Figure:
        """A metric of the evaluation, or one of the figures computed here, over the seeds of `variant`."""
        return figure([self._value(r, name) for r in self.of(variant)])

    def _value(self, r: Result, name: str) -> float:
        if name == "tokenizer_epochs":
            return r.epochs("tokenizer", converged(r.curves["tokenizer"].get("val_psnr", []), higher=True))
        if name == "painter_epochs":
            return r.epochs("painter", converged(painter_loss(r), higher=False))
        if name == "painter_best":
            return min((value for _, value in painter_loss(r)), default=math.nan)
        if name == "psnr_at_equal_time":
            seconds = self.times[r.trial.variant].tokenizer_step
            return at(r.curves["tokenizer"].get("val_psnr", []), self.equal_seconds("tokenizer") / seconds)
        return r.metrics.get(name, math.nan)

    def equal_seconds(self, part: str) -> float:
        """The training time of the quickest variant: what all had by then can be compared at equal wall-clock."""
        return min(self.seconds(v, part) for v in self.variants)

    def seconds(self, variant: str, part: str) -> float:
        """Training time of `tokenizer` or `painter`, from the measured time of a step."""
        line, times = self.of(variant)[0].line, self.times[variant]
        if part == "tokenizer":
            return line.tokenizer.steps * times.tokenizer_step
        return line.painter.steps * times.painter_step
