"""How close pictures are to pictures: PSNR and SSIM one by one, Fréchet and kernel distance between two sets.

The set distances take features, not pictures, so that their name always carries the extractor. On small sets the
Fréchet distance is biased upwards, even between two sets of real pictures: read it beside its floor, and lead with
the kernel distance, which is unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PSNR_CEILING = 100.0
"""dB given to two equal pictures, whose PSNR would be infinite."""


def psnr(a_NHWC: np.ndarray, b_NHWC: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each pair, dB (N,). Both uint8 (N, H, W, 3)."""
    error = np.square(a_NHWC.astype(np.float64) - b_NHWC.astype(np.float64)).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.minimum(10 * np.log10(255.0**2 / error), PSNR_CEILING)


def luminance(images_NHWC: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, 3) → luma in [0, 1], float64 (N, H, W) (ITU-R BT.601)."""
    return images_NHWC.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255.0


def _window(size: int = 11, sigma: float = 1.5) -> np.ndarray:
    x = np.arange(size) - size // 2
    weights = np.exp(-(x**2) / (2 * sigma**2))
    return weights / weights.sum()


def _blur(planes_NHW: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Separable filter over the places where the whole window fits."""
    views = np.lib.stride_tricks.sliding_window_view(planes_NHW, len(window), axis=1)
    rows = np.einsum("nhwk,k->nhw", views, window, optimize=True)
    views = np.lib.stride_tricks.sliding_window_view(rows, len(window), axis=2)
    return np.einsum("nhwk,k->nhw", views, window, optimize=True)


def ssim(a_NHWC: np.ndarray, b_NHWC: np.ndarray) -> np.ndarray:
    """Structural similarity of each pair on luminance, (N,): 11-pixel Gaussian window, σ 1.5 (Wang et al. 2004)."""
    a, b, window = luminance(a_NHWC), luminance(b_NHWC), _window()
    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = _blur(a, window), _blur(b, window)
    var_a = _blur(a * a, window) - mean_a**2
    var_b = _blur(b * b, window) - mean_b**2
    both = _blur(a * b, window) - mean_a * mean_b
    value = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return value.mean(axis=(1, 2))


def _factor(centred_ND: np.ndarray) -> np.ndarray:
    """Rows whose Gram matrix XᵀX is the same, at most D of them."""
    if len(centred_ND) <= centred_ND.shape[1]:
        return centred_ND
    _, rows = np.linalg.qr(centred_ND)
    return rows


def frechet_distance(a_ND: np.ndarray, b_MD: np.ndarray) -> float:
    """Fréchet distance of the Gaussians fitted to two sets of features (Dowson & Landau 1982; FID's formula).

    |μa - μb|² + tr Σa + tr Σb - 2 tr (Σa Σb)^½. The last trace is the sum of singular values of A Bᵀ with Σ = XᵀX,
    which needs no matrix square root and stays exact where there are fewer pictures than features.
    Raises ValueError for fewer than two pictures in a set.
    """
    a, b = np.asarray(a_ND, np.float64), np.asarray(b_MD, np.float64)
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"a Fréchet distance needs two pictures in each set, got {len(a)} and {len(b)}")
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    cross = np.linalg.svd(_factor(a) @ _factor(b).T, compute_uv=False).sum()
    value = np.square(mean_a - mean_b).sum() + np.square(a).sum() + np.square(b).sum() - 2 * cross
    return float(max(value, 0.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """Kernel distance over subsets."""

    mean: float
    sd: float
    """Standard deviation over the subsets, not of the mean."""
    subsets: int
    size: int
    """Pictures of each set in a subset."""


def _unbiased_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Squared MMD under the kernel (x·y/D + 1)³ without the diagonal terms: zero on average for equal distributions."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    n, m = len(a), len(b)
    aa, bb = kernel(a, a), kernel(b, b)
    within_a = (aa.sum() - np.trace(aa)) / (n * (n - 1))
    within_b = (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(within_a + within_b - 2 * kernel(a, b).mean())


def kernel_distance(a_ND: np.ndarray, b_MD: np.ndarray, *, seed: int, subsets: int = 100, size: int = 100) -> Kernel:
    """Kernel distance (KID's estimator, Bińkowski et al. 2018): mean and sd of the unbiased MMD² over random subsets.

    A subset holds at most half of the smaller set, so that subsets differ. Raises ValueError for fewer than four
    pictures in a set.
    """
    a, b = np.asarray(a_ND, np.float64), np.asarray(b_MD, np.float64)
    size = min(size, len(a) // 2, len(b) // 2)
    if size < 2:
        raise ValueError(f"a kernel distance needs four pictures in each set, got {len(a)} and {len(b)}")
    random = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        left = a[random.choice(len(a), size, replace=False)]
        right = b[random.choice(len(b), size, replace=False)]
        values.append(_unbiased_mmd(left, right))
    return Kernel(mean=float(np.mean(values)), sd=float(np.std(values, ddof=1)), subsets=subsets, size=size)


def classifier_score(probabilities_NK: np.ndarray) -> float:
    """exp(mean KL(p(y|x) || p(y))), the form of the Inception score (Salimans et al. 2016) for any classifier.

    1: all pictures look alike to it; K: each is surely of a class of its own. It knows nothing of the real pictures.
    """
    p = np.clip(probabilities_NK.astype(np.float64), 1e-12, None)
    return float(np.exp((p * (np.log(p) - np.log(p.mean(axis=0, keepdims=True)))).sum(axis=1).mean()))
