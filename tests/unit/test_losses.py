"""Losses punish what they are for."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from danqing.models.pixels import to_float, to_uint8
from danqing.train import losses


def ink_picture() -> torch.Tensor:
    x = torch.full((1, 3, 32, 32), 0.9)
    x[..., 10:12, 4:28] = -0.8  # one stroke
    return x


def test_a_lost_line_costs_more_with_ink_weight() -> None:
    y = ink_picture()
    blank = torch.full_like(y, 0.9)
    assert losses.reconstruction(blank, y, ink=5.0) > 2 * losses.reconstruction(blank, y, ink=1.0)


def test_a_grey_blossom_costs_more_with_chroma() -> None:
    y = torch.full((1, 3, 16, 16), 0.9)
    y[:, 0, 4:8, 4:8], y[:, 1:, 4:8, 4:8] = 0.6, -0.6
    grey = y.mean(1, keepdim=True).expand_as(y)
    assert losses.reconstruction(grey, y, 1.0, chroma=3.0) > 2.5 * losses.reconstruction(grey, y, 1.0, chroma=1.0)


def test_line_distance_sees_blur() -> None:
    y = ink_picture()
    blurred = F.avg_pool2d(F.pad(y, (2, 2, 2, 2), mode="replicate"), 5, 1)
    shifted_tone = y + 0.05
    assert losses.line_distance(blurred, y) > 10 * losses.line_distance(shifted_tone, y)
    assert losses.line_distance(y, y) == 0


def test_total_is_equation_14() -> None:
    w = losses.Weights(recon=2.0, vq=3.0, gan=1.0, clip=5.0)
    parts = [torch.tensor(v) for v in (1.0, 10.0, 100.0, 1000.0)]
    assert losses.total(w, *parts) == 2 * 1 + 3 * 10 + 100 + 5 * 1000


def test_clip_loss_is_equation_13() -> None:
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    assert losses.clip_loss(a, a * 7) == 0
    assert losses.clip_loss(a, b) == 1
    assert losses.clip_loss(a, -a) == 2


def test_cross_entropy_counts_masked_places_only() -> None:
    logits, codes = torch.randn(2, 5, 7), torch.randint(7, (2, 5))
    masked = torch.zeros(2, 5, dtype=torch.bool)
    masked[0, 1] = True
    before = losses.masked_cross_entropy(logits, codes, masked, 0.0)
    logits[1] += torch.randn(5, 7)
    assert losses.masked_cross_entropy(logits, codes, masked, 0.0) == before
    assert torch.isclose(before, F.cross_entropy(logits[0, 1:2], codes[0, 1:2]))


def test_pictures_survive_the_way_to_floats_and_back() -> None:
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    assert torch.equal(to_uint8(to_float(x)), x)
