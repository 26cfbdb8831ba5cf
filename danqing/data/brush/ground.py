"""The bare ground: sized paper with fibres, or tea-dyed silk with its weave."""

from __future__ import annotations

import cv2
import numpy as np

from danqing.data.brush.ink import crop


def make_ground(kind: str, px: int, rng: np.random.Generator) -> np.ndarray:
    """(px, px, 3) float32 RGB 0..255 of blank `paper` or `silk`."""
    cloud = crop("cloud", px, rng)
    grain = crop("grain", px, rng)
    if kind == "silk":
        base = np.array([216, 194, 152], np.float32) + rng.uniform(-8, 8)
        step = np.arange(px, dtype=np.float32) * (256.0 / px)
        weave = np.sin(step * 2.1)[None, :] * np.sin(step * 1.9)[:, None]
        shade = (cloud - 0.5) * 14 + (grain - 0.5) * 9 + weave * 3.5
        edge = np.linspace(-1, 1, px, dtype=np.float32) ** 4
        shade -= 9 * (edge[None, :] + edge[:, None]) / 2  # darkened toward the mount, as old silk is
        tint = np.array([0.9, 1.0, 1.15], np.float32)
    else:
        base = np.array([246, 242, 232], np.float32) - np.array([0, 1, 3], np.float32) * rng.uniform(0, 3)
        shade = (cloud - 0.6) * 6 + (grain - 0.5) * 5
        fibres = np.zeros((px, px), np.uint8)
        a = rng.random((26, 2))
        b = a + rng.normal(0, 0.03, (26, 2))
        for p, q in zip((a * px).astype(int), (b * px).astype(int), strict=True):
            cv2.line(fibres, (int(p[0]), int(p[1])), (int(q[0]), int(q[1])), 255, 1, cv2.LINE_AA)
        shade -= fibres.astype(np.float32) * (4 / 255)
        tint = np.array([1.0, 1.0, 1.1], np.float32)
    return base + shade[..., None] * tint
