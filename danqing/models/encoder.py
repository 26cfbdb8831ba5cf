"""The encoder of the improved VQGAN: pixels → global and detail features (Eq. 6 and the features of Eq. 10)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing.config import TokenizerModel
from danqing.models.rdb import block

STEM = 4


class AttentionHead(nn.Module):
    """Eq. 6: Conv_f(LayerNorm(γ·Attention(Conv_q(φ), Conv_k(φ), Conv_v(φ)) + φ)); γ is learned and starts at 0."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, channels // 2, 1), nn.Conv2d(channels, channels // 2, 1)
        self.value, self.out = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, out, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(channels)

    def forward(self, phi: Tensor) -> Tensor:
        B, C, H, W = phi.shape
        q, k, v = (f(phi).flatten(2).transpose(1, 2) for f in (self.query, self.key, self.value))
        attention = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        mixed = self.norm(self.gamma * attention + phi.flatten(2).transpose(1, 2))
        return self.out(mixed.transpose(1, 2).reshape(B, C, H, W))


class Encoder(nn.Module):
    """x (B, 3, S, S) in [-1, 1] → (global (B, E, S/2s, S/2s), detail (B, E, S/s, S/s)); s = stride, E = code_dim."""

    def __init__(self, c: TokenizerModel) -> None:
        super().__init__()
        width = c.width
        stages: list[nn.Module] = [nn.Conv2d(3 * STEM * STEM, width, 3, padding=1)]
        stages.append(block(width, c.growth, c.layers, c.rdb))
        for _ in range(int(math.log2(c.stride // STEM))):
            wider = width * 3 // 2
            stages += [nn.Conv2d(width, wider, 4, stride=2, padding=1), block(wider, c.growth, c.layers, c.rdb)]
            width = wider
        self.stages = nn.Sequential(*stages)
        self.detail_rdb = block(width, c.growth, c.layers, c.rdb)
        self.detail_head = AttentionHead(width, c.code_dim)
        self.global_head = AttentionHead(width, c.code_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        phi = self.stages(F.pixel_unshuffle(x, STEM))
        return self.global_head(F.avg_pool2d(phi, 2)), self.detail_head(self.detail_rdb(phi))
