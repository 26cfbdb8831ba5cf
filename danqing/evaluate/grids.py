"""Sheets of pictures with their words under them, on paper-toned ground."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

PAPER, INK, PALE = (246, 241, 230), (52, 47, 42), (138, 128, 115)
_CJK = (
    "/usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/arphic/ukai.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/System/Library/Fonts/Supplemental/Songti.ttc",
    "C:/Windows/Fonts/simsun.ttc",
)


@functools.cache
def cjk_font() -> str | None:
    """A font file with Chinese glyphs, if this machine has one in a usual place."""
    return next((path for path in _CJK if Path(path).is_file()), None)


@functools.cache
def font(size: int, chinese: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """An italic book face: STIX, which comes with matplotlib; PIL's own face where that is missing."""
    from PIL import ImageFont

    if chinese and (path := cjk_font()):
        return ImageFont.truetype(path, size)
    spec = importlib.util.find_spec("matplotlib")  # its fonts are wanted, not the import of it
    if spec is not None and spec.origin:
        italic = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "STIXGeneralItalic.ttf"
        if italic.is_file():
            return ImageFont.truetype(str(italic), size)
    return ImageFont.load_default(size)


def enlarge(picture_HWC: np.ndarray, side: int) -> Image.Image:
    """The picture at a whole multiple of its size, as near to `side` pixels as that comes, by Lanczos resampling."""
    from PIL import Image

    height, width = picture_HWC.shape[:2]
    factor = max(1, round(side / width))
    image = Image.fromarray(np.ascontiguousarray(picture_HWC))
    return image if factor == 1 else image.resize((width * factor, height * factor), Image.Resampling.LANCZOS)


def wrap(text: str, width: int, size: int, lines: int) -> list[str]:
    """`text` broken into at most `lines` lines of `width` pixels; what is left over becomes an ellipsis."""
    chinese = any("\u4e00" <= c <= "\u9fff" for c in text)
    face, glue = font(size, chinese), "" if chinese else " "
    units = list(text) if chinese else text.split()
    rows: list[str] = []
    row = ""
    for unit in units:
        longer = f"{row}{glue}{unit}" if row else unit
        if face.getlength(longer) <= width or not row:
            row = longer
            continue
        if len(rows) == lines - 1:
            while len(row) > 1 and face.getlength(row + " …") > width:
                row = row.rpartition(" ")[0] or row[:-1]
            return [*rows, row.rstrip(" ,;.") + " …"]
        rows.append(row)
        row = unit
    return [*rows, row] if row else rows


def sheet(
    rows: Sequence[np.ndarray],
    captions: Sequence[str],
    *,
    columns: int,
    side: int = 192,
    labels: Sequence[str] = (),
    foot: str = "",
) -> np.ndarray:
    """A sheet as uint8 (H, W, 3). rows: equally large sets of pictures, uint8 (N, H, W, 3); a
    cell shows one of each, one above the other.

    captions: one for each cell, four lines at most. labels: the name of each stack, written beside the first column.
    foot: one quiet line at the bottom.
    """
    from PIL import Image, ImageDraw

    count = len(rows[0])
    tiles = [[enlarge(picture, side) for picture in stack] for stack in rows]
    width, height = tiles[0][0].size
    size, gap, margin = 15, 30, 44
    line = round(size * 1.3)
    columns = min(columns, count)
    lines = 4 if captions else 0
    cell = len(rows) * height + (len(rows) - 1) * 8 + (12 + lines * line if lines else 0)
    left = margin + (22 if labels else 0)
    down = -(-count // columns)
    foot_height = line + 10 if foot else 0
    total = (
        left + columns * width + (columns - 1) * gap + margin,
        margin + down * cell + (down - 1) * gap + foot_height + margin,
    )
    page = Image.new("RGB", total, PAPER)
    draw = ImageDraw.Draw(page)
    for index in range(count):
        r, c = divmod(index, columns)
        x, y = left + c * (width + gap), margin + r * (cell + gap)
        for number, stack in enumerate(tiles):
            top = y + number * (height + 8)
            page.paste(stack[index], (x, top))
            draw.rectangle((x - 1, top - 1, x + width, top + height), outline=(222, 213, 196))
            if labels and c == 0:
                _upright(page, labels[number], left - 26, top, height)
        if captions:
            _caption(draw, captions[index], x, y + cell - lines * line, width, size, lines)
    if foot:
        face = font(13)
        draw.text(((total[0] - face.getlength(foot)) / 2, total[1] - margin - 4), foot, font=face, fill=PALE)
    return np.asarray(page)


def _caption(draw: ImageDraw.ImageDraw, text: str, x: int, y: int, width: int, size: int, lines: int) -> None:
    for number, row in enumerate(wrap(text, width, size, lines)):
        face = font(size, any("\u4e00" <= c <= "\u9fff" for c in row))
        draw.text((x + (width - face.getlength(row)) / 2, y + number * round(size * 1.3)), row, font=face, fill=INK)


def _upright(page: Image.Image, text: str, x: int, y: int, height: int) -> None:
    """`text` turned upwards, centred along `height` pixels."""
    from PIL import Image, ImageDraw

    strip = Image.new("RGB", (height, 20), PAPER)
    face = font(14)
    ImageDraw.Draw(strip).text(((height - face.getlength(text)) / 2, 0), text, font=face, fill=PALE)
    page.paste(strip.transpose(Image.Transpose.ROTATE_90), (x, y))
