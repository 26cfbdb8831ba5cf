"""Copies are found, new pictures are not taken for copies."""

from __future__ import annotations

import numpy as np
import pytest

from danqing.evaluate.memorisation import nearest, suspects, thumbnails


@pytest.fixture
def training() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(60, 24)) + 3, random.integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)


def test_a_copy_lies_at_distance_zero_and_its_source_is_named(training: tuple[np.ndarray, np.ndarray]) -> None:
    features, images = training
    chosen = [7, 30, 59]
    found = nearest(features[chosen], images[chosen], features, images)
    assert found.index.tolist() == chosen
    assert found.distance == pytest.approx(0, abs=1e-5)
    assert found.pixels == pytest.approx(0, abs=1e-5)


def test_new_pictures_lie_further_than_copies(training: tuple[np.ndarray, np.ndarray]) -> None:
    features, images = training
    random = np.random.default_rng(1)
    new, new_images = random.normal(size=(20, 24)) + 3, random.integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    found = nearest(new, new_images, features, images)
    assert found.distance.min() > 0.1
    assert found.pixels.min() > 5


def test_blocks_do_not_change_the_result(training: tuple[np.ndarray, np.ndarray]) -> None:
    features, images = training
    whole, parts = nearest(features, images, features, images), nearest(features, images, features, images, block=7)
    assert np.array_equal(whole.index, parts.index)
    assert whole.distance == pytest.approx(parts.distance, abs=1e-5)


def test_an_offset_that_all_features_share_does_not_hide_the_differences(
    training: tuple[np.ndarray, np.ndarray],
) -> None:
    features, images = training
    new = np.random.default_rng(2).normal(size=(10, 24)) + 3
    near = nearest(new, images[:10], features, images).distance
    far = nearest(new + 1000, images[:10], features + 1000, images).distance
    assert near == pytest.approx(far, abs=1e-2)


def test_pixels_are_compared_at_thumbnail_size() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    small = thumbnails(images).reshape(2, 32, 32, 3) + 127.5
    assert small[0, 0, 0] == pytest.approx(images[0, :4, :4].reshape(-1, 3).mean(0), abs=1e-3)
    assert thumbnails(images[:, :20, :20]).shape == (2, 20 * 20 * 3)


def test_suspects_are_those_nearer_than_nearly_all_new_real_pictures() -> None:
    real = np.linspace(0.2, 0.4, 200)
    assert suspects(np.array([0.3, 0.01, 0.25, 0.0]), real).tolist() == [1, 3]
    assert len(suspects(real, real)) <= 0.01 * len(real) + 1
