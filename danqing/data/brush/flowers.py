"""Plum on its angular bough, and lotus over its great leaves."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import INK, LEAF, PINK, ROUGE, Hand, local
from danqing.data.brush.scene import Element, Scene


def plum(hand: Hand, element: Element, scene: Scene) -> None:
    """A dark, sharply turning bough with straight shoots, and round five-petalled blossoms."""
    rng, st = hand.rng, hand.style
    box = element.box
    w, h = box[2] - box[0], box[3] - box[1]
    flip = box[0] > 1 - box[2]  # the bough grows in from the nearer edge of the picture
    knots = np.array([[0.02, 0.98], [0.24, 0.72], [0.36, 0.74], [0.55, 0.46], [0.7, 0.44], [0.92, 0.14]])
    knots += rng.uniform(-0.04, 0.04, knots.shape)
    if rng.random() < 0.4:
        knots[:, 1] = 1 - knots[:, 1]  # a hanging bough
    main = local(box, np.clip(knots, 0.0, 1.0), flip)
    if h > 0.5:
        main[0, 0] = 1.03 if flip else -0.03
    unit = min(w, h) / 0.8
    widths = np.array([0.075, 0.058, 0.046, 0.032, 0.02]) * unit
    m = hand.mask()
    paths = sk.arcs(main[:-1], main[1:] + (main[1:] - main[:-1]) * 0.05, rng.uniform(-0.16, 0.16, 5), 14)
    split = 0.4 + 0.6 * st.dry
    sk.strokes(m, paths, widths * (0.8 + 0.2 * st.line), 1.0, "bone", rng, split)
    n = 10
    which = rng.integers(0, 5, n)
    root = paths[which, rng.integers(2, 14, n)]
    along = main[-1] - main[0]
    along = along / np.linalg.norm(along)
    across = np.array([-along[1], along[0]])
    side = np.where(np.arange(n) % 2, 1.0, -1.0)
    reach = rng.uniform(0.16, 0.4, n)
    # Straight young shoots stand off the bough on both sides and lean the way it grows.
    tip = root + (across * side[:, None] + along * rng.uniform(-0.1, 1.0, (n, 1))) * reach[:, None] * [w, h]
    tip = np.clip(tip, np.array(box[:2]) + 0.02, np.array(box[2:]) - 0.02)
    shoots = sk.arcs(root, tip, rng.uniform(-0.1, 0.1, n), 12)
    sk.strokes(m, shoots, widths[which] * 0.25 + 0.006 * unit, 1.0, "taper", rng, split)
    hand.ink(m, 0.95 if not st.sketch else 0.7, soft=st.wet * 0.6, dry=max(st.dry * 0.7, 0.2))
    places = np.vstack([shoots[:, 3:].reshape(-1, 2), paths[2:, ::4].reshape(-1, 2)])
    count = int(rng.integers(12, 18)) if h > 0.5 else 7
    radius = 0.048 * unit
    chosen: list[np.ndarray] = []
    for p in places[rng.permutation(len(places))] + rng.normal(0, 0.008, (len(places), 2)):
        # Blossoms gather in twos and threes: a new one opens beside an old one, or well away from all.
        gap = min((float(np.hypot(*(p - q))) for q in chosen), default=9.0)
        if gap > radius * 3.2 or radius * 1.5 < gap < radius * 2.0:
            chosen.append(p)
        if len(chosen) == count:
            break
    for p in chosen:
        _blossom(hand, p, radius * rng.uniform(0.75, 1.25))
    buds = hand.mask()
    k = 14
    at = shoots[rng.integers(0, n, k), rng.integers(6, 12, k)] + rng.normal(0, 0.008, (k, 2))
    sk.dots(buds, at, radius * rng.uniform(0.2, 0.42, k))
    hand.ink(buds, 0.85, ROUGE if st.coloured else INK, dry=0)


def _blossom(hand: Hand, c: np.ndarray, r: float) -> None:
    """Five round petals and dark stamens."""
    rng, st = hand.rng, hand.style
    turn = rng.uniform(0, 2 * np.pi)
    squash = rng.uniform(0.7, 1.0)
    angle = turn + np.arange(5) * 2 * np.pi / 5
    ring = np.stack([np.cos(angle), np.sin(angle) * squash], 1)
    petals = hand.mask()
    sk.dots(petals, c + 0.56 * r * ring, 0.46 * r)
    sk.dots(petals, c[None], 0.4 * r)
    hand.hide(petals)
    if st.coloured:
        hand.ink(
            petals, 0.85 if st.freehand else 0.7, ROUGE if st.freehand else PINK, soft=st.wet * 0.5, dry=0, grain=0.4
        )
    elif st.freehand and not st.sketch:
        hand.ink(petals, 0.2, dry=0)
    if not (st.freehand and st.coloured):
        t = np.linspace(-1.35, 1.35, 8)
        a = angle[:, None] + t[None]
        edge = (c + 0.56 * r * ring)[:, None] + 0.48 * r * np.stack([np.cos(a), np.sin(a) * (0.5 + 0.5 * squash)], -1)
        m = hand.mask()
        sk.strokes(m, edge, 0.006 * st.line, 1.0, "even")
        hand.ink(m, 0.85, soft=0, dry=0)
    m = hand.mask()
    tips = c + 0.42 * r * np.stack([np.cos(angle + 0.5), np.sin(angle + 0.5) * squash], 1)
    sk.hairs(m, np.repeat(c[None], 5, 0), tips, 0.8)
    sk.dots(m, tips, 0.004)
    hand.ink(m, 0.85, soft=0, dry=0, grain=0)


def lotus(hand: Hand, element: Element, scene: Scene) -> None:
    """Great round leaves on stalks, with one or two open flowers standing above them."""
    rng, st = hand.rng, hand.style
    box = element.box
    w, h = box[2] - box[0], box[3] - box[1]
    flip = bool(rng.random() < 0.5)
    small = h < 0.45
    spots = np.array([[0.3, 0.62], [0.74, 0.7], [0.5, 0.86]]) + rng.uniform(-0.05, 0.05, (3, 2))
    sizes = np.array([0.27, 0.23, 0.17]) * rng.uniform(0.9, 1.1, 3)
    heads = np.array([[0.62, 0.24], [0.2, 0.16]]) + rng.uniform(-0.05, 0.05, (2, 2))
    flowers = 1 if small or rng.random() < 0.45 else 2
    stalks = hand.mask()
    for p in np.vstack([spots[:2], heads[:flowers]]):
        a, b = local(box, [p, [p[0] * 0.6 + 0.2, 1.07 if not small else 1.0]], flip)
        sk.strokes(
            stalks, sk.arcs(a[None], b[None], np.array([rng.uniform(-0.1, 0.1)]), 12), 0.017 * w, 0.9, "even", rng
        )
    hand.ink(stalks, 0.7, LEAF if st.coloured and not st.freehand else INK)
    for p, s in zip(spots[: 2 if small else 3], sizes, strict=False):
        _pad(hand, local(box, [p], flip)[0], s * w, s * rng.uniform(0.5, 0.68) * h)
    for p in heads[:flowers]:
        _lotus_flower(hand, local(box, [p], flip)[0], (0.2 if flowers == 1 else 0.17) * min(w, h))


def _pad(hand: Hand, c: np.ndarray, rx: float, ry: float) -> None:
    """A leaf: one big wet wash, darker to one side, with veins from its centre."""
    rng, st = hand.rng, hand.style
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    # A lifted, lobed rim: deep at the back where the leaf is notched, frilled all round.
    r = 1 + 0.06 * np.sin(7 * t + rng.uniform(0, 6)) + 0.07 * np.sin(3 * t + rng.uniform(0, 6))
    r -= 0.22 * np.exp(-(((t - 1.5 * np.pi) / 0.16) ** 2)) * rng.uniform(0.4, 1.0)
    tilt = rng.uniform(-0.25, 0.25)
    poly = c + np.stack([rx * r * np.cos(t), ry * r * np.sin(t) + tilt * ry * np.cos(t)], 1)
    m = hand.mask()
    sk.fill(m, poly)
    hand.hide(m)
    colour = LEAF if st.coloured else INK
    if not st.sketch:
        hand.ink(m, (0.5 if colour is INK else 0.8) * st.wash, colour, soft=max(st.wet, 0.003), grain=0.6)
        shade = hand.mask()
        sk.fill(shade, sk.blob(c[0] - 0.25 * rx, c[1] + 0.2 * ry, 0.6 * rx, 0.6 * ry, rng, 0.2))
        hand.ink(np.minimum(shade, m), 0.4 * st.wash, soft=0.014, grain=0.6)
    veins = hand.mask()
    angle = np.linspace(0, 2 * np.pi, 11, endpoint=False) + rng.uniform(0, 1)
    hub = c + np.array([0.0, -0.18 * ry])
    end = c + rng.uniform(0.62, 0.9, (11, 1)) * np.stack(
        [rx * np.cos(angle), ry * np.sin(angle) + tilt * ry * np.cos(angle)], 1
    )
    bow = rng.uniform(-0.16, 0.16, 11)
    sk.strokes(veins, sk.arcs(np.repeat(hub[None], 11, 0), end, bow, 7), 0.006 * st.line, 1.0, "taper")
    hand.ink(veins, 0.75, soft=st.wet * 0.4)
    if st.sketch or not st.freehand:
        hand.contour(poly, 0.008, 0.9)


def _lotus_flower(hand: Hand, c: np.ndarray, r: float) -> None:
    """Pointed petals in two rows, opening upward like a cup."""
    rng, st = hand.rng, hand.style
    rows = [np.linspace(-1.3, 1.3, 7), np.linspace(-0.8, 0.8, 4)]
    for k, angles in enumerate(rows):
        order = np.argsort(-np.abs(angles))
        foot = c + np.array([0.0, 0.55 * r])
        for a in angles[order] + rng.normal(0, 0.06, len(angles)):
            length = r * (1.55 - 0.35 * k) * rng.uniform(0.92, 1.08)
            tip = foot + length * np.array([np.sin(a), -np.cos(a) * 0.9])
            path = sk.arcs(foot[None], tip[None], np.array([-0.18 * np.sign(a)]), 11)
            poly = sk.outline(path, np.array([r * 0.62]), "leaf")[0]
            m = hand.mask()
            sk.fill(m, poly)
            hand.hide(m)
            if st.coloured:
                hand.ink(m, 0.38, PINK, dry=0)
                blush = hand.mask()
                sk.fill(blush, sk.outline(path[:, 6:], np.array([r * 0.34]), "line")[0])
                hand.ink(np.minimum(blush, m), 0.9, ROUGE, soft=0.008, dry=0)
            elif not st.sketch:
                hand.ink(m, 0.14, dry=0)
            hand.contour(poly, 0.006, 0.85 if not st.coloured else 0.5, INK if not st.coloured else ROUGE)
