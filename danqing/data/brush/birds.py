"""A perched bird, large and plain to read, and a skein of flying geese."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import INK, LEAF, OCHRE, ROUGE, Hand, local
from danqing.data.brush.scene import Element, Scene

# A bird facing right, in a unit square: beak at the right, tail at the lower left.
_BODY = [
    [0.86, 0.25], [0.8, 0.14], [0.7, 0.09], [0.59, 0.14], [0.5, 0.27], [0.36, 0.4], [0.22, 0.56], [0.17, 0.68],
    [0.28, 0.74], [0.44, 0.78], [0.6, 0.74], [0.72, 0.62], [0.79, 0.46], [0.82, 0.34],
]  # fmt: skip
_WING = [[0.56, 0.34], [0.4, 0.42], [0.22, 0.6], [0.06, 0.82], [0.26, 0.74], [0.44, 0.66], [0.58, 0.54], [0.63, 0.42]]


def bird(hand: Hand, element: Element, scene: Scene) -> None:
    """One or two birds on a branch that crosses their box."""
    rng, st = hand.rng, hand.style
    x0, y0, x1, y1 = element.box
    w, h = x1 - x0, y1 - y0
    flip = x0 > 1 - x1  # the branch grows in from the nearer edge of the picture
    rise = rng.uniform(-0.12, 0.06)
    branch_v = 0.8
    knots = [[0.0, branch_v + 0.1 - rise], [0.3, branch_v + 0.02], [0.62, branch_v], [1.0, branch_v + rise]]
    points = local(element.box, knots, flip)
    points[0, 0] = 1.02 if flip else -0.02
    path = sk.curve(points, 26)
    m = hand.mask()
    sk.strokes(m, path, 0.05 * w * (0.8 + 0.2 * st.line), 1.0, "taper", rng)
    twigs = path[[8, 14, 20]]
    tips = twigs + np.stack([rng.uniform(-0.15, 0.15, 3) * w, rng.choice([-0.14, 0.16], 3) * h], 1)
    tips = np.clip(tips, [x0, y0], [x1, y1])
    sk.strokes(m, sk.arcs(twigs, tips, rng.uniform(-0.2, 0.2, 3), 7), 0.015 * w, 1.0, "taper")
    hand.ink(m, 0.85, dry=max(st.dry, 0.25))
    _foliage(hand, tips, w)
    if element.count > 1:
        side = 0.52 * w
        for i in range(2):
            bx = (x0 + i * (w - side), y0 + (0.2 + 0.05 * i) * h, x0 + i * (w - side) + side, y0 + 0.95 * h)
            _one(hand, bx, flip=bool(i) ^ (rng.random() < 0.2))
        return
    side = min(0.8 * w, 0.95 * h)
    a = x0 + 0.5 * (w - side) + rng.uniform(-0.06, 0.06) * w
    _one(hand, (a, y0, a + side, y0 + 0.97 * h), flip=bool(rng.random() < 0.5))


def _plumage(hand: Hand, box: tuple[float, float, float, float], flip: bool) -> None:
    """Short soft strokes down the breast."""
    rng = hand.rng
    n = 16
    a = np.stack([rng.uniform(0.46, 0.74, n), rng.uniform(0.44, 0.68, n)], 1)
    b = a + np.stack([-rng.uniform(0.03, 0.06, n), rng.uniform(0.03, 0.07, n)], 1)
    m = hand.mask()
    sk.strokes(m, sk.arcs(local(box, a, flip), local(box, b, flip), np.full(n, 0.1), 5), 0.0045, 0.8, "taper")
    hand.ink(m, 0.45)


def _foliage(hand: Hand, at: np.ndarray, w: float) -> None:
    rng, st = hand.rng, hand.style
    n = 5
    for p in at:
        d = rng.uniform(0, 2 * np.pi, n)
        tip = p + 0.11 * w * np.stack([np.cos(d), np.sin(d)], 1)
        m = hand.mask()
        sk.strokes(m, sk.arcs(np.repeat(p[None], n, 0), tip, rng.uniform(-0.2, 0.2, n), 7), 0.035 * w, 0.8, "leaf")
        hand.ink(m, 0.25 if st.sketch else 0.6, LEAF if st.coloured else INK)


def _one(hand: Hand, box: tuple[float, float, float, float], flip: bool) -> None:
    rng, st = hand.rng, hand.style
    side = box[2] - box[0]
    breed = int(rng.integers(3))  # 0 dark-winged, 1 pale breast and black cap, 2 all dark, as a mynah
    tail = hand.mask()
    root = local(box, [[0.22, 0.62]] * 4, flip)
    tip = local(box, np.stack([[0.0, 0.03, 0.07, 0.11], [0.88, 0.93, 0.97, 1.0]], 1), flip)
    tails = sk.arcs(root, tip, rng.uniform(-0.05, 0.05, 4), 9)
    sk.strokes(tail, tails, 0.075 * side, [0.7, 0.85, 1.0, 0.9], "even", rng, split=0.5)
    hand.hide(tail)
    hand.ink(tail, 0.9 if not st.sketch else 0.3, dry=st.dry)
    body = sk.curve(local(box, [*_BODY, _BODY[0]], flip), 60)
    warm = st.coloured
    tint = [ROUGE, OCHRE, (120, 150, 176)][int(rng.integers(3))]
    tone = (0.9, 0.5, 0.85)[breed] if warm else (0.3, 0.1, 0.8)[breed]
    hand.solid(body, tone, tint if warm and breed < 2 else INK, 0.009, 0.95)
    shade = hand.mask()
    sk.fill(shade, sk.curve(local(box, [[0.8, 0.14], [0.7, 0.08], [0.58, 0.14], [0.48, 0.28], [0.3, 0.47],
                                         [0.44, 0.44], [0.6, 0.3], [0.74, 0.2], [0.8, 0.14]], flip), 40))  # fmt: skip
    if not st.sketch:
        hand.ink(shade, (0.6, 0.9, 0.3)[breed], soft=max(st.wet, 0.003), dry=0)
    _plumage(hand, box, flip)
    wing = sk.curve(local(box, [*_WING, _WING[0]], flip), 40)
    m = hand.mask()
    sk.fill(m, wing)
    hand.hide(m)
    hand.ink(m, 0.12 if st.sketch else 0.9, dry=st.dry)
    hand.contour(wing, 0.008, 0.95)
    a = local(box, np.stack([np.linspace(0.52, 0.36, 4), np.linspace(0.4, 0.5, 4)], 1), flip)
    b = local(box, np.stack([np.linspace(0.46, 0.12, 4), np.linspace(0.62, 0.76, 4)], 1), flip)
    quills = hand.mask()
    sk.strokes(quills, sk.arcs(a, b, np.full(4, 0.06), 7), 0.008, 1.0, "line")
    if st.sketch:
        hand.ink(quills, 0.9, soft=0)
    else:
        hand.hide(quills, 0.7)
    _face(hand, box, flip, side)


def _face(hand: Hand, box: tuple[float, float, float, float], flip: bool, side: float) -> None:
    beak = local(box, [[0.84, 0.2], [1.0, 0.27], [0.84, 0.3]], flip)
    hand.solid(beak, 0.9, (206, 140, 50) if hand.style.coloured else INK, 0.007)
    eye = local(box, [[0.735, 0.2]], flip)
    white, pupil = hand.mask(), hand.mask()
    sk.dots(white, eye, 0.041 * side)
    hand.hide(white, 0.8)
    sk.dots(pupil, eye, 0.03 * side)
    hand.ink(pupil, 1.2, soft=0, dry=0, grain=0)
    feet = hand.mask()
    a = local(box, [[0.5, 0.76], [0.58, 0.74]], flip)
    b = local(box, [[0.53, 0.86], [0.62, 0.84]], flip)
    sk.strokes(feet, sk.arcs(a, b, np.zeros(2), 4), 0.02 * side, 1.0, "even")
    hand.ink(feet, 0.95, soft=0)


def geese(hand: Hand, element: Element, scene: Scene) -> None:
    """A slanting line of small birds, each two or three strokes."""
    rng = hand.rng
    n = max(element.count, 1)
    t = (np.arange(n) + 0.5) / n
    v = 0.15 + 0.7 * np.abs(t - rng.uniform(0.2, 0.5))
    c = local(element.box, np.stack([t, v + rng.normal(0, 0.04, n)], 1))
    r = 0.032
    m = hand.mask()
    left = c + np.stack([-r * rng.uniform(0.8, 1.1, n), -r * rng.uniform(0.3, 0.6, n)], 1)
    right = c + np.stack([r * rng.uniform(0.8, 1.1, n), -r * rng.uniform(0.3, 0.7, n)], 1)
    sk.strokes(m, sk.arcs(c, left, np.full(n, 0.25), 6), 0.011, 1.0, "taper")
    sk.strokes(m, sk.arcs(c, right, np.full(n, -0.25), 6), 0.011, 1.0, "taper")
    hand.ink(m, 0.85, soft=0, dry=0)
