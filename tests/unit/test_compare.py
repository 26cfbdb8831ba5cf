"""Comparisons say who is ahead only where the seeds allow it, and the report keeps the paper's figures apart."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from danqing import presets, variants
from danqing.errors import ConfigError, DataError
from danqing.evaluate import compare
from danqing.evaluate.compare import Comparison, Figure, Result, at, converged, figure, lead
from danqing.evaluate.compare_report import html, leads, markdown, mean_curve, verdict
from danqing.evaluate.cost import Cost
from danqing.evaluate.timing import Times
from danqing.variants import VARIANTS, Trial, trials

CURVE = [(10.0, 18.0), (20.0, 22.0), (30.0, 21.9)]


def test_figures_are_means_and_deviations_over_seeds() -> None:
    found = figure([1.0, 2.0, 3.0, math.nan])
    assert (found.mean, found.sd, found.seeds) == (2.0, 1.0, 3)
    assert found.text() == "2.00 ± 1.00"
    assert found.text("{:+.1f}") == "+2.0 ± 1.0"
    assert figure([5.0]).text("{:.1f}") == "5.0", "one seed has no deviation"
    assert figure([]).text() == "–"


def test_ahead_is_counted_in_deviations_and_in_the_right_direction() -> None:
    high, low = Figure(mean=12, sd=1, seeds=3), Figure(mean=10, sd=1, seeds=3)
    assert lead(high, low, higher=True) == 2
    assert lead(high, low, higher=False) == -2
    assert math.isnan(lead(Figure(mean=12, sd=math.nan, seeds=1), low, higher=True))


def test_convergence_is_the_first_look_near_the_best() -> None:
    assert converged(CURVE, higher=True) == 20
    assert converged([(1.0, 9.0), (2.0, 5.0), (3.0, 5.01)], higher=False) == 2
    assert math.isnan(converged([], higher=True))


def test_a_curve_is_read_between_its_looks() -> None:
    assert at(CURVE, 15) == 20
    assert at(CURVE, 99) == 21.9
    assert math.isnan(at(CURVE, 5)), "before the first look nothing is known"
    assert mean_curve([[(1.0, 2.0), (2.0, 4.0)], [(1.0, 4.0), (2.0, 6.0)]]) == [(1.0, 3.0), (2.0, 5.0)]


def test_every_variant_is_a_configuration_that_can_be() -> None:
    for preset in variants.PRESETS:
        found = trials(preset, [], [0, 1])
        assert len(found) == 2 * len(VARIANTS)
        for trial in found:
            line = presets.resolve(variants.PRESETS[preset][0], trial.overrides)
            assert line.tokenizer.init == line.painter.init == "scratch"
            assert line.tokenizer.seed == line.painter.seed == trial.seed
            assert line.tokenizer.steps == presets.resolve(*variants.shared(preset)).tokenizer.steps, "equal budgets"


def test_variants_differ_from_the_full_model_in_what_their_names_say() -> None:
    lines = {t.variant: presets.resolve("default", t.overrides) for t in trials("small", [], [0])}
    full = lines["full"]
    assert full.tokenizer.model.rdb and full.painter.model.align and full.painter.clip > 0
    assert lines["no_clip"].painter.clip == 0 and lines["no_clip"].tokenizer == full.tokenizer
    assert not lines["no_align"].painter.model.align and lines["no_align"].tokenizer == full.tokenizer
    assert not lines["no_rdb"].tokenizer.model.rdb
    plain, rival = lines["plain"], lines["vqgan"]
    assert plain.tokenizer == rival.tokenizer and not plain.painter.model.align and rival.painter.model.align
    bits = [line.tokenizer.model.bits for line in lines.values()]
    assert max(bits) <= 1.1 * min(bits), "no variant gets more bits for its codes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("smal", [], [0]), "did you mean 'small'"),
        (("small", ["vit_vqgam"], [0]), "did you mean 'vit_vqgan'"),
        (("small", [], [-1]), "whole numbers from 0 on"),
        (("small", ["full"], [0], {"painter.step": 3}), "did you mean 'steps'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_runs(arguments: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        trials(*arguments)


def _result(variant: str, seed: int, psnr: float) -> Result:
    trial = next(t for t in trials("small", [variant], [seed]))
    row = np.full((64, 128, 3), 40 * seed, np.uint8)
    metrics = {
        "psnr": psnr, "line_correlation": psnr / 40, "kernel_distance": 1 / psnr, "match_margin": psnr / 100,
        "clip_cosine": 0.3, "clip_score": 0.7, "frechet_distance": 100 - psnr, "classifier_score": 2.0,
        "line_energy": 0.9, "reference": 160.0, "prompts": 30.0, "pictures": 120.0,
        "detail_usage": 0.003 if variant == "vqgan" else 0.8,
    }  # fmt: skip
    return Result(
        trial=trial, line=presets.resolve("default", trial.overrides), metrics=metrics,
        curves={"tokenizer": {"val_psnr": CURVE}, "painter": {"val_detail": [(10.0, 6.0), (20.0, 5.0)]}},
        progress={100: row, 200: row}, strips={"original": row, "reconstruction": row, "painted": row},
        prompts=["a <lone> boat", "plum"], tokenizer=Path("t"), painter=Path("p"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    results = [_result("full", s, 25 + s / 10) for s in range(3)]
    results += [_result("vqgan", s, 20 + s / 10) for s in range(3)]
    results += [_result("plain", s, 30 + s / 10) for s in range(3)]
    names = ("full", "vqgan", "plain")
    times = {v: Times(tokenizer_step=0.1 * (i + 1), painter_step=0.2, picture=0.05) for i, v in enumerate(names)}
    costs = {v: Cost(parameters=4_000_000, macs=2e9, macs_by_calls=2e9) for v in names}
    return Comparison(profile="default", results=results, costs=costs, times=times, about={"Data": "some"})


def test_the_verdict_names_what_the_full_model_loses(comparison: Comparison) -> None:
    words = {(x.variant, x.column.name): x.word for x in leads(comparison)}
    assert words["vqgan", "psnr"] == "ahead" and words["plain", "psnr"] == "behind"
    assert words["vqgan", "clip_cosine"] == "cannot be said", "equal figures without deviation"
    assert "painter_best" not in {name for _, name in words}, "another tokenizer's codes"
    text = verdict(leads(comparison))
    assert "Behind: PSNR (VQGAN, neither alignment nor CLIP)" in text
    one = dataclasses.replace(comparison, results=[r for r in comparison.results if r.trial.seed == 0])
    assert verdict(leads(one)) == "One seed a variant: nobody can be called ahead of anybody."


def test_painters_of_one_tokenizer_are_compared_by_their_loss() -> None:
    results = [_result(variant, seed, 25 + seed / 10) for variant in ("full", "no_align") for seed in range(3)]
    found = leads(Comparison(profile="default", results=results, costs={}, times={}, about={}))
    assert {"painter_best"} == {x.column.name for x in found} - {
        "kernel_distance", "match_margin", "clip_cosine", "frechet_distance"
    }  # fmt: skip


def test_epochs_and_equal_time_are_counted(comparison: Comparison) -> None:
    batch, steps = 16, comparison.results[0].line.tokenizer.steps
    assert comparison.figure("full", "tokenizer_epochs").mean == 20 * batch / 160
    assert comparison.equal_seconds("tokenizer") == pytest.approx(0.1 * steps)
    assert comparison.figure("full", "psnr_at_equal_time").mean == pytest.approx(21.9)


def test_the_report_carries_everything_and_keeps_the_papers_figures_apart(comparison: Comparison) -> None:
    page = html(comparison)
    assert page.count("<svg") > 4 and "what the paper claims of its own" in page
    assert 'src="http' not in page and "a &lt;lone&gt; boat" in page
    assert VARIANTS["vqgan"].trap in page.replace("&#x27;", "'")
    text = markdown(comparison)
    assert "25.10 ± 0.10" in text and "20.10 ± 0.10" in text
    for written in (page, text):
        assert written.count("of a collapsed codebook") == written.count("Only 0.3 % of its codes") == 1
    measured, _, claimed = text.partition("## What the paper claims")
    assert "28.6" in claimed and "28.6" not in measured


def test_an_incomplete_set_of_trials_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a comparison needs all"):
        compare.collect("small", [Trial(variant="full", seed=0, overrides=json.dumps({}))], [], [], [])
