"""What a model costs: parameters, multiply-accumulates (MACs) and BitOPs of one picture.

MACs are counted twice, by counters that know nothing of each other: PyTorch's FlopCounterMode, which watches the
kernels below autograd (it counts 2 for a MAC), and `Calls` here, which watches the functions that a module calls and
multiplies the shapes. BitOPs = MACs · bits of a weight · bits of an activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

FLOAT = 32
"""Bits of weights and activations here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    parameters: int
    macs: float
    macs_by_calls: float

    @property
    def bitops(self) -> float:
        return self.macs * FLOAT * FLOAT


class Calls(TorchFunctionMode):
    """Sums the MACs of every matrix product and convolution that is called inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0.0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        count = _COUNTS.get(func)
        if count is not None:
            self.macs += count(out, *args, **(kwargs or {}))
        return out


def _product(out: Tensor, a: Tensor, b: Tensor, *_: Any, **__: Any) -> float:
    return float(out.numel()) * a.shape[-1]


def _linear(out: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> float:
    return float(out.numel()) * weight.shape[1]


def _convolution(out: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> float:
    return float(out.numel()) * weight[0].numel()  # weight (out, in / groups, kernel…)


def _transposed(out: Tensor, x: Tensor, weight: Tensor, *_: Any, **__: Any) -> float:
    return float(x.numel()) * weight[0].numel()  # weight (in, out / groups, kernel…): each input reaches a kernel


def _attention(out: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> float:
    return float(q[..., 0].numel()) * k.shape[-2] * (q.shape[-1] + v.shape[-1])


_COUNTS: dict[Any, Callable[..., float]] = {
    F.linear: _linear, F.conv2d: _convolution, F.conv_transpose2d: _transposed,
    F.scaled_dot_product_attention: _attention,
    torch.conv2d: _convolution, torch.conv_transpose2d: _transposed,
    torch.matmul: _product, Tensor.matmul: _product, Tensor.__matmul__: _product, torch.bmm: _product,
}  # fmt: skip


@torch.inference_mode()
def cost(run: Callable[[], object], parts: Iterable[nn.Module]) -> Cost:
    """Of what `run` computes, with the parameters of `parts`."""
    parameters = sum(p.numel() for part in parts for p in part.parameters())
    with Calls() as calls:
        run()
    # Fused attention would hide its products from the dispatcher.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
        run()
    return Cost(parameters=parameters, macs=flops.get_total_flops() / 2, macs_by_calls=calls.macs)


def agree(c: Cost, tolerance: float = 0.01) -> bool:
    """Whether the two counters say the same."""
    return math.isclose(c.macs, c.macs_by_calls, rel_tol=tolerance)
