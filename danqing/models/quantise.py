"""Vector quantisation (Eq. 7) with codebooks that are running means of what they stand for.

A code is the exponential mean of the features assigned to it (van den Oord et al. 2017, appendix A), so the codebook
needs no gradient; a code that nothing has used for a while is moved onto a feature of the current batch. Always fp32.
Ranks that train together count together: their codebooks stay equal.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing import collectives, ranks


class Quantised(NamedTuple):
    codes: Tensor
    """(B, H, W) int64."""
    z: Tensor
    """(B, E, H, W): code vectors; the gradient passes straight through to the features."""
    loss: Tensor
    """Commitment: mean squared distance of the features to their (fixed) codes. This side gets the gradient."""


class Codebook(nn.Module):
    """Q_s(z) = argmin over c in C_s of ||z - c|| for one s in {global, detail} (Eq. 7 and 10)."""

    def __init__(self, size: int, dim: int, decay: float = 0.99, dead: float = 0.03) -> None:
        super().__init__()
        self.size, self.decay, self.dead = size, decay, dead
        vectors = torch.randn(size, dim)
        self.register_buffer("vectors", vectors)
        self.register_buffer("sums", vectors.clone())
        self.register_buffer("counts", torch.ones(size))
        self.vectors: Tensor
        self.sums: Tensor
        self.counts: Tensor

    def nearest(self, flat_NE: Tensor) -> Tensor:
        """Features (N, E) → indices (N,)."""
        flat_NE = flat_NE.float()
        distance = self.vectors.square().sum(1) - 2 * flat_NE @ self.vectors.t()
        return distance.argmin(1)

    def forward(self, z: Tensor, learn: bool = False) -> Quantised:
        B, E, H, W = z.shape
        flat = z.permute(0, 2, 3, 1).reshape(-1, E).float()
        codes = self.nearest(flat)
        if learn:
            self._update(flat.detach(), codes)
        chosen = self.look_up(codes.view(B, H, W)).to(z.dtype)
        return Quantised(codes.view(B, H, W), z + (chosen - z).detach(), F.mse_loss(z, chosen.detach()))

    def look_up(self, codes_BHW: Tensor) -> Tensor:
        """Indices (B, H, W) → vectors (B, E, H, W)."""
        return F.embedding(codes_BHW, self.vectors).permute(0, 3, 1, 2)

    @torch.no_grad()
    def _update(self, flat_NE: Tensor, codes_N: Tensor) -> None:
        counts = torch.bincount(codes_N, minlength=self.size).float()
        sums = torch.zeros_like(self.sums).index_add_(0, codes_N, flat_NE)
        counts, sums = collectives.total(torch.cat([counts[:, None], sums], 1)).split([1, sums.shape[1]], 1)
        self.counts.lerp_(counts[:, 0], 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        dead = self.counts < self.dead
        everywhere = len(flat_NE) * ranks.world()
        fresh = collectives.pick(flat_NE, torch.randint(everywhere, (self.size,), device=flat_NE.device))
        self.sums.copy_(torch.where(dead[:, None], fresh, self.sums))
        self.counts.copy_(torch.where(dead, torch.ones_like(self.counts), self.counts))
        self.vectors.copy_(self.sums / self.counts[:, None])

    @torch.no_grad()
    def start(self, features_NE: Tensor) -> None:
        """k-means on `features_NE` (N, E). Fewer features than codes: the rest start as noisy copies."""
        from sklearn.cluster import MiniBatchKMeans

        points = features_NE.float().cpu()
        if len(points) <= self.size:
            centres = points.repeat(-(-self.size // len(points)), 1)[: self.size]
            centres = centres + 1e-4 * torch.randn_like(centres)
        else:
            seed = int(torch.randint(2**31 - 1, ()))
            means = MiniBatchKMeans(self.size, batch_size=4 * self.size, n_init=1, random_state=seed)
            centres = torch.from_numpy(means.fit(points.numpy()).cluster_centers_)
        self.vectors.copy_(centres)
        self.counts.fill_(1)
        self.sums.copy_(self.vectors)


def usage(codes: Tensor, size: int) -> tuple[float, float]:
    """(share of codes used at least once, perplexity = exp of the entropy of their use), over all ranks."""
    counts = collectives.total(torch.bincount(codes.flatten(), minlength=size).float())
    p = counts / counts.sum()
    entropy = -(p * p.clamp(min=1e-12).log()).sum()
    return float((counts > 0).float().mean()), float(entropy.exp())
