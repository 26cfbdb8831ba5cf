"""A procedural Chinese ink painter: a seeded scene, its picture, and a caption that is true of it.

`compose` and `caption` need only numpy; OpenCV is loaded on the first call of `paint`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from danqing.data.brush.captions import caption
from danqing.data.brush.compose import compose
from danqing.data.brush.scene import Element, Scene
from danqing.data.brush.vocab import MAINS

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MAINS", "Element", "Scene", "caption", "compose", "paint"]


def paint(scene: Scene, size: int = 128) -> np.ndarray:
    """The picture of `scene` as uint8 RGB of shape (size, size, 3); the same bytes every time."""
    from danqing.data.brush.painter import paint as _paint  # OpenCV loads only when something is painted

    return _paint(scene, size)
