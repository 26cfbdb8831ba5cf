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


class Painting(NamedTuple):
    """One batch on its way through masked decoding: what all its steps share."""

    painter: StackedDecoder
    text: Tensor
    """(2B, L, D): with the words, and below without."""
    mask: Tensor
    noise: Tensor
    """(B, N + levels · M) in (0, 1)."""
    guidance: Tensor
    temperature: float | Tensor

    def blank(self) -> tuple[Tensor, Tensor, Tensor]:
        """Global (B, N) and detail (B, levels, M) codes before the first step, and which details are hidden (B, M)."""
        N, M, levels = self.painter.n_global, self.painter.n_detail, self.painter.levels
        glob = torch.full_like(self.noise[:, :N], self.painter.global_mask, dtype=torch.int64)
        detail = torch.zeros_like(self.noise[:, N:], dtype=torch.int64).view(-1, levels, M)
        return glob, detail, torch.ones_like(self.noise[:, :M], dtype=torch.bool)

    def global_codes(self, glob: Tensor, place: Tensor | slice, share: float | Tensor) -> Tensor:
        """Codes (B, P) for the positions `place`. share: of the steps that are done after this one, for guidance."""
        state = self.painter(torch.cat([glob, glob]), None, self.text, self.mask)[:, place]
        return self._choose(self.painter.global_logits(state), self.noise[:, : self.painter.n_global][:, place], share)

    def detail_codes(
        self, glob: Tensor, detail: Tensor, hidden: Tensor, place: Tensor | slice, share: float | Tensor
    ) -> Tensor:
        """Codes (B, levels, P) for the positions `place`, each level knowing those before it."""
        N, M = self.painter.n_global, self.painter.n_detail
        tokens = self.painter.detail_tokens(detail, hidden)
        state = self.painter(torch.cat([glob, glob]), torch.cat([tokens, tokens]), self.text, self.mask)
        state = state[:, N:][:, place]
        chosen = detail[:, :0, place]
        for level in range(self.painter.levels):
            noise = self.noise[:, N + level * M :][:, :M][:, place]
            logits = self.painter.detail_logits(state, torch.cat([chosen, chosen]))
            chosen = torch.cat([chosen, self._choose(logits, noise, share)[:, None]], 1)
        return chosen

    def _choose(self, logits: Tensor, noise: Tensor, share: float | Tensor) -> Tensor:
        """From the logits of both halves of the batch (classifier-free guidance, growing over the steps)."""
        B = noise.shape[0]
        strength = (1 + (self.guidance - 1) * share)[:, None, None]
        return sample(logits[B:] + strength * (logits[:B] - logits[B:]), noise, self.temperature)


class Generator(nn.Module):
    """ids, mask (B, L) int64, seed (B,) int64, guidance (B,) float32 → picture (B, S, S, 3) uint8.

    The steps of masked decoding are unrolled; which positions each step fills is fixed (Halton order), so nothing in
    the graph depends on the data. Guidance grows linearly over the steps (classifier-free, Ho & Salimans 2022).
    """

    def __init__(
        self, text: TextEncoder, tokenizer: Tokenizer, painter: StackedDecoder, decoding: Decoding,
        *, encodes: bool = False,
    ) -> None:  # fmt: skip
        """encodes: keep the tokenizer's encoder, which painting does not need."""
        super().__init__()
        self.text, self.painter, self.decoding = text, painter, decoding
        self.tokenizer = tokenizer
        if not encodes:
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
        self, text_BLD: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor, known: Known | None = None,
        temperature_B: Tensor | None = None,
    ) -> Codes:  # fmt: skip
        """Sampled global (B, N) and detail (B, levels, M) codes. What is known stays, in sight from the first step."""
        paint = self.start(text_BLD, mask_BL, seed_B, guidance_B, temperature_B)
        glob, detail, hidden = paint.blank()
        if known is not None:
            glob = torch.where(known.keep_glob, known.glob, glob)
            detail = torch.where(known.keep_detail[:, None], known.detail, detail)
            hidden = ~known.keep_detail
        for number, scale in enumerate(self.scales):
            place = self.get_buffer(f"places{number}")
            index = place[None, :].expand(seed_B.shape[0], -1)
            share = (number + 1) / len(self.scales)
            if scale == "global":
                chosen = paint.global_codes(glob, place, share)
                if known is not None:
                    chosen = torch.where(known.keep_glob[:, place], glob[:, place], chosen)
                glob = glob.scatter(1, index, chosen)
                continue
            chosen = paint.detail_codes(glob, detail, hidden, place, share)
            if known is not None:
                chosen = torch.where(known.keep_detail[:, None, place], detail[:, :, place], chosen)
            detail = detail.scatter(2, index[:, None].expand(-1, detail.shape[1], -1), chosen)
            hidden = hidden.scatter(1, index, torch.zeros_like(index, dtype=torch.bool))
        return Codes(glob, detail)

    def start(
        self, text_BLD: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor,
        temperature_B: Tensor | None = None,
    ) -> Painting:  # fmt: skip
        painter = self.painter
        quiet, quiet_mask = painter.without_text(text_BLD, mask_BL)
        noise = uniforms(seed_B, painter.n_global + painter.levels * painter.n_detail)
        temperature = self.decoding.temperature if temperature_B is None else temperature_B[:, None, None]
        return Painting(
            painter, torch.cat([text_BLD, quiet]), torch.cat([mask_BL, quiet_mask]), noise, guidance_B, temperature
        )

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
