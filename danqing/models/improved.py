"""Stage 1, the improved VQGAN: a picture ↔ a small grid of global codes and a finer grid of detail codes.

The two codebooks of Eq. 10 are coarse and residual: the global code says what a patch of 2 x 2 positions is about,
the detail code says what is missing to the features. Independent codebooks would double what the painter has to guess.
With `detail_levels` > 1 the detail code is itself residual (Lee et al. 2022, https://arxiv.org/abs/2203.01941): each
level's code says what the levels before it left over, so a position takes more bits without taking more places.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing.config import TokenizerModel
from danqing.models.encoder import Encoder
from danqing.models.generator import Generator
from danqing.models.quantise import Codebook
from danqing.models.tokenizer import Codes, Forward, Tokenizer


class ImprovedVqgan(Tokenizer):
    def __init__(self, c: TokenizerModel) -> None:
        super().__init__(c)
        self.encoder, self.generator = Encoder(c), Generator(c)
        self.global_book = Codebook(c.global_codes, c.code_dim)
        self.detail_book = Codebook(c.detail_codes, c.code_dim)
        self.finer_books = nn.ModuleList(Codebook(c.detail_codes, c.code_dim) for _ in range(c.detail_levels - 1))
        self.spread = nn.Conv2d(c.code_dim, c.code_dim, 3, padding=1)

    @property
    def detail_books(self) -> list[Codebook]:
        """Of all levels, the coarsest first."""
        return [self.detail_book, *self.finer_books]  # type: ignore[list-item]

    def up(self, glob: Tensor) -> Tensor:
        """Global vectors (B, E, g/2, g/2) on the detail grid (B, E, g, g)."""
        return self.spread(F.interpolate(glob, scale_factor=2.0, mode="nearest"))

    def base(self, zg: Tensor, learn: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Global features → what they give to the detail grid, their loss, their codes."""
        if not self.config.dual:
            B, E, h, w = zg.shape
            return zg.new_zeros(B, E, 2 * h, 2 * w), zg.new_zeros(()), zg.new_zeros(B, 0, dtype=torch.long)
        q = self.global_book(zg, learn)
        return self.up(q.z), q.loss, q.codes

    def details(self, residual: Tensor, learn: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Residual features (B, E, g, g) → their quantised selves, loss, codes (B, levels, g, g)."""
        left, codes = residual.detach(), []
        for book in self.detail_books:
            q = book(left, learn)
            left = left - book.look_up(q.codes).to(left.dtype)
            codes.append(q.codes)
        z = residual.detach() - left
        return residual + (z - residual).detach(), F.mse_loss(residual, z), torch.stack(codes, 1)

    def forward(self, x: Tensor, text_BD: Tensor, *, learn: bool = False, quantise: bool = True) -> Forward:
        zg, zd = self.encoder(x)
        if not quantise:
            up = self.up(zg) if self.config.dual else torch.zeros_like(zd)
            empty = x.new_zeros(0, dtype=torch.long)
            return Forward(self.generator(up + (zd - up.detach()), text_BD), x.new_zeros(()), Codes(empty, empty))
        base, loss_g, codes_g = self.base(zg, learn)
        detail, loss_d, codes_d = self.details(zd - base.detach(), learn)
        return Forward(self.generator(base + detail, text_BD), loss_d + loss_g, Codes(codes_g, codes_d))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Codes:
        zg, zd = self.encoder(x)
        base, _, codes_g = self.base(zg, learn=False)
        return Codes(codes_g, self.details(zd - base, learn=False)[2])

    def z_final(self, glob: Tensor, detail: Tensor) -> Tensor:
        """Eq. 10: global codes (B, g/2, g/2) and detail vectors (B, E, g, g) → z_final (B, E, g, g)."""
        return self.up(self.global_book.look_up(glob)) + detail if self.config.dual else detail

    def detail_vectors(self, codes: Tensor) -> Tensor:
        """Codes (B, levels, g, g) → the sum of their vectors (B, E, g, g)."""
        vectors = self.detail_book.look_up(codes[:, 0])
        for level, book in enumerate(self.detail_books[1:], 1):
            vectors = vectors + book.look_up(codes[:, level])
        return vectors

    def decode(self, codes: Codes, text_BD: Tensor) -> Tensor:
        return self.generator(self.z_final(codes.glob, self.detail_vectors(codes.detail)), text_BD)

    @torch.no_grad()
    def start(self, pictures: Iterable[Tensor]) -> None:
        """k-means over the features, book after book: each over what the books before it leave."""
        features = [self.encoder(x) for x in pictures]
        glob, detail = (torch.cat([f[i] for f in features]) for i in (0, 1))
        if self.config.dual:
            self.global_book.start(_points(glob))
        self.start_details(glob, detail, self.detail_books)

    @torch.no_grad()
    def start_details(self, glob: Tensor, detail: Tensor, fresh: list[Codebook]) -> None:
        """Start the books in `fresh` on features (N, E, …), leaving the others as they are."""
        left = detail - self.base(glob, learn=False)[0]
        for book in self.detail_books:
            if book in fresh:
                book.start(_points(left))
            left = left - book.look_up(book(left).codes)


def _points(z: Tensor) -> Tensor:
    """(B, E, H, W) → (N, E)."""
    return z.permute(0, 2, 3, 1).reshape(-1, z.shape[1])
