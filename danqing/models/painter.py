"""Stage 2: the stacked decoder that guesses masked codes from the sentence and the codes that are known.

Two passes share its weights. The global pass sees only the global positions; the detail pass sees all global codes
and the detail positions. So a picture's plan is made in a short sequence before any detail is thought of.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from danqing import values
from danqing.config import PainterModel, TokenizerModel
from danqing.models.align import DecoderLayer
from danqing.models.tokenizer import load_model, save_model


class FinerHead(nn.Module):
    """What a finer level's code may be, from the hidden state and the codes of the coarser levels at its position."""

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.norm_hidden, self.norm_codes = nn.LayerNorm(width), nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, codes))

    def forward(self, hidden_BMD: Tensor, codes_BMD: Tensor) -> Tensor:
        return self.layers(torch.cat([self.norm_hidden(hidden_BMD), self.norm_codes(codes_BMD)], -1))


class StackedDecoder(nn.Module):
    """Codes (with masks) and text features → logits over codes, at the positions of one pass."""

    def __init__(self, c: PainterModel, t: TokenizerModel) -> None:
        super().__init__()
        self.config, self.tokenizer_config = c, t
        self.n_global, self.n_detail, self.levels = t.global_grid**2, t.grid**2, t.detail_levels
        # The last embedding of each table is the mask. Level l of the detail codes starts at row l * detail_codes.
        self.global_codes = nn.Embedding(t.global_codes + 1, c.width)
        self.detail_codes = nn.Embedding(t.detail_levels * t.detail_codes + 1, c.width)
        self.places = nn.Parameter(torch.randn(self.n_global + self.n_detail, c.width) * 0.02)
        self.read = nn.Sequential(nn.LayerNorm(c.text_dim), nn.Linear(c.text_dim, c.width))
        self.no_text = nn.Parameter(torch.randn(1, c.text_dim) * 0.02)
        self.layers = nn.ModuleList(DecoderLayer(c.width, c.heads, c.mlp, c.align) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        self.global_head = nn.Linear(c.width, t.global_codes)
        self.detail_head = nn.Linear(c.width, t.detail_codes)
        self.finer_heads = nn.ModuleList(FinerHead(c.width, t.detail_codes) for _ in range(t.detail_levels - 1))
        for table in (self.global_codes, self.detail_codes):
            nn.init.normal_(table.weight, std=0.02)

    @property
    def global_mask(self) -> int:
        return self.tokenizer_config.global_codes

    def detail_tokens(self, codes_BLM: Tensor, hidden_BM: Tensor | None = None) -> Tensor:
        """Embeddings (B, M, D) of detail codes (B, levels, M), summed over levels; where hidden, those of the mask."""
        first = torch.arange(codes_BLM.shape[1], device=codes_BLM.device)[:, None] * self.tokenizer_config.detail_codes
        tokens = self.detail_codes(codes_BLM + first).sum(1)
        if hidden_BM is None:
            return tokens
        return torch.where(hidden_BM[..., None], self.detail_codes.weight[-1], tokens)

    def without_text(self, text_BLD: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
        """The same shapes, saying nothing: the learned `no_text` at the first place, the rest masked."""
        place = torch.zeros_like(mask_BL)
        place[:, 0] = 1
        return self.no_text.expand_as(text_BLD), place

    def forward(
        self,
        glob_BN: Tensor,
        detail_BMD: Tensor | None,
        text_BLD: Tensor,
        mask_BL: Tensor,
        part_M: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, N, D) of the global pass (detail None), or (B, N+M, D) of the detail pass.

        part: which detail positions detail_BMD holds, where it does not hold all.
        """
        x = self.global_codes(glob_BN)
        places = self.places[: self.n_global]
        if detail_BMD is not None:
            x = torch.cat([x, detail_BMD], 1)
            places = self.places if part_M is None else torch.cat([places, self.places[self.n_global + part_M]])
        x = x + places
        text = self.read(text_BLD)
        bias_B11L = (1.0 - mask_BL.to(x.dtype))[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, text, bias_B11L)
        return self.norm(x)

    def global_logits(self, hidden_BND: Tensor) -> Tensor:
        return self.global_head(hidden_BND)

    def detail_logits(self, hidden_BMD: Tensor, coarser_BLM: Tensor) -> Tensor:
        """Logits of the next level at detail positions whose coarser levels are (B, levels so far, M)."""
        level = coarser_BLM.shape[1]
        if level == 0:
            return self.detail_head(hidden_BMD)
        return self.finer_heads[level - 1](hidden_BMD, self.detail_tokens(coarser_BLM))

    def save(self, folder: Path, half: bool = False) -> None:
        settings = {"model": values.as_dict(self.config), "tokenizer": values.as_dict(self.tokenizer_config)}
        save_model(self, folder, "painter", settings, half)

    @classmethod
    def load(cls, folder: Path) -> StackedDecoder:
        settings, state = load_model(folder, "painter")
        where = f"{folder}/painter.json"
        model = cls(
            values.build(PainterModel, settings["model"], where),  # type: ignore[arg-type]
            values.build(TokenizerModel, settings["tokenizer"], where),  # type: ignore[arg-type]
        )
        model.load_state_dict(state)
        return model.eval()
