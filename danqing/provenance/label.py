"""The visible label: AI生成 or AI-generated, as a small vermilion seal (印) in a corner.

China's Measures (art. 4) and GB 45438-2025 ask for a label that people notice, in a corner or at an edge, of letters at
least 5 % of the shorter side high. The four signs of the Chinese one are drawn from strokes of our own, so that a
picture is the same on a machine without a Chinese font; the English one is set in the face that comes with Pillow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SHARE = 0.055
"""Height of the letters, as a share of the shorter side."""
_VERMILION, _PAPER = (178, 40, 32), (250, 244, 232)
_FINE = 4
"""Drawn that much larger and scaled down, which smooths the strokes."""

_STROKES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "AI": (
        ((0.02, 1.0), (0.33, 0.0), (0.64, 1.0)),
        ((0.15, 0.66), (0.51, 0.66)),
        ((0.88, 0.0), (0.88, 1.0)),
    ),
    "生": (
        ((0.26, 0.04), (0.20, 0.24), (0.06, 0.42)),
        ((0.18, 0.27), (0.88, 0.27)),
        ((0.14, 0.61), (0.86, 0.61)),
        ((0.02, 0.97), (0.98, 0.97)),
        ((0.50, 0.0), (0.50, 0.97)),
    ),
    "成": (
        ((0.14, 0.22), (0.96, 0.22)),
        ((0.14, 0.22), (0.13, 0.62), (0.02, 0.98)),
        ((0.14, 0.50), (0.42, 0.50), (0.41, 0.80), (0.28, 0.80)),
        ((0.56, 0.0), (0.60, 0.48), (0.76, 0.84), (0.96, 0.97), (0.98, 0.74)),
        ((0.88, 0.40), (0.70, 0.72), (0.46, 0.97)),
        ((0.74, 0.02), (0.86, 0.12)),
    ),
}
"""Polylines in a square of side 1, y downwards."""


def draw(picture: Image, kind: str) -> Image:
    """`picture`, RGB, with the label in that lower corner where there is less to hide; kind: "zh" or "en"."""
    from PIL import Image

    letter = max(6, -(-min(picture.size) * SHARE // 1))
    seal = _chinese(int(letter)) if kind == "zh" else _english(int(letter))
    margin = round(0.6 * letter)
    room = (max(1, picture.width - margin), max(1, picture.height - margin))
    seal.thumbnail(room, Image.Resampling.LANCZOS)
    top = max(0, picture.height - margin - seal.height)
    corners = [max(0, picture.width - margin - seal.width), min(margin, picture.width - seal.width)]
    grey = np.asarray(picture.convert("L"), np.float32)
    left = min(corners, key=lambda x: float(grey[top : top + seal.height, x : x + seal.width].std()))
    labelled = picture.copy()
    labelled.paste(seal.convert("RGB"), (left, top), seal.getchannel("A"))
    return labelled


def _chinese(letter: int) -> Image:
    """A column AI 生 成, RGBA; each sign `letter` pixels high."""
    from PIL import ImageDraw

    edge, gap = round(0.4 * letter), round(0.28 * letter)
    field = _field(letter + 2 * edge, len(_STROKES) * letter + (len(_STROKES) - 1) * gap + 2 * edge)
    pen = ImageDraw.Draw(field)
    width = max(2, round(0.11 * letter * _FINE))
    for row, strokes in enumerate(_STROKES.values()):
        x0, y0, side = edge * _FINE, (edge + row * (letter + gap)) * _FINE, letter * _FINE
        for stroke in strokes:
            points = [(x0 + x * side, y0 + y * side) for x, y in stroke]
            pen.line(points, fill=(*_PAPER, 255), width=width, joint="curve")
            for x, y in (points[0], points[-1]):
                pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=(*_PAPER, 255))
    return _smooth(field)


def _english(letter: int) -> Image:
    """A line AI-generated, RGBA; its capitals are `letter` pixels high."""
    from PIL import ImageDraw, ImageFont

    text, edge = "AI-generated", round(0.45 * letter)
    capital = ImageFont.load_default(100).getbbox("I")
    font = ImageFont.load_default(100 * letter * _FINE / (capital[3] - capital[1]))
    left, top, right, bottom = font.getbbox(text)
    field = _field(-(-int(right - left) // _FINE) + 2 * edge, -(-int(bottom - top) // _FINE) + 2 * edge)
    place = (edge * _FINE - left, edge * _FINE - top)
    ImageDraw.Draw(field).text(place, text, font=font, fill=(*_PAPER, 255))
    return _smooth(field)


def _field(width: int, height: int) -> Image:
    """The seal's red ground, `_FINE` times as large, its corners worn round."""
    from PIL import Image, ImageDraw

    field = Image.new("RGBA", (width * _FINE, height * _FINE), (*_VERMILION, 0))
    box = (0, 0, field.width - 1, field.height - 1)
    ImageDraw.Draw(field).rounded_rectangle(box, radius=min(field.size) // 14, fill=(*_VERMILION, 255))
    return field


def _smooth(field: Image) -> Image:
    from PIL import Image

    return field.resize((field.width // _FINE, field.height // _FINE), Image.Resampling.BOX)
