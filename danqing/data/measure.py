"""What can be measured in a picture itself, where the catalogue is silent: ink, colour, white space, stroke width."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from danqing.data.crop import ground_tone

SIDE = 128
"""Everything is measured at this size, so that a stroke's width does not depend on the scan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measures:
    ink: float
    """Share of pixels that are darker than the ground."""
    white: float
    """Share of blank ground."""
    depth: float
    """How dark the darkest strokes are, 0 (as the ground) to 1 (black)."""
    stroke: float
    """Typical width of a stroke, pixels of 128."""
    line: float
    """Share of the inked area that is edge: high for line work, low for washes."""
    colour: float
    """Share of pixels whose hue is not the ground's."""
    hue: str
    """blue-green, warm, or "" where no colour leads."""
    silk: bool
    """A dark, brownish ground."""
    blank_middle: float
    """Share of blank ground in the band between a third and two thirds of the height: mist, where ink is round it."""
    blank_bottom: float
    """The same for the lowest quarter: water."""


def measure(picture: np.ndarray) -> Measures:
    """uint8 (H, W, 3) RGB → what is measured in it."""
    how = cv2.INTER_AREA if picture.shape[0] > SIDE else cv2.INTER_LINEAR
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=how)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    tone = cv2.cvtColor(ground_tone(small).astype(np.uint8)[None, None], cv2.COLOR_RGB2LAB)[0, 0].astype(np.float32)
    light = lab[..., 0]
    darker = tone[0] - light
    ink = darker > 14
    # Ink makes a yellow ground less yellow the darker it is: only hue that this does not explain is colour.
    shadow = (128 - tone[1:]) * np.clip(darker / max(tone[0], 1.0), 0, 1)[..., None]
    away = lab[..., 1:] - tone[1:] - shadow
    coloured = np.hypot(away[..., 0], away[..., 1]) > 9
    blue = coloured & ((away[..., 0] < -6) | (away[..., 1] < -10)) & (away[..., 0] < 4)
    warm = coloured & (away[..., 0] > 6)
    distance = cv2.distanceTransform(ink.astype(np.uint8), cv2.DIST_L2, 3)
    ridge = ink & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))
    edges = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)) > 60
    blank = cv2.blur((~ink & ~coloured).astype(np.float32), (9, 9)) > 0.97
    third, quarter = SIDE // 3, SIDE // 4
    return Measures(
        ink=float(ink.mean()),
        white=float((~ink & ~coloured).mean()),
        depth=float(np.clip(np.percentile(darker, 98) / max(tone[0], 1.0), 0, 1)),
        stroke=float(2 * distance[ridge].mean()) if ridge.any() else 0.0,
        line=float((edges & ink).sum() / max(int(ink.sum()), 1)),
        colour=float(coloured.mean()),
        hue="blue-green" if blue.mean() > max(0.06, 1.3 * warm.mean()) else "warm" if warm.mean() > 0.04 else "",
        silk=bool(tone[0] < 170 and tone[2] > 133),
        blank_middle=float(blank[third : 2 * third].mean()),
        blank_bottom=float(blank[-quarter:].mean()),
    )


def palette(m: Measures) -> str:
    if m.hue == "blue-green":
        return "blue-green"
    if m.colour > 0.12:
        return "colour"
    return "light-crimson" if m.hue == "warm" else "ink"


def category(m: Measures, colours: str) -> str:
    """Thin coloured lines are fine-brush, sparse ones without colour a sketch, all else freehand."""
    if colours in ("colour", "blue-green") and m.stroke < 4.2 and m.line > 0.5:
        return "fine-brush"
    if colours == "ink" and m.ink < 0.14 and m.stroke < 3.2:
        return "sketch"
    return "freehand"


def technique(m: Measures, colours: str, manner: str, theme: str) -> str:
    """The technique whose trace is the strongest."""
    if colours == "blue-green":
        return "blue-green"
    if colours == "light-crimson":
        return "light crimson"
    if manner == "sketch":
        return "outline"
    if manner == "fine-brush":
        return "fine brush"
    if m.line < 0.32:
        return "layered wash" if m.depth < 0.55 else "splashed ink"
    if m.depth < 0.3:
        return "pale ink"
    if theme == "landscape" and m.ink > 0.3:
        if m.stroke < 3.2:
            return "hemp-fibre cun"
        return "axe-cut cun" if m.line > 0.5 else "wet brush"
    if m.stroke > 4.4:
        return "coarse brush"
    return "dry brush" if m.line > 0.62 else "thick ink" if m.depth > 0.55 else "broken ink"
