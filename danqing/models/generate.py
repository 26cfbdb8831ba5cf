"""From word pieces and a seed to a picture, as one module: what is sampled, exported and served."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from danqing.config import Decoding
from danqing.models import families
from danqing.models.decoding import sample, schedule, uniforms
from danqing.models.painter import StackedDecoder
from danqing.models.pixels import to_uint8
from danqing.models.text import TextEncoder, pooled
from danqing.models.tokenizer import Codes, Tokenizer


class Known(NamedTuple):
    """Codes that a picture has already, and which of them to keep."""

    glob: Tensor
    """(B, N) int64."""
    detail: Tensor
    """(B, levels, M) int64."""
    keep_glob: Tensor
    """(B, N) bool."""
    keep_detail: Tensor
    """(B, M) bool."""


class Generator(nn.Module):
    """ids, mask (B, L) int64, seed (B,) int64, guidance (B,) float32 → picture (B, S, S, 3) uint8.

    The steps of masked decoding are unrolled; which positions each step fills is fixed (Halton order), so nothing in
    the graph depends on the data. Guidance grows linearly over the steps (classifier-free, Ho & Salimans 2022).
    """

    def __init__(self, text: TextEncoder, tokenizer: Tokenizer, painter: StackedDecoder, decoding: Decoding) -> None:
        super().__init__()
        self.text, self.painter, self.decoding = text, painter, decoding
        # The encoder of the tokenizer is not needed to paint, and stays out of what is exported.
        self.tokenizer = tokenizer
        self.tokenizer.encoder = nn.Identity()  # type: ignore[assignment]
        t = tokenizer.config
        parts = [("global", part) for part in schedule(t.global_grid, decoding.global_steps)]
        parts += [("detail", part) for part in schedule(t.grid, decoding.detail_steps)]
        self.scales = [scale for scale, _ in parts]
        for number, (_, part) in enumerate(parts):  # buffers, so that a CUDA graph copies nothing from the host
            self.register_buffer(f"places{number}", torch.tensor(part), persistent=False)
        self.eval()

    @classmethod
    def load(cls, tokenizer: Path, painter: Path, decoding: Decoding) -> Generator:
        decoder = StackedDecoder.load(painter)
        text = TextEncoder(decoder.config.text_length)
        return cls(text, families.load(tokenizer), decoder, decoding).requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return self.painter.places.device

    def codes(
        self, text_BLD: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor, known: Known | None = None
    ) -> Codes:
        """Sampled global (B, N) and detail (B, levels, M) codes. What is known stays, in sight from the first step."""
        painter, B = self.painter, seed_B.shape[0]
        N, M, levels = painter.n_global, painter.n_detail, painter.levels
        quiet, quiet_mask = painter.without_text(text_BLD, mask_BL)
        text, mask = torch.cat([text_BLD, quiet]), torch.cat([mask_BL, quiet_mask])
        u = uniforms(seed_B, N + levels * M)
        glob = torch.full_like(u[:, :N], painter.global_mask, dtype=torch.int64)
        detail = torch.zeros_like(u[:, N:], dtype=torch.int64).view(-1, levels, M)
        hidden = torch.ones_like(u[:, :M], dtype=torch.bool)
        if known is not None:
            glob = torch.where(known.keep_glob, known.glob, glob)
            detail = torch.where(known.keep_detail[:, None], known.detail, detail)
            hidden = ~known.keep_detail

        def choose(logits: Tensor, noise: Tensor, number: int) -> Tensor:
            """Codes from the logits of both halves of the batch, with the text and without."""
            strength = 1 + (guidance_B[:, None, None] - 1) * ((number + 1) / len(self.scales))
            guided = logits[B:] + strength * (logits[:B] - logits[B:])
            return sample(guided, noise, self.decoding.temperature)

        for number, scale in enumerate(self.scales):
            place = self.get_buffer(f"places{number}")
            index = place[None, :].expand(B, -1)
            if scale == "global":
                state = painter(torch.cat([glob, glob]), None, text, mask)[:, place]
                chosen = choose(painter.global_logits(state), u[:, place], number)
                if known is not None:
                    chosen = torch.where(known.keep_glob[:, place], glob[:, place], chosen)
                glob = glob.scatter(1, index, chosen)
                continue
            tokens = painter.detail_tokens(detail, hidden)
            state = painter(torch.cat([glob, glob]), torch.cat([tokens, tokens]), text, mask)[:, N + place]
            chosen = detail[:, :0, place]
            for level in range(levels):
                noise = u[:, N + level * M + place]
                logits = painter.detail_logits(state, torch.cat([chosen, chosen]))
                chosen = torch.cat([chosen, choose(logits, noise, number)[:, None]], 1)
            if known is not None:
                chosen = torch.where(known.keep_detail[:, None, place], detail[:, :, place], chosen)
            detail = detail.scatter(2, index[:, None].expand(-1, levels, -1), chosen)
            hidden = hidden.scatter(1, index, torch.zeros_like(index, dtype=torch.bool))
        return Codes(glob, detail)

    def picture(self, codes: Codes, text_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """Codes as `codes` gives them → uint8 (B, S, S, 3)."""
        t, glob = self.tokenizer.config, codes.glob
        if t.global_grid:
            glob = glob.view(-1, t.global_grid, t.global_grid)
        placed = Codes(glob, codes.detail.view(-1, t.detail_levels, t.grid, t.grid))
        return to_uint8(self.tokenizer.decode(placed, pooled(text_BLD, mask_BL)))

    def forward(self, ids_BL: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor) -> Tensor:
        text = self.text(ids_BL, mask_BL)
        return self.picture(self.codes(text, mask_BL, seed_B, guidance_B), text, mask_BL)
