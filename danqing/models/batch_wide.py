"""Layers that look at the whole batch, for ranks that have a part of it each: they give what one process gets.

open_clip's towers have two of them: batch normalisation in the ResNet (torch's SyncBatchNorm wants a GPU), and the
random choice of patches in the ViT. `batch_wide` changes them in place; weights and their names stay.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from danqing import collectives, ranks

Net = TypeVar("Net", bound=nn.Module)


class WideBatchNorm2d(nn.BatchNorm2d):
    """Normalises by mean and variance of all ranks' rows."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or ranks.world() == 1:
            return super().forward(x)
        mean = collectives.mean_with_gradient(x.mean((0, 2, 3)))
        centred = x - mean[:, None, None]
        variance = collectives.mean_with_gradient(centred.square().mean((0, 2, 3)))
        self._remember(mean.detach(), variance.detach(), x.numel() // x.shape[1] * ranks.world())
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, which take the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


def _drop_patches(self: nn.Module, x: Tensor) -> Tensor:
    """open_clip's PatchDropout.forward, with the choice drawn for all ranks' rows."""
    if not self.training or not self.prob:
        return x
    first, rest = (x[:, :1], x[:, 1:]) if self.exclude_first_token else (x[:, :0], x)
    keep = max(1, int(rest.shape[1] * (1 - float(self.prob))))  # type: ignore[arg-type]
    chosen = collectives.draw(lambda n: torch.randn(n, rest.shape[1]), len(x)).topk(keep, dim=-1).indices
    return torch.cat([first, rest[torch.arange(len(x))[:, None], chosen]], 1)


def batch_wide(net: Net) -> Net:
    """`net`, whose layers now see all ranks' rows."""
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = WideBatchNorm2d
        elif type(module).__name__ == "PatchDropout":
            kind = type(module)
            module.__class__ = type("WidePatchDropout", (kind,), {"forward": _drop_patches})
    return net
