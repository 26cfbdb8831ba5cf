"""Small boats: a hull, a mat awning, a fisherman and a few ripples."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import OCHRE, Hand, local
from danqing.data.brush.scene import Element, Scene

Box = tuple[float, float, float, float]


def boat(hand: Hand, element: Element, scene: Scene) -> None:
    """One boat filling the box, or two, the second smaller and behind."""
    x0, y0, x1, y1 = element.box
    w, h = x1 - x0, y1 - y0
    flip = bool(hand.rng.random() < 0.5)
    if element.count > 1:
        far = (x0, y0, x0 + 0.5 * w, y0 + 0.5 * h) if not flip else (x1 - 0.5 * w, y0, x1, y0 + 0.5 * h)
        near = (x0 + 0.25 * w, y0 + 0.3 * h, x1, y1) if not flip else (x0, y0 + 0.3 * h, x0 + 0.75 * w, y1)
        _one(hand, far, not flip)
        _one(hand, near, flip)
        return
    _one(hand, element.box, flip)


def _one(hand: Hand, box: Box, flip: bool) -> None:
    rng, st = hand.rng, hand.style
    w = box[2] - box[0]
    scale = w / 0.6
    line = max(0.010 * scale, 0.0045)
    t = np.linspace(0, 1, 16)
    lift = rng.uniform(0.1, 0.16)
    gunwale = np.stack([0.03 + 0.94 * t, 0.7 - lift * (2 * t - 1) ** 2 * np.where(t > 0.5, 1.15, 0.8)], 1)
    keel = np.stack([0.1 + 0.78 * t, 0.72 + 0.15 * np.sin(np.pi * t) ** 0.7], 1)
    hull = local(box, np.vstack([gunwale, keel[::-1]]), flip)
    k = np.linspace(0, np.pi, 14)
    c, r = rng.uniform(0.36, 0.44), rng.uniform(0.17, 0.21)
    arch = np.stack([c - r * np.cos(k), 0.69 - 0.36 * np.sin(k) ** 0.8], 1)
    awning = local(box, np.vstack([arch, [[c + r * 0.95, 0.72], [c - r * 0.95, 0.72]]]), flip)
    _fisher(hand, box, flip, line)
    warm = OCHRE if st.palette in ("light-crimson", "colour") else None
    hand.solid(awning, 0.75 if warm else 0.36, warm or (26, 26, 31), line, 0.9)
    ribs = hand.mask()
    a = local(box, arch[2:-2:2], flip)
    b = local(box, np.stack([arch[2:-2:2, 0] + 0.015, np.full(5, 0.7)], 1), flip)
    sk.strokes(ribs, sk.arcs(a, b, np.full(5, 0.05), 6), 0.7 * line * st.line, 0.8, "line")
    hand.ink(ribs, 0.7)
    hand.solid(hull, 0.85, (26, 26, 31), line * 1.3, 1.0)
    if not st.sketch:
        dark = hand.mask()
        sk.strokes(dark, sk.curve(local(box, keel, flip), 20), 0.05 * scale, 1.0, "line")
        hand.ink(dark, 0.5, dry=st.dry)
    n = 9
    v = rng.uniform(0.86, 1.0, n)
    u = rng.uniform(0.0, 0.7, n)
    a = local(box, np.stack([u, v], 1))
    b = local(box, np.stack([u + rng.uniform(0.1, 0.3, n), v], 1))
    m = hand.mask()
    sk.strokes(m, sk.arcs(a, b, rng.uniform(-0.05, 0.05, n), 8), 0.8 * line * st.line, rng.uniform(0.4, 0.9, n), "line")
    hand.ink(m, 0.55, soft=0)


def _fisher(hand: Hand, box: Box, flip: bool, line: float) -> None:
    """A seated man in a conical hat, with a rod over the bow."""
    st = hand.style
    u = 0.72
    robe = [[u - 0.085, 0.7], [u - 0.06, 0.47], [u, 0.37], [u + 0.05, 0.46], [u + 0.1, 0.7]]
    hand.solid(local(box, robe, flip), 0.5, edge=line * 0.9, edge_tone=0.9)
    hat = local(box, [[u - 0.1, 0.38], [u + 0.005, 0.2], [u + 0.1, 0.37], [u, 0.415]], flip)
    hand.solid(hat, 0.9, edge=line * 0.9)
    rod = hand.mask()
    path = sk.arcs(local(box, [[u + 0.02, 0.55]], flip), local(box, [[0.99, 0.12]], flip), np.array([0.0]), 10)
    sk.strokes(rod, path, 0.9 * line * st.line, 1.0, "taper")
    thread = local(box, [[0.99, 0.12], [1.0, 0.8]], flip)
    sk.hairs(rod, thread[:1], thread[1:], 0.6)
    hand.ink(rod, 0.9, soft=0)
