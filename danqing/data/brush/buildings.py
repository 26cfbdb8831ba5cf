"""Thatched hut, tiered pagoda and plank bridge."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import INK, MALACHITE, OCHRE, Hand, local
from danqing.data.brush.scene import Element, Scene
from danqing.data.brush.seasons import earth

Box = tuple[float, float, float, float]


def hut(hand: Hand, element: Element, scene: Scene) -> None:
    """A thatched hall: a broad combed roof over a pale wall with a door and a lattice window."""
    rng, st = hand.rng, hand.style
    box = element.box
    w = box[2] - box[0]
    small = w < 0.3
    line = max(0.011 * w / 0.6, 0.0045)
    flip = bool(rng.random() < 0.5)
    eave = rng.uniform(0.48, 0.58)
    hip = rng.uniform(0.0, 0.1)  # from a gable with a long ridge to a hipped roof with a short one
    if not small and rng.random() < 0.45:
        _wing(hand, box, flip, line)
    wall = local(box, [[0.17, eave - 0.05], [0.83, eave - 0.05], [0.82, 0.94], [0.18, 0.94]], flip)
    hand.solid(wall, 0.08, edge=line, edge_tone=0.85)
    door = local(box, [[0.56, 0.62], [0.7, 0.62], [0.7, 0.94], [0.56, 0.94]], flip)
    hand.solid(door, 0.8, edge=line * 0.8)
    window = local(box, [[0.26, 0.64], [0.45, 0.64], [0.45, 0.8], [0.26, 0.8]], flip)
    hand.solid(window, 0.1, edge=line * 0.8)
    lattice = hand.mask()
    u = np.linspace(0.26, 0.45, 5)[1:-1]
    top, bottom = np.stack([u, np.full(3, 0.64)], 1), np.stack([u, np.full(3, 0.8)], 1)
    sk.hairs(lattice, local(box, top, flip), local(box, bottom, flip))
    sk.hairs(lattice, local(box, [[0.26, 0.72]], flip), local(box, [[0.45, 0.72]], flip))
    hand.ink(lattice, 0.7, soft=0)
    ridge = (
        np.array([[0.22, 0.06], [0.4, 0.02], [0.62, 0.02], [0.78, 0.06]])
        + [[hip, 0], [hip * 0.6, 0], [-hip * 0.6, 0], [-hip, 0]]
        + rng.uniform(-0.015, 0.015, (4, 2))
    )
    left, right = [0.0, eave], [1.0, eave]
    sag = [[0.75, eave + 0.03], [0.5, eave + 0.04], [0.25, eave + 0.03]]
    roof = local(box, np.vstack([[left], [[0.12, 0.3]], ridge, [[0.88, 0.3]], [right], sag]), flip)
    warm = st.palette in ("light-crimson", "colour")
    hand.solid(roof, 0.8 if warm else 0.42, OCHRE if warm else INK, line * 1.2, 0.95)
    n = 46
    s = rng.random(n)
    a = local(box, np.stack([0.2 + 0.6 * s, 0.05 + rng.uniform(0, 0.25, n)], 1), flip)
    end = np.stack([0.03 + 0.94 * s, np.full(n, eave + 0.02)], 1)
    b = a + (local(box, end, flip) - a) * rng.uniform(0.55, 1.0, n)[:, None]
    m = hand.mask()
    sk.strokes(
        m, sk.arcs(a, b, rng.uniform(-0.05, 0.05, n), 6), 0.75 * line * st.line, rng.uniform(0.5, 1.0, n), "taper"
    )
    hand.ink(m, 0.75)
    if w > 0.3:
        _yard(hand, box, flip, line)
    earth(hand, (box[0] + box[2]) / 2, box[3] - 0.02, w)


def _wing(hand: Hand, box: Box, flip: bool, line: float) -> None:
    """A lower shed leaning on the far side of the hall."""
    warm = hand.style.palette in ("light-crimson", "colour")
    wall = local(box, [[0.78, 0.6], [1.0, 0.6], [0.99, 0.92], [0.78, 0.92]], flip)
    hand.solid(wall, 0.12, edge=line * 0.9, edge_tone=0.8)
    roof = local(box, [[0.7, 0.4], [0.92, 0.42], [1.04, 0.63], [0.7, 0.64]], flip)
    hand.solid(roof, 0.6 if warm else 0.32, OCHRE if warm else INK, line, 0.85)


def _yard(hand: Hand, box: Box, flip: bool, line: float) -> None:
    """A brushwood fence on one side and low shrubs on the other."""
    rng, st = hand.rng, hand.style
    u = np.linspace(-0.02, 0.2, 8) if rng.random() < 0.6 else np.linspace(0.8, 1.02, 8)
    u = u + rng.normal(0, 0.006, 8)
    top = local(box, np.stack([u, rng.uniform(0.74, 0.8, 8)], 1), flip)
    foot = local(box, np.stack([u + rng.normal(0, 0.006, 8), rng.uniform(0.94, 0.97, 8)], 1), flip)
    m = hand.mask()
    sk.strokes(m, sk.arcs(foot, top, rng.uniform(-0.06, 0.06, 8), 5), 0.75 * line * st.line, 0.9, "taper")
    for v in (0.81, 0.88):
        rail = local(box, [[u[0] - 0.01, v], [u[-1] + 0.01, v + 0.01]], flip)
        sk.strokes(m, sk.arcs(rail[:1], rail[1:], np.array([0.02]), 6), 0.7 * line * st.line, 0.9, "press")
    hand.ink(m, 0.75)
    side = 1.0 - u.mean()
    c = local(box, np.stack([side + rng.normal(0, 0.07, 16), 0.93 - np.abs(rng.normal(0, 0.05, 16))], 1), flip)
    d = hand.mask()
    sk.dots(d, c, rng.uniform(0.005, 0.013, 16), rng.uniform(0.4, 1.0, 16))
    hand.ink(d, 0.25 if st.sketch else 0.7, dry=0)


def pagoda(hand: Hand, element: Element, scene: Scene) -> None:
    """Five to seven narrowing storeys, each under an upturned eave, and a spire."""
    rng, st = hand.rng, hand.style
    box = element.box
    w, h = box[2] - box[0], box[3] - box[1]
    small = h < 0.45
    tiers = 5 if small else int(rng.integers(5, 8))
    line = max(0.009 * w / 0.4, 0.004)
    top, bottom = 0.12, 0.96
    step = (bottom - top) / tiers
    earth(hand, 0.5 * (box[0] + box[2]), box[3] - 0.012, 1.15 * w)
    roof_colour = MALACHITE if st.palette == "blue-green" else INK
    hand.solid(local(box, [[0.06, 0.955], [0.94, 0.955], [1.0, 1.0], [0.0, 1.0]]), 0.35, edge=line)
    for i in range(tiers):  # from the ground up, each eave over the storey below it
        base = bottom - i * step
        half = 0.36 - 0.2 * i / (tiers - 1)
        body = local(
            box, [[0.5 - half, base - step], [0.5 + half, base - step], [0.5 + half, base], [0.5 - half, base]]
        )
        warm = st.palette == "light-crimson"
        hand.solid(body, 0.6 if warm else 0.12, (190, 96, 70) if warm else INK, line)
        if not small:
            windows = hand.mask()
            for u in (-0.45, 0.0, 0.45):
                c = 0.5 + u * half
                high, low = base - 0.5 * step, base - 0.1 * step
                sk.fill(windows, local(box, [[c - 0.035, high], [c + 0.035, high], [c + 0.035, low], [c - 0.035, low]]))
            hand.ink(windows, 0.8, soft=0, dry=0)
        out = half + 0.13
        y = base - 0.62 * step
        eave = [
            [0.5 - out, y - 0.1 * step], [0.5 - half * 0.9, y - 0.02 * step], [0.5 - half * 0.7, y - 0.38 * step],
            [0.5 + half * 0.7, y - 0.38 * step], [0.5 + half * 0.9, y - 0.02 * step], [0.5 + out, y - 0.1 * step],
            [0.5 + half, y + 0.12 * step], [0.5 - half, y + 0.12 * step],
        ]  # fmt: skip
        hand.solid(local(box, eave), 0.95 if not st.sketch else 2.0, roof_colour, line * 1.1, 0.95)
    cap = [[0.5 - 0.26, top + 0.03], [0.5, top - 0.05], [0.5 + 0.26, top + 0.03], [0.5, top + 0.05]]
    hand.solid(local(box, cap), 0.95, roof_colour, line)
    spire = hand.mask()
    sk.strokes(
        spire,
        sk.arcs(local(box, [[0.5, top - 0.03]]), local(box, [[0.5, 0.0]]), np.zeros(1), 6),
        0.03 * w / 0.4,
        1.0,
        "taper",
    )
    sk.dots(spire, local(box, [[0.5, 0.045]]), 0.028 * w)
    hand.ink(spire, 0.95, soft=0)


def bridge(hand: Hand, element: Element, scene: Scene) -> None:
    """A low arched plank bridge on posts."""
    st = hand.style
    t = np.linspace(0, 1, 16)
    deck = np.stack([t, 0.55 - 0.4 * np.sin(np.pi * t)], 1)
    m = hand.mask()
    sk.strokes(m, local(element.box, deck), 0.02 * st.line, 1.0, "even", hand.rng)
    u = np.array([0.2, 0.4, 0.6, 0.8])
    top = np.stack([u, 0.55 - 0.4 * np.sin(np.pi * u)], 1)
    foot = np.stack([u, np.full(4, 1.0)], 1)
    sk.strokes(m, sk.arcs(local(element.box, top), local(element.box, foot), np.zeros(4), 4), 0.01, 1.0, "even")
    rail = deck - [0, 0.22]
    sk.strokes(m, local(element.box, rail), 0.007, 1.0, "even")
    sk.hairs(m, local(element.box, rail[1:-1:2]), local(element.box, deck[1:-1:2]), 0.9)
    hand.ink(m, 0.85)
