"""Line fidelity sees what PSNR does not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from danqing.evaluate import fidelity, lines


@pytest.fixture(scope="module")
def paintings() -> np.ndarray:
    from danqing.data.brush import MAINS, compose, paint

    return np.stack([paint(compose(i, main=MAINS[i]), 64) for i in range(6)])


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def test_equal_pictures_keep_every_line(paintings: np.ndarray) -> None:
    kept = lines.compare(paintings, paintings)
    assert kept.energy == pytest.approx(1)
    assert kept.correlation == pytest.approx(1)
    assert kept.spectrum == pytest.approx(1)
    assert kept.pictures == len(paintings)


def test_the_more_blur_the_fewer_lines(paintings: np.ndarray) -> None:
    found = [lines.compare(blurred(paintings, sigma), paintings) for sigma in (0.6, 1.2, 2.4)]
    energies, correlations, spectra = ([getattr(f, n) for f in found] for n in ("energy", "correlation", "spectrum"))
    for values in (energies, correlations, spectra):
        assert values == sorted(values, reverse=True)
        assert values[0] < 1
    assert spectra[0] < energies[0], "a blur takes the finest first"


def test_a_faint_drawing_that_is_blurred_away_still_has_a_good_psnr() -> None:
    """Why PSNR is never printed alone."""
    paper = np.full((1, 64, 64, 3), 240, np.uint8)
    paper[:, 8::8, 8:56] = 200
    blur = blurred(paper, 4.0)
    assert fidelity.psnr(blur, paper)[0] > 25
    energy = lines.compare(blur, paper).energy
    assert energy is not None and energy < 0.05


def test_noise_is_energy_in_the_wrong_places(paintings: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 40, paintings.shape)
    noisy = np.clip(paintings + noise, 0, 255).astype(np.uint8)
    kept = lines.compare(noisy, paintings)
    assert kept.energy is not None and kept.energy > 1
    assert kept.spectrum is not None and kept.spectrum > 1
    assert kept.correlation is not None and kept.correlation < 0.9


def test_lines_of_another_picture_do_not_correlate(paintings: np.ndarray) -> None:
    correlation = lines.compare(np.roll(paintings, 1, axis=0), paintings).correlation
    assert correlation is not None and abs(correlation) < 0.3


def test_negative_pictures_have_lines_in_place_but_of_the_wrong_sign(paintings: np.ndarray) -> None:
    assert lines.compare(255 - paintings, paintings).correlation == pytest.approx(-1)


def test_blank_originals_are_left_out(paintings: np.ndarray) -> None:
    blank = np.full_like(paintings[:1], 240)
    kept = lines.compare(np.concatenate([paintings, blank]), np.concatenate([paintings, blank]))
    assert kept.pictures == len(paintings)
    assert lines.compare(blank, blank).energy is None
