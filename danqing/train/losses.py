"""Losses of both stages, as pure functions. x and y are pictures (B, 3, H, W) in [-1, 1].

Of several ranks each gets the loss of its own rows; the mean over the ranks is the loss of the whole batch
(`danqing.collectives`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from danqing import collectives


def ink_weight(y: Tensor, ink: float) -> Tensor:
    """(B, 1, H, W): 1 on blank ground, up to `ink` where a pixel differs from it.

    Ink covers few pixels, so an unweighted distance learns paper. The ground is the picture's median colour.
    """
    ground = y.flatten(2).median(2).values[:, :, None, None]
    return 1 + (ink - 1) * ((y - ground).abs().amax(1, keepdim=True) * 2).clamp(max=1)


def reconstruction(x: Tensor, y: Tensor, ink: float, chroma: float = 1.0, share: float = 1.0) -> Tensor:
    """Ink-weighted L1 of lightness plus `chroma` times that of colour.

    In a picture that is nearly all ink and paper, plain L1 is content with grey blossoms. share: what a mean over these
    rows counts beside the other ranks' (`collectives.Some`).
    """
    weight = ink_weight(y, ink)
    difference = x - y
    light = difference.mean(1, keepdim=True)
    distance = light.abs() + chroma * (difference - light).abs().mean(1, keepdim=True)
    return share * (distance * weight).mean() / collectives.mean(share * weight.mean())


def _slopes(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def line_distance(x: Tensor, y: Tensor, scales: int = 3) -> Tensor:
    """L1 between the slopes of x and y at `scales` octaves: what a blurred line loses and plain L1 forgives."""
    total = x.new_zeros(())
    for scale in range(scales):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        for a, b in zip(_slopes(x), _slopes(y), strict=True):
            total = total + (a - b).abs().mean()
    return total / scales


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """β, τ and λ of Eq. 14; L_gan's own weight is added because 1, as printed there, ruins small models."""

    recon: float
    vq: float
    gan: float
    clip: float


def total(w: Weights, recon: Tensor, vq: Tensor, gan: Tensor, clip: Tensor) -> Tensor:
    """Eq. 14: L = β·L_recon + τ·L_vq + L_gan + λ·L_clip."""
    return w.recon * recon + w.vq * vq + w.gan * gan + w.clip * clip


def clip_loss(text_BE: Tensor, image_BE: Tensor) -> Tensor:
    """Eq. 13: 1 - σ(v_t, v_g), σ = cosine (Eq. 12)."""
    return 1 - F.cosine_similarity(text_BE, image_BE, dim=-1).mean()


def adversarial(fake_logits: Tensor) -> Tensor:
    """Generator's side of the hinge loss."""
    return -fake_logits.mean()


def masked_cross_entropy(logits_BNK: Tensor, codes_BN: Tensor, masked_BN: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy over the masked positions only."""
    loss = F.cross_entropy(logits_BNK.transpose(1, 2), codes_BN, reduction="none", label_smoothing=smoothing)
    weight = masked_BN.to(loss.dtype)
    return (loss * weight).sum() / collectives.mean(weight.sum()).clamp(min=1)
