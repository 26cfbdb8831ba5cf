"""Robed figures: a scholar with a staff, a fisherman-hermit with a hat, a lady with a fan."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import AZURE, INK, OCHRE, ROUGE, Hand, local
from danqing.data.brush.scene import Element, Scene
from danqing.data.brush.seasons import earth

Box = tuple[float, float, float, float]


def figure(hand: Hand, element: Element, scene: Scene) -> None:
    """One standing figure filling the box, or several side by side."""
    x0, y0, x1, y1 = element.box
    n = max(element.count, 1)
    step = (x1 - x0) / n
    for i in range(n):
        lift = 0.1 * (y1 - y0) * (i % 2)
        _one(hand, (x0 + i * step, y0 + lift, x0 + (i + 1) * step, y1), flip=bool(hand.rng.random() < 0.5))


def _one(hand: Hand, box: Box, flip: bool) -> None:
    rng, st = hand.rng, hand.style
    w, h = box[2] - box[0], box[3] - box[1]
    line = max(0.010 * h / 0.7, 0.0042)
    kind = int(rng.integers(3))  # 0 scholar with a staff, 1 hermit in a broad hat, 2 lady with a fan
    tints = {"colour": (ROUGE, AZURE, OCHRE), "light-crimson": (OCHRE, (120, 128, 138))}.get(st.palette)
    tint = tints[int(rng.integers(len(tints)))] if tints else INK
    earth(hand, (box[0] + box[2]) / 2, box[3] - 0.012, 1.1 * w)
    lean = rng.uniform(-0.12, 0.16)  # upright, or stooping the way he faces
    girth = rng.uniform(0.88, 1.12)

    def at(points: list[list[float]]) -> np.ndarray:
        p = np.array(points, float)
        p[:, 0] = 0.48 + (p[:, 0] - 0.48) * girth + lean * np.maximum(0.9 - p[:, 1], 0) ** 1.5
        return local(box, p, flip)

    if kind != 2:
        staff = hand.mask()
        a, b = at([[0.86, 0.08]]), at([[0.8, 0.99]])
        sk.strokes(
            staff, sk.arcs(a, b, np.array([rng.uniform(-0.04, 0.04)]), 10), 1.5 * line * st.line, 1.0, "even", rng
        )
        hand.ink(staff, 0.9, soft=0)
    robe = sk.curve(
        at(
            [[0.42, 0.24], [0.3, 0.3], [0.24, 0.48], [0.2, 0.72], [0.1, 0.95], [0.3, 0.985], [0.52, 0.97],
             [0.72, 0.985], [0.78, 0.94], [0.68, 0.7], [0.66, 0.48], [0.64, 0.3], [0.52, 0.235], [0.42, 0.24]],
        ),
        60,
    )  # fmt: skip
    hand.solid(robe, (0.8 if tint is not INK else 0.42), tint, line * 1.15, 0.95)
    sleeve = sk.curve(
        at(
            [
                [0.36, 0.29],
                [0.34, 0.42],
                [0.42, 0.62],
                [0.62, 0.64],
                [0.84, 0.45],
                [0.76, 0.4],
                [0.6, 0.44],
                [0.56, 0.3],
                [0.36, 0.29],
            ]
        ),
        40,
    )
    hand.solid(sleeve, (0.55 if tint is not INK else 0.2), tint, line, 0.95)
    folds = hand.mask()
    a = at([[0.34, 0.6], [0.42, 0.66], [0.54, 0.66], [0.62, 0.64], [0.44, 0.25], [0.52, 0.25]])
    b = at([[0.22, 0.93], [0.38, 0.95], [0.56, 0.94], [0.7, 0.93], [0.52, 0.36], [0.46, 0.36]])
    sk.strokes(folds, sk.arcs(a, b, rng.uniform(-0.1, 0.1, 6), 8), 0.9 * line * st.line, 1.0, "taper")
    sash = sk.arcs(at([[0.27, 0.52]]), at([[0.45, 0.56]]), np.array([0.1]), 6)
    sk.strokes(folds, sash, 1.6 * line, 1.0, "even")
    hand.ink(folds, 0.85, soft=0)
    _head(hand, at([[0.49, 0.155]])[0], flip, kind, line, min(w, 0.6 * h))
    if kind == 2:
        t = np.linspace(0, 2 * np.pi, 24)
        fan = at([[0.86, 0.36]]) + np.stack([0.13 * w * np.cos(t), 0.08 * h * np.sin(t)], 1)
        hand.solid(fan, 0.15, edge=line * 0.9)
    shoes = hand.mask()
    a = at([[0.3, 0.985], [0.56, 0.985]])
    sk.strokes(shoes, sk.arcs(a, a + [[0.12 * w, 0.004]] * 2, np.zeros(2), 5), 0.026 * h, 1.0, "even")
    hand.ink(shoes, 0.95, soft=0)


def _head(hand: Hand, c: np.ndarray, flip: bool, kind: int, line: float, size: float) -> None:
    st = hand.style
    r = 0.17 * size
    t = np.linspace(0, 2 * np.pi, 28)
    face = c + np.stack([0.78 * r * np.cos(t), r * np.sin(t)], 1)
    hand.solid(face, 0.35 if st.palette != "ink" else 0.0, (226, 178, 140), line, 0.95)
    m = hand.mask()
    side = -1 if flip else 1
    if kind == 1:  # a broad straw hat
        hat = c + np.array([[-1.9, -0.35], [0.0, -1.55], [1.9, -0.35], [0.0, -0.1]]) * r
        hand.solid(hat, 0.7, edge=line)
    else:
        hair = c + np.stack([0.84 * r * np.cos(t), r * np.sin(t)], 1)
        hair = hair[hair[:, 1] < c[1] - 0.25 * r]
        sk.fill(m, np.vstack([hair, c + [-side * 0.8 * r, 0.4 * r]]))
        sk.dots(m, (c + [-side * 0.2 * r, -1.2 * r])[None], 0.42 * r)
        if kind == 2:
            sk.dots(m, c + np.array([[-0.75, -0.7], [0.75, -0.7]]) * r, 0.36 * r)
    if kind != 2:  # beard
        chin = c + np.array([[side * 0.15 * r, 0.75 * r], [side * 0.4 * r, 0.7 * r], [0.0, 0.8 * r]])
        sk.strokes(
            m, sk.arcs(chin, chin + [[side * 0.15 * r, 1.1 * r]] * 3, np.full(3, 0.1), 6), 0.22 * r, 1.0, "taper"
        )
    eyes = c + np.array([[side * 0.1, 0.02], [side * 0.5, 0.02]]) * r
    sk.strokes(m, sk.arcs(eyes, eyes + [[side * 0.22 * r, 0.0]] * 2, np.zeros(2), 4), 0.14 * r, 1.0, "even")
    hand.ink(m, 1.0, soft=0, dry=0)
