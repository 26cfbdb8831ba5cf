"""How well a hole is filled: the painter beside OpenCV's in-painting, by Telea (2004) and by Navier-Stokes (2001).

PSNR in the hole rewards a blur, so it stands beside a distance of what is seen: channel-normalised feature maps of
EfficientNet-Lite0, averaged over the places that lie in the hole.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Pictures uint8 (N, S, S, 3) and holes bool (N, S, S) → restored pictures."""


def holes(count: int, size: int, share: float, seed: int) -> np.ndarray:
    """bool (N, S, S): one rectangle each, of `share` of the area within a tenth, its sides up to 2 : 1."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, size, size), bool)
    for hole in found:
        ratio = np.exp(rng.uniform(-np.log(2), np.log(2)))
        height = int(np.clip(round(size * np.sqrt(share * ratio)), 1, size))
        width = int(np.clip(round(share * size * size / height), 1, size))
        top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
        hole[top : top + height, left : left + width] = True
    return found


def by_opencv(algorithm: int, radius: float = 3) -> Method:
    def method(pictures: np.ndarray, where: np.ndarray) -> np.ndarray:
        pairs = zip(pictures, where, strict=True)
        return np.stack([cv2.inpaint(p, h.astype(np.uint8), radius, algorithm) for p, h in pairs])

    return method


def hole_psnr(ours: np.ndarray, originals: np.ndarray, where: np.ndarray) -> np.ndarray:
    """(N,) dB, over the pixels of each hole."""
    error = np.square(ours.astype(np.float64) - originals).mean(3)
    mse = np.array([e[h].mean() for e, h in zip(error, where, strict=True)])
    return 10 * np.log10(255**2 / np.maximum(mse, 1e-3))


class HoleDistance:
    """Feature distance inside the hole, (N,)."""

    def __init__(self, taps: tuple[int, ...] = (2, 4, 10)) -> None:
        from danqing.models.features import EfficientNetFeatures

        self.features = EfficientNetFeatures(taps)

    @torch.inference_mode()
    def __call__(self, ours: np.ndarray, originals: np.ndarray, where: np.ndarray) -> np.ndarray:
        a, b = self._maps(ours), self._maps(originals)
        hole = torch.from_numpy(where)[:, None].float()
        total = torch.zeros(len(ours))
        for x, y in zip(a, b, strict=True):
            x, y = (m * torch.rsqrt(m.square().sum(1, keepdim=True) + 1e-6) for m in (x, y))
            weight = F.adaptive_avg_pool2d(hole, (x.shape[-2], x.shape[-1]))
            total += ((x - y).square().sum(1, keepdim=True) * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
        return (total / len(a)).numpy()

    def _maps(self, pictures: np.ndarray) -> list[Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        if x.shape[-1] < 128:
            x = F.interpolate(x, size=(128, 128), mode="bicubic", align_corners=False, antialias=True)
        return self.features.maps(x)


def compare(methods: dict[str, Method], originals: np.ndarray, where: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Method → {"psnr", "distance", "pictures"}, each over the same pictures and holes."""
    distance, found = HoleDistance(), {}
    for name, method in methods.items():
        made = method(np.where(where[..., None], 255, originals).astype(np.uint8), where)
        found[name] = {
            "psnr": hole_psnr(made, originals, where), "distance": distance(made, originals, where), "pictures": made,
        }  # fmt: skip
    return found
