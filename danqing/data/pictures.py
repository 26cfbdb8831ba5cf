"""The customs of the corpus: bytes from outside become a checked picture, or a reason why not.

Nothing here trusts a file: its size, its pixel count (read from the header, before anything is unpacked) and every
scan line are checked, and what is wrong with it is said in one phrase.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np

from danqing.data.phash import phash

MIN_SIDE = 32
_KEPT = {"JPEG", "PNG", "WEBP"}
_READ = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Nothing else is tried: Pillow knows dozens of formats, and some of them start other programs."""


class Unusable(Exception):
    """A picture that cannot go into the corpus; the message is the reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A picture that may go into the corpus."""

    image: bytes
    width: int
    height: int
    sha256: str
    """Of the bytes as they came."""
    phash: str


def dimensions(data: bytes) -> tuple[int, int]:
    """(width, height) from the header alone. Raises Unusable."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_READ) as image:
                return image.size
    except Image.DecompressionBombError as error:
        raise Unusable("too many pixels to be unpacked") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise Unusable("not a picture that can be read (JPEG, PNG, WebP, TIFF...)") from error


def check(data: bytes, *, store: int, max_pixels: int, max_bytes: int) -> Checked:
    """Check and, if its short side is longer than `store` pixels, scale down. Raises Unusable with the reason."""
    from PIL import Image, ImageOps

    if not data:
        raise Unusable("the file is empty")
    if len(data) > max_bytes:
        raise Unusable(f"{len(data)} bytes are more than max_bytes = {max_bytes}")
    width, height = dimensions(data)
    if width * height > max_pixels:
        raise Unusable(f"{width} x {height} pixels are more than max_pixels = {max_pixels}")
    if min(width, height) < MIN_SIDE:
        raise Unusable(f"{width} x {height} pixels: the short side must have {MIN_SIDE}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_READ) as image:
                kind = image.format
                turned = image.getexif().get(0x0112, 1) != 1
                plain = kind in _KEPT and image.mode in ("RGB", "L") and not getattr(image, "is_animated", False)
                picture = ImageOps.exif_transpose(_on_paper(image))
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise Unusable(f"the picture is damaged ({str(error).splitlines()[0] if str(error) else kind})") from error
    kept = data
    if min(picture.size) > store:
        scale = store / min(picture.size)
        smaller = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(smaller, Image.Resampling.LANCZOS)
        plain = False
    if not plain or turned:
        buffer = io.BytesIO()
        try:
            picture.save(buffer, "JPEG", quality=95, subsampling=0)
        except OSError as error:  # JPEG has no side of more than 65,500 pixels
            raise Unusable(f"{picture.width} x {picture.height} pixels cannot be stored as JPEG ({error})") from error
        kept = buffer.getvalue()
    pixels = np.asarray(picture)
    return Checked(
        image=kept, width=picture.width, height=picture.height, sha256=hashlib.sha256(data).hexdigest(),
        phash=phash(pixels),
    )  # fmt: skip


def _on_paper(image):  # type: ignore[no-untyped-def]
    """Pillow image → RGB; what is transparent shows white."""
    from PIL import Image

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        over = image.convert("RGBA")
        paper = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(paper, over).convert("RGB")
    return image.convert("RGB")
