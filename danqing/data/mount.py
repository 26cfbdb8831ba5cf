"""Where in a museum's photograph the painting is: backgrounds, scroll mounts and the paper round a fan come off."""

from __future__ import annotations

import cv2
import numpy as np

Box = tuple[int, int, int, int]

STEP = 5.0
"""Typical change of a Lab channel across the edge of a mount."""
AGREE = 0.82
"""Share of an edge's pixels that must change the same way."""
GAP = 3
"""Lines that an edge may take, pixels: photographs are soft and a little tilted."""
REACH = 0.4
"""How far into the picture an edge may lie."""
ROUNDS = 4
"""Borders inside borders: photograph's background, mount, strip of silk, edge."""


def painted_area(picture: np.ndarray) -> Box:
    """x0, y0, x1, y1 of the painting itself, in pixels of `picture` (uint8 RGB). At least half of each side remains
    of a rectangular one; of a round or folding fan, the largest upright square inside it."""
    height, width = picture.shape[:2]
    lab = cv2.cvtColor(cv2.GaussianBlur(picture, (3, 3), 0), cv2.COLOR_RGB2LAB).astype(np.float32)
    fan = _fan(lab)
    if fan is not None:
        return fan
    x0, y0, x1, y1 = 0, 0, width, height
    for _ in range(ROUNDS):
        part = lab[y0:y1, x0:x1]
        top, bottom = _border(part, 0), _border(part[::-1], 0)
        left, right = _border(part, 1), _border(part[:, ::-1], 1)
        if max(top, bottom, left, right) == 0:
            break
        if y1 - y0 - top - bottom < 0.35 * height or x1 - x0 - left - right < 0.35 * width:
            break
        y0, y1, x0, x1 = y0 + top, y1 - bottom, x0 + left, x1 - right
    fan = _fan(lab[y0:y1, x0:x1])
    if fan is not None:
        a0, b0, a1, b1 = fan
        return x0 + a0, y0 + b0, x0 + a1, y0 + b1
    return x0, y0, x1, y1


def _border(lab: np.ndarray, axis: int) -> int:
    """Width of what lies outside the innermost straight edge along the first side of `axis` (0: top, 1: left).

    A mount ends in one line across the whole picture, on which nearly every pixel steps the same way; nothing that is
    painted does that. 0 where there is no such line.
    """
    lines = lab if axis == 0 else lab.transpose(1, 0, 2)
    reach = int(len(lines) * REACH)
    if reach < 2 * GAP + 2:
        return 0
    # The middle of a line only: its ends may belong to the neighbouring strips.
    n = lines.shape[1]
    inner = lines[: reach + 2 * GAP, int(n * 0.2) : int(n * 0.8)]
    total = np.concatenate([np.zeros_like(inner[:1]), np.cumsum(inner, axis=0, dtype=np.float64)])
    before = (total[GAP : -GAP - GAP] - total[: -GAP - 2 * GAP]) / GAP
    after = (total[GAP + GAP + GAP :] - total[2 * GAP : -GAP]) / GAP
    step = after - before  # (lines, pixels, 3); entry i: across the gap that starts at line i + GAP
    middle = np.median(step, axis=1, keepdims=True)
    same = ((np.abs(step) > 2.5) & (np.sign(step) == np.sign(middle))).mean(axis=1)
    edge = ((np.abs(middle[:, 0]) > STEP) & (same > AGREE)).any(axis=1)
    found = np.flatnonzero(edge)
    return int(found[-1]) + 2 * GAP + 1 if len(found) else 0


def _fan(lab: np.ndarray) -> Box | None:
    """The largest upright square inside a round or folding fan, or None where the painting is no fan."""
    height, width = lab.shape[:2]
    scale = 160 / max(height, width)
    small = cv2.resize(lab, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    corners = [small[1:5, 1:5], small[1:5, -5:-1], small[-5:-1, 1:5], small[-5:-1, -5:-1]]
    tones = np.array([c.reshape(-1, 3).mean(axis=0) for c in corners])
    if np.abs(tones - tones.mean(axis=0)).max() > 12 or max(c[..., 0].std() for c in corners) > 8:
        return None
    outside = (np.abs(small - tones.mean(axis=0)).max(axis=2) < 12).astype(np.uint8)
    fill = np.zeros((h + 2, w + 2), np.uint8)
    for x, y in ((0, 0), (w - 1, 0), (0, h - 1), (w - 1, h - 1)):
        if outside[y, x]:
            cv2.floodFill(outside, fill, (x, y), 2)
    inside = cv2.morphologyEx((outside != 2).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    shape = max(contours, key=cv2.contourArea)
    if not _looks_like_a_fan(shape, (h, w)):
        return None
    mask = np.zeros((h, w), np.uint8)
    cv2.drawContours(mask, [shape], -1, 1, cv2.FILLED)
    side, x, y = _largest_square(mask)
    if side < 0.25 * min(h, w):
        return None
    inset = 1 + side // 25
    a0, b0, n = x + inset, y + inset, side - 2 * inset
    return round(a0 / scale), round(b0 / scale), round((a0 + n) / scale), round((b0 + n) / scale)


def _looks_like_a_fan(shape: np.ndarray, sheet: tuple[int, int]) -> bool:
    """Round and full, or a wide arc, in the middle of its sheet (height, width): ink on bare paper has a ragged
    outline, a portrait stands upright, a moon is small."""
    area, length = cv2.contourArea(shape), cv2.arcLength(shape, True)
    x, y, w, h = cv2.boundingRect(shape)
    off = max(abs(x + w / 2 - sheet[1] / 2) / sheet[1], abs(y + h / 2 - sheet[0] / 2) / sheet[0])
    if not 0.25 < area / (sheet[0] * sheet[1]) < 0.93 or length**2 / max(area, 1.0) > 45 or off > 0.12:
        return False
    solid = area / max(cv2.contourArea(cv2.convexHull(shape)), 1.0)
    full = area / (w * h)
    round_fan = solid > 0.95 and 0.85 < w / h < 1.4 and 0.72 < full < 0.96
    folding_fan = solid < 0.92 and 1.9 < w / h < 2.6 and full < 0.76
    return round_fan or folding_fan


def _largest_square(mask: np.ndarray) -> tuple[int, int, int]:
    """(side, x, y) of the largest square of ones; of several equal ones, the middle one."""
    reach = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int32)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x]:
                reach[y + 1, x + 1] = 1 + min(reach[y, x], reach[y, x + 1], reach[y + 1, x])
    side = int(reach.max())
    ys, xs = np.nonzero(reach == side)
    pick = int(np.abs(xs - np.median(xs)).argmin())
    return side, int(xs[pick]) - side, int(ys[pick]) - side
