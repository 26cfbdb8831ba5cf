"""Fish seen from the side or a little above, in a loose shoal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import INK, OCHRE, RGB, ROUGE, Hand
from danqing.data.brush.scene import Element, Scene

# Fish centres in the box and lengths as fractions of its width, by how many there are.
_SHOAL: dict[int, tuple[list[list[float]], float]] = {
    1: ([[0.5, 0.5]], 0.9),
    2: ([[0.42, 0.28], [0.58, 0.72]], 0.66),
    3: ([[0.35, 0.2], [0.66, 0.5], [0.36, 0.8]], 0.54),
    4: ([[0.3, 0.2], [0.7, 0.36], [0.32, 0.64], [0.68, 0.84]], 0.45),
    5: ([[0.27, 0.16], [0.72, 0.26], [0.46, 0.5], [0.25, 0.8], [0.74, 0.78]], 0.4),
}


def fish(hand: Hand, element: Element, scene: Scene) -> None:
    """`count` fish, mostly swimming one way."""
    rng = hand.rng
    x0, y0, x1, y1 = element.box
    w, h = x1 - x0, y1 - y0
    spots, size = _SHOAL[min(max(element.count, 1), 5)]
    heading = rng.uniform(-0.35, 0.35) + (np.pi if rng.random() < 0.5 else 0.0)
    small = w < 0.4
    for u, v in spots:
        c = np.array([x0 + (u + rng.uniform(-0.03, 0.03)) * w, y0 + (v + rng.uniform(-0.03, 0.03)) * h])
        _one(hand, c, size * w * rng.uniform(0.9, 1.05), heading + rng.normal(0, 0.2), small)


def _one(hand: Hand, c: np.ndarray, length: float, heading: float, small: bool) -> None:
    rng, st = hand.rng, hand.style
    n = 26
    t = np.linspace(0.0, 1.0, n)
    sway = rng.uniform(0.5, 1.0) * rng.choice([-1.0, 1.0])
    spine = np.stack([0.5 - t, 0.12 * sway * np.sin(np.pi * (t * 1.2 + 0.1)) - 0.06 * sway], 1) * length
    spine[:, 0] *= 0.78
    spine[:, 0] += 0.08 * length
    girth = 0.155 * length * np.sin(np.pi * np.clip(0.05 + t * 0.93, 0, 1) ** 0.72) ** 0.85 + 0.012 * length
    cos, sin = np.cos(heading), np.sin(heading)
    turn = np.array([[cos, sin], [-sin, cos]])
    up = -1.0 if cos > 0 else 1.0  # so that the back fin points up whichever way it swims
    d = np.gradient(spine, axis=0)
    normal = np.stack([-d[:, 1], d[:, 0]], 1) / np.linalg.norm(d, axis=1, keepdims=True)
    if normal[n // 2, 1] * up < 0:
        normal = -normal

    def world(p: np.ndarray) -> np.ndarray:
        return c + p @ turn

    back, belly = spine + normal * girth[:, None], spine - normal * girth[:, None]
    colour = (ROUGE if rng.random() < 0.65 else OCHRE) if st.coloured else INK
    tone = 0.95 if st.coloured else 0.8
    _fins(hand, spine, back, belly, normal, length, world, colour)
    poly = world(np.vstack([back, belly[::-1]]))
    edge = 0.0085 if not (st.freehand and st.coloured) else 0.0
    hand.solid(poly, 0.3 if colour is INK else 0.8, colour, edge)
    dorsal = hand.mask()
    sk.fill(dorsal, world(np.vstack([back[1:], (spine + normal * girth[:, None] * 0.15)[:0:-1]])))
    hand.ink(dorsal, (tone if not st.sketch else 0.15), colour, soft=max(st.wet, 0.003), dry=st.dry * 0.6)
    marks = hand.mask()
    gill = (
        spine[6]
        + np.outer(np.linspace(-0.8, 0.8, 7), normal[6] * girth[6])
        + np.outer(np.cos(np.linspace(-1.4, 1.4, 7)), d[6] / np.linalg.norm(d[6]) * girth[6] * 0.35)
    )
    sk.strokes(marks, world(gill), 0.007 * st.line, 1.0, "line")
    if st.sketch or not st.freehand:
        k = np.arange(9, 20, 2)
        for off in (-0.35, 0.2, 0.6):
            a = spine[k] + normal[k] * (girth[k] * off)[:, None]
            b = spine[k + 1] + normal[k + 1] * (girth[k + 1] * (off + 0.3))[:, None]
            sk.strokes(marks, sk.arcs(world(a), world(b), np.full(len(k), 0.5), 5), 0.005, 0.8, "line")
    hand.ink(marks, 0.8, soft=0)
    eye = world(spine[3:4] + normal[3:4] * girth[3] * 0.45)
    white, pupil = hand.mask(), hand.mask()
    sk.dots(white, eye, 0.03 * length)
    hand.hide(white)
    sk.dots(pupil, eye, max(0.018 * length, 0.004))
    hand.ink(pupil, 1.2, soft=0, dry=0, grain=0)


def _fins(
    hand: Hand,
    spine: np.ndarray,
    back: np.ndarray,
    belly: np.ndarray,
    normal: np.ndarray,
    length: float,
    world: Callable[[np.ndarray], np.ndarray],
    colour: RGB,
) -> None:
    """Tail, back fin and side fins, as fans of wet strokes."""
    rng, st = hand.rng, hand.style
    axis = spine[-1] - spine[-4]
    axis = axis / np.linalg.norm(axis)
    side = np.array([-axis[1], axis[0]])
    fan = np.linspace(-1, 1, 7)
    tips = spine[-1] + axis * length * 0.26 * (0.72 + 0.35 * np.abs(fan))[:, None] + np.outer(fan, side) * length * 0.17
    root = np.repeat(spine[-2:-1], 7, 0)
    m = hand.mask()
    sk.strokes(m, sk.arcs(world(root), world(tips), fan * 0.12, 8), 0.05 * length, rng.uniform(0.6, 1.0, 7), "leaf")
    i = np.arange(8, 16)
    top = back[i] + normal[i] * length * 0.09 + axis * length * 0.05
    sk.strokes(
        m,
        sk.arcs(world(back[i] - normal[i] * 0.01 * length), world(top), np.full(8, 0.1), 5),
        0.028 * length,
        0.9,
        "taper",
    )
    j = np.array([8, 9, 15])
    low = belly[j] - normal[j] * length * 0.1 + axis * length * 0.09
    sk.strokes(m, sk.arcs(world(belly[j]), world(low), np.full(3, 0.15), 6), 0.045 * length, 0.8, "leaf")
    hand.ink(m, 0.7 if not st.sketch else 0.55, colour, soft=max(st.wet, 0.0))
