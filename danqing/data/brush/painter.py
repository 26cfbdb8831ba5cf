"""Painting a scene: ground, then each element from far to near, then seal and sizing down."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from danqing.data.brush import (
    birds,
    boats,
    buildings,
    figures,
    fishes,
    flowers,
    grasses,
    landscape,
    manner,
    marks,
    seasons,
    trees,
)
from danqing.data.brush.ground import make_ground
from danqing.data.brush.ink import Canvas, Hand, style_of
from danqing.data.brush.scene import Element, Scene

Draw = Callable[[Hand, Element, Scene], None]

DRAW: dict[str, Draw] = {
    "mountain": landscape.mountain,
    "mist": landscape.mist,
    "water": landscape.water,
    "moon": landscape.moon,
    "sun": landscape.sun,
    "rock": landscape.rock,
    "waterfall": landscape.waterfall,
    "pine": trees.pine,
    "bare_tree": trees.bare_tree,
    "willow": trees.willow,
    "bamboo": grasses.bamboo,
    "orchid": grasses.orchid,
    "reeds": grasses.reeds,
    "plum": flowers.plum,
    "lotus": flowers.lotus,
    "bird": birds.bird,
    "geese": birds.geese,
    "fish": fishes.fish,
    "boat": boats.boat,
    "hut": buildings.hut,
    "pagoda": buildings.pagoda,
    "bridge": buildings.bridge,
    "figure": figures.figure,
    "inscription": marks.inscription,
    "seal": marks.seal,
}

# Far things first. The main element comes after its background and before what stands nearer than it.
_DEPTH = {"moon": 0, "sun": 0, "mountain": 1, "geese": 2, "mist": 3, "waterfall": 3, "water": 4, "inscription": 9}
_NEAR = {"seal": 10}


def _depth(element: Element, index: int) -> float:
    if element.kind in _NEAR:
        return _NEAR[element.kind]
    return _DEPTH.get(element.kind, 6 if index else 5)


def paint(scene: Scene, size: int = 128) -> np.ndarray:
    """The picture of `scene`, uint8 RGB (size, size, 3).

    Small pictures are worked at 256 px and sized down, so that a hair line stays a hair line.
    """
    px = max(256, size)
    canvas = Canvas(px)
    style = style_of(scene)
    ground = make_ground(scene.ground, px, np.random.default_rng([scene.seed, 1]))
    seasons.air(Hand(canvas, style, np.random.default_rng([scene.seed, 4])), scene)
    order = sorted(range(len(scene.elements)), key=lambda i: _depth(scene.elements[i], i))
    for i in order:
        element = scene.elements[i]
        # A stream of its own per element: taking one away must leave the others as they were.
        hand = Hand(canvas, style, np.random.default_rng([scene.seed, 2, i]))
        if i == 0:
            manner.beneath(hand, element)
        DRAW[element.kind](hand, element, scene)
        if i == 0:
            manner.upon(hand, element)
    seasons.snow(Hand(canvas, style, np.random.default_rng([scene.seed, 5])), scene)
    picture = canvas.develop(ground)
    if px != size:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
