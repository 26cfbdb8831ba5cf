"""Bamboo, orchid and reeds: plants painted almost wholly in single strokes."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import INK, LEAF, Hand, local
from danqing.data.brush.scene import Element, Scene


def _leaves(hand: Hand, paths: np.ndarray, widths: np.ndarray, values: np.ndarray, kind: str, colour: tuple) -> None:
    """Leaf strokes (m, n, 2): filled, or in a sketch drawn in double outline on reserved ground."""
    st = hand.style
    m = hand.mask()
    if st.sketch:
        sk.strokes(m, paths, widths * 1.15, 1.0, kind)
        hand.hide(m)
        polys = sk.outline(paths, widths * 1.15, kind)
        edge = hand.mask()
        closed = np.concatenate([polys, polys[:, :1]], 1)
        sk.hairs(edge, closed[:, :-1].reshape(-1, 2), closed[:, 1:].reshape(-1, 2), 1.0)
        hand.ink(edge, 0.95, soft=0, grain=0.1)
        hand.ink(m, 0.16, soft=0, dry=0)
        return
    sk.strokes(m, paths, widths * (1.0 if st.freehand else 0.85), values, kind, hand.rng if st.freehand else None)
    hand.ink(m, 0.95, colour, dry=st.dry * 0.8)
    if not st.freehand:
        vein = hand.mask()
        sk.strokes(vein, paths, 0.004, 1.0, "line")
        hand.ink(vein, 0.4, soft=0)


def bamboo(hand: Hand, element: Element, scene: Scene) -> None:
    """Upright jointed canes with sprays of pointed leaves."""
    rng, st = hand.rng, hand.style
    box = element.box
    w, h = box[2] - box[0], box[3] - box[1]
    big = h > 0.5
    canes = int(rng.integers(2, 4)) if big else 2
    colour = LEAF if st.coloured else INK
    us = (np.arange(canes) + 0.5) / canes * 0.64 + 0.18 + rng.uniform(-0.05, 0.05, canes)
    order = rng.permutation(canes)
    stems: list[np.ndarray] = []
    for rank, c in enumerate(order):
        slant = rng.uniform(-0.12, 0.12)
        width = (0.062 if big else 0.05) * rng.uniform(0.75, 1.05) * min(w / 0.6, 1.0)
        top = rng.uniform(0.0, 0.12)
        root = (1.03 - box[1]) / h if box[3] > 0.93 and big else 1.0  # rooted below the picture's edge
        joints = np.linspace(root, top, int(rng.integers(6, 8)) if big else 5)
        u = us[c] + slant * (1 - joints) + 0.03 * np.sin(joints * 3)
        nodes = local(box, np.stack([u, joints], 1))
        stems.append(nodes)
        gap = (nodes[1:] - nodes[:-1]) * 0.045
        paths = sk.arcs(nodes[:-1] + gap, nodes[1:] - gap, rng.uniform(-0.02, 0.02, len(gap)), 9)
        taper = width * np.linspace(1.0, 0.6, len(gap))
        m = hand.mask()
        sk.strokes(m, paths, taper, 1.0, "bone")
        hand.hide(m)
        if st.sketch:
            for poly in sk.outline(paths, taper, "bone"):
                hand.contour(poly, 0.0075, 0.9)
        else:
            near = rank == canes - 1
            hand.ink(m, (0.75 if near else 0.42) * max(st.wash, 0.5), colour, dry=max(st.dry, 0.2))
        knots = hand.mask()
        half = np.stack([np.append(taper, taper[-1]) * 0.62, np.zeros(len(nodes))], 1)
        sk.strokes(knots, sk.arcs(nodes - half, nodes + half, np.full(len(nodes), -0.16), 6), 0.011 * st.line, 1.0)
        hand.ink(knots, 0.95, soft=0)
    _bamboo_leaves(hand, stems, box, big, colour)


def _bamboo_leaves(hand: Hand, stems: list[np.ndarray], box: tuple, big: bool, colour: tuple) -> None:
    rng = hand.rng
    w = box[2] - box[0]
    size = 0.2 * w if big else 0.3 * w
    starts, ends, twig_a, twig_b = [], [], [], []
    sprays = 11 if big else 5
    for s in range(sprays):
        nodes = stems[s % len(stems)]
        root = nodes[int(rng.integers(len(nodes) // 3, len(nodes)))]
        side = 1 if rng.random() < 0.5 else -1
        tip = root + np.array([side * rng.uniform(0.08, 0.24) * w, -rng.uniform(-0.02, 0.07)])
        tip = np.clip(tip, np.array(box[:2]) + 0.04, np.array(box[2:]) - 0.08)
        twig_a.append(root)
        twig_b.append(tip)
        fan = int(rng.integers(3, 6))
        for angle in np.linspace(-0.85, 0.85, fan) + rng.normal(0, 0.1, fan) + side * 0.35:
            length = size * rng.uniform(0.75, 1.25)
            starts.append(tip)
            ends.append(tip + length * np.array([np.sin(angle), np.cos(angle)]))
    m = hand.mask()
    twigs = sk.arcs(np.array(twig_a), np.array(twig_b), rng.uniform(-0.15, 0.15, sprays), 7)
    sk.strokes(m, twigs, 0.007 * hand.style.line, 1.0, "taper")
    hand.ink(m, 0.8)
    n = len(starts)
    end = np.clip(np.array(ends), box[:2], box[2:])
    paths = sk.arcs(np.array(starts), end, rng.uniform(-0.12, 0.12, n), 9)
    widths = size * rng.uniform(0.15, 0.22, n)
    _leaves(hand, paths, widths, rng.choice([0.5, 0.85, 1.0], n, p=[0.2, 0.4, 0.4]), "leaf", colour)


def orchid(hand: Hand, element: Element, scene: Scene) -> None:
    """Long bowed leaves from one root, and a few small pale flowers on stalks."""
    rng, st = hand.rng, hand.style
    box = element.box
    w, h = box[2] - box[0], box[3] - box[1]
    n = 11 if h > 0.4 else 6
    base_u = rng.uniform(0.38, 0.62)
    roots = local(box, np.stack([base_u + rng.normal(0, 0.025, n), rng.uniform(0.93, 1.0, n)], 1))
    side = np.where(np.arange(n) % 2, 1.0, -1.0)
    reach = np.sort(rng.uniform(0.06, 0.55, n))
    # Short reaches stand up; long ones rise and then fall over, their tips lower than their bows.
    fall = 0.12 + 1.15 * reach**1.25 + rng.uniform(-0.12, 0.16, n)
    tips = local(box, np.stack([np.clip(base_u + side * reach, 0.0, 1.0), np.clip(fall, 0.0, 0.85)], 1))
    bow = side * np.clip(0.9 * reach + rng.uniform(-0.08, 0.14, n), 0.05, 0.62)
    paths = sk.arcs(roots, tips, -bow, 20)
    colour = LEAF if st.coloured else INK
    width = 0.034 * min(w / 0.8, h / 0.6) * (1.0 if st.freehand else 0.85)
    values = rng.choice([0.55, 0.9, 1.0], n, p=[0.25, 0.35, 0.4])
    _leaves(hand, paths, np.full(n, max(width, 0.01)) * rng.uniform(0.8, 1.2, n), values, "grass", colour)
    flowers = int(rng.integers(3, 6)) if h > 0.4 else 2
    for i in range(flowers):
        u = base_u + 0.62 * ((i + 0.5) / flowers - 0.5) + rng.uniform(-0.05, 0.05)
        head = local(box, [[u, rng.uniform(0.06, 0.36)]])[0]
        stalk = hand.mask()
        foot = roots[i : i + 1]
        sk.strokes(stalk, sk.arcs(foot, head[None], np.array([rng.uniform(-0.2, 0.2)]), 10), 0.009, 0.7, "even")
        hand.ink(stalk, 0.6, colour)
        _orchid_flower(hand, head, 0.085 * min(w / 0.8, h / 0.6))


def _orchid_flower(hand: Hand, c: np.ndarray, r: float) -> None:
    """Five slim petals and two or three dots for the heart."""
    rng, st = hand.rng, hand.style
    angle = np.array([-2.5, -1.75, -1.0, -0.1, 3.2]) + rng.normal(0, 0.15, 5) + rng.uniform(-0.3, 0.3)
    tip = c + r * rng.uniform(0.8, 1.2, (5, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
    paths = sk.arcs(np.repeat(c[None], 5, 0), tip, rng.uniform(-0.25, 0.25, 5), 8)
    m = hand.mask()
    sk.strokes(m, paths, r * 0.36, 1.0, "leaf")
    hand.hide(m, 0.95)
    if st.coloured:
        hand.ink(m, 0.9, (196, 178, 84) if rng.random() < 0.5 else (176, 128, 176), dry=0)
    elif not st.sketch:
        hand.ink(m, 0.4, dry=0)
    if st.sketch or not st.freehand:
        for poly in sk.outline(paths, np.full(5, r * 0.36), "leaf"):
            hand.contour(poly, 0.005, 0.8)
    d = hand.mask()
    sk.dots(d, c + rng.normal(0, 0.12 * r, (3, 2)), 0.1 * r + 0.002)
    hand.ink(d, 1.0, soft=0, dry=0)


def reeds(hand: Hand, element: Element, scene: Scene) -> None:
    """Thin waterside stems leaning one way, some with a feathery head."""
    rng, st = hand.rng, hand.style
    box = element.box
    n = 16
    lean = rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.3)
    roots = local(box, np.stack([rng.uniform(0.2, 0.8, n), rng.uniform(0.92, 1.0, n)], 1))
    tips = np.clip(
        roots
        + np.stack([lean * 0.3 + rng.normal(0, 0.05, n), -rng.uniform(0.4, 0.98, n)], 1)
        * [box[2] - box[0], box[3] - box[1]]
        * [1.2, 1.0],
        box[:2],
        box[2:],
    )
    m = hand.mask()
    sk.strokes(m, sk.arcs(roots, tips, lean * 0.4 + rng.normal(0, 0.06, n), 10), 0.008 * st.line, 0.9, "leaf")
    for tip in tips[:5]:
        k = 7
        at = tip + np.stack([rng.normal(0, 0.004, k), np.linspace(0, 0.05, k)], 1)
        sk.hairs(m, at, at + np.stack([np.full(k, lean * 0.08), np.full(k, -0.012)], 1), 0.8)
    hand.ink(m, 0.7)
