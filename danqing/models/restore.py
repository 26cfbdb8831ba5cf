"""Paint into a picture: what is known keeps its codes, what is not is decoded anew around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing.config import Decoding
from danqing.editing import Manner, Squares
from danqing.models import families
from danqing.models.generate import Generator, Known
from danqing.models.painter import StackedDecoder
from danqing.models.pixels import to_float, to_uint8
from danqing.models.text import TextEncoder
from danqing.models.tokenizer import Tokenizer


class Restorer(nn.Module):
    """ids, mask (B, L), seed, guidance, temperature (B,), image (B, S, S, 3), hole (B, S, S) bool → picture.

    The codes of positions that the hole touches are sampled by masked decoding, with the others in sight. Outside the
    hole the picture is returned as it came, byte for byte.
    """

    def __init__(self, text: TextEncoder, tokenizer: Tokenizer, painter: StackedDecoder, decoding: Decoding) -> None:
        super().__init__()
        self.generator = Generator(text, tokenizer, painter, decoding, encodes=True)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def load(cls, tokenizer: Path, painter: Path, decoding: Decoding) -> Restorer:
        decoder = StackedDecoder.load(painter)
        return cls(TextEncoder(decoder.config.text_length), families.load(tokenizer), decoder, decoding)

    def forward(
        self, ids_BL: Tensor, mask_BL: Tensor, seed_B: Tensor, guidance_B: Tensor, temperature_B: Tensor,
        image_BSSC: Tensor, hole_BSS: Tensor,
    ) -> Tensor:  # fmt: skip
        text = self.generator.text(ids_BL, mask_BL)
        known = self.known(image_BSSC, hole_BSS)
        codes = self.generator.codes(text, mask_BL, seed_B, guidance_B, known, temperature_B)
        painted = self.generator.picture(codes, text, mask_BL)
        return blend(painted, image_BSSC, hole_BSS)

    def known(self, image_BSSC: Tensor, hole_BSS: Tensor) -> Known:
        """Codes of the picture, and which of them the hole leaves alone.

        A detail code goes if the hole touches its patch; a global code only if most of its patch lies in the hole.
        """
        tokenizer = self.generator.tokenizer
        t = tokenizer.config
        hole = hole_BSS[:, None].float()
        codes = tokenizer.encode(fill(to_float(image_BSSC), hole))
        touched = F.max_pool2d(hole, t.stride).flatten(1) > 0
        glob = codes.glob.flatten(1)
        lost = torch.zeros_like(glob, dtype=torch.bool)
        if t.global_grid:
            lost = F.avg_pool2d(hole, 2 * t.stride).flatten(1) > 0.5
        return Known(glob, codes.detail.flatten(2), ~lost, ~touched)


def squares(restorer: Restorer) -> Squares:
    """What `danqing.editing.Editor` needs, by PyTorch and in one batch."""
    where, pieces = restorer.generator.device, restorer.generator.text.pieces

    @torch.inference_mode()
    def paint(
        pictures: np.ndarray, holes: np.ndarray, prompts: Sequence[str], seeds: Sequence[int], manner: Manner
    ) -> np.ndarray:
        ids, mask = (torch.from_numpy(a).to(where) for a in pieces(list(prompts)))
        count = len(prompts)
        return restorer(
            ids, mask, torch.tensor(list(seeds), device=where), torch.full((count,), manner.guidance, device=where),
            torch.full((count,), manner.temperature, device=where),
            torch.tensor(pictures).to(where), torch.from_numpy(holes).to(where),
        ).cpu().numpy()  # fmt: skip

    return paint


def fill(x: Tensor, hole_B1SS: Tensor, octaves: int = 6) -> Tensor:
    """x (B, 3, S, S) with the hole filled smoothly from what lies around it, so that it does not disturb the encoder.

    Averages of the known pixels over ever larger windows: the smallest window that knows anything is taken.
    """
    known = 1 - hole_B1SS
    result = x * known
    missing = hole_B1SS
    for octave in range(1, octaves + 1):
        window = 2 ** (octave + 1) + 1
        weight = F.avg_pool2d(known, window, 1, window // 2)
        mean = F.avg_pool2d(x * known, window, 1, window // 2) / weight.clamp(min=1e-6)
        here = missing * (weight > 1e-4)
        result = result + mean * here
        missing = missing - here
    return result


def blend(painted: Tensor, image: Tensor, hole_BSS: Tensor) -> Tensor:
    """uint8 (B, S, S, 3): what is painted in the hole, its tone carried over from the picture around, without a seam.

    Where the picture is known, what was painted there differs from it by some tone; that difference, continued
    smoothly into the hole, is taken off what was painted (the idea of Pérez et al. 2003, by averages).
    """
    hole = hole_BSS[:, None].float()
    x, y = to_float(painted), to_float(image)
    return torch.where(hole_BSS[..., None], to_uint8(x + fill(y - x, hole)), image)
