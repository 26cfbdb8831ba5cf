"""VQGAN as Esser, Rombach and Ommer wrote it (2021, https://arxiv.org/abs/2012.09841), for comparison with ours.

One codebook learnt by gradients, residual blocks with GroupNorm, attention at the lowest resolution, no text. Its code
put β on the codebook's side of the loss; here it is on the commitment's, as its paper says.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from danqing.config import TokenizerModel
from danqing.models.tokenizer import Codes, Forward, Tokenizer

BETA = 0.25


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, channels), channels)


class ResnetBlock(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1),
            norm(out), nn.SiLU(), nn.Conv2d(out, out, 3, padding=1),
        )  # fmt: skip
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.layers(x)


class AttentionBlock(nn.Module):
    """One head over all places of the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.qkv, self.out = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(1, 2).reshape(B, C, H, W))


class GradientCodebook(nn.Module):
    """Nearest neighbour; the codes follow their features by the loss ||sg[z] - e||² + β·||z - sg[e]||²."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(size, dim)
        nn.init.uniform_(self.vectors.weight, -1 / size, 1 / size)

    def points(self, x: Tensor) -> Tensor:
        """Where a feature or a code lies for the sake of distances. ViT-VQGAN puts both on a sphere."""
        return x

    def nearest(self, z_NE: Tensor) -> Tensor:
        z_NE, e_KE = self.points(z_NE.float()), self.points(self.vectors.weight)
        return (e_KE.square().sum(1) - 2 * z_NE @ e_KE.t()).argmin(1)

    def look_up(self, codes_BHW: Tensor) -> Tensor:
        """(B, H, W) → (B, E, H, W)."""
        return self.points(self.vectors(codes_BHW)).permute(0, 3, 1, 2)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z (B, E, H, W) → codes (B, H, W), their vectors with the gradient passed straight through, loss."""
        B, E, H, W = z.shape
        codes = self.nearest(z.permute(0, 2, 3, 1).reshape(-1, E)).view(B, H, W)
        z = self.points(z.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        chosen = self.look_up(codes)
        loss = F.mse_loss(chosen, z.detach()) + BETA * F.mse_loss(z, chosen.detach())
        return codes, z + (chosen - z).detach(), loss


class OneBook(Tokenizer):
    """A tokenizer of an encoder, one codebook and a generator that sees no text."""

    book: GradientCodebook
    generator: nn.Module

    def forward(self, x: Tensor, text_BD: Tensor, *, learn: bool = False, quantise: bool = True) -> Forward:
        codes, z, loss = self.book(self.encoder(x))
        return Forward(self.generator(z), loss, self.single(codes))

    def encode(self, x: Tensor) -> Codes:
        return self.single(self.book(self.encoder(x))[0])

    def decode(self, codes: Codes, text_BD: Tensor) -> Tensor:
        return self.generator(self.book.look_up(codes.detail[:, 0]))


class Vqgan(OneBook):
    """`width` channels at full resolution, half as many again at each of the log2(stride) octaves below."""

    def __init__(self, c: TokenizerModel) -> None:
        super().__init__(c)
        octaves = int(math.log2(c.stride))
        widths = [c.width * (2 + i) // 2 for i in range(octaves + 1)]
        down: list[nn.Module] = [nn.Conv2d(3, widths[0], 3, padding=1)]
        for a, b in pairwise(widths):
            down += [ResnetBlock(a, a), nn.Conv2d(a, b, 3, stride=2, padding=1)]
        low = widths[-1]
        self.encoder = nn.Sequential(
            *down, ResnetBlock(low, low), AttentionBlock(low), norm(low), nn.SiLU(), nn.Conv2d(low, c.code_dim, 1)
        )
        self.book = GradientCodebook(c.detail_codes, c.code_dim)
        up: list[nn.Module] = [nn.Conv2d(c.code_dim, low, 1), AttentionBlock(low), ResnetBlock(low, low)]
        for a, b in pairwise(widths[::-1]):
            up += [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(a, b, 3, padding=1), ResnetBlock(b, b)]
        self.generator = nn.Sequential(*up, norm(widths[0]), nn.SiLU(), nn.Conv2d(widths[0], 3, 3, padding=1))
