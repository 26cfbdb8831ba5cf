"""Restore and edit pictures of any size with the painter.

    from danqing.editing import Editor
    Editor.load().restore(picture, hole, "misty mountains, freehand", seed=7)

The model works on squares of its own size; a larger picture is handled in a square window around the hole, and every
byte outside the hole stays as it was.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from danqing.config import Decoding
from danqing.errors import DanqingError
from danqing.models.pixels import to_float, to_uint8
from danqing.models.restore import Restorer, fill
from danqing.paint import check_guidance, check_seed
from danqing.pretrained import box
from danqing.train.loop import device

RESTORING = Decoding(guidance=1.0, temperature=0.3)
"""For what is lost, the likeliest is wanted, and the picture says more than the words; for new things, variety."""
SIDES = ("left", "right", "up", "down")


class Editor:
    def __init__(self, restorer: Restorer) -> None:
        self.restorer = restorer.to(device())

    @classmethod
    def load(
        cls, tokenizer: Path | None = None, painter: Path | None = None, decoding: Decoding | None = None
    ) -> Editor:
        """From folders that the training steps wrote; the model in the box if not given."""
        return cls(Restorer.load(tokenizer or box(), painter or box(), decoding or Decoding()))

    @property
    def size(self) -> int:
        return self.restorer.tokenizer.config.size

    def restore(
        self, picture: np.ndarray, hole: np.ndarray, prompt: str, *, seed: int = 0, guidance: float | None = None
    ) -> np.ndarray:
        """picture uint8 (H, W, 3) with the part `hole` (H, W) bool painted anew as `prompt` says."""
        check(picture, hole)
        top, left, side = window(hole, self.size)
        part = (slice(top, top + side), slice(left, left + side))
        known = picture[part]
        if side < self.size:  # enlarging blends neighbours: nothing of what is lost may come into what is known
            known = _filled(known, hole[part])
        small = _resized(known, self.size)
        # As a float: bytes would round a thin scratch away.
        small_hole = cv2.resize(hole[part].astype(np.float32), (self.size,) * 2, interpolation=cv2.INTER_AREA) > 0
        painted = self.squares(small[None], small_hole[None], [prompt], [seed], guidance)[0]
        result = picture.copy()
        inside = hole[part]
        result[part][inside] = _resized(painted, side)[inside]
        return result

    @torch.inference_mode()
    def squares(
        self, pictures: np.ndarray, holes: np.ndarray, prompts: list[str], seeds: list[int],
        guidance: float | None = None,
    ) -> np.ndarray:  # fmt: skip
        """The same for pictures (N, S, S, 3) of the model's own size."""
        where, generator = device(), self.restorer.generator
        ids, mask = (torch.from_numpy(a).to(where) for a in generator.text.pieces(prompts))
        strength = check_guidance(generator.decoding.guidance if guidance is None else guidance)
        return (
            self.restorer(
                ids, mask, torch.tensor([check_seed(s) for s in seeds], device=where),
                torch.full((len(prompts),), strength, device=where),
                torch.from_numpy(np.ascontiguousarray(pictures)).to(where), torch.from_numpy(holes).to(where),
            )
            .cpu()
            .numpy()
        )  # fmt: skip

    def revise(
        self, picture: np.ndarray, prompt: str, *, strength: float = 0.5, seed: int = 0, guidance: float | None = None
    ) -> np.ndarray:
        """The same picture, nearer to `prompt`: the share `strength` of its patches is painted anew, spread evenly."""
        if not 0 < strength <= 1:
            raise DanqingError(f"the strength is {strength}: above 0 (nothing changes) and at most 1 (all is new)")
        hole = patches(picture.shape[0], picture.shape[1], self.restorer.tokenizer.config.grid, strength, seed)
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
        pads = {"left": (0, 0, more, 0), "right": (0, 0, 0, more), "up": (more, 0, 0, 0), "down": (0, more, 0, 0)}[side]
        canvas = cv2.copyMakeBorder(picture, *pads, cv2.BORDER_REPLICATE)
        hole = cv2.copyMakeBorder(np.zeros((height, width), np.uint8), *pads, cv2.BORDER_CONSTANT, value=1) > 0
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
    square = cv2.resize(chosen.reshape(grid, grid), (side, side), interpolation=cv2.INTER_NEAREST) > 0
    hole = np.zeros((height, width), bool)
    top, left = (height - side) // 2, (width - side) // 2
    hole[top : top + side, left : left + side] = square
    return hole


def _filled(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    x = to_float(torch.from_numpy(picture.copy())[None])
    return to_uint8(fill(x, torch.from_numpy(hole)[None, None].float()))[0].numpy()


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    shrinking = side < picture.shape[0]
    how = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how))
