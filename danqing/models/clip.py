"""CLIP (Eq. 12): pictures and prompts as unit vectors whose cosine says how well they match.

The towers are open_clip's own classes, sized by a small JSON config beside this file. Two different ones are used in
the line: the *guide* pulls the painter towards its prompt (Eq. 13), the *judge* only measures. They never swap roles.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from danqing import files
from danqing.errors import ConfigError, DanqingError
from danqing.wordpieces import WordPieces

CONFIGS = Path(__file__).parent / "clip_configs"
_PAD, _UNKNOWN, _START = 0, 1, 2
_BERT_PAD, _BERT_UNKNOWN, _BERT_CLS, _BERT_SEP = 0, 100, 101, 102
_BERT_SIZE = 30_522
Statistics = tuple[float, float, float]
_LEAN: list[Any] = []


@contextmanager
def _borrowed_modules(modules: Mapping[str, types.ModuleType | None]) -> Iterator[None]:
    """Put `modules` under their names for a moment; None makes an import of that name fail."""
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def open_clip_classes() -> tuple[Any, Any]:
    """open_clip's `CLIP` and `ClipLoss`, in hundredths of a second instead of five.

    open_clip's package pulls in transformers, timm and torchvision for towers that we don't build. Its model file
    alone is loaded here, with those three answered as absent; nothing of this stays in `sys.modules`, so that a later
    `import open_clip` gets the whole package. Raises DanqingError when open_clip is not installed.
    """
    if "open_clip" in sys.modules:
        whole = sys.modules["open_clip"]
        return whole.CLIP, whole.ClipLoss
    if not _LEAN:
        spec = importlib.util.find_spec("open_clip")
        if spec is None or not spec.submodule_search_locations:
            raise DanqingError("open_clip is missing: pip install 'danqing[train]'")
        package = types.ModuleType("open_clip")
        package.__path__ = list(spec.submodule_search_locations)
        frozen = types.ModuleType("torchvision.ops.misc")
        frozen.FrozenBatchNorm2d = nn.Identity  # type: ignore[attr-defined] # only for locking towers: never here
        stand_ins: dict[str, types.ModuleType | None] = {
            "open_clip": package, "transformers": None, "timm": None, "torchvision.ops.misc": frozen,
            "torchvision": types.ModuleType("torchvision"), "torchvision.ops": types.ModuleType("torchvision.ops"),
        }  # fmt: skip
        with _borrowed_modules(stand_ins):
            model = importlib.import_module("open_clip.model")
            loss = importlib.import_module("open_clip.loss")
            _LEAN.extend((model.CLIP, loss.ClipLoss))
            for name in [n for n in sys.modules if n.startswith("open_clip.")]:
                del sys.modules[name]
    return _LEAN[0], _LEAN[1]


def read_config(name: str) -> dict[str, Any]:
    """The JSON model config `name` (e.g. "guide-64"), in open_clip's own format without `vocab_size`."""
    path = CONFIGS / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.json")))
        raise ConfigError(f"there is no CLIP config {name!r}: use one of {known}")
    config: dict[str, Any] = files.read_json(path)
    return config


def compact_vocabulary(ids: np.ndarray | Iterable[int]) -> list[int]:
    """The sorted BERT ids among `ids` that stand for words: a corpus uses hundreds of BERT's 30,522."""
    special = {_BERT_PAD, _BERT_UNKNOWN, _BERT_CLS, _BERT_SEP}
    return sorted({int(i) for i in np.asarray(ids).ravel()} - special)


class Clip(nn.Module):
    """An open_clip model with a compact vocabulary.

    config: open_clip's `embed_dim`, `vision_cfg`, `text_cfg`. vocabulary: BERT ids of its words, sorted; every other
    word reads as [UNK]. mean, std: of the training pictures' channels in [-1, 1], to whiten what comes in.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        vocabulary: Sequence[int],
        mean: Statistics = (0.0, 0.0, 0.0),
        std: Statistics = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        model, _ = open_clip_classes()
        text = {**config["text_cfg"], "vocab_size": len(vocabulary) + 4}
        vision = dict(config["vision_cfg"])
        self.net: Any = model(embed_dim=config["embed_dim"], vision_cfg=vision, text_cfg=text)
        self.config, self.vocabulary = dict(config), list(vocabulary)
        self.size, self.embed_dim = int(vision["image_size"]), int(config["embed_dim"])
        self._words = WordPieces(length=int(text["context_length"]))
        # open_clip pools a text at its largest id, so the end-of-text id must be the largest of all.
        table = np.full(_BERT_SIZE, _UNKNOWN, np.int64)
        table[_BERT_PAD], table[_BERT_CLS], table[_BERT_SEP] = _PAD, _START, len(vocabulary) + 3
        table[np.asarray(self.vocabulary, np.int64)] = np.arange(len(vocabulary)) + 3
        self._table = table
        self.mean, self.std = mean, std

    @property
    def device(self) -> torch.device:
        return next(self.net.parameters()).device

    @property
    def scale(self) -> Tensor:
        """The learned inverse temperature of the contrastive softmax, at most 100 as in CLIP."""
        return self.net.logit_scale.clamp(max=float(np.log(100.0))).exp()

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → compact ids, int64 (B, L) on the model's device."""
        ids, _ = self._words(list(prompts))
        return torch.from_numpy(self._table[ids]).to(self.device)

    def image(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) in [-1, 1] → unit vectors (B, E). Differentiable in x; other sizes are resampled."""
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False, antialias=True)
        mean = x.new_tensor(self.mean).view(1, 3, 1, 1)
        std = x.new_tensor(self.std).view(1, 3, 1, 1)
        return self.net.encode_image((x - mean) / std, normalize=True)

    def encode_tokens(self, tokens_BL: Tensor) -> Tensor:
        """Compact ids (B, L) → unit vectors (B, E)."""
        return self.net.encode_text(tokens_BL, normalize=True)

    def text(self, prompts: Sequence[str]) -> Tensor:
        """Prompts, English or in the domain's Chinese terms → unit vectors (B, E)."""
        return self.encode_tokens(self.tokens(prompts))

    def save(self, folder: Path) -> None:
        """Write `clip.safetensors`, `clip.json` and `vocabulary.json` into `folder`."""
        folder = Path(folder)
        files.write_tensors(folder / "clip.safetensors", self.net.state_dict())
        files.write_json(folder / "vocabulary.json", self.vocabulary)
        files.write_json(
            folder / "clip.json", {"format": 1, "model": self.config, "mean": list(self.mean), "std": list(self.std)}
        )

    @classmethod
    def load(cls, folder: Path) -> Clip:
        """The model that `save` wrote, in evaluation mode. Raises StorageError or DanqingError naming the file."""
        folder = Path(folder)
        meta, vocabulary = files.read_json(folder / "clip.json"), files.read_json(folder / "vocabulary.json")
        clip = cls(meta["model"], vocabulary, mean=tuple(meta["mean"]), std=tuple(meta["std"]))
        path = folder / "clip.safetensors"
        try:
            clip.net.load_state_dict(load_file(path))
        except Exception as error:  # safetensors and torch raise several kinds for one user's problem
            raise DanqingError(f"{path}: cannot be loaded ({error}); run train_clip again") from error
        return clip.eval()
