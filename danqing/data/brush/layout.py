"""Where things stand: boxes for the main element and, in the room it leaves, for everything else."""

from __future__ import annotations

import numpy as np

from danqing.data.brush.recipes import Recipe
from danqing.data.brush.scene import Element

Box = tuple[float, float, float, float]

# Width, top and bottom of secondary elements; those that stand on the ground end near the lower edge.
_SIZES: dict[str, tuple[float, float, float]] = {
    "moon": (0.15, 0.07, 0.22),
    "sun": (0.15, 0.07, 0.22),
    "geese": (0.27, 0.09, 0.23),
    "boat": (0.21, 0.83, 0.955),
    "rock": (0.29, 0.76, 0.95),
    "reeds": (0.22, 0.7, 0.97),
    "bridge": (0.32, 0.85, 0.96),
    "pine": (0.26, 0.66, 0.94),
    "bare_tree": (0.26, 0.64, 0.94),
    "willow": (0.34, 0.34, 0.93),
    "bamboo": (0.22, 0.36, 0.95),
    "hut": (0.22, 0.78, 0.93),
    "pagoda": (0.11, 0.6, 0.9),
    "figure": (0.12, 0.7, 0.94),
    "orchid": (0.3, 0.74, 0.95),
    "plum": (0.34, 0.05, 0.4),
    "lotus": (0.3, 0.68, 0.96),
    "bird": (0.22, 0.1, 0.28),
    "fish": (0.24, 0.84, 0.97),
    "inscription": (0.055, 0.3, 0.58),
    "seal": (0.055, 0.645, 0.7),
}
# The share of its box that each kind inks, measured over many pictures; 0.5 where not listed.
_FILL = {
    "mountain": 0.65,
    "mist": 0.0,
    "water": 0.15,
    "boat": 0.6,
    "bare_tree": 0.45,
    "bird": 0.6,
    "fish": 0.46,
    "bamboo": 0.6,
    "orchid": 0.42,
    "figure": 0.65,
    "lotus": 0.6,
    "hut": 0.8,
    "pagoda": 0.7,
    "pine": 0.65,
}


def box(x0: float, y0: float, x1: float, y1: float) -> Box:
    """A box kept inside the picture and rounded, so that a scene reads the same after a trip through JSON."""
    a, b, c, d = (round(float(min(max(v, 0.0), 1.0)), 4) for v in (x0, y0, x1, y1))
    return a, b, c, d


def main_box(rng: np.random.Generator, main: str, recipe: Recipe, composition: str, place: str, count: int) -> Box:
    """The box of the main element: large, and set off to the side that `place` names."""
    width, height = recipe.size
    base = recipe.base + rng.uniform(-0.02, 0.02)
    scale = rng.uniform(0.88, 1.06)
    if main == "mountain":
        if composition == "level distance":
            height *= 0.66
            base -= 0.08
        elif composition in ("one-corner", "diagonal"):
            width *= 0.82
        else:
            height = min(height * 1.06, 0.84)
    elif composition == "one-corner":
        scale *= 0.92
    elif composition == "deep distance":
        base += 0.04
    width, height = min(width * scale, 0.96), min(height * scale, 0.92)
    if main in ("figure", "boat") and count > 1:
        width = min(width * 1.45, 0.9)
    elif main == "fish" and count == 1:
        height *= 0.72
        base -= 0.1
    shift = {"left": -1.0, "right": 1.0, "centre": 0.0}[place]
    room = (1.0 - width) / 2
    centre = 0.5 + shift * room * rng.uniform(0.65, 0.95) + (1 - abs(shift)) * rng.uniform(-0.2, 0.2) * room
    x0 = min(max(centre - width / 2, 0.015), 0.985 - width)
    y0 = min(max(base - height, 0.03), 0.97 - height)
    return box(x0, y0, x0 + width, y0 + height)


def extras(rng: np.random.Generator, main: Element, kinds: list[str]) -> list[Element]:
    """Secondary elements, each where it overlaps the main one and its fellows least."""
    placed: list[Element] = []
    for kind in dict.fromkeys(kinds):
        placed.append(_broad(rng, kind, main) or _small(rng, kind, main, placed))
    return placed


def _broad(rng: np.random.Generator, kind: str, main: Element) -> Element | None:
    """Elements that run across the picture, or belong on the main one."""
    x0, y0, x1, y1 = main.box
    if kind == "mist":
        top = rng.uniform(0.45, 0.62)
        return Element(kind=kind, box=box(0.0, top, 1.0, top + 0.16))
    if kind == "water":
        return Element(kind=kind, box=box(0.03, max(0.86, min(y1, 0.9)), 0.97, 0.985), place="near")
    if kind == "mountain":
        top = rng.uniform(0.16, 0.24)
        return Element(kind=kind, box=box(0.0, top, 1.0, top + 0.3), place="far")
    if kind == "waterfall":
        middle = (x0 + x1) / 2 + rng.uniform(-0.12, 0.12)
        top = y0 + 0.42 * (y1 - y0)
        return Element(kind=kind, box=box(middle - 0.045, top, middle + 0.045, top + 0.34 * (y1 - y0)))
    return None


def _small(rng: np.random.Generator, kind: str, main: Element, placed: list[Element]) -> Element:
    heart = _heart(main)
    best: tuple[float, Box] | None = None
    for attempt in range(14):
        width, top, bottom = _SIZES[kind]
        small = attempt > 8 and kind not in ("inscription", "seal")
        if small:  # no room at full size: try it smaller, still on its ground line
            width, top = 0.72 * width, bottom - 0.72 * (bottom - top)
        x = rng.uniform(0.025, 0.975 - width)
        # Keep to a side: the middle of the picture belongs to the main element.
        x = 0.025 + (x - 0.025) * 0.45 if x + width / 2 < 0.5 else 0.975 - width - (0.975 - width - x) * 0.45
        drop = rng.uniform(-0.02, 0.02)
        if kind in ("inscription", "seal"):
            drop = rng.uniform(-0.24, 0.2 if kind == "seal" else 0.1)
        spot = box(x, top + drop, x + width, bottom + drop)
        cost = 1.0 * _overlap(spot, heart) + sum(1.6 * _overlap(spot, e.box) for e in placed if e.kind != "mist")
        cost += (
            (0.6 if kind in ("inscription", "seal") else 0.15) * _overlap(spot, main.box)
            + 0.1 * abs(drop) * (kind in ("inscription", "seal"))
            + 0.06 * small
        )
        if best is None or cost < best[0]:
            best = (cost, spot)
    assert best is not None
    side = "left" if best[1][0] + best[1][2] < 1.0 else "right"
    count = int(rng.integers(3, 8)) if kind == "geese" else 1
    return Element(kind=kind, box=best[1], count=count, place=side)


def _heart(main: Element) -> Box:
    """The inner part of the main box, which must stay clear."""
    x0, y0, x1, y1 = main.box
    w, h = x1 - x0, y1 - y0
    if main.kind == "mountain":  # its foot is mist and may be built on
        return x0 + 0.08 * w, y0, x1 - 0.08 * w, y1 - 0.22 * h
    return x0 + 0.1 * w, y0 + 0.08 * h, x1 - 0.1 * w, y1


def _overlap(a: Box, b: Box) -> float:
    """The fraction of box `a` that `b` covers."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    area = (a[2] - a[0]) * (a[3] - a[1])
    return w * h / area if w > 0 and h > 0 and area > 0 else 0.0


def white_space(elements: list[Element], category: str) -> float:
    """The target for blank ground: each box counts by how densely its kind is usually inked."""
    inked = 0.0
    for e in elements:
        x0, y0, x1, y1 = e.box
        inked += (x1 - x0) * (y1 - y0) * _FILL.get(e.kind, 0.5)
    return round(float(min(max(1.0 - inked * (0.55 if category == "sketch" else 0.9), 0.2), 0.95)), 3)
