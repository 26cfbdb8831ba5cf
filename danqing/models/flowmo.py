"""FlowMo (Sargent et al. 2025, https://arxiv.org/abs/2503.11056), its first stage, for comparison with ours.

A Transformer writes a picture into a short sequence of bits (lookup-free quantisation), and another turns noise into
the picture by rectified flow under the control of these bits. Decoding integrates the flow in `STEPS` passes. The
second stage of its training, on whole integrated samples, is left out: it costs eight passes for each step.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing import collectives
from danqing.config import TokenizerModel
from danqing.models.tokenizer import Codes, Forward, Tokenizer
from danqing.models.transformer import Block, ModulatedBlock, places

HEADS = 4
STEPS = 25
COMMIT, ENTROPY = 0.25, 0.01


class BitEncoder(nn.Module):
    """Patches and learned latent tokens in, the latents' bits out."""

    def __init__(self, c: TokenizerModel, bits: int) -> None:
        super().__init__()
        self.tokens = c.grid**2
        self.patches = nn.Conv2d(3, c.width, c.stride, stride=c.stride)
        self.places = places(2 * self.tokens, c.width)
        self.blocks = nn.Sequential(*(Block(c.width, HEADS) for _ in range(c.layers)))
        self.project = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, bits))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, L, bits), before they are made bits."""
        h = self.patches(x).flatten(2).transpose(1, 2)
        h = torch.cat([h, h.new_zeros(h.shape)], 1) + self.places
        return self.project(self.blocks(h)[:, self.tokens :])


class FlowDecoder(nn.Module):
    """Velocity at (x_t, t) given the bits."""

    def __init__(self, c: TokenizerModel, bits: int) -> None:
        super().__init__()
        self.grid, self.stride, self.width = c.grid, c.stride, c.width
        self.patches = nn.Conv2d(3, c.width, c.stride, stride=c.stride)
        self.read = nn.Linear(bits, c.width)
        self.places = places(2 * c.grid**2, c.width)
        self.time = nn.Sequential(nn.Linear(c.width, c.width), nn.SiLU(), nn.Linear(c.width, c.width))
        self.blocks = nn.ModuleList(ModulatedBlock(c.width, HEADS) for _ in range(c.layers))
        self.head = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, 3 * c.stride**2))

    def forward(self, x_t: Tensor, t_B: Tensor, bits_BLE: Tensor) -> Tensor:
        h = self.patches(x_t).flatten(2).transpose(1, 2)
        h = torch.cat([h, self.read(bits_BLE)], 1) + self.places
        condition = self.time(waves(t_B, self.width))
        for block in self.blocks:
            h = block(h, condition)
        h = self.head(h[:, : self.grid**2]).transpose(1, 2)
        return F.pixel_shuffle(h.reshape(len(x_t), -1, self.grid, self.grid), self.stride)


def waves(t_B: Tensor, width: int) -> Tensor:
    """t in [0, 1] as sines and cosines (B, width)."""
    rates = torch.exp(torch.arange(width // 2, device=t_B.device) * (-math.log(10_000.0) / (width // 2)))
    angles = 1000 * t_B[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def entropy_penalty(z_BLE: Tensor, codes_KE: Tensor, temperature: float = 1.0) -> Tensor:
    """Each feature should be sure of its code, all together should use all codes (Yu et al. 2024, MAGVIT-v2)."""
    logits = 2 * z_BLE.flatten(0, 1) @ codes_KE.t() / temperature
    p = logits.softmax(-1)
    each = -(p * logits.log_softmax(-1)).sum(-1).mean()
    mean = collectives.mean_with_gradient(p.mean(0))
    return each + (mean * mean.clamp(min=1e-9).log()).sum()


class FlowMo(Tokenizer):
    """`width` is the Transformers' width, `layers` the depth of each; a code is log2(detail_codes) bits."""

    noise: Tensor
    codes: Tensor

    def __init__(self, c: TokenizerModel) -> None:
        super().__init__(c)
        bits = int(math.log2(c.detail_codes))
        self.encoder, self.generator = BitEncoder(c, bits), FlowDecoder(c, bits)
        # Every picture starts from the same noise, so that it is a function of its codes alone.
        noise = torch.randn(1, 3, c.size, c.size, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", noise, persistent=False)
        table = torch.arange(c.detail_codes)[:, None] >> torch.arange(bits)[None] & 1
        self.register_buffer("codes", table * 2.0 - 1, persistent=False)

    def forward(self, x: Tensor, text_BD: Tensor, *, learn: bool = False, quantise: bool = True) -> Forward:
        """In training x̂ is the flow's guess from one random moment, and the loss is the flow's own; else x̂ is decoded.

        x_t = (1-t)·noise + t·x, and the velocity is x - noise.
        """
        z = self.encoder(x)
        bits = z + (torch.where(z > 0, 1.0, -1.0) - z).detach()
        codes = self.single(self.read(z))
        if not learn:
            return Forward(self.integrate(bits), z.new_zeros(()), codes)
        # Most of the effort in the middle of the way.
        t = torch.sigmoid(collectives.draw(lambda n: torch.randn(n, device=x.device), len(x)))
        noise = collectives.draw(lambda n: torch.randn(n, *x.shape[1:], device=x.device, dtype=x.dtype), len(x))
        at = t[:, None, None, None]
        x_t = (1 - at) * noise + at * x
        velocity = self.generator(x_t, t, bits)
        flow = F.mse_loss(velocity, x - noise)
        commit = F.mse_loss(z, bits.detach())
        loss = flow + COMMIT * commit + ENTROPY * entropy_penalty(z, self.codes)
        return Forward(x_t + (1 - at) * velocity, loss, codes)

    def read(self, z_BLE: Tensor) -> Tensor:
        """Features → codes (B, g, g): bit i of a code is the sign of feature i."""
        powers = 2 ** torch.arange(z_BLE.shape[-1], device=z_BLE.device)
        return ((z_BLE > 0).long() * powers).sum(-1).view(-1, self.config.grid, self.config.grid)

    def integrate(self, bits_BLE: Tensor) -> Tensor:
        """Euler steps from noise to picture."""
        x = self.noise.expand(len(bits_BLE), -1, -1, -1)
        for step in range(STEPS):
            t = bits_BLE.new_full((len(bits_BLE),), step / STEPS)
            x = x + self.generator(x, t, bits_BLE) / STEPS
        return x

    def encode(self, x: Tensor) -> Codes:
        return self.single(self.read(self.encoder(x)))

    def decode(self, codes: Codes, text_BD: Tensor) -> Tensor:
        return self.integrate(self.codes[codes.detail[:, 0].flatten(1)])
