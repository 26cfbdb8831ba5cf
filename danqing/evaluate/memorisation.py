"""Whether pictures are copies: each one's nearest neighbour in the training set, in features and in pixels.

A distance alone says nothing. The yardstick is how near *real* held-out pictures lie to the training set: a generator
that lies nearer than new real pictures do has learned by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

THUMB = 32
"""Pixels a side at which pictures are compared pixel by pixel: a copy shifted by a hair is still near."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """Nearest training picture of each of N pictures."""

    distance: np.ndarray
    """Cosine distance of features, (N,), 0 to 2."""
    index: np.ndarray
    """Which training picture that is, (N,)."""
    pixels: np.ndarray
    """Root mean square difference to the training picture nearest *in pixels*, grey levels at 32 px, (N,)."""


def thumbnails(images_NHWC: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, 3) → float32 (N, D), averaged down to at most 32 px a side, centred on mid-grey."""
    count, height, width, _ = images_NHWC.shape
    fy, fx = max(1, height // THUMB), max(1, width // THUMB)
    cut = images_NHWC[:, : height // fy * fy, : width // fx * fx]
    cells = cut.reshape(count, height // fy, fy, width // fx, fx, 3)
    return cells.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1) - 127.5


def _unit(features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    centred = np.asarray(features, np.float32) - centre
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def nearest(
    features_ND: np.ndarray,
    images_NHWC: np.ndarray,
    train_features_MD: np.ndarray,
    train_images_MHWC: np.ndarray,
    block: int = 256,
) -> Neighbours:
    """Nearest training neighbours of N pictures. Features are centred on the training set before cosines are taken."""
    centre = np.asarray(train_features_MD, np.float32).mean(0)
    ours, theirs = _unit(features_ND, centre), _unit(train_features_MD, centre)
    pixels, train_pixels = thumbnails(images_NHWC), thumbnails(train_images_MHWC)
    train_energy = np.square(train_pixels).sum(axis=1)
    distance, index, rms = [], [], []
    for start in range(0, len(ours), block):
        part = slice(start, start + block)
        cosine = ours[part] @ theirs.T
        index.append(cosine.argmax(axis=1))
        distance.append(np.maximum(1 - cosine.max(axis=1), 0))
        cross = pixels[part] @ train_pixels.T
        closest = (np.square(pixels[part]).sum(axis=1)[:, None] + train_energy - 2 * cross).argmin(axis=1)
        # The winner's distance is taken again by subtraction: the expanded square loses small differences.
        rms.append(np.sqrt(np.square(pixels[part] - train_pixels[closest]).mean(axis=1)))
    return Neighbours(distance=np.concatenate(distance), index=np.concatenate(index), pixels=np.concatenate(rms))


def suspects(generated_N: np.ndarray, real_M: np.ndarray, quantile: float = 0.01) -> np.ndarray:
    """Indices of generated pictures that lie nearer to the training set than all but `quantile` of new real ones."""
    return np.flatnonzero(generated_N < np.quantile(real_M, quantile))
