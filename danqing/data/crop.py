"""From a museum's photograph to a square training picture: mounts off, then the paper's crop rule (Eq. 2-5).

The rule: the main subject is the largest contour polygon. Larger than the target → crop to it, then scale by r;
smaller → scale by r and pad; none found → centre crop. Three choices where the paper is silent:

* The window is square, since the model's pictures are, and it is never larger than the picture's short side: of a long
  scroll the square with most of the subject is taken, not the whole scroll shrunk to a line.
* "Crop to the subject" keeps its surroundings: a window has at least `ROOM` of the short side, because blank ground is
  part of an ink painting's composition.
* Padding shows the picture's own ground where there is any around the subject, and a ground of the same tone and grain
  where there is not: never black.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

ROOM = 0.72
"""Smallest side of a subject window, as a share of the picture's short side."""
SMALLEST = 0.01
"""A contour that covers less of the picture than this is a stain, not a subject."""
SMALL_PIECE = 0.1
"""Pieces of ink up to this share of the short side belong to writing, seals and dots."""
NEUTRAL = 3
"""A scan whose hue stays within so many Lab units of grey was taken without colour."""
PAPER = (0.98, 0.945, 0.86)
"""What old paper leaves of red, green and blue light."""

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last ones outside."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cropped:
    picture: np.ndarray
    """uint8 (size, size, 3), RGB."""
    square: np.ndarray
    """The same window in the pixels of the scan, uint8 (side, side, 3): what is measured."""
    rule: str
    """subject, pad or centre."""
    box: Box
    """The window in the pixels of the given picture; what lies outside the picture was padded."""
    ground: tuple[float, float, float]
    """Tone of the blank ground, RGB 0..255."""


def shoelace(polygon: np.ndarray) -> float:
    """Eq. 2: area of a polygon (N, 2) = ½ |Σ x_i·y_{i+1} − x_{i+1}·y_i|."""
    x, y = np.asarray(polygon, dtype=np.float64).T
    return float(0.5 * abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)))


def scale_to(target: tuple[int, int], size: tuple[int, int]) -> float:
    """Eq. 3: r = min(target_w / w, target_h / h)."""
    return min(target[0] / size[0], target[1] / size[1])


def padding(target: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """Eq. 4: (target_w − new_w) / 2, (target_h − new_h) / 2."""
    return (target[0] - size[0]) / 2, (target[1] - size[1]) / 2


def centre(image: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """Eq. 5: upper left corner of a centred crop of `size` in `image`, both (w, h)."""
    return (image[0] - size[0]) / 2, (image[1] - size[1]) / 2


def ground_tone(picture: np.ndarray) -> np.ndarray:
    """The tone of the blank ground, RGB float (3,): the most frequent brightness of the brightest third."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    histogram = cv2.GaussianBlur(np.bincount(grey.ravel(), minlength=256).astype(np.float32)[None], (0, 0), 4)[0]
    histogram[: int(np.percentile(grey, 65))] = 0
    peak = int(histogram.argmax())
    near = np.abs(grey.astype(int) - peak) <= 6
    return np.median(picture[near], axis=0) if near.any() else np.median(picture.reshape(-1, 3), axis=0)


def subject(picture: np.ndarray) -> np.ndarray | None:
    """The largest contour polygon of what is painted, (N, 2) pixels, or None where nothing stands out."""
    height, width = picture.shape[:2]
    scale = min(1.0, 160 / min(height, width), 1000 / max(height, width))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
    short = min(small.shape[:2])
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    # Paper darkens towards its edges: compare with the ground round about as well, not with one tone for all.
    wide = max(15, short // 2) | 1
    tone = cv2.cvtColor(ground_tone(small).astype(np.uint8)[None, None], cv2.COLOR_RGB2LAB)[0, 0].astype(np.float32)
    ground = 0.4 * np.asarray(cv2.blur(lab, (wide, wide))) + 0.6 * tone
    away = np.abs(lab - ground).max(axis=2)
    ink = (away > max(10.0, float(np.percentile(away, 60)))).astype(np.uint8)
    # Characters and seals are many small pieces: without them a column of writing cannot become the subject.
    _, pieces, facts, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    large = facts[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1) > SMALL_PIECE * short
    large[0] = False
    ink = large[pieces].astype(np.uint8)
    reach = max(3, short // 16) | 1
    ink = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    contours, _ = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = [c[:, 0, :] for c in contours if len(c) >= 3]
    if not polygons:
        return None
    largest = max(polygons, key=shoelace)
    if shoelace(largest) < SMALLEST * small.shape[0] * small.shape[1]:
        return None
    return np.asarray(largest / scale)


def window(shape: tuple[int, int], polygon: np.ndarray | None, size: int, heads: bool = False) -> tuple[str, Box]:
    """The rule and the square window for a picture of `shape` (height, width). size: side of the target, pixels.

    heads: of a subject that is taller than the window, show the upper end (people have their faces there).
    """
    height, width = shape
    short = min(height, width)
    if polygon is None:
        x, y = centre((width, height), (short, short))
        return "centre", _square(x, y, short)
    x0, y0 = polygon.min(axis=0)
    x1, y1 = polygon.max(axis=0)
    w, h = x1 - x0, y1 - y0
    if w < size and h < size:
        side = max(max(w, h) * 1.25, ROOM * short)
        rule = "pad"
    else:
        side = min(max(max(w, h) * 1.08, ROOM * short), short)
        rule = "subject"
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    if rule == "subject":
        if w > side:
            cx = _densest(polygon, 0, side, width, cx)
        if h > side:
            cy = _densest(polygon, 1, side, height, *((y0, 0.9) if heads else (cy, 0.97)))
    # Inside the picture wherever it is large enough; otherwise equal padding on both sides (Eq. 4).
    beside = padding((side, side), (width, height))
    x = float(np.clip(cx - side / 2, 0, width - side)) if width >= side else -beside[0]
    y = float(np.clip(cy - side / 2, 0, height - side)) if height >= side else -beside[1]
    return rule, _square(x, y, side)


def _square(x: float, y: float, side: float) -> Box:
    a, b, n = round(x), round(y), round(side)
    return a, b, a + n, b + n


def _densest(polygon: np.ndarray, axis: int, side: float, length: int, near: float, share: float = 0.97) -> float:
    """Centre of the window of `side` along `axis`: of those that hold at least `share` of the most that one can hold
    of the filled polygon, the one nearest to `near`."""
    mask = np.zeros((int(polygon[:, 1].max()) + 2, int(polygon[:, 0].max()) + 2), np.uint8)
    cv2.fillPoly(mask, [polygon.astype(np.int32)], 1)
    profile = np.zeros(length + 1)
    sums = mask.sum(axis=axis, dtype=np.float64)[:length]
    profile[1 : 1 + len(sums)] = sums
    total = np.cumsum(profile)
    n = round(side)
    held = total[n:] - total[: len(total) - n]
    best = np.flatnonzero(held >= share * held.max())
    centres = best + n / 2
    return float(centres[np.abs(centres - near).argmin()])


def cut(picture: np.ndarray, box: Box, tone: np.ndarray) -> np.ndarray:
    """The window `box` of `picture`; what lies outside it is ground of the given tone with the picture's grain."""
    x0, y0, x1, y1 = box
    height, width = picture.shape[:2]
    if x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height:
        return picture[y0:y1, x0:x1]
    near = np.abs(picture.astype(np.float32) - tone).max(axis=2) < 10
    grain = float(np.clip(picture[near].std(), 0.5, 4.0)) if near.sum() > 16 else 1.0
    noise = np.random.default_rng(0).normal(0, grain, (y1 - y0, x1 - x0, 1))
    paper = np.clip(tone + noise, 0, 255).astype(np.uint8)
    a0, b0, a1, b1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    paper[b0 - y0 : b1 - y0, a0 - x0 : a1 - x0] = picture[b0:b1, a0:a1]
    return paper


def crop(picture: np.ndarray, size: int, heads: bool = False) -> Cropped:
    """uint8 (H, W, 3) RGB → the square of `size` pixels that the rule gives. heads: see `window`."""
    from danqing.data.mount import painted_area

    x, y, x1, y1 = painted_area(picture)
    inner = picture[y:y1, x:x1]
    rule, box = window(inner.shape[:2], subject(inner), size, heads)
    tone = ground_tone(inner)
    square = on_paper(cut(inner, box, tone))
    moved = (box[0] + x, box[1] + y, box[2] + x, box[3] + y)
    return _cropped(square, size, rule, moved)


def _cropped(square: np.ndarray, size: int, rule: str, box: Box) -> Cropped:
    how = cv2.INTER_AREA if square.shape[0] > size else cv2.INTER_CUBIC
    small = cv2.resize(square, (size, size), interpolation=how)
    r, g, b = (float(v) for v in ground_tone(square))
    return Cropped(picture=small, square=square, rule=rule, box=box, ground=(r, g, b))


def on_paper(picture: np.ndarray) -> np.ndarray:
    """A scan without any colour (an old photograph) printed on paper-toned ground; every other picture as it is."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int16)
    if np.percentile(np.abs(lab[..., 1:] - 128).max(axis=2), 95) > NEUTRAL:
        return picture
    return np.asarray(np.round(picture * np.array(PAPER)), np.uint8)


def whole(picture: np.ndarray, size: int) -> Cropped:
    """A picture that is a finished composition (a brush scene): its central square, nothing cut at the subject.

    Cropping it would falsify what is known of places and counts.
    """
    height, width = picture.shape[:2]
    short = min(height, width)
    x, y = centre((width, height), (short, short))
    box = _square(x, y, short)
    return _cropped(picture[box[1] : box[3], box[0] : box[2]], size, "centre", box)
