"""Restore and edit pictures of any size with the painter.

    from danqing.editing import Editor
    Editor.load().restore(picture, hole, "misty mountains, freehand", seed=7)

The model works on squares of its own size; a larger picture is handled in a square window around the hole, and every
byte outside the hole stays as it was. Who paints the squares is a function: onnxruntime here, PyTorch in training
(`danqing.models.restore.squares`), a server (`serving.client`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from danqing import package
from danqing.errors import DanqingError
from danqing.package import Package, champion
from danqing.paint import check_guidance, check_seed
from danqing.wordpieces import WordPieces

SIDES = ("left", "right", "up", "down")
GRID = 16
"""Patches a side of which `revise` paints some anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How freely a hole is filled."""

    guidance: float
    temperature: float


RESTORING = Manner(guidance=1.0, temperature=0.3)
"""For what is lost, the likeliest is wanted, and the picture says more than the words; for new things, variety."""

Squares = Callable[[np.ndarray, np.ndarray, Sequence[str], Sequence[int], Manner], np.ndarray]
"""pictures (N, S, S, 3) uint8, holes (N, S, S) bool, N prompts, N seeds → the pictures with the holes painted anew."""


class Editor:
    def __init__(self, squares: Squares, size: int, manner: Manner, version: str = "") -> None:
        """size: side of the model's squares, pixels. version: which model it is, for the pictures' notes."""
        self.squares, self.size, self.manner, self.version = squares, size, manner, version

    @classmethod
    def load(cls, path: Path | None = None, manner: Manner | None = None) -> Editor:
        """From the package in the folder `path`, else the champion of this workspace, else the model in the box.

        manner: None takes the model's own, for new things.
        """
        model = Package.read(champion() if path is None else path)
        return cls(_graph(model), model.size, manner or manner_of(model), model.version)

    def restore(
        self, picture: np.ndarray, hole: np.ndarray, prompt: str, *, seed: int = 0, guidance: float | None = None
    ) -> np.ndarray:
        """picture uint8 (H, W, 3) with the part `hole` (H, W) bool painted anew as `prompt` says."""
        check(picture, hole)
        manner = self.manner if guidance is None else replace(self.manner, guidance=check_guidance(guidance))
        top, left, side = window(hole, self.size)
        part = (slice(top, top + side), slice(left, left + side))
        known = picture[part]
        if side < self.size:  # enlarging blends neighbours: nothing of what is lost may come into what is known
            known = _filled(known, hole[part])
        small = _resized(known, self.size)
        # As a float: bytes would round a thin scratch away.
        marked = Image.fromarray(hole[part].astype(np.float32)).resize((self.size,) * 2, Image.Resampling.BOX)
        small_hole = np.asarray(marked) > 0
        painted = self.squares(small[None], small_hole[None], [prompt], [check_seed(seed)], manner)[0]
        result = picture.copy()
        inside = hole[part]
        result[part][inside] = _resized(painted, side)[inside]
        return result

    def revise(
        self, picture: np.ndarray, prompt: str, *, strength: float = 0.5, seed: int = 0, guidance: float | None = None
    ) -> np.ndarray:
        """The same picture, nearer to `prompt`: the share `strength` of its patches is painted anew, spread evenly."""
        if not 0 < strength <= 1:
            raise DanqingError(f"the strength is {strength}: above 0 (nothing changes) and at most 1 (all is new)")
        hole = patches(picture.shape[0], picture.shape[1], GRID, strength, seed)
        return self.restore(picture, hole, prompt, seed=seed, guidance=guidance)

    def extend(
        self, picture: np.ndarray, prompt: str, *, side: str, share: float = 0.5, seed: int = 0,
        guidance: float | None = None,
    ) -> np.ndarray:  # fmt: skip
        """The picture, longer by `share` of its short side towards `side`: the scene goes on there."""
        if side not in SIDES:
            raise DanqingError(f"the side is {side!r}: use one of {', '.join(SIDES)}")
        if not 0 < share <= 0.75:
            raise DanqingError(f"the share is {share}: above 0 and at most 0.75, to leave enough of the scene in sight")
        height, width = picture.shape[:2]
        more = max(1, round(share * min(height, width)))
        pads = {"left": ((0, 0), (more, 0)), "right": ((0, 0), (0, more)),
                "up": ((more, 0), (0, 0)), "down": ((0, more), (0, 0))}[side]  # fmt: skip
        canvas = np.pad(picture, (*pads, (0, 0)), mode="edge")
        hole = np.pad(np.zeros((height, width), bool), pads, constant_values=True)
        return self.restore(canvas, hole, prompt, seed=seed, guidance=guidance)


def check(picture: np.ndarray, hole: np.ndarray) -> None:
    """Raises DanqingError where picture and hole do not fit each other."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise DanqingError(f"a picture must be uint8 of shape (height, width, 3), not {picture.dtype} {picture.shape}")
    if hole.shape != picture.shape[:2]:
        size = " x ".join(map(str, hole.shape[::-1]))
        raise DanqingError(f"the mask is {size}, the picture {picture.shape[1]} x {picture.shape[0]}: same size needed")
    if not hole.any():
        raise DanqingError("the mask marks nothing: paint white what is to be painted anew")


def window(hole: np.ndarray, size: int) -> tuple[int, int, int]:
    """(top, left, side) of a square around the hole with as much of the picture again around it.

    Raises DanqingError where the hole is longer than the picture's short side: no square holds it.
    """
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
    short = min(hole.shape)
    if max(height, width) > short:
        raise DanqingError(
            f"the marked part is {width} x {height} pixels, longer than the picture's short side ({short}); "
            "restore it in parts"
        )
    side = min(short, max(2 * max(height, width), size))
    top = int(np.clip(rows[0] + height // 2 - side // 2, 0, hole.shape[0] - side))
    left = int(np.clip(columns[0] + width // 2 - side // 2, 0, hole.shape[1] - side))
    return top, left, side


def patches(height: int, width: int, grid: int, share: float, seed: int) -> np.ndarray:
    """bool (H, W): about `share` of the patches of a grid over the picture's middle square, at random."""
    count = round(share * grid * grid)
    chosen = np.zeros(grid * grid, np.uint8)
    chosen[np.random.default_rng(seed).permutation(grid * grid)[: max(1, count)]] = 1
    side = min(height, width)
    square = np.asarray(Image.fromarray(chosen.reshape(grid, grid)).resize((side, side), Image.Resampling.NEAREST)) > 0
    hole = np.zeros((height, width), bool)
    top, left = (height - side) // 2, (width - side) // 2
    hole[top : top + side, left : left + side] = square
    return hole


def manner_of(model: Package) -> Manner:
    return Manner(guidance=model.guidance, temperature=float(model.decoding["temperature"]))


def _graph(model: Package) -> Squares:
    """By onnxruntime, one square at a time: a seed is a picture, whatever is painted beside it."""
    session = model.session(package.RESTORE)
    pieces = WordPieces(model.text_length, path=model.folder / package.WORDPIECES)

    def squares(
        pictures: np.ndarray, holes: np.ndarray, prompts: Sequence[str], seeds: Sequence[int], manner: Manner
    ) -> np.ndarray:
        made = []
        for picture, hole, prompt, seed in zip(pictures, holes, prompts, seeds, strict=True):
            ids, mask = pieces([pieces.check(prompt)])
            feeds = {
                "ids": ids, "mask": mask, "seed": np.array([seed], np.int64),
                "guidance": np.array([manner.guidance], np.float32),
                "temperature": np.array([manner.temperature], np.float32), "image": picture[None], "hole": hole[None],
            }  # fmt: skip
            made.append(np.asarray(session.run(["picture"], feeds)[0])[0])
        return np.stack(made)

    return squares


def _filled(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """uint8 (S, S, 3) with the hole filled from around it: averages of what is known over ever larger windows."""
    known = (~hole)[..., None].astype(np.float64)
    result, missing, radius = picture * known, hole.copy(), 1
    while missing.any() and not hole.all():
        weight = _sums(known, radius)
        here = missing & (weight[..., 0] > 0)
        result[here] = (_sums(picture * known, radius) / np.maximum(weight, 1))[here]
        missing &= ~here
        radius *= 2
    return result.round().astype(np.uint8)


def _sums(values: np.ndarray, radius: int) -> np.ndarray:
    """(H, W, C): sums over squares of 2 · radius + 1, zeros beyond the edge."""
    for axis in (0, 1):
        pads = [(0, 0)] * 3
        pads[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(values, pads), axis=axis)
        size = values.shape[axis]
        ends = np.take(total, range(2 * radius + 1, 2 * radius + 1 + size), axis=axis)
        values = ends - np.take(total, range(size), axis=axis)
    return values


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    how = Image.Resampling.BOX if side < picture.shape[0] else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize((side, side), how))
