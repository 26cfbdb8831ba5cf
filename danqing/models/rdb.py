"""Residual dense block: every layer sees all before it, and the block learns a residual.

Source: Zhang et al. 2018, https://arxiv.org/abs/1802.08797.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualDenseBlock(nn.Module):
    """x (B, C, H, W) → (B, C, H, W). Each of `layers` convolutions adds `growth` channels; a 1x1 fuses them."""

    def __init__(self, channels: int, growth: int, layers: int = 3) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(layers))
        self.fuse = nn.Conv2d(channels + layers * growth, channels, 1)
        nn.init.zeros_(self.fuse.bias)  # type: ignore[arg-type]
        with torch.no_grad():
            self.fuse.weight.mul_(0.2)  # a quiet start: the block begins near the identity

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in self.convs:
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), 0.2))
        return x + self.fuse(torch.cat(seen, 1))


class PlainBlock(nn.Module):
    """The same interface without density: two convolutions and a skip, about as many weights. For ablation."""

    def __init__(self, channels: int, growth: int, layers: int = 3) -> None:
        super().__init__()
        hidden = max(8, int(layers * growth * 0.75))
        self.first, self.second = nn.Conv2d(channels, hidden, 3, padding=1), nn.Conv2d(hidden, channels, 3, padding=1)
        with torch.no_grad():
            self.second.weight.mul_(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.leaky_relu(self.first(x), 0.2))


def block(channels: int, growth: int, layers: int, dense: bool) -> nn.Module:
    return ResidualDenseBlock(channels, growth, layers) if dense else PlainBlock(channels, growth, layers)
