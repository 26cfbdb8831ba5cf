"""The discriminator: is each patch real? Small, because data is little; helped by LeCam and by augmentation.

DiffAugment (Zhao et al. 2020) without its colour part: the tone of ink is the signal. LeCam: Tseng et al. 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing import collectives


class Discriminator(nn.Module):
    """x (B, 3, S, S) → logits (B, 1, S/8, S/8)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.GroupNorm(8, 2 * width), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 3 * width, 4, 2, 1), nn.GroupNorm(8, 3 * width), nn.LeakyReLU(0.2),
            nn.Conv2d(3 * width, 1, 3, 1, 1),
        )  # fmt: skip
        # Running means of the logits on real and generated pictures, for LeCam.
        self.register_buffer("anchors", torch.zeros(2))
        self.anchors: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def augment(x: Tensor, shift: float = 0.125, hole: float = 0.25) -> Tensor:
    """Move each picture by up to `shift` of its side and cut a hole of side `hole`; the same law for real and fake."""
    B, _, H, W = x.shape
    limit = int(H * shift)

    def whole(low: int, high: int) -> Tensor:
        return collectives.draw(lambda n: torch.randint(low, high, (n, 1), device=x.device), B)

    dy, dx = (whole(-limit, limit + 1) for _ in range(2))
    rows = (torch.arange(H, device=x.device) + dy).clamp(0, H - 1)
    cols = (torch.arange(W, device=x.device) + dx).clamp(0, W - 1)
    x = x.gather(2, rows[:, None, :, None].expand(B, x.shape[1], H, W))
    x = x.gather(3, cols[:, None, None, :].expand(B, x.shape[1], H, W))
    side = int(H * hole)
    top, left = (whole(0, H - side + 1) for _ in range(2))
    inside_y = (torch.arange(H, device=x.device) >= top) & (torch.arange(H, device=x.device) < top + side)
    inside_x = (torch.arange(W, device=x.device) >= left) & (torch.arange(W, device=x.device) < left + side)
    return x * ~(inside_y[:, None, :, None] & inside_x[:, None, None, :])


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def lecam(real: Tensor, fake: Tensor, anchors: Tensor) -> Tensor:
    """Keep the logits of each kind near the running mean of the other: a discriminator that cannot run away."""
    return (real - anchors[1]).square().mean() + (fake - anchors[0]).square().mean()
