"""Pictures that are no Chinese paintings, made here: what a crawl of a museum's site drags in beside the paintings.

Photograph-like gradients and bokeh, pages of text, tables, colour charts, noise, flat colours, screens, brick walls.
Seeded: negative `index` of a seed is the same on every machine.
"""

from __future__ import annotations

import cv2
import numpy as np


def negative(seed: int, index: int, size: int) -> np.ndarray:
    """uint8 (size, size, 3) RGB."""
    rng = np.random.default_rng([seed, 7, index])
    kinds = (_photograph, _bokeh, _page, _chart, _noise, _flat, _screen, _bricks, _stripes, _objects)
    picture = kinds[index % len(kinds)](rng, 96)
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 2.0)))
    if rng.random() < 0.25:  # a photograph without colour
        picture = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    return cv2.resize(np.ascontiguousarray(picture), (size, size), interpolation=cv2.INTER_AREA)


def _colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    a, b, c = (int(v) for v in rng.integers(low, high, 3))
    return a, b, c


def _ramp(rng: np.random.Generator, n: int) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:n, 0:n] / n
    t = np.clip((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) + 0.5, 0, 1)[..., None]
    return (1 - t) * np.array(_colour(rng)) + t * np.array(_colour(rng))


def _photograph(rng: np.random.Generator, n: int) -> np.ndarray:
    """Sky over ground with lit, shaded forms: strong colours, smooth shading, no blank ground."""
    sky, land = _ramp(rng, n), _ramp(rng, n) * 0.7
    line = n * rng.uniform(0.3, 0.7) + np.cumsum(rng.normal(0, 1.2, n))
    below = np.arange(n)[:, None] > line[None]
    picture = np.where(below[..., None], land, sky)
    grain = cv2.resize(rng.normal(0, 1, (n // 4, n // 4)).astype(np.float32), (n, n), interpolation=cv2.INTER_CUBIC)
    picture = picture + grain[..., None] * rng.uniform(8, 30) * below[..., None]
    return np.clip(picture + rng.normal(0, 3, (n, n, 1)), 0, 255).astype(np.uint8)


def _bokeh(rng: np.random.Generator, n: int) -> np.ndarray:
    picture: np.ndarray = _ramp(rng, n).astype(np.uint8).copy()
    for _ in range(int(rng.integers(6, 25))):
        layer = picture.copy()
        cv2.circle(layer, tuple(int(v) for v in rng.integers(0, n, 2)), int(rng.integers(3, 20)), _colour(rng), -1)
        picture = cv2.addWeighted(layer, 0.5, picture, 0.5, 0)
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def _page(rng: np.random.Generator, n: int) -> np.ndarray:
    picture = np.full((n, n, 3), int(rng.integers(225, 256)), np.uint8)
    step = int(rng.integers(4, 9))
    ink = int(rng.integers(0, 90))
    for y in range(step + 2, n - step, step):
        x = 6
        stop = n - 6 if rng.random() < 0.8 else int(rng.integers(n // 3, n))
        while x < stop:
            width = int(rng.integers(2, 9))
            cv2.rectangle(picture, (x, y), (min(x + width, stop), y + max(1, step // 3)), (ink, ink, ink), -1)
            x += width + 2
    return picture


def _chart(rng: np.random.Generator, n: int) -> np.ndarray:
    cells = int(rng.integers(2, 8))
    table = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(table, (n, n), interpolation=cv2.INTER_NEAREST))


def _noise(rng: np.random.Generator, n: int) -> np.ndarray:
    coarse = int(rng.choice([n, n // 2, n // 4, n // 8]))
    table = rng.integers(0, 256, (coarse, coarse, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(table, (n, n), interpolation=cv2.INTER_CUBIC))


def _flat(rng: np.random.Generator, n: int) -> np.ndarray:
    picture = np.asarray(_colour(rng), float) + rng.normal(0, rng.uniform(0, 6), (n, n, 1))
    return np.clip(np.broadcast_to(picture, (n, n, 3)), 0, 255).astype(np.uint8)


def _screen(rng: np.random.Generator, n: int) -> np.ndarray:
    """A page of a web site: bars, boxes and lines of text."""
    picture = np.full((n, n, 3), _colour(rng, 200, 256), np.uint8)
    cv2.rectangle(picture, (0, 0), (n, int(rng.integers(6, 18))), _colour(rng), -1)
    for _ in range(int(rng.integers(3, 9))):
        x, y = (int(v) for v in rng.integers(0, n - 16, 2))
        corner = (x + int(rng.integers(10, 50)), y + int(rng.integers(6, 30)))
        cv2.rectangle(picture, (x, y), corner, _colour(rng), -1 if rng.random() < 0.6 else 1)
    return picture


def _bricks(rng: np.random.Generator, n: int) -> np.ndarray:
    picture = np.full((n, n, 3), _colour(rng, 120, 220), np.uint8)
    high, wide, base = int(rng.integers(6, 14)), int(rng.integers(12, 28)), np.array(_colour(rng, 60, 220))
    for row, y in enumerate(range(0, n, high)):
        for x in range(-(row % 2) * wide // 2, n, wide):
            tone = tuple(int(v) for v in np.clip(base + rng.normal(0, 14), 0, 255))
            cv2.rectangle(picture, (x + 1, y + 1), (x + wide - 2, y + high - 2), tone, -1)
    return picture


def _stripes(rng: np.random.Generator, n: int) -> np.ndarray:
    y, x = np.mgrid[0:n, 0:n]
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 24)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)[..., None]
    first, second = np.array(_colour(rng)), np.array(_colour(rng))
    return np.clip(np.where(wave > rng.uniform(-0.6, 0.6), first, second), 0, 255).astype(np.uint8)


def _objects(rng: np.random.Generator, n: int) -> np.ndarray:
    """A museum's object on a studio background: one lit, closed form with a shadow."""
    picture = np.full((n, n, 3), int(rng.integers(90, 250)), np.float32) + np.linspace(-25, 25, n)[:, None, None]
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    middle = (n // 2 + int(rng.integers(-8, 9)), n // 2 + int(rng.integers(-6, 7)))
    axes = (int(rng.integers(12, 34)), int(rng.integers(16, 38)))
    cv2.ellipse(picture, (middle[0], middle[1] + axes[1]), (axes[0] + 6, 6), 0, 0, 360, (60, 60, 60), -1)
    tone = np.array(_colour(rng, 30, 230))
    for k in range(10):
        shade = tuple(int(v) for v in np.clip(tone * (0.6 + 0.07 * k), 0, 255))
        shrunk = (max(1, int(axes[0] * (1 - k / 11))), max(1, int(axes[1] * (1 - k / 11))))
        cv2.ellipse(picture, (middle[0] - k, middle[1] - k), shrunk, 0, 0, 360, shade, -1)
    return picture
