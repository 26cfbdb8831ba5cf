"""The generator of the improved VQGAN: code vectors and the sentence → pixels (Eq. 8 and 9)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing.config import TokenizerModel
from danqing.models.rdb import block


class StyleNorm(nn.Module):
    """S_γ of Eq. 8: normalise over channels at each place, then scale and shift by what the sentence says.

    The norm is per place, not per picture: a norm over the picture would take out how dark the ink is.
    """

    def __init__(self, channels: int, text_dim: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(text_dim, 2 * channels)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, h: Tensor, text_BD: Tensor) -> Tensor:
        modulation_BC11 = self.modulation(text_BD)[:, :, None, None]
        scale, shift = modulation_BC11[:, : h.shape[1]], modulation_BC11[:, h.shape[1] :]
        h = h * torch.rsqrt(h.square().mean(1, keepdim=True) + 1e-5)
        return h * (1 + scale) + shift


class Stage(nn.Module):
    """One octave: ConvT doubles the grid, ⊕ E(SC), S_γ, then a block."""

    def __init__(self, channels: int, out: int, growth: int, layers: int, c: TokenizerModel) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, out, 4, stride=2, padding=1)
        self.sentence = nn.Linear(c.text_dim, out)
        self.norm = StyleNorm(out, c.text_dim)
        self.block = block(out, growth, layers, c.rdb)

    def forward(self, h: Tensor, text_BD: Tensor) -> Tensor:
        h = self.up(h) + self.sentence(text_BD)[:, :, None, None]
        return self.block(F.leaky_relu(self.norm(h, text_BD), 0.2))


class Generator(nn.Module):
    """z_final (B, E, g, g) and the pooled sentence (B, text_dim) → x (B, 3, S, S), about [-1, 1]."""

    def __init__(self, c: TokenizerModel) -> None:
        super().__init__()
        octaves = int(math.log2(c.stride))
        widest = c.width * 3 // 2
        self.text = c.text
        self.stem = nn.Conv2d(c.code_dim, widest, 3, padding=1)
        self.rdb_post = nn.Sequential(*(block(widest, c.growth, c.layers, c.rdb) for _ in range(2)))
        widths = [widest] + [max(24, c.width >> i) for i in range(octaves)]
        growths = [max(8, c.growth >> i) for i in range(octaves)]
        # Full resolution is where most of the arithmetic is: its block has one layer only.
        layers = [c.layers] * (octaves - 1) + [1]
        self.stages = nn.ModuleList(Stage(widths[i], widths[i + 1], growths[i], layers[i], c) for i in range(octaves))
        self.out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Tensor, text_BD: Tensor) -> Tensor:
        if not self.text:
            text_BD = torch.zeros_like(text_BD)
        h = self.rdb_post(self.stem(z))
        for stage in self.stages:
            h = stage(h, text_BD)
        return self.out(h)
