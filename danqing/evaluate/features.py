"""The features that set distances, the probe and the memorisation check share, and their full name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from danqing import collectives
from danqing.train.loop import device

NAME = "EfficientNet-Lite0"
_BATCH = 32


def side(size: int) -> int:
    """Pixels at which pictures of `size` are read: twice 64, never above the 224 of the extractor's training.

    At 224 a small picture costs five times as much and shows nothing more.
    """
    return min(224, max(128, size))


def title(size: int) -> str:
    """What a figure made with these features must be called by."""
    return f"{NAME} (ImageNet weights), 1280 pooled features at {side(size)} px"


_STYLE_TAPS = (0, 2, 4, 7, 10)
_QUARTERS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """What one network says of N pictures, read off in one pass."""

    pooled: np.ndarray
    """(N, 1280): what is there."""
    quarters: np.ndarray
    """(N, 5120): what is in each quarter of the picture."""
    style: np.ndarray
    """(N, 816): mean, deviation and maximum of early channels: how it is painted, wherever it is."""

    def __len__(self) -> int:
        return len(self.pooled)


class PictureFeatures:
    """uint8 pictures (N, H, W, 3) → Features."""

    def __init__(self) -> None:
        from danqing.models.features import EfficientNetFeatures

        self.device = device()
        last = 15  # the last block of EfficientNet-Lite0
        self.extractor = EfficientNetFeatures((*_STYLE_TAPS, last)).to(self.device)
        self.extractor.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a quarter faster on a CPU

    @torch.inference_mode()
    def __call__(self, images_NHWC: np.ndarray, done: Callable[[int], None] = lambda count: None) -> Features:
        """done: called with the number of pictures of each finished batch. Ranks share the batches."""
        target = side(images_NHWC.shape[1])

        def batch(rows: slice) -> list[Tensor]:
            part = torch.from_numpy(np.ascontiguousarray(images_NHWC[rows])).to(self.device)
            x = part.permute(0, 3, 1, 2).float().div(127.5).sub(1)
            if x.shape[-1] != target:
                x = F.interpolate(x, size=(target, target), mode="bicubic", align_corners=False, antialias=True)
            *early, last = self.extractor.maps(x)
            last = self.extractor.last(last)
            style = [s for m in early for s in (m.mean((2, 3)), m.std((2, 3)), m.amax((2, 3)))]
            done(len(part))
            return [last.mean((2, 3)), F.adaptive_avg_pool2d(last, _QUARTERS).flatten(1), torch.cat(style, 1)]

        pooled, quarters, styles = (t.numpy() for t in collectives.in_parts(len(images_NHWC), _BATCH, batch))
        return Features(pooled=pooled, quarters=quarters, style=styles)

    @torch.inference_mode()
    def probabilities(self, pooled_ND: np.ndarray) -> np.ndarray:
        """What the extractor's own classifier makes of its features: (N, 1000), over ImageNet's classes."""
        return self.extractor.net._fc(torch.from_numpy(pooled_ND).to(self.device)).softmax(1).cpu().numpy()
