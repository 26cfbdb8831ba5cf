"""Trees: the pine with its needle clouds, the bare tree, and the willow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import INK, LEAF, MALACHITE, OCHRE, Hand, local
from danqing.data.brush.scene import Element, Scene
from danqing.data.brush.seasons import earth


def _small(element: Element) -> bool:
    return element.box[3] - element.box[1] < 0.45


def _trunk(hand: Hand, path: np.ndarray, width: float, tone: float) -> None:
    """A trunk along `path` (n, 2), `width` at the foot: one dry dark sweep, or outlined and lightly washed."""
    st, rng = hand.style, hand.rng
    rough = width * (1 + 0.12 * sk.noise1d(rng, 1, (2,))[0])
    poly = sk.outline(path[None], np.array([rough]), "trunk", rng)[0]
    m = hand.mask()
    sk.fill(m, poly)
    hand.hide(m)
    if st.freehand and not st.sketch:
        sk.strokes(m, path, rough, 1.0, "trunk", rng, split=0.5 + 0.5 * st.dry)
        hand.ink(m, tone, dry=max(st.dry, 0.3), grain=0.4)
        return
    tint = OCHRE if st.palette in ("light-crimson", "colour") else INK
    hand.ink(hand.pooled(m), 0.42 * max(st.wash, 0.2) if tint is INK else 0.7 * st.wash, tint, dry=st.dry)
    hand.contour(poly, 0.008, 0.9)
    k = 14
    at = path[rng.integers(1, len(path) - 3, k)] + rng.normal(0, width * 0.17, (k, 2))
    bark = hand.mask()
    end = at + np.stack([rng.normal(0, width * 0.08, k), rng.uniform(0.1, 0.3, k) * width], 1)
    sk.strokes(bark, sk.arcs(at, end, rng.uniform(-0.5, 0.5, k), 5), 0.006 * st.line, 0.8, "line")
    hand.ink(bark, 0.7)


def pine(hand: Hand, element: Element, scene: Scene) -> None:
    """A leaning trunk with level boughs, each carrying flat clouds of needles."""
    rng = hand.rng
    box = element.box
    w, h = box[2] - box[0], box[3] - box[1]
    flip = bool(rng.random() < 0.5)
    lean = rng.uniform(-0.1, 0.14)
    knots = [[0.4, 1.0], [0.47 + lean * 0.3, 0.76], [0.38 + lean, 0.52], [0.55 + lean, 0.3], [0.5 + lean, 0.1]]
    path = sk.curve(local(box, knots, flip), 30)
    earth(hand, path[0, 0], path[0, 1] - 0.01, 0.6 * w)
    _trunk(hand, path, 0.13 * min(w, h * 0.8), 0.85)
    m = hand.mask()
    levels = 4 if _small(element) else 6
    clumps: list[tuple[float, float, float]] = []
    for i in range(levels):
        v = 0.2 + 0.5 * i / (levels - 1)
        base = path[int(np.argmin(np.abs(path[:, 1] - (box[1] + v * h))))]
        side = 1 if i % 2 else -1
        reach = rng.uniform(0.3, 0.44) * (0.62 + 0.45 * v) * w
        tip_x = float(np.clip(base[0] + side * reach, box[0] + 0.1 * w, box[2] - 0.1 * w))
        tip = np.array([tip_x, base[1] - rng.uniform(-0.02, 0.05) * h])
        bend = np.array([side * rng.uniform(0.05, 0.2)])
        sk.strokes(m, sk.arcs(base[None], tip[None], bend, 10), 0.034 * w, 1.0, "taper", rng)
        clumps.append((tip[0], tip[1] - 0.02 * h, rng.uniform(0.14, 0.19) * w))
        middle = base + (tip - base) * 0.5
        clumps.append((middle[0], middle[1] - 0.05 * h, rng.uniform(0.11, 0.15) * w))
    clumps += [(path[-1, 0], path[-1, 1] + 0.0 * h, 0.17 * w), (path[-6, 0] + 0.06 * w, path[-6, 1], 0.14 * w)]
    hand.ink(m, 0.85)
    for cx, cy, r in sorted(clumps, key=lambda c: c[1]):
        _needles(hand, cx, cy, r, min(0.5 * r, 0.075 * h + 0.1 * r))


def _needles(hand: Hand, cx: float, cy: float, rx: float, ry: float) -> None:
    """One flat clump: a wash, and fans of needles standing on its lower edge."""
    rng, st = hand.rng, hand.style
    cloud = hand.mask()
    sk.fill(cloud, sk.blob(cx, cy, rx, ry, rng, 0.12))
    hand.hide(cloud, 0.75)
    colour = {"blue-green": MALACHITE, "light-crimson": (70, 92, 84), "colour": LEAF}.get(st.palette, INK)
    hand.ink(cloud, (0.5 if colour is INK else 0.9) * st.wash, colour, soft=max(st.wet, 0.006), dry=0)
    fans = 7
    per = 11
    t = np.linspace(-0.85, 0.85, fans) + rng.uniform(-0.1, 0.1, fans)
    foot = np.stack([cx + t * rx, cy + ry * (0.75 - 0.35 * np.abs(t)) + rng.normal(0, 0.1 * ry, fans)], 1)
    angle = np.linspace(-1.25, 1.25, per)[None] + rng.normal(0, 0.08, (fans, per))
    size = np.minimum(rx * 0.42, ry * 1.35) * rng.uniform(0.75, 1.15, (fans, per))
    tip = foot[:, None] + np.stack([np.sin(angle) * size, -np.cos(angle) * size], -1)
    m = hand.mask()
    sk.hairs(m, np.repeat(foot, per, 0), tip.reshape(-1, 2), 1.0)
    hand.ink(m, 0.85 if st.freehand else 0.75, soft=st.wet * 0.4, dry=st.dry * 0.6)


def bare_tree(hand: Hand, element: Element, scene: Scene) -> None:
    """A leafless tree: a twisting trunk whose boughs fork down to crab-claw twigs."""
    rng, st = hand.rng, hand.style
    small = _small(element)
    lean = rng.uniform(-0.14, 0.14)
    path = sk.curve([[0, 1], [0.05, 0.84], [-0.05 + lean, 0.68], [0.03 + lean, 0.52], [lean, 0.42]], 22)
    roots = np.array([path[-1], path[-1], path[-6], path[-9], path[-12], path[-3]])
    angle = np.array([-0.3, 0.4, -0.9, 0.95, -1.15, 0.8]) * rng.choice([-1, 1]) + rng.normal(0, 0.18, 6)
    length = np.array([0.26, 0.26, 0.3, 0.3, 0.2, 0.24]) * rng.uniform(0.75, 1.25, 6)
    width = np.full(6, 0.045)
    levels: list[tuple[np.ndarray, np.ndarray]] = []
    for level in range(4 if small else 5):
        d = np.stack([np.sin(angle), -np.cos(angle)], 1)
        tip = roots + d * length[:, None]
        paths = sk.arcs(roots, tip, rng.uniform(-0.28, 0.28, len(tip)), 7)
        levels.append((paths, width))
        forks = rng.integers(2, 4, len(tip)) if level < 2 else np.full(len(tip), 2)
        keep = np.repeat(np.arange(len(tip)), forks)
        at = rng.uniform(0.4, 1.0, len(keep))
        at[np.r_[0, np.cumsum(forks)[:-1]]] = 1.0  # one fork carries the bough on from its very end
        roots = paths[keep, np.minimum((at * 6).astype(int), 6)]
        spread = rng.uniform(0.25, 0.8, len(keep)) * rng.choice([-1.0, 1.0], len(keep))
        angle = np.clip(angle[keep] * 0.92 + spread, -1.9, 1.9)
        length = length[keep] * rng.uniform(0.5, 0.75, len(keep))
        width = width[keep] * 0.55
    fit = _fit(np.vstack([path, *[p.reshape(-1, 2) for p, _ in levels]]), element.box)
    scale = (element.box[3] - element.box[1]) / 1.0
    m = hand.mask()
    for paths, width in levels:
        w = np.maximum(width * scale * 1.1, 0.0042 * st.line)
        sk.strokes(m, fit(paths), w, 1.0, "taper", rng, split=max(st.dry, 0.2))
    hand.ink(m, 0.95, soft=st.wet * 0.5, dry=st.dry * 0.5)
    _trunk(hand, fit(path), 0.13 * scale, 0.95)
    foot = fit(path[:1])[0]
    earth(hand, foot[0], foot[1] - 0.01, 0.55 * (element.box[2] - element.box[0]))
    if scene.season == "autumn" and not st.sketch:
        leaves = hand.mask()
        pick = rng.integers(0, len(roots), 30)
        sk.dots(leaves, fit(roots[pick]) + rng.normal(0, 0.012, (30, 2)), rng.uniform(0.005, 0.009, 30))
        hand.ink(leaves, 0.7, (190, 84, 40) if st.palette == "light-crimson" else INK, dry=0)


def _fit(points: np.ndarray, box: tuple[float, float, float, float]) -> Callable[[np.ndarray], np.ndarray]:
    """The map that lays `points` (n, 2) exactly into `box`."""
    low, high = points.min(0), points.max(0)
    a, b = np.array(box[:2]), np.array(box[2:])
    return lambda p: a + (p - low) / (high - low) * (b - a)


def willow(hand: Hand, element: Element, scene: Scene) -> None:
    """A leaning trunk, a few arching boughs, and long strands that hang from them."""
    rng, st = hand.rng, hand.style
    box = element.box
    w, h = box[2] - box[0], box[3] - box[1]
    flip = bool(rng.random() < 0.5)
    path = sk.curve(local(box, [[0.4, 1.0], [0.48, 0.76], [0.38, 0.54], [0.47, 0.3]], flip), 20)
    ends = np.array([[0.05, 0.2], [0.22, 0.06], [0.6, 0.02], [0.8, 0.1], [0.97, 0.24]])
    tips = local(box, ends + rng.uniform(-0.03, 0.03, ends.shape), flip)
    roots = path[[-4, -2, -1, -2, -5]]
    boughs = sk.arcs(roots, tips, np.array([0.25, 0.2, -0.12, -0.24, -0.25]) * (-1 if flip else 1), 12)
    strands = 30
    which = rng.integers(0, 5, strands)
    top = boughs[which, rng.integers(5, 12, strands)]
    drop = np.minimum(rng.uniform(0.3, 0.6, strands) * h, box[3] - 0.08 * h - top[:, 1])
    sway = rng.uniform(-0.04, 0.1) * w
    end = top + np.stack([sway + rng.normal(0, 0.03 * w, strands), drop], 1)
    paths = sk.arcs(top, end, rng.normal(0, 0.05, strands), 12)
    k = rng.integers(0, strands, 170)
    at = paths[k, rng.integers(1, 12, 170)]
    leaf_tip = at + np.stack([rng.normal(0, 0.007, 170), rng.uniform(0.01, 0.022, 170)], 1)
    colour = LEAF if st.palette in ("colour", "blue-green") else INK
    m, leaves, wood = hand.mask(), hand.mask(), hand.mask()
    sk.strokes(m, paths, 0.0038, 1.0, "taper")
    sk.hairs(leaves, at, leaf_tip, 1.0)
    sk.strokes(wood, boughs, 0.03 * w, 1.0, "taper", rng)
    hand.ink(m, 0.4, colour, soft=st.wet * 0.4, dry=0)
    hand.ink(leaves, 0.5, colour, soft=st.wet * 0.4, dry=0)
    hand.ink(wood, 0.7)
    _trunk(hand, path, 0.13 * min(w, h), 0.7)
