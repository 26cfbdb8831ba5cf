"""Bytes of a picture ↔ the numbers that networks see."""

from __future__ import annotations

import torch
from torch import Tensor


def to_float(images_uint8: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) → float (B, 3, H, W) in [-1, 1]."""
    return images_uint8.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(x: Tensor) -> Tensor:
    """float (B, 3, H, W) in [-1, 1] → uint8 (B, H, W, 3), rounded."""
    return (x.clamp(-1, 1) * 127.5 + 128.0).to(torch.uint8).permute(0, 2, 3, 1)
