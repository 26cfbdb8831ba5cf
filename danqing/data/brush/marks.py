"""The written and stamped marks: an inscription column and a red seal."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import CINNABAR, Hand
from danqing.data.brush.scene import Element, Scene


def seal(hand: Hand, element: Element, scene: Scene) -> None:
    """A square cinnabar seal with glyph-like lines left white (or, half the time, red on white)."""
    rng = hand.rng
    x0, y0, x1, y1 = element.box
    m = hand.mask()
    sk.fill(m, np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
    cuts = hand.mask()
    w, h = x1 - x0, y1 - y0
    for col in range(2):
        for _ in range(5):
            cx, cy = x0 + w * (0.1 + 0.45 * col), y0 + h * rng.uniform(0.08, 0.85)
            if rng.random() < 0.6:
                sk.hairs(cuts, np.array([[cx, cy]]), np.array([[cx + 0.36 * w, cy]]))
            else:
                cx += rng.uniform(0, 0.3) * w
                sk.hairs(cuts, np.array([[cx, cy]]), np.array([[cx, min(cy + 0.4 * h, y1 - 0.06 * h)]]))
    np.subtract(m, (cuts * 0.8).astype(np.uint8), out=m, where=m >= (cuts * 0.8).astype(np.uint8))
    hand.hide(m)
    hand.ink(m, 1.1, CINNABAR, soft=0, dry=0, grain=0.15)


def inscription(hand: Hand, element: Element, scene: Scene) -> None:
    """A column of small pseudo-characters, written top down."""
    rng = hand.rng
    x0, y0, x1, y1 = element.box
    w = x1 - x0
    number = max(2, int((y1 - y0) / (w * 0.95)))
    step = (y1 - y0) / number
    start, end = [], []
    for i in range(number):
        cx, cy = (x0 + x1) / 2, y0 + step * (i + 0.5)
        r = 0.4 * min(w, step)
        for _ in range(int(rng.integers(4, 8))):
            a = np.array([cx, cy]) + rng.uniform(-0.7, 0.7, 2) * r
            kind = rng.integers(4)
            d = np.array([[1.1, -0.15], [0.0, 1.2], [-0.7, 0.8], [0.7, 0.7]][kind]) * r * rng.uniform(0.6, 1.2)
            start.append(a - d / 2)
            end.append(a + d / 2)
    m = hand.mask()
    paths = sk.arcs(np.array(start), np.array(end), rng.uniform(-0.1, 0.1, len(start)), 5)
    sk.strokes(m, paths, 0.0065, 0.95, "taper")
    hand.ink(m, 0.85, soft=0, dry=0, grain=0.1)
