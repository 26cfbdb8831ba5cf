"""How masked codes are filled in: in which order, how many at a time, and with which chance.

Everything here is static or a pure function of the seed, so that the whole loop unrolls into one exported graph.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _halton(index: int, base: int) -> float:
    result, fraction = 0.0, 1.0
    while index > 0:
        fraction /= base
        result += fraction * (index % base)
        index //= base
    return result


def halton_order(side: int) -> list[int]:
    """All positions of a side x side grid, spread evenly at every prefix (Besnier et al. 2025, Halton MaskGIT)."""
    order: list[int] = []
    seen: set[int] = set()
    index = 1
    while len(order) < side * side:
        place = int(_halton(index, 2) * side) * side + int(_halton(index, 3) * side)
        if place not in seen:
            seen.add(place)
            order.append(place)
        index += 1
    return order


def schedule(side: int, steps: int) -> list[list[int]]:
    """The positions that each step fills: few first, many later (cosine), every position once."""
    order, total = halton_order(side), side * side
    steps = min(steps, total)
    if not total:
        return []
    ends = [round(total * (1 - math.cos(math.pi / 2 * (k + 1) / steps))) for k in range(steps)]
    parts, start = [], 0
    for k in range(steps):
        end = total if k == steps - 1 else min(max(ends[k], start + 1), total - (steps - 1 - k))
        parts.append(order[start:end])
        start = end
    return parts


_PRIME = 2_147_483_647  # 2^31 - 1: products of two residues fit in int64


def uniforms(seed_B: Tensor, count: int) -> Tensor:
    """(B, count) numbers in (0, 1), a hash of (seed, index) by integer arithmetic that every runtime does alike.

    A random operator of a runtime would make pictures depend on the runtime; this hash makes the seed an input.
    """
    index = torch.arange(count, dtype=torch.int64, device=seed_B.device)
    low, high = seed_B % _PRIME, (seed_B // _PRIME) % _PRIME
    h = (low[:, None] * 48_271 + high[:, None] * 40_014 + index[None, :] * 1_103_515_245 + 12_345) % _PRIME
    for multiplier, add in ((1_812_433_253, 69_069), (1_664_525, 1_013_904_223), (69_621, 362_437)):
        h = (h * multiplier + add) % _PRIME
        h = (h * ((h + add) % _PRIME) + index[None, :]) % _PRIME
    return (h.to(torch.float32) + 0.5) / float(_PRIME)


def sample(logits_BNK: Tensor, u_BN: Tensor, temperature: float | Tensor, min_p: float = 0.02) -> Tensor:
    """Codes (B, N) by inverting the cumulative distribution at u; codes below min_p times the best are ruled out.

    temperature: one for all, or (B, 1, 1).
    """
    p = (logits_BNK / temperature).softmax(-1)
    p = torch.where(p < min_p * p.amax(-1, keepdim=True), torch.zeros_like(p), p)
    cumulative = p.cumsum(-1)
    target = u_BN.unsqueeze(-1) * cumulative[..., -1:]
    return (cumulative < target).to(torch.int64).sum(-1).clamp(max=logits_BNK.shape[-1] - 1)
