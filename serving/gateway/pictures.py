"""Pictures that callers send: looked at before they are unpacked, so that a small file cannot become a huge picture."""

from __future__ import annotations

import anyio.to_thread
import numpy as np
from fastapi import UploadFile
from PIL import Image

from danqing.commands.edit import read_box as box_of
from danqing.data import corpus
from danqing.data.pictures import Unusable, dimensions
from danqing.errors import DanqingError
from serving.gateway.errors import Declined


async def read(upload: UploadFile, field: str, max_pixels: int) -> np.ndarray:
    """uint8 (H, W, 3). Raises Declined: 400 on what is no picture, 413 on too large a one."""
    return await anyio.to_thread.run_sync(_unpacked, await upload.read(), field, max_pixels)


async def read_mask(upload: UploadFile, picture: np.ndarray, max_pixels: int) -> np.ndarray:
    """bool (H, W): where the mask, which is as large as the picture, is lighter than middle grey."""
    mask = (await read(upload, "mask", max_pixels)).mean(2) > 127
    if mask.shape != picture.shape[:2]:
        theirs, ours = (f"{a.shape[1]} x {a.shape[0]}" for a in (mask, picture))
        raise Declined(400, "bad_input", f"the mask is {theirs}, the picture {ours}: same size needed", field="mask")
    return mask


def read_box(text: str, picture: np.ndarray) -> np.ndarray:
    """bool (H, W) from "x0,y0,x1,y1" in shares of the picture."""
    try:
        return box_of(text, picture)
    except DanqingError as error:
        raise Declined(400, "bad_input", str(error), field="box") from None


def _unpacked(data: bytes, field: str, max_pixels: int) -> np.ndarray:
    try:
        width, height = dimensions(data)
    except Unusable as error:
        raise Declined(400, "bad_input", f"{field}: {error}", field=field) from None
    if width * height > max_pixels:
        limit = f"{field}: {width} x {height} pixels, at most {max_pixels} are taken; scale it down"
        raise Declined(413, "too_large", limit, field=field)
    try:
        return corpus.decode(data)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise Declined(400, "bad_input", f"{field}: cannot be unpacked; is the file whole?", field=field) from None
