"""The main-element probe: it learns real pictures, and its chance is the chance of shuffled prompts."""

from __future__ import annotations

import numpy as np
import pytest

from danqing.evaluate import probe


def clusters(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Features that tell their label, under a different scale in each dimension."""
    names, random = ("boat", "bamboo", "bird"), np.random.default_rng(seed)
    labels = [names[i % len(names)] for i in range(count)]
    centres = np.random.default_rng(99).normal(size=(len(names), 40)) * 2
    features = centres[[names.index(label) for label in labels]] + random.normal(size=(count, 40))
    return (features * np.logspace(-2, 2, 40)).astype(np.float32), labels


def test_it_finds_what_it_was_taught_in_pictures_it_never_saw() -> None:
    judge = probe.fit(*clusters(120, seed=0))
    features, labels = clusters(60, seed=1)
    assert probe.hits(judge.predict(features), labels).rate > 0.95


def test_labels_that_the_pictures_do_not_show_cannot_be_learned() -> None:
    features, labels = clusters(120, seed=0)
    random = np.random.default_rng(5)
    judge = probe.fit(features, list(random.permutation(labels)))
    held_out, truth = clusters(90, seed=1)
    assert probe.hits(judge.predict(held_out), list(random.permutation(truth))).rate < 0.6


def test_training_is_deterministic() -> None:
    first, second = (probe.fit(*clusters(60, seed=0)) for _ in range(2))
    assert np.array_equal(first.weight_DC, second.weight_DC)


def test_chance_is_the_average_over_all_shuffles_of_the_prompts() -> None:
    found, asked = ["a", "a", "b", "c", "a", "b"], ["a", "b", "b", "c", "a", "d"]
    random = np.random.default_rng(0)
    rates = [np.mean(np.array(found) == random.permutation(asked)) for _ in range(20_000)]
    assert probe.hits(found, asked).chance == pytest.approx(np.mean(rates), abs=0.01)
    assert probe.hits(found, asked).rate == pytest.approx(4 / 6)


def test_a_painter_of_one_thing_only_is_at_chance() -> None:
    hits = probe.hits(["boat"] * 6, ["boat", "boat", "bird", "bird", "fish", "fish"])
    assert hits.rate == pytest.approx(hits.chance)


def test_rare_and_unknown_elements_make_no_class() -> None:
    labels = ["boat"] * 5 + ["bird"] * 5 + ["fish"] * 4 + [""] * 20
    assert probe.usable(labels) == ["bird", "boat"]
    features = np.random.default_rng(0).normal(size=(len(labels), 6))
    assert probe.fit(features, labels).classes == ("bird", "boat")
    with pytest.raises(ValueError, match="two main elements"):
        probe.fit(features[:5], labels[:5])


def test_prompts_without_a_main_element_do_not_count() -> None:
    assert probe.hits(["boat", "bird"], ["", "bird"]) == probe.Hits(rate=1.0, chance=1.0, pictures=1)
    with pytest.raises(ValueError, match="no prompt"):
        probe.hits(["boat"], [""])


def test_real_features_of_brush_pictures_show_the_main_element() -> None:
    """Sixteen pictures of each of four kinds teach a probe that is right on new ones nine times in ten."""
    pytest.importorskip("efficientnet_lite_pytorch")
    from danqing.data.brush import compose, paint
    from danqing.evaluate.features import PictureFeatures

    kinds = ("mountain", "bamboo", "boat", "fish")
    mains = [kinds[i % 4] for i in range(96)]
    pictures = np.stack([paint(compose(i, main=main), 64) for i, main in enumerate(mains)])
    features = PictureFeatures()(pictures)
    assert features.pooled.shape == (96, 1280) and len(features) == 96
    assert features.quarters.shape == (96, 4 * 1280) and features.style.shape == (96, 816)
    np.testing.assert_allclose(features.quarters.reshape(96, 1280, 4).mean(2), features.pooled, atol=1e-4)
    judge = probe.fit(features.pooled[:64], mains[:64])
    assert probe.hits(judge.predict(features.pooled[64:]), mains[64:]).rate >= 0.9
