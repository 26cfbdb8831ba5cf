"""What a tokenizer is: a picture ↔ codes. Ours and its rivals are written to this one interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file
from torch import Tensor, nn

from danqing import files, values
from danqing.config import TokenizerModel
from danqing.errors import StorageError


class Codes(NamedTuple):
    glob: Tensor
    """(B, g/2, g/2) int64; (B, 0) from a tokenizer with one codebook."""
    detail: Tensor
    """(B, levels, g, g) int64."""


class Forward(NamedTuple):
    x: Tensor
    """(B, 3, S, S): the reconstruction."""
    loss: Tensor
    """What the quantiser, or the model as a whole, adds to the loss: L_vq of Eq. 14."""
    codes: Codes


class Tokenizer(nn.Module):
    """Base of all tokenizers. `encoder` is the part that painting does not need."""

    encoder: nn.Module

    def __init__(self, c: TokenizerModel) -> None:
        super().__init__()
        self.config = c

    def forward(self, x: Tensor, text_BD: Tensor, *, learn: bool = False, quantise: bool = True) -> Forward:
        """Reconstruct x (B, 3, S, S) given the pooled sentences (B, text_dim).

        learn: move the codebooks too. quantise: False passes the features on as they are, in the first steps.
        """
        raise NotImplementedError

    def encode(self, x: Tensor) -> Codes:
        raise NotImplementedError

    def decode(self, codes: Codes, text_BD: Tensor) -> Tensor:
        """Codes and pooled sentences (B, text_dim) → x (B, 3, S, S)."""
        raise NotImplementedError

    def start(self, pictures: Iterable[Tensor]) -> None:
        """Start the codebooks from pictures (B, 3, S, S); a tokenizer whose paper does not, does nothing."""

    @staticmethod
    def single(codes: Tensor) -> Codes:
        """The codes (B, g, g) of a tokenizer that has one codebook."""
        return Codes(codes.new_zeros(len(codes), 0), codes[:, None])

    def save(self, folder: Path, half: bool = False) -> None:
        save_model(self, folder, "tokenizer", values.as_dict(self.config), half)


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
