"""From word pieces and a seed to a picture, as one module: what is sampled, exported and served."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from danqing.config import Decoding
from danqing.models.decoding import sample, schedule, uniforms
from danqing.models.painter import StackedDecoder
from danqing.models.text import TextEncoder, pooled
from danqing.models.tokenizer import Codes, Tokenizer


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
        side = tokenizer.grid
        parts = [("global", part) for part in schedule(side // 2, decoding.global_steps)]
        parts += [("detail", part) for part in schedule(side, decoding.detail_steps)]
        self.scales = [scale for scale, _ in parts]
        for number, (_, part) in enumerate(parts):  # buffers, so that a CUDA graph copies nothing from the host
            self.register_buffer(f"places{number}", torch.tensor(part), persistent=False)
        self.eval()

    @classmethod
    def load(cls, tokenizer: Path, painter: Path, decoding: Decoding) -> Generator:
        decoder = StackedDecoder.load(painter)
        text = TextEncoder(decoder.config.text_length)
        return cls(text, Tokenizer.load(tokenizer), decoder, decoding).requires_grad_(False)

    @property
    def device(self) -> torch.device:
        return self.painter.places.device

    def codes(self, text_BLD: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor) -> tuple[Tensor, Tensor]:
        """Sampled global (B, N) and detail (B, M) codes."""
        painter, B = self.painter, seed_B.shape[0]
        quiet, quiet_mask = painter.without_text(text_BLD, mask_BL)
        text, mask = torch.cat([text_BLD, quiet]), torch.cat([mask_BL, quiet_mask])
        u = uniforms(seed_B, painter.n_global + painter.n_detail)
        glob = torch.full_like(u[:, : painter.n_global], painter.global_mask, dtype=torch.int64)
        detail = torch.full_like(u[:, painter.n_global :], painter.detail_mask, dtype=torch.int64)
        for number, scale in enumerate(self.scales):
            place = self.get_buffer(f"places{number}")
            twice = torch.cat([glob, glob])
            if scale == "global":
                hidden = painter(twice, None, text, mask)
                logits, noise = painter.global_logits(hidden[:, place]), u[:, place]
            else:
                hidden = painter(twice, torch.cat([detail, detail]), text, mask)
                place = place + painter.n_global
                logits, noise = painter.detail_head(hidden[:, place]), u[:, place]
                place = place - painter.n_global
            with_text, without = logits[:B], logits[B:]
            strength = 1 + (guidance_B[:, None, None] - 1) * ((number + 1) / len(self.scales))
            chosen = sample(without + strength * (with_text - without), noise, self.decoding.temperature)
            index = place[None, :].expand(B, -1)
            if scale == "global":
                glob = glob.scatter(1, index, chosen)
            else:
                detail = detail.scatter(1, index, chosen)
        return glob, detail

    def forward(self, ids_BL: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor) -> Tensor:
        text = self.text(ids_BL, mask_BL)
        glob, detail = self.codes(text, mask_BL, seed_B, guidance_B)
        side = self.tokenizer.grid
        codes = Codes(glob.view(-1, side // 2, side // 2), detail.view(-1, side, side))
        x = self.tokenizer.decode(codes, pooled(text, mask_BL))
        return (x.clamp(-1, 1) * 127.5 + 128.0).to(torch.uint8).permute(0, 2, 3, 1)
