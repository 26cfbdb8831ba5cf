"""What goes into every picture that leaves the gateway."""

from __future__ import annotations

import io
from collections.abc import Callable

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from danqing.paint import notes

Stamp = Callable[[Image, str, int, float | None, str], bytes]
"""picture, prompt, seed, guidance, model → a PNG file."""


def plain(picture: Image, prompt: str, seed: int, guidance: float | None, model: str) -> bytes:
    """Text chunks only: which model, seed and guidance, and the prompt's hash."""
    info = PngInfo()
    for key, value in notes(prompt=prompt, seed=seed, guidance=guidance, model=model).items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info, compress_level=3)
    return buffer.getvalue()
