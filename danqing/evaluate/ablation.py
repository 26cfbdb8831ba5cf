"""The last step of an ablation: from the folders of all trials to one report."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from danqing import files
from danqing.errors import DanqingError
from danqing.evaluate import cost as costs
from danqing.evaluate import timing
from danqing.evaluate.compare import Comparison, Result, collect
from danqing.evaluate.compare_report import QUALITY, html, leads, markdown, verdict
from danqing.evaluate.features import title
from danqing.machine import machine
from danqing.monitor import Monitor
from danqing.train.loop import device
from danqing.variants import Trial


def compare(
    profile: str, trials: Sequence[Trial], evaluations: Sequence[Path], tokenizers: Sequence[Path],
    painters: Sequence[Path], *, out: Path, rounds: int, monitor: Monitor,
) -> dict[str, float]:  # fmt: skip
    """Write report.html, report.md and comparison.json into `out`; returns the figures as variant/figure → mean.

    rounds: how often each variant is timed; the median counts.
    """
    results = collect(profile, trials, evaluations, tokenizers, painters)
    lines = {r.trial.variant: r.line for r in results}
    if device().type == "cpu":  # the trials may have shared the cores; now nothing else runs
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    times, spent = timing.measure(lines, rounds, monitor)
    for variant, found in spent.items():
        if not costs.agree(found):
            raise DanqingError(f"{variant}: the two counters of MACs disagree ({found}); neither can be printed")
    comparison = Comparison(profile=profile, results=results, costs=spent, times=times, about=_about(results, rounds))
    files.write_text(out / "report.html", html(comparison))
    files.write_text(out / "report.md", markdown(comparison))
    figures = {
        f"{variant}/{column.name}": comparison.figure(variant, column.name).mean
        for variant in comparison.variants for column in QUALITY
    }  # fmt: skip
    files.write_json(out / "comparison.json", _record(comparison, figures))
    monitor.progress(1, 1, "report written")
    return {name: value for name, value in figures.items() if value == value}


def _record(c: Comparison, figures: dict[str, float]) -> dict[str, object]:
    return {
        "about": dict(c.about),
        "verdict": verdict(leads(c)),
        "trials": [{"variant": r.trial.variant, "seed": r.trial.seed, "overrides": json.loads(r.trial.overrides),
                    "metrics": dict(r.metrics)} for r in c.results],
        "costs": {v: {"parameters": s.parameters, "macs": s.macs, "macs_by_calls": s.macs_by_calls, "bitops": s.bitops}
                  for v, s in c.costs.items()},
        "seconds": {v: {"tokenizer_step": t.tokenizer_step, "painter_step": t.painter_step, "picture": t.picture}
                    for v, t in c.times.items()},
        "figures": {name: value for name, value in figures.items() if value == value},
    }  # fmt: skip


DEFINITIONS = {
    "Epochs to converge": """the first look at the validation split that is within 1 % of the best of that run: PSNR
        for the tokenizer, cross-entropy of hidden codes for the painter. An epoch is one pass over the training
        pictures""",
    "Cross-entropy": """of hidden codes, global and detail together, nats, on the validation split at the best look; it
        compares only where the tokenizer is the same: full, no CLIP, no alignment""",
    "Cosine": """of picture and own prompt under an open_clip model trained on this corpus and never used for
        guidance; CLIPScore is 2.5 · max(cosine, 0) of the same""",
    "Costs": """parameters of tokenizer and painter (text encoder apart); MACs of one picture from its sentence, with
        all decoding steps and guidance, by PyTorch's FlopCounterMode (which counts 2 a MAC; attention unfused) and by
        a counter of called products; BitOPs = MACs · 32 · 32""",
    "Equal time": """PSNR is read off the validation curve at the training time of the quickest tokenizer: the others'
        learning rates had not yet fallen there""",
    "The paper's figures": """were measured on other data, by Inception, at other sizes: they stand apart and compare
        only among themselves""",
}


def _about(results: Sequence[Result], rounds: int) -> dict[str, str]:
    r = results[0]
    t, p, m = r.line.tokenizer, r.line.painter, r.metrics
    source = r.line.ingest.source.partition(":")[0]
    seeds = ", ".join(str(seed) for seed in sorted({x.trial.seed for x in results}))
    floor = "too few held-out pictures for one"
    if "kernel_floor" in m:
        kernel = f"{1e3 * m['kernel_floor']:.0f} ± {1e3 * m['kernel_floor_sd']:.0f}"
        floor = f"real held-out against training pictures, N = {m['prompts']:.0f}: kernel distance × 10³ {kernel}, "
        floor += f"Fréchet {m['frechet_floor']:.1f}"
    epochs = {part: f"{r.epochs(part, s.steps):.0f} epochs" for part, s in (("tokenizer", t), ("painter", p))}
    about = {
        "Data": f"{m['reference']:.0f} training pictures of {t.model.size} × {t.model.size} px (source: {source}), the "
                f"same for all; {m['prompts']:.0f} held-out prompts, {m['pictures']:.0f} pictures a trial",
        "Budget": f"from scratch for all: tokenizer {t.steps} steps of {t.batch} ({epochs['tokenizer']}), painter "
                  f"{p.steps} steps of {p.batch} ({epochs['painter']})",
        "Seeds": f"{seeds}, of the tokenizer's and the painter's training; means ± sd (n - 1) over them. Ahead: by "
                 "more than the root mean square of both sd",
        "Features": f"{title(t.model.size)}, for Fréchet, kernel distance and the Inception-type score (over its "
                    "ImageNet classes). No figure of another extractor compares",
        "Floor": floor,
        "Times": f"{machine()}, {torch.get_num_threads()} threads; by turns in one process, median of {rounds}",
    }  # fmt: skip
    return about | {name: " ".join(text.split()) for name, text in DEFINITIONS.items()}
