"""Eq. 11, and the decoder layer that is built on it."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


def align(text_BLD: Tensor, image_BND: Tensor) -> Tensor:
    """Eq. 11: Align(T, I) = softmax(T·Iᵀ / √d)·I + T. Text features (B, L, D) that have seen the image (B, N, D)."""
    scores = text_BLD @ image_BND.transpose(1, 2) / math.sqrt(text_BLD.shape[-1])
    return scores.softmax(-1) @ image_BND + text_BLD


class Attention(nn.Module):
    """Multi-head attention of x (B, N, D) to context (B, M, D); `bias` (B, 1, 1, M) is added to the scores."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.kv, self.out = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, bias: Tensor | None = None) -> Tensor:
        B, N, D = x.shape
        q = self.query(x).view(B, N, self.heads, -1).transpose(1, 2)
        kv = self.kv(context)  # sliced, not chunked: the exported graph then needs no sequence of tensors
        k, v = (t.reshape(B, -1, self.heads, D // self.heads).transpose(1, 2) for t in (kv[..., :D], kv[..., D:]))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out(mixed.transpose(1, 2).reshape(B, N, D))


class DecoderLayer(nn.Module):
    """Text looks at the image (Eq. 11), image positions look at the aligned text, then at each other.

    Eq. 11 alone changes only the text side; without the second half no word would reach the picture.
    """

    def __init__(self, width: int, heads: int, mlp: int, aligned: bool) -> None:
        super().__init__()
        self.aligned = aligned
        self.norm_image, self.norm_text = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_self, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.cross, self.self_attention = Attention(width, heads), Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, mlp * width), nn.GELU(), nn.Linear(mlp * width, width))

    def forward(self, x_BND: Tensor, text_BLD: Tensor, bias_B11L: Tensor) -> Tensor:
        image = self.norm_image(x_BND)
        text = align(text_BLD, image) if self.aligned else text_BLD
        x_BND = x_BND + self.cross(image, self.norm_text(text), bias_B11L)
        seen = self.norm_self(x_BND)
        x_BND = x_BND + self.self_attention(seen, seen)
        return x_BND + self.mlp(self.norm_mlp(x_BND))
