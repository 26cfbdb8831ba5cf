"""ViT-VQGAN (Yu et al. 2022, https://arxiv.org/abs/2110.04627), for comparison with ours.

A ViT as encoder and another as decoder; the codebook is factorised: features are projected to few dimensions, and
features and codes lie on the unit sphere there, so that nearly all codes are used.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from danqing.config import TokenizerModel
from danqing.models.transformer import Block, places
from danqing.models.vqgan import GradientCodebook, OneBook

HEADS = 4


class SphereCodebook(GradientCodebook):
    def __init__(self, size: int, dim: int) -> None:
        super().__init__(size, dim)
        nn.init.normal_(self.vectors.weight)

    def points(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1)


class VitEncoder(nn.Module):
    def __init__(self, c: TokenizerModel) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, c.width, c.stride, stride=c.stride)
        self.places = places(c.grid**2, c.width)
        self.blocks = nn.Sequential(*(Block(c.width, HEADS) for _ in range(c.layers)))
        self.project = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, c.code_dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, E, g, g)."""
        h = self.patches(x)
        z = self.project(self.blocks(h.flatten(2).transpose(1, 2) + self.places))
        return z.transpose(1, 2).reshape(len(x), -1, *h.shape[2:])


class VitDecoder(nn.Module):
    """Ends in a two-layer head with tanh between, as the paper asks."""

    def __init__(self, c: TokenizerModel) -> None:
        super().__init__()
        self.stride = c.stride
        self.read = nn.Linear(c.code_dim, c.width)
        self.places = places(c.grid**2, c.width)
        self.blocks = nn.Sequential(*(Block(c.width, HEADS) for _ in range(c.layers)))
        self.head = nn.Sequential(
            nn.LayerNorm(c.width), nn.Linear(c.width, 2 * c.width), nn.Tanh(), nn.Linear(2 * c.width, 3 * c.stride**2)
        )

    def forward(self, z: Tensor) -> Tensor:
        """(B, E, g, g) → (B, 3, S, S)."""
        g = z.shape[-1]
        h = self.head(self.blocks(self.read(z.flatten(2).transpose(1, 2)) + self.places))
        return F.pixel_shuffle(h.transpose(1, 2).reshape(len(z), -1, g, g), self.stride)


class VitVqgan(OneBook):
    """`width` is the Transformers' width, `layers` the depth of each."""

    def __init__(self, c: TokenizerModel) -> None:
        super().__init__(c)
        self.encoder, self.generator = VitEncoder(c), VitDecoder(c)
        self.book = SphereCodebook(c.detail_codes, c.code_dim)
