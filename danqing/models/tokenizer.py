"""Stage 1, the improved VQGAN: a picture ↔ a small grid of global codes and a finer grid of detail codes.

The two codebooks of Eq. 10 are coarse and residual: the global code says what a patch of 2 x 2 positions is about,
the detail code says what is missing to the features. Independent codebooks would double what the painter has to guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from danqing import config, files
from danqing.config import TokenizerModel
from danqing.errors import StorageError
from danqing.models.encoder import Encoder
from danqing.models.generator import Generator
from danqing.models.quantise import Codebook


class Codes(NamedTuple):
    glob: Tensor
    """(B, g/2, g/2) int64."""
    detail: Tensor
    """(B, g, g) int64."""


class Forward(NamedTuple):
    x: Tensor
    loss: Tensor
    codes: Codes


class Tokenizer(nn.Module):
    def __init__(self, c: TokenizerModel, code_decay: float = 0.99) -> None:
        super().__init__()
        self.config = c
        self.grid = c.size // c.stride
        self.encoder, self.generator = Encoder(c), Generator(c)
        self.global_book = Codebook(c.global_codes, c.code_dim, code_decay)
        self.detail_book = Codebook(c.detail_codes, c.code_dim, code_decay)
        self.spread = nn.Conv2d(c.code_dim, c.code_dim, 3, padding=1)

    def up(self, glob: Tensor) -> Tensor:
        """Global vectors (B, E, g/2, g/2) on the detail grid (B, E, g, g)."""
        if not self.config.dual:
            return F.interpolate(torch.zeros_like(glob), scale_factor=2.0)
        return self.spread(F.interpolate(glob, scale_factor=2.0, mode="nearest"))

    def forward(self, x: Tensor, text_BD: Tensor, *, learn: bool = False, quantise: bool = True) -> Forward:
        """Reconstruct x (B, 3, S, S) given the pooled sentences (B, text_dim). learn: move the codebooks too."""
        zg, zd = self.encoder(x)
        if not quantise:
            nothing = x.new_zeros((), requires_grad=False)
            empty = Codes(x.new_zeros(0, dtype=torch.long), x.new_zeros(0, dtype=torch.long))
            return Forward(self.generator(self.up(zg) + (zd - self.up(zg).detach()), text_BD), nothing, empty)
        qg = self.global_book(zg, learn and self.config.dual)
        base = self.up(qg.z)
        qd = self.detail_book(zd - base.detach(), learn)
        x_hat = self.generator(base + qd.z, text_BD)
        loss = qd.loss + (qg.loss if self.config.dual else 0.0)
        return Forward(x_hat, loss, Codes(qg.codes, qd.codes))

    @torch.no_grad()
    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the codebooks see, (N, E) each: global features, and detail features after the global codes."""
        zg, zd = self.encoder(x)
        residual = zd - self.up(self.global_book(zg).z)
        return tuple(z.permute(0, 2, 3, 1).reshape(-1, z.shape[1]) for z in (zg, residual))  # type: ignore[return-value]

    @torch.no_grad()
    def encode(self, x: Tensor) -> Codes:
        zg, zd = self.encoder(x)
        qg = self.global_book(zg)
        return Codes(qg.codes, self.detail_book(zd - self.up(qg.z)).codes)

    def z_final(self, glob: Tensor, detail: Tensor) -> Tensor:
        """Eq. 10: code vectors (B, E, g/2, g/2) and (B, E, g, g) → z_final (B, E, g, g)."""
        return self.up(glob) + detail

    def decode(self, codes: Codes, text_BD: Tensor) -> Tensor:
        """Codes and pooled sentences (B, text_dim) → x (B, 3, S, S)."""
        z = self.z_final(self.global_book.look_up(codes.glob), self.detail_book.look_up(codes.detail))
        return self.generator(z, text_BD)

    def save(self, folder: Path, half: bool = False) -> None:
        save_model(self, folder, "tokenizer", config.as_dict(self.config), half)

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        settings, state = load_model(folder, "tokenizer")
        model = cls(config.build(TokenizerModel, settings, f"{folder}/tokenizer.json"))
        model.load_state_dict(state)
        return model.eval()


def save_model(model: nn.Module, folder: Path, name: str, settings: Mapping[str, object], half: bool) -> None:
    """`name`.safetensors and `name`.json in `folder`; half: floats in half precision."""
    state = model.state_dict()
    if half:
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    files.write_tensors(Path(folder) / f"{name}.safetensors", state)
    files.write_json(Path(folder) / f"{name}.json", settings)


def load_model(folder: Path, name: str) -> tuple[dict[str, object], dict[str, Tensor]]:
    """Settings and float32 weights of the model `name` in `folder`."""
    path = Path(folder) / f"{name}.safetensors"
    if not path.is_file():
        raise StorageError(f"{path}: no such model; train it first (danqing train-{name.replace('_', '-')})")
    settings = files.read_json(Path(folder) / f"{name}.json")
    try:
        state = load_file(path)
    except Exception as error:  # noqa: BLE001 - safetensors raises its own class for a damaged file
        raise StorageError(f"{path}: not a whole safetensors file ({error}); train or fetch it again") from None
    return settings, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
