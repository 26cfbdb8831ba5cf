"""Painting one step of decoding at a time, with a whole picture after each (the graphs of `danqing.models.preview`).

Used in process and inside Triton, which takes this file along: numpy and the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def steps(first: Any, then: Any, asked: Mapping[str, np.ndarray], counts: tuple[int, int]) -> Iterator[np.ndarray]:
    """uint8 (1, S, S, 3) after each step; the last one is what painting in one go gives.

    first, then: onnxruntime sessions of `preview_global` and `preview_detail`. asked: ids, mask, seed and guidance of
    one picture. counts: steps of global and of detail codes.
    """
    shapes = {value.name: value.shape for value in then.get_inputs()}
    glob = np.zeros((1, shapes["glob"][1]), np.int64)
    detail, hidden = np.zeros((1, *shapes["detail"][1:]), np.int64), np.ones((1, shapes["hidden"][1]), bool)
    for number in range(counts[0]):
        feeds = {**asked, "step": np.array([number]), "glob": glob}
        glob, picture = first.run(["new_glob", "picture"], feeds)
        yield picture
    for number in range(counts[1]):
        feeds = {**asked, "step": np.array([number]), "glob": glob, "detail": detail, "hidden": hidden}
        detail, hidden, picture = then.run(["new_detail", "new_hidden", "picture"], feeds)
        yield picture
