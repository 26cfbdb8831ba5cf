"""Where a picture comes from: the nearest of the works that a model was trained on.

A picture becomes one vector of what it shows and how it is laid out: a small picture of its tones, directions of its
lines in 4 x 4 fields (Dalal & Triggs 2005), and its colours. That finds a copied work, cropped, faded or recoloured a
little, without a network; it is no judge of style. Needs numpy and Pillow only, so that a gateway can ask it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from danqing import files
from danqing.errors import StorageError

VECTORS, WORKS = "works.safetensors", "works.json"
COPY = 0.9
"""From here on a picture counts as a copy. Of the 300 works of the model in the box 95 % come nearer to themselves when
its tokenizer, a poor JPEG or half the colour changes them; 68 other museum works reach 0.78, brush pictures 0.86."""
_SIDE, _FIELDS, _DIRECTIONS, _TONES = 64, 4, 8, 12
_WEIGHTS = {"tones": 0.4, "lines": 0.4, "colours": 0.2}


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A picture that a model was trained on."""

    id: str
    title: str
    institution: str
    licence: str
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    work: Work
    similarity: float
    """Cosine, at most 1."""


def describe(pictures_NHWC: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 pictures of any size → unit vectors (N, D), float32."""
    return np.stack([_describe(picture) for picture in pictures_NHWC])


def _describe(picture_HWC: np.ndarray) -> np.ndarray:
    small = np.asarray(Image.fromarray(picture_HWC).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32) / 255
    grey = small @ np.array([0.299, 0.587, 0.114], np.float32)
    tones = np.asarray(Image.fromarray(grey).resize((_TONES, _TONES), Image.Resampling.BOX))
    dy, dx = np.gradient(grey)
    strength, turn = np.hypot(dx, dy), np.arctan2(dy, dx) % np.pi  # a line has no front and no back
    direction = np.minimum((turn / np.pi * _DIRECTIONS).astype(int), _DIRECTIONS - 1)
    field = np.arange(_SIDE) * _FIELDS // _SIDE
    cell = (field[:, None] * _FIELDS + field[None, :]) * _DIRECTIONS + direction
    lines = np.sqrt(np.bincount(cell.ravel(), strength.ravel(), _FIELDS * _FIELDS * _DIRECTIONS))
    warm, cold = small[..., 0] - small[..., 2], small[..., 1] - small[..., 0]
    bins = [np.linspace(-0.3, 0.5, 9), np.linspace(-0.3, 0.3, 9)]
    colours = np.sqrt(np.histogram2d(np.clip(warm.ravel(), -0.3, 0.5), np.clip(cold.ravel(), -0.3, 0.3), bins)[0])
    parts = {"tones": tones - tones.mean(), "lines": lines - lines.mean(), "colours": colours - colours.mean()}
    return np.concatenate([np.sqrt(_WEIGHTS[name]) * _unit(part.ravel()) for name, part in parts.items()])


def _unit(vector: np.ndarray) -> np.ndarray:
    return (vector / max(float(np.linalg.norm(vector)), 1e-6)).astype(np.float32)


class Works:
    """The works that a model was trained on, to be asked for the nearest."""

    def __init__(self, works: Sequence[Work], vectors_ND: np.ndarray) -> None:
        self.works, self._vectors = tuple(works), np.asarray(vectors_ND, np.float32)

    @classmethod
    def load(cls, folder: Path) -> Works | None:
        """From a package; None where it has none: it was trained on pictures that nobody painted."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if not (folder / WORKS).is_file():
            return None
        try:
            works = [Work(**row) for row in files.read_json(folder / WORKS)]
            vectors = load_file(folder / VECTORS)["vectors"]
        except (TypeError, KeyError, OSError, SafetensorError) as error:
            raise StorageError(f"{folder / WORKS}: cannot be read ({error}); export the package again") from error
        if len(works) != len(vectors):
            raise StorageError(f"{folder}: {len(works)} works but {len(vectors)} vectors; export the package again")
        return cls(works, vectors)

    def nearest(self, picture_HWC: np.ndarray, count: int = 3) -> list[Near]:
        """The most similar works first, mirrored ones too: trainings mirror what they see."""
        both = describe([picture_HWC, picture_HWC[:, ::-1]])
        similarity = (self._vectors @ both.T).max(1)
        return [Near(work=self.works[i], similarity=float(similarity[i])) for i in np.argsort(-similarity)[:count]]


def write(pictures: Sequence[np.ndarray], rows: Sequence[Mapping[str, object]], out: Path) -> int:
    """Index works into `out`; returns how many. rows: source, id, title, institution, licence and source_url of each.

    What the brush painted is nobody's work, and is left out; without any work nothing is written.
    """
    from safetensors.numpy import save

    kept = [i for i, row in enumerate(rows) if row["source"] != "brush"]
    if not kept:
        return 0
    names = {"id": "id", "title": "title", "institution": "institution", "licence": "licence", "url": "source_url"}
    works = [{ours: str(rows[i][theirs] or "") for ours, theirs in names.items()} for i in kept]
    vectors = describe([pictures[i] for i in kept]).astype(np.float16)
    files.write_json(out / WORKS, works)
    files.write_bytes(out / VECTORS, save({"vectors": vectors}))
    return len(kept)
