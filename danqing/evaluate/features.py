"""The features that set distances, the probe and the memorisation check share, and their full name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

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


class PictureFeatures:
    """uint8 pictures (N, H, W, 3) → float32 features (N, 1280)."""

    def __init__(self) -> None:
        from danqing.models.features import EfficientNetFeatures

        self.device = device()
        self.extractor = EfficientNetFeatures().to(self.device)
        self.extractor.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a quarter faster on a CPU

    @torch.inference_mode()
    def __call__(self, images_NHWC: np.ndarray, done: Callable[[int], None] = lambda count: None) -> np.ndarray:
        """done: called with the number of pictures of each finished batch."""
        found = []
        target = side(images_NHWC.shape[1])
        for start in range(0, len(images_NHWC), _BATCH):
            part = torch.from_numpy(np.ascontiguousarray(images_NHWC[start : start + _BATCH])).to(self.device)
            x = part.permute(0, 3, 1, 2).float().div(127.5).sub(1)
            if x.shape[-1] != target:
                x = F.interpolate(x, size=(target, target), mode="bicubic", align_corners=False, antialias=True)
            found.append(self.extractor.net.extract_features(x).mean(dim=(2, 3)).cpu())
            done(len(part))
        return torch.cat(found).numpy()

    @torch.inference_mode()
    def probabilities(self, features_ND: np.ndarray) -> np.ndarray:
        """What the extractor's own classifier makes of its features: (N, 1000), over ImageNet's classes."""
        return self.extractor.net._fc(torch.from_numpy(features_ND).to(self.device)).softmax(1).cpu().numpy()
