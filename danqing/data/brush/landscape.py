"""Mountains and what surrounds them: mist, water, rock, waterfall, moon and sun."""

from __future__ import annotations

import numpy as np

from danqing.data.brush import strokes as sk
from danqing.data.brush.ink import AZURE, CINNABAR, MALACHITE, OCHRE, Hand, crop, local
from danqing.data.brush.scene import Element, Scene
from danqing.data.brush.texture_strokes import copse, cun, folds, moss

_COLUMNS = 129


def _ridge(hand: Hand, peaks: list[tuple[float, float, float]], rough: float, power: float = 1.0) -> np.ndarray:
    """(129,) heights over the picture's width; a peak is (x, height, half width).

    `power` shapes it: under 1 needles with hollow flanks, over 1 rounded domes.
    """
    xs = np.linspace(0.0, 1.0, _COLUMNS)
    h = np.zeros(_COLUMNS)
    for cx, top, half in peaks:
        d = np.clip(np.abs(xs - cx) / half, 0, 1)
        h = np.maximum(h, top * (1 - d**power))
    n = sk.noise1d(hand.rng, _COLUMNS, (7, 15, 33, 65), 0.6)
    return np.clip(h * (1 + rough * n) + 0.05 * rough * n, 0.0, 1.05)


def _below(hand: Hand, ridge_y: np.ndarray, fade: float) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (px, px) 0..1 under a ridge line and depth under it in units of `fade`."""
    px = hand.canvas.px
    cols = np.interp((np.arange(px) + 0.5) / px, np.linspace(0, 1, _COLUMNS), ridge_y).astype(np.float32)
    rows = ((np.arange(px, dtype=np.float32) + 0.5) / px)[:, None]
    below = rows - cols[None, :]
    return np.clip(below * px, 0, 1), np.maximum(below, 0) / np.float32(fade)


def _far(hand: Hand, element: Element) -> None:
    """Distant pale ridges without a contour."""
    _, y0, _, y1 = element.box
    for i in range(2):
        peaks = [(hand.rng.uniform(0, 1), hand.rng.uniform(0.4, 1.0) * (1 - 0.3 * i), hand.rng.uniform(0.2, 0.4))]
        peaks += [(hand.rng.uniform(-0.1, 1.1), hand.rng.uniform(0.2, 0.6), 0.3) for _ in range(2)]
        ridge = y1 - (y1 - y0) * _ridge(hand, peaks, 0.1)
        cover, depth = _below(hand, ridge, (y1 - y0) * 0.7)
        cover *= np.exp(-((depth / 0.8) ** 2)) * np.clip((y1 - ridge_rows(hand)) / 0.06, 0, 1)
        colour = {"blue-green": AZURE, "light-crimson": (120, 128, 138)}.get(hand.style.palette, (70, 74, 84))
        hand.ink(cover, 0.3 + 0.12 * i, colour, soft=0.004, dry=0)


def ridge_rows(hand: Hand) -> np.ndarray:
    """(px, 1) row centres in picture fractions."""
    px = hand.canvas.px
    return ((np.arange(px, dtype=np.float32) + 0.5) / px)[:, None]


def mountain(hand: Hand, element: Element, scene: Scene) -> None:
    """Nested ridges from far to near, each washed, textured and fading into mist at the foot."""
    if element.place == "far" and scene.main != "mountain":
        _far(hand, element)
        return
    rng, st = hand.rng, hand.style
    x0, y0, x1, y1 = element.box
    w, h = x1 - x0, y1 - y0
    lead = rng.uniform(0.38, 0.62)
    if element.place == "left":
        lead = rng.uniform(0.25, 0.42)
    elif element.place == "right":
        lead = rng.uniform(0.58, 0.75)
    level = scene.composition == "level distance"
    power = {"hemp-fibre cun": 1.7, "dotting": 1.6, "axe-cut cun": 1.0}.get(st.technique) or rng.uniform(0.85, 1.8)
    power *= rng.uniform(0.9, 1.1)
    if not st.sketch:
        _veil(hand, element, lead, power)
    crown = rng.uniform(0.19, 0.3) * (1.55 if level else 1.0) * (0.85 + 0.15 * power)
    for i in range(3):
        if i == 0:
            peaks = [(lead, 1.0, crown)]
            for side in (-1, 1):  # shoulders step down from the peak
                near, far = rng.uniform(0.09, 0.16), rng.uniform(0.2, 0.34)
                peaks.append((lead + side * near, rng.uniform(0.6, 0.84), crown * 0.8))
                peaks.append((lead + side * far, rng.uniform(0.34, 0.6), crown * 0.8))
        else:
            side = 1 if (i + (lead > 0.5)) % 2 else -1
            c = lead + side * rng.uniform(0.12, 0.34)
            top = (0.56, 0.32)[i - 1] * rng.uniform(0.85, 1.15)
            peaks = [(c, top, 0.24), (c - side * 0.17, top * 0.66, 0.2), (c + side * 0.17, top * 0.75, 0.2)]
            peaks.append((c - side * 0.36, top * 0.4, 0.2))
        peaks = [(x0 + cx * w, top, half * w) for cx, top, half in peaks]
        ridge = y1 - h * _ridge(hand, peaks, 0.13, power)
        _layer(hand, ridge, y1, h, near=(i + 1) / 3, first=i == 0)
        if i == 2:
            copse(hand, ridge, y1 - 0.1 * h)


def _veil(hand: Hand, element: Element, lead: float, power: float) -> None:
    """A range without lines behind the main peak, as pale as breath."""
    rng = hand.rng
    x0, y0, x1, y1 = element.box
    peaks = [(x0 + (x1 - x0) * (lead + rng.choice([-1, 1]) * rng.uniform(0.2, 0.4)), rng.uniform(0.55, 0.8), 0.25)]
    peaks += [(rng.uniform(0, 1), rng.uniform(0.3, 0.6), 0.22) for _ in range(3)]
    ridge = y1 - (y1 - y0) * _ridge(hand, peaks, 0.08, power)
    cover, depth = _below(hand, ridge, 0.3 * (y1 - y0))
    tint = {"blue-green": AZURE, "light-crimson": (140, 128, 120)}.get(hand.style.palette, (84, 90, 100))
    cover *= np.exp(-(depth**2)) * np.clip((y1 - 0.1 - ridge_rows(hand)) / 0.1, 0, 1)
    hand.ink(cover, 0.3, tint, soft=0.003, dry=0, grain=0.3)


def _layer(hand: Hand, ridge: np.ndarray, foot: float, height: float, near: float, first: bool) -> None:
    """One ridge: reserve, wash, colour, cun, contour and moss."""
    st, rng = hand.style, hand.rng
    cover, depth = _below(hand, ridge, height * (0.62 if first else 0.45))
    rows = ridge_rows(hand)
    wave = (0.07 * height * sk.noise1d(rng, hand.canvas.px, (4, 9, 15)))[None, :].astype(np.float32)
    ground = np.clip((foot - 0.06 * height + wave - rows) / (0.26 * height), 0, 1) ** 1.3  # lost in mist at the foot
    body = cover * ground
    hand.hide(body, 0.96)
    fade = body * np.exp(-((depth / 0.75) ** 1.5))
    tone = (0.34 + 0.3 * near) * st.wash
    hand.ink(fade, tone, soft=st.wet * 0.7, dry=st.dry * 0.5, grain=0.5)
    if st.palette == "blue-green":
        hand.ink(fade, 0.75, AZURE, soft=0.004, dry=0, grain=0.4)
        hand.ink(body * np.clip(depth - 0.25, 0, 1) * np.exp(-depth), 1.5, MALACHITE, soft=0.006, dry=0, grain=0.4)
    elif st.palette == "light-crimson":
        hand.ink(body * np.exp(-depth) * np.clip(depth * 2 + 0.2, 0, 1), 0.8, OCHRE, soft=0.006, dry=0, grain=0.4)
    folds(hand, ridge, fade, near)
    cun(hand, ridge, fade, near)
    m = hand.mask()
    xs = np.linspace(0, 1, _COLUMNS)
    alive = ridge < foot - 0.12 * height
    width = 0.009 * st.line * (0.5 + 0.5 * near) * (1 + 0.5 * sk.noise1d(rng, _COLUMNS))
    pts = np.stack([xs, ridge], 1)
    idx = np.flatnonzero(alive[:-1] & alive[1:])
    for start in range(0, len(idx), 6):
        run = idx[start : start + 7]
        if len(run) > 1 and run[-1] - run[0] == len(run) - 1:
            w = float(np.clip(width[run].mean(), 0.003, 0.016))
            path = sk.curve(pts[run], 10)
            sk.strokes(m, path, w * rng.uniform(0.6, 1.4), rng.uniform(0.55, 1.0), "press", rng)
    line = (0.55 + 0.4 * near) if st.technique not in ("boneless", "splashed ink") else 0.25
    hand.ink(m, line, dry=st.dry, grain=0.3)
    moss(hand, ridge, alive, near)


def mist(hand: Hand, element: Element, scene: Scene) -> None:
    """A band where the ink is lifted off again."""
    _, y0, _, y1 = element.box
    rows = ridge_rows(hand)
    px = hand.canvas.px
    wave = (sk.noise1d(hand.rng, px, (3, 6, 12)) * 0.25 * (y1 - y0)).astype(np.float32)
    centre = (y0 + y1) / 2 + wave[None, :]
    band = np.exp(-(((rows - centre) / (0.42 * (y1 - y0))) ** 2)).astype(np.float32)
    hand.hide(band, 0.85)
    # On bare ground lifted ink would show nothing, so a breath of wash marks the band's two edges.
    wisps = np.clip(3.2 * (crop("cloud", px, hand.rng, 0.6) - 0.3), 0, 1)
    edge = np.clip(band * (1 - band) * 4, 0, 1) ** 2 * np.where(rows > centre, 1.0, 0.45) * wisps
    hand.ink(edge, 0.42, (92, 98, 110), soft=0, dry=0, grain=0.5)


def water(hand: Hand, element: Element, scene: Scene) -> None:
    """Level ripple lines, gathered and broken."""
    rng = hand.rng
    n = 14
    a = local(element.box, rng.random((n, 2)) * [0.8, 1.0])
    length = rng.uniform(0.06, 0.2, n)
    b = a + np.stack([length, rng.normal(0, 0.003, n)], 1)
    m = hand.mask()
    sk.strokes(m, sk.arcs(a, b, rng.uniform(-0.04, 0.04, n)), 0.006 * hand.style.line, rng.uniform(0.4, 0.9, n))
    hand.ink(m, 0.5, soft=0)


def moon(hand: Hand, element: Element, scene: Scene) -> None:
    """A disc left blank in a halo of pale wash that is lost outwards."""
    x0, y0, x1, y1 = element.box
    cx, cy, r = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2
    px = hand.canvas.px
    axis = (np.arange(px, dtype=np.float32) + 0.5) / px
    away = np.sqrt((axis[None, :] - cx) ** 2 + (axis[:, None] - cy) ** 2)
    disc = np.clip((0.85 * r - away) * px, 0, 1).astype(np.float32)
    halo = np.exp(-np.maximum(away - 0.8 * r, 0) / (0.55 * r)).astype(np.float32)
    hand.ink(np.where(halo > 0.02, halo, 0), 0.34, (74, 80, 92), soft=0, dry=0, grain=0.5)
    hand.hide(disc, 0.97)


def sun(hand: Hand, element: Element, scene: Scene) -> None:
    """A flat red disc."""
    x0, y0, x1, y1 = element.box
    m = hand.mask()
    sk.dots(m, np.array([[(x0 + x1) / 2, (y0 + y1) / 2]]), (x1 - x0) / 2 * 0.86)
    hand.ink(m, 0.85, CINNABAR, soft=0.002, dry=0, grain=0.35)


def rock(hand: Hand, element: Element, scene: Scene) -> None:
    """A garden rock: an angular outline, planes, and the picture's own texture strokes."""
    rng, st = hand.rng, hand.style
    n = 9
    t = np.linspace(0, 1, n)
    top = 1 - (np.sin(np.pi * t) ** 0.6) * rng.uniform(0.62, 1.0, n)
    shape = np.vstack([np.stack([t, top], 1), [[0.97, 1.0], [0.03, 1.0]]])
    shape[0], shape[n - 1] = [0.02, 0.95], [0.98, 0.95]
    poly = local(element.box, shape)
    hand.solid(poly, 0.34, edge=0.012, edge_tone=0.8)
    inside = hand.mask()
    sk.fill(inside, poly)
    m = hand.mask()
    k = 12
    a = local(element.box, np.stack([rng.uniform(0.12, 0.85, k), rng.uniform(0.25, 0.65, k)], 1))
    b = a + np.stack([rng.uniform(-0.05, 0.05, k), rng.uniform(0.04, 0.1, k)], 1)
    width, kind = (0.02, "wedge") if st.technique == "axe-cut cun" else (0.008, "taper")
    if st.technique == "raindrop cun":
        b = a + (b - a) * 0.3
        width = 0.012
    sk.strokes(m, sk.arcs(a, b, rng.uniform(-0.2, 0.2, k), 6), width * st.line, rng.uniform(0.5, 1.0, k), kind, rng)
    hand.ink(np.minimum(m, inside), 0.6)
    if st.technique == "dotting" or rng.random() < 0.5:
        d = hand.mask()
        j = rng.integers(0, n - 1, 9)
        at = poly[j] + (poly[j + 1] - poly[j]) * rng.random((9, 1))
        sk.dots(d, at, rng.uniform(0.006, 0.011, 9))
        hand.ink(d, 0.9)


def waterfall(hand: Hand, element: Element, scene: Scene) -> None:
    """A reserved ribbon between dark banks, with a few falling lines."""
    rng = hand.rng
    u = np.array([0.5, 0.42, 0.55, 0.5]) + rng.uniform(-0.06, 0.06, 4)
    path = sk.curve(local(element.box, np.stack([u, [0, 0.33, 0.66, 1]], 1)), 16)
    w = element.box[2] - element.box[0]
    bank, fall, lines = hand.mask(), hand.mask(), hand.mask()
    sk.strokes(bank, path, w * 1.1, 1.0, "even", rng)
    hand.ink(bank, 0.5, soft=0.006)
    sk.strokes(fall, path, w * 0.62, 1.0, "even")
    hand.hide(fall, 1.0)
    for off in (-0.15, 0.05, 0.17):
        sk.strokes(lines, path[1:] + [off * w, 0], 0.004, 0.7, "line")
    hand.ink(lines, 0.4, soft=0)
