"""Masked decoding one step at a time, with a whole picture after each: what a person sees while it is painted.

Each step is a graph of its own, so that a server can send its picture before it computes the next. Positions that no
step has filled yet show what the painter would choose there now.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from danqing.models.decoding import schedule
from danqing.models.generate import Generator
from danqing.models.tokenizer import Codes


class _Step(nn.Module):
    table: Tensor

    def __init__(self, generator: Generator, side: int, before: int, steps: int) -> None:
        super().__init__()
        self.generator, self.before = generator, before
        table = torch.zeros(max(steps, 1), side * side, dtype=torch.bool)
        for number, part in enumerate(schedule(side, steps)):
            table[number, part] = True
        self.register_buffer("table", table, persistent=False)
        self.eval()

    def share(self, step_B: Tensor) -> Tensor:
        return (step_B + self.before + 1).float() / len(self.generator.scales)


class GlobalStep(_Step):
    """ids, mask (B, L), seed, guidance, step (B,), glob (B, N) → glob (B, N), picture (B, S, S, 3) uint8.

    step: from 0; at 0 the codes that come in are not looked at.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__(generator, generator.tokenizer.config.global_grid, 0, generator.decoding.global_steps)

    def forward(
        self, ids_BL: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor, step_B: Tensor, glob_BN: Tensor
    ) -> tuple[Tensor, Tensor]:
        text = self.generator.text(ids_BL, mask_BL)
        painting = self.generator.start(text, mask_BL, seed_B, guidance_B)
        blank, detail, hidden = painting.blank()
        glob = torch.where(step_B[:, None] == 0, blank, glob_BN)
        share = self.share(step_B)
        guess = painting.global_codes(glob, slice(None), share)
        glob = torch.where(self.table[step_B], guess, glob)
        whole = torch.where(glob == blank, guess, glob)
        detail = painting.detail_codes(whole, detail, hidden, slice(None), share)
        return glob, self.generator.picture(Codes(whole, detail), text, mask_BL)


class DetailStep(_Step):
    """… glob (B, N), detail (B, levels, M), hidden (B, M) bool → detail, hidden, picture (B, S, S, 3) uint8.

    step: from 0 again; at 0 detail and hidden are not looked at.
    """

    def __init__(self, generator: Generator) -> None:
        t, steps = generator.tokenizer.config, generator.decoding
        super().__init__(generator, t.grid, generator.scales.count("global"), steps.detail_steps)

    def forward(
        self, ids_BL: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor, step_B: Tensor, glob_BN: Tensor,
        detail_BLM: Tensor, hidden_BM: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        text = self.generator.text(ids_BL, mask_BL)
        painting = self.generator.start(text, mask_BL, seed_B, guidance_B)
        first = step_B == 0
        _, blank, _ = painting.blank()
        detail = torch.where(first[:, None, None], blank, detail_BLM)
        hidden = hidden_BM | first[:, None]
        guess = painting.detail_codes(glob_BN, detail, hidden, slice(None), self.share(step_B))
        now = self.table[step_B]
        detail = torch.where(now[:, None], guess, detail)
        hidden = hidden & ~now
        whole = torch.where(hidden[:, None], guess, detail)
        return detail, hidden, self.generator.picture(Codes(glob_BN, whole), text, mask_BL)
