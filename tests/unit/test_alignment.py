"""The matched-versus-shuffled test: honest under the null, sharp under a signal."""

from __future__ import annotations

import numpy as np
import pytest

from danqing.evaluate.alignment import clip_score, match_test


def test_pictures_that_ignore_their_prompts_get_uniform_p_values() -> None:
    tables = [np.random.default_rng(seed).normal(size=(20, 20)) for seed in range(300)]
    ps = [match_test(table, permutations=99, seed=seed).p for seed, table in enumerate(tables)]
    for level in (0.1, 0.25, 0.5, 0.75):
        share = np.mean(np.array(ps) <= level)
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / len(ps))


def test_pictures_that_follow_their_prompts_get_the_least_p_value() -> None:
    cosines = np.random.default_rng(0).normal(0, 0.1, (40, 40)) + 0.2 * np.eye(40)
    match = match_test(cosines, permutations=500, seed=0)
    assert match.p == pytest.approx(1 / 501)
    assert match.margin == pytest.approx(0.2, abs=0.05)
    assert match.effect > 1


def test_pictures_that_contradict_their_prompts_are_no_match() -> None:
    cosines = np.random.default_rng(1).normal(0, 0.1, (40, 40)) - 0.2 * np.eye(40)
    match = match_test(cosines, permutations=200, seed=0)
    assert match.p == 1.0
    assert match.margin < 0


def test_one_prompt_for_all_is_no_evidence() -> None:
    """Every shuffle ties with the match, whatever rounding says."""
    column = np.random.default_rng(2).normal(size=(30, 1))
    match = match_test(np.repeat(column, 30, axis=1), permutations=100, seed=0)
    assert match.p == 1.0
    assert match.effect == pytest.approx(0.0)


def test_a_picture_that_fits_everything_is_not_taken_for_a_match() -> None:
    cosines = np.random.default_rng(3).normal(0, 0.01, (30, 30)) + np.linspace(0, 1, 30)[:, None]
    assert match_test(cosines, permutations=400, seed=0).p > 0.001


def test_the_result_depends_on_the_seed_alone() -> None:
    cosines = np.random.default_rng(4).normal(size=(20, 20))
    first, second = (match_test(cosines, permutations=50, seed=7) for _ in range(2))
    assert np.array_equal(first.null, second.null)
    assert not np.array_equal(first.null, match_test(cosines, permutations=50, seed=8).null)


def test_clip_score_rescales_and_forgets_negative_cosines() -> None:
    assert clip_score(np.array([0.4, -0.4])) == pytest.approx(2.5 * 0.2)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4)])
def test_what_cannot_be_shuffled_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="square matrix"):
        match_test(np.zeros(shape), permutations=10, seed=0)
