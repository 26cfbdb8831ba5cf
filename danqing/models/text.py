"""BERT, as it reads prompts: MiniLM-L6 (384 wide) with the weights that its package ships.

The architecture is written out here, in plain 4-D attention, for two reasons: importing the reference implementation
takes longer than painting a picture, and the encoder becomes a part of the one exported graph. A test holds it
against `transformers.BertModel`. Source: Devlin et al. 2019, https://arxiv.org/abs/1810.04805.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from danqing.wordpieces import WordPieces, minilm


class Layer(nn.Module):
    """Post-norm encoder layer."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out, self.norm1 = nn.Linear(width, width), nn.LayerNorm(width, eps=eps)
        self.up, self.down, self.norm2 = (
            nn.Linear(width, hidden),
            nn.Linear(hidden, width),
            nn.LayerNorm(width, eps=eps),
        )

    def forward(self, x_BLD: Tensor, bias_B11L: Tensor) -> Tensor:
        B, L, D = x_BLD.shape
        q, k, v = (f(x_BLD).view(B, L, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(D // self.heads) + bias_B11L
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, L, D)
        x_BLD = self.norm1(x_BLD + self.out(mixed))
        return self.norm2(x_BLD + self.down(F.gelu(self.up(x_BLD))))


class TextEncoder(nn.Module):
    """Word piece ids and mask (B, L) → features (B, L, 384). Frozen."""

    width = 384

    def __init__(self, length: int = 32, folder: Path | None = None) -> None:
        super().__init__()
        folder = folder or minilm()
        shape = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        width, eps = shape["hidden_size"], shape["layer_norm_eps"]
        self.pieces = WordPieces(length)
        self.words = nn.Embedding(shape["vocab_size"], width)
        self.places = nn.Embedding(shape["max_position_embeddings"], width)
        self.kinds = nn.Embedding(shape["type_vocab_size"], width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.layers = nn.ModuleList(
            Layer(width, shape["num_attention_heads"], shape["intermediate_size"], eps)
            for _ in range(shape["num_hidden_layers"])
        )
        self._load(folder / "model.safetensors")
        self.requires_grad_(False)
        self.eval()

    def file_names(self) -> dict[str, str]:
        """Name of each weight here → its name in the package's safetensors file."""
        names = {
            "words": "embeddings.word_embeddings", "places": "embeddings.position_embeddings",
            "kinds": "embeddings.token_type_embeddings", "norm": "embeddings.LayerNorm",
        }  # fmt: skip
        for i in range(len(self.layers)):
            at = f"encoder.layer.{i}."
            names |= {f"layers.{i}.{n}": f"{at}attention.self.{n}" for n in ("query", "key", "value")}
            names |= {f"layers.{i}.out": f"{at}attention.output.dense", f"layers.{i}.up": f"{at}intermediate.dense",
                      f"layers.{i}.norm1": f"{at}attention.output.LayerNorm", f"layers.{i}.down": f"{at}output.dense",
                      f"layers.{i}.norm2": f"{at}output.LayerNorm"}  # fmt: skip
        split = {own: own.rpartition(".") for own in self.state_dict()}
        return {own: f"{names[module]}.{leaf}" for own, (module, _, leaf) in split.items()}

    def _load(self, path: Path) -> None:
        with safe_open(str(path), "pt") as file:
            self.load_state_dict({own: file.get_tensor(name).float() for own, name in self.file_names().items()})

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        L = ids_BL.shape[1]
        x = self.words(ids_BL) + self.places.weight[:L] + self.kinds.weight[0]
        x = self.norm(x)
        bias_B11L = (1.0 - mask_BL.float())[:, None, None, :] * -1e4
        for layer in self.layers:
            x = layer(x, bias_B11L)
        return x

    @torch.no_grad()
    def read(self, prompts: list[str], batch: int = 64) -> tuple[Tensor, Tensor]:
        """Prompts → (features (B, L, 384), mask (B, L)), on the encoder's device, a batch at a time."""
        device = self.words.weight.device
        features, masks = [], []
        for start in range(0, len(prompts), batch):
            ids, mask = (torch.from_numpy(a).to(device) for a in self.pieces(prompts[start : start + batch]))
            features.append(self(ids, mask))
            masks.append(mask)
        return torch.cat(features), torch.cat(masks)


def pooled(features_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean over the word pieces: the sentence as one vector (B, D), E(SC) of Eq. 8."""
    weight = mask_BL.to(features_BLD.dtype).unsqueeze(-1)
    return (features_BLD * weight).sum(1) / weight.sum(1).clamp(min=1)
