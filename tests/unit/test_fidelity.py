"""Fidelity: equal pictures are at no distance, known Gaussians at the known one, equal distributions near zero."""

from __future__ import annotations

import numpy as np
import pytest

from danqing.evaluate import fidelity


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def test_equal_pictures_have_the_ceiling_psnr_and_full_ssim(pictures: np.ndarray) -> None:
    assert (fidelity.psnr(pictures, pictures) == fidelity.PSNR_CEILING).all()
    assert fidelity.ssim(pictures, pictures) == pytest.approx(1.0)


def test_psnr_of_a_known_error_is_the_textbook_value() -> None:
    black, grey = np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 8, 8, 3), 16, np.uint8)
    assert fidelity.psnr(black, grey) == pytest.approx(10 * np.log10(255**2 / 16**2))


def test_psnr_does_not_wrap_around_where_bytes_would() -> None:
    black, white = np.zeros((1, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 255, np.uint8)
    assert fidelity.psnr(black, white) == pytest.approx(0.0)
    assert fidelity.psnr(white, black) == pytest.approx(0.0)


def test_ssim_agrees_with_opencv_filters(pictures: np.ndarray) -> None:
    """The reference is written with another library's Gaussian filter, on the same inner part."""
    import cv2

    other = np.clip(pictures.astype(int) + 40, 0, 255).astype(np.uint8)
    a, b = fidelity.luminance(pictures)[0], fidelity.luminance(other)[0]

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x, (11, 11), 1.5)[5:-5, 5:-5]

    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    expected = ((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))).mean()
    assert fidelity.ssim(pictures, other)[0] == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_set_to_itself_is_zero() -> None:
    features = np.random.default_rng(1).normal(size=(50, 20))
    assert fidelity.frechet_distance(features, features) == pytest.approx(0.0, abs=1e-9)


def test_frechet_distance_of_sets_with_known_moments_is_the_closed_form() -> None:
    """Axis-aligned Gaussians: |μa - μb|² + Σ (σa - σb)². The samples are made to have exactly these moments."""
    random = np.random.default_rng(2)
    white, _ = np.linalg.qr(random.normal(size=(200, 4)) - random.normal(size=(200, 4)).mean(0))
    white -= white.mean(0)
    white, _ = np.linalg.qr(white)
    white = (white - white.mean(0)) * np.sqrt(199)
    sigma_a, sigma_b = np.array([1.0, 2.0, 3.0, 0.5]), np.array([2.0, 2.0, 1.0, 0.1])
    shift = np.array([1.0, 0.0, -2.0, 0.5])
    expected = np.square(shift).sum() + np.square(sigma_a - sigma_b).sum()
    assert fidelity.frechet_distance(white * sigma_a, white[:, ::1] * sigma_b + shift) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "width"), [(40, 12), (12, 40)])
def test_frechet_distance_agrees_with_the_matrix_square_root(count: int, width: int) -> None:
    """Also where there are fewer pictures than features and the covariances are singular."""
    from scipy.linalg import sqrtm

    random = np.random.default_rng(3)
    a = random.normal(size=(count, width)) @ random.normal(size=(width, width))
    b = random.normal(size=(count + 5, width)) + 1
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(sqrtm(ca) @ cb @ sqrtm(ca)).real
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(ca + cb - 2 * root)
    assert fidelity.frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


def test_frechet_distance_of_real_against_real_shrinks_with_more_pictures() -> None:
    """The bias that the floor is printed for."""
    random = np.random.default_rng(4)
    few = fidelity.frechet_distance(random.normal(size=(30, 64)), random.normal(size=(30, 64)))
    many = fidelity.frechet_distance(random.normal(size=(3000, 64)), random.normal(size=(3000, 64)))
    assert many < few / 5


def test_kernel_distance_of_one_distribution_is_zero_on_average_and_sees_a_shift() -> None:
    random = np.random.default_rng(5)
    a, b = random.normal(size=(400, 16)), random.normal(size=(400, 16))
    same = fidelity.kernel_distance(a, b, seed=0)
    assert abs(same.mean) < 2 * same.sd / np.sqrt(8), "400 pictures hold eight independent subsets of 50"
    shifted = fidelity.kernel_distance(a, b + 0.5, seed=0)
    assert shifted.mean > 10 * abs(same.mean)


def test_kernel_distance_is_unbiased_over_many_small_sets() -> None:
    values = []
    for seed in range(200):
        random = np.random.default_rng(seed)
        values.append(fidelity.kernel_distance(
            random.normal(size=(12, 8)), random.normal(size=(12, 8)), seed=seed, subsets=4).mean)  # fmt: skip
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


def test_kernel_distance_depends_on_its_seed_alone() -> None:
    random = np.random.default_rng(6)
    a, b = random.normal(size=(30, 8)), random.normal(size=(40, 8))
    assert fidelity.kernel_distance(a, b, seed=1) == fidelity.kernel_distance(a, b, seed=1)
    assert fidelity.kernel_distance(a, b, seed=1).mean != fidelity.kernel_distance(a, b, seed=2).mean


def test_too_few_pictures_are_refused() -> None:
    one = np.zeros((1, 4))
    with pytest.raises(ValueError, match="two pictures"):
        fidelity.frechet_distance(one, one)
    with pytest.raises(ValueError, match="four pictures"):
        fidelity.kernel_distance(np.zeros((3, 4)), np.zeros((9, 4)), seed=0)
