"""A plain pre-norm Transformer, for the rivals that are made of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from danqing.models.align import Attention


class Block(nn.Module):
    """Self-attention and feed-forward over x (B, N, D)."""

    def __init__(self, width: int, heads: int, mlp: int = 4) -> None:
        super().__init__()
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, mlp * width), nn.GELU(), nn.Linear(mlp * width, width))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.norm_attention(x)
        x = x + self.attention(seen, seen)
        return x + self.mlp(self.norm_mlp(x))


class ModulatedBlock(Block):
    """The same, shifted, scaled and gated by a condition (B, D): adaLN-Zero (Peebles & Xie 2023)."""

    def __init__(self, width: int, heads: int, mlp: int = 4) -> None:
        super().__init__(width, heads, mlp)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        nn.init.zeros_(self.modulation[1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.modulation[1].bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, condition_BD: Tensor | None = None) -> Tensor:
        assert condition_BD is not None
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition_BD)[:, None].chunk(6, -1)
        seen = self.norm_attention(x) * (1 + scale1) + shift1
        x = x + gate1 * self.attention(seen, seen)
        return x + gate2 * self.mlp(self.norm_mlp(x) * (1 + scale2) + shift2)


def places(count: int, width: int) -> nn.Parameter:
    """Learned embeddings of `count` positions (count, width)."""
    return nn.Parameter(torch.randn(count, width) * 0.02)
