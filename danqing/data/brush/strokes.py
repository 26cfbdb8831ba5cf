"""Brush strokes as geometry: curves in picture fractions, widths that swell and taper, drawn into a mask."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np

_SHIFT = 4  # sub-pixel bits handed to OpenCV

Array = np.ndarray


def noise1d(rng: np.random.Generator, n: int, octaves: tuple[int, ...] = (4, 9, 19, 41), fall: float = 0.5) -> Array:
    """(n,) smooth fractal noise, about -1..1."""
    x = np.linspace(0.0, 1.0, n)
    out = np.zeros(n)
    amp = 1.0
    for knots in octaves:
        out += amp * np.interp(x, np.linspace(0.0, 1.0, knots), rng.uniform(-1, 1, knots))
        amp *= fall
    return out


def curve(points: Any, n: int = 24) -> Array:
    """(n, 2) points of a Catmull-Rom spline through `points` (m, 2)."""
    p = np.asarray(points, float)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    m = len(p) - 3
    t = np.linspace(0.0, m - 1e-6, n)
    i = t.astype(int)
    f = (t - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return 0.5 * (2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3)


def arcs(start: Array, end: Array, bend: Array, n: int = 8) -> Array:
    """(m, n, 2) quadratic arcs from `start` to `end` (m, 2), bowed by `bend` (m,) of their length."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    chord = end - start
    normal = np.stack([-chord[:, 1], chord[:, 0]], 1)
    middle = (start + end) / 2 + normal * np.asarray(bend, float)[:, None]
    t = np.linspace(0.0, 1.0, n)[None, :, None]
    return (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * middle[:, None] + t**2 * end[:, None]


def profile(name: str, n: int) -> Array:
    """(n,) relative width along a stroke."""
    t = np.linspace(0.0, 1.0, n)
    if name == "leaf":  # full before the middle, a long point
        return np.sin(np.pi * t**0.75) ** 0.8
    if name == "taper":  # pressed at the start, lifted at the end
        return np.minimum(1.0, t * 12 + 0.35) * (1 - t) ** 0.6
    if name == "trunk":  # spread at the root, then slowly thinner
        return 0.95 - 0.75 * t + 0.35 * np.exp(-t * 12)
    if name == "even":
        return np.clip(np.minimum(t, 1 - t) * 12, 0.55, 1.0)
    if name == "bone":  # pressed at both ends, as a bamboo section
        return 0.82 + 0.3 * np.abs(2 * t - 1) ** 3
    if name == "press":  # set down heavily, drawn on thin, stopped
        return 0.55 + 0.75 * np.exp(-(((t - 0.1) / 0.18) ** 2)) + 0.25 * np.exp(-(((t - 0.95) / 0.1) ** 2))
    if name == "wedge":  # axe-cut: a broad head dragged to nothing
        return (1 - t) ** 0.8
    if name == "grass":  # swelling twice, as an orchid leaf
        return np.sin(np.pi * t**0.8) ** 0.6 * (0.78 + 0.3 * np.cos(2 * np.pi * (t * 1.6 + 0.15)))
    return np.sin(np.pi * np.clip(t, 0.04, 0.96)) ** 0.5  # "line": a plain drawn line


def outline(paths: Array, widths: Array, kind: str = "line", rng: np.random.Generator | None = None) -> Array:
    """(m, 2n, 2) closed polygons of strokes along `paths` (m, n, 2), `widths` (m,) being full widths."""
    d = np.gradient(paths, axis=1)
    normal = np.stack([-d[..., 1], d[..., 0]], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    n = paths.shape[1]
    w = np.asarray(widths, float)[:, None] * profile(kind, n)[None] * 0.5
    if rng is not None:
        w = w * rng.uniform(0.75, 1.2, w.shape)
    off = normal * w[..., None]
    return np.concatenate([paths + off, (paths - off)[:, ::-1]], 1)


def _fixed(points: Array, px: int) -> Array:
    return np.round((points * px - 0.5) * (1 << _SHIFT)).astype(np.int32)


def fill(mask: Array, polygon: Array, value: float = 1.0) -> None:
    """Fill one polygon (n, 2), in picture fractions, with tone `value` 0..1."""
    pts = _fixed(np.asarray(polygon, float), mask.shape[0])
    cv2.fillPoly(mask, [pts], int(value * 255), cv2.LINE_AA, _SHIFT)


def strokes(
    mask: Array,
    paths: Array,
    widths: Any,
    values: Any = 1.0,
    kind: str = "line",
    rng: np.random.Generator | None = None,
    split: float = 0.0,
) -> None:
    """Draw m strokes along `paths` (m, n, 2), or one along (n, 2); darker ones go over lighter ones.

    `split` 0..1 (with `rng`) parts the hairs of broad strokes, so that the ground flies through their tails.
    """
    paths = np.asarray(paths, float)
    if paths.ndim == 2:
        paths = paths[None]
    m = len(paths)
    if m == 0:
        return
    # Never thinner than a hair at the working resolution, or the line would break up into dots.
    w = np.maximum(np.broadcast_to(np.asarray(widths, float), (m,)), 0.9 / mask.shape[0])
    v = (np.broadcast_to(np.asarray(values, float), (m,)).clip(0, 1) * 255).astype(int)
    polys = _fixed(outline(paths, w, kind, rng), mask.shape[0])
    for i in np.argsort(v, kind="stable"):
        cv2.fillPoly(mask, [polys[i]], int(v[i]), cv2.LINE_AA, _SHIFT)
    if split > 0 and rng is not None:
        _part(mask, paths, w, kind, rng, split)


def _part(mask: Array, paths: Array, w: Array, kind: str, rng: np.random.Generator, split: float) -> None:
    """Erase a few hair-wide lines along the length of each broad stroke."""
    n = paths.shape[1]
    hair = w > 0.014
    if not hair.any() or n < 6:
        return
    d = np.gradient(paths, axis=1)
    normal = np.stack([-d[..., 1], d[..., 0]], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    half = 0.5 * profile(kind, n)[:, None]
    for i in np.flatnonzero(hair):
        for _ in range(round(split * min(2 + 120 * w[i], 7))):
            a = int(rng.integers(0, n - 4))
            b = int(rng.integers(a + 3, n))
            off = rng.uniform(-0.85, 0.85) * w[i]
            line = _fixed(paths[i, a:b] + normal[i, a:b] * half[a:b] * off, mask.shape[0])
            cv2.polylines(mask, [line], False, 0, 1, cv2.LINE_AA, _SHIFT)


def pieces(polygon: Array, rng: np.random.Generator, closed: bool, wobble: float) -> Array:
    """(m, 12, 2) strokes that together draw a polygon's line, lifted at its corners and here and there between."""
    p = np.asarray(polygon, float)
    if closed:
        p = np.vstack([p, p[:1]])
    step = np.r_[0, np.cumsum(np.hypot(*np.diff(p, axis=0).T))]
    n = int(np.clip(step[-1] / 0.012, 16, 110))
    s = np.linspace(0, step[-1], n)
    q = np.stack([np.interp(s, step, p[:, 0]), np.interp(s, step, p[:, 1])], 1)
    d = np.diff(q, axis=0)
    turn = np.abs(np.diff(np.unwrap(np.arctan2(d[:, 1], d[:, 0]))))
    corners = np.flatnonzero(turn > 0.7) + 1
    extra = rng.integers(2, n - 2, max(2, n // 22))
    ends = np.unique(np.r_[0, corners, extra, n - 1])
    shake = wobble * noise1d(rng, n, (9, 19))[:, None]
    q = q + np.stack([shake[:, 0], -shake[::-1, 0]], 1)
    out = []
    for a, b in pairwise(ends):
        t = np.linspace(a, b, 12)
        i = np.arange(n)
        out.append(np.stack([np.interp(t, i, q[:, 0]), np.interp(t, i, q[:, 1])], 1))
    return np.array(out)


def hairs(mask: Array, start: Array, end: Array, value: float = 1.0, thickness: int = 1) -> None:
    """Many straight thin lines at once, `start` and `end` (m, 2)."""
    pts = _fixed(np.stack([start, end], 1), mask.shape[0])
    cv2.polylines(mask, list(pts), False, int(value * 255), thickness, cv2.LINE_AA, _SHIFT)


def dots(mask: Array, centres: Array, radii: Any, values: Any = 1.0) -> None:
    """Round dots, `centres` (m, 2) and `radii` in picture fractions."""
    c = np.asarray(centres, float).reshape(-1, 2)
    r = np.broadcast_to(np.asarray(radii, float), (len(c),))
    v = (np.broadcast_to(np.asarray(values, float), (len(c),)).clip(0, 1) * 255).astype(int)
    # Polygons, because OpenCV's own small anti-aliased circles come out as crosses.
    t = np.linspace(0.0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(t), np.sin(t)], 1)
    polys = _fixed(c[:, None] + np.maximum(r, 0.6 / mask.shape[0])[:, None, None] * ring, mask.shape[0])
    for i in range(len(c)):
        cv2.fillPoly(mask, [polys[i]], int(v[i]), cv2.LINE_AA, _SHIFT)


def blob(cx: float, cy: float, rx: float, ry: float, rng: np.random.Generator, rough: float = 0.08) -> Array:
    """(40, 2) closed irregular ellipse."""
    t = np.linspace(0.0, 2 * np.pi, 40, endpoint=False)
    r = 1 + rough * (rng.uniform(-1, 1, 3) @ np.stack([np.sin(t * k + rng.uniform(0, 6)) for k in (2, 3, 5)]))
    return np.stack([cx + rx * r * np.cos(t), cy + ry * r * np.sin(t)], 1)
