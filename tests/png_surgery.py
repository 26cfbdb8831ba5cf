"""Take a PNG apart and put another one together, with right checksums, as somebody would who means to deceive."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from danqing.provenance import aigc
from danqing.provenance.png import SIGNATURE, parse


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png(parts: list[tuple[bytes, bytes]]) -> bytes:
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    )


def only(data: bytes, *kinds: bytes) -> list[tuple[bytes, bytes]]:
    return [part for part in chunks(data) if part[0] in kinds]


def without(data: bytes, *kinds: bytes) -> list[tuple[bytes, bytes]]:
    return [part for part in chunks(data) if part[0] not in kinds]


def with_pixels(data: bytes, change) -> bytes:
    """The file with all its chunks and other pixels."""
    with Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture.convert("RGB")).copy()
    change(pixels)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    parts, made = chunks(data), only(file.getvalue(), b"IDAT")
    at = next(i for i, (kind, _) in enumerate(parts) if kind == b"IDAT")
    kept = [part for part in parts if part[0] != b"IDAT"]
    return png([*kept[:at], *made, *kept[at:]])


def with_notes(data: bytes, change) -> bytes:
    """The file with its notes as `change` (a function of their dict) makes them."""
    texts = dict(parse(data).texts)
    label = {key: texts.pop(key) for key in (aigc.XMP, aigc.KEYWORD)}
    kept = [(b"iTXt", f"{k}\0\0\0\0\0{v}".encode()) for k, v in label.items()]
    kept += [(b"tEXt", f"{k}\0{v}".encode("latin-1")) for k, v in change(texts).items()]
    parts = without(data, b"tEXt", b"iTXt")
    return png([parts[0], *kept, *parts[1:]])
