"""The chunks of a PNG from a stranger, within bounds: https://www.w3.org/TR/png-3/."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from danqing.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_BYTES = 64 << 20
"""Of a file."""
MAX_PIXELS = 50_000_000
_MAX_CHUNKS = 20_000
_MAX_TEXT = 256 << 10
"""Bytes of one text when unpacked."""
_MAX_TEXTS = 1 << 20
"""Bytes of all texts when unpacked."""
_MAX_MANIFEST = 8 << 20
_OURS = {b"IHDR", b"IDAT", b"IEND", b"tEXt", b"zTXt", b"iTXt", b"caBX"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Png:
    width: int
    height: int
    texts: tuple[tuple[str, str], ...]
    """Keyword and text as they come, a keyword perhaps twice."""
    manifest: bool
    """There is a C2PA manifest (chunk caBX)."""
    foreign: tuple[str, ...]
    """Types of chunks that this program does not write, and "data after IEND"."""


def parse(data: bytes) -> Png:
    """The chunks of `data` without unpacking a pixel. Raises DataError on what is no whole PNG or beyond the bounds."""
    if not data.startswith(SIGNATURE):
        raise DataError("not a PNG")
    position, count, spent = len(SIGNATURE), 0, 0
    size: tuple[int, int] | None = None
    texts: list[tuple[str, str]] = []
    foreign: list[str] = []
    manifest = False
    while True:
        kind, body, position = _chunk(data, position)
        count += 1
        if (size is None) != (kind == b"IHDR") or count > _MAX_CHUNKS:
            raise DataError("damaged: no PNG begins or goes on like this")
        if kind == b"IHDR":
            size = _size(body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, text, length = _text(kind, body)
            spent += length
            if spent > _MAX_TEXTS:
                raise DataError(f"its notes unpack to more than {_MAX_TEXTS >> 20} MB; such a file is not read")
            texts.append((keyword, text))
        elif kind == b"caBX":
            manifest = True
            if len(body) > _MAX_MANIFEST:
                raise DataError(f"its C2PA manifest has more than {_MAX_MANIFEST >> 20} MB; such a file is not read")
        elif kind not in _OURS:
            foreign.append(kind.decode("latin-1"))
        if kind == b"IEND":
            break
    if position < len(data):
        foreign.append("data after IEND")
    assert size is not None
    return Png(width=size[0], height=size[1], texts=tuple(texts), manifest=manifest,
               foreign=tuple(dict.fromkeys(foreign)))  # fmt: skip


def _chunk(data: bytes, position: int) -> tuple[bytes, bytes, int]:
    """Type, body, and where the next chunk begins."""
    if position + 12 > len(data):
        raise DataError("damaged: the file ends too early")
    length, kind = struct.unpack_from(">I4s", data, position)
    end = position + 8 + length
    if end + 4 > len(data):
        raise DataError(f"damaged: chunk {_name(kind)} claims {length} bytes, the file ends before that")
    if zlib.crc32(memoryview(data)[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
        raise DataError(f"damaged: the checksum of chunk {_name(kind)} is wrong")
    body = b"" if kind == b"IDAT" else data[position + 8 : end]
    return kind, body, end + 4


def _name(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))


def _size(body: bytes) -> tuple[int, int]:
    if len(body) != 13:
        raise DataError("damaged: its header has not the length of a PNG header")
    width, height = struct.unpack(">II", body[:8])
    if not width or not height or width * height > MAX_PIXELS:
        raise DataError(f"{width} x {height} pixels; between 1 and {MAX_PIXELS} pixels are read")
    return width, height


def _text(kind: bytes, body: bytes) -> tuple[str, str, int]:
    """Keyword, text, and the bytes that the text has when unpacked."""
    keyword, found, rest = body.partition(b"\0")
    packed = kind == b"zTXt"
    encoding = "latin-1"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        encoding = "utf-8"
    if not found or not 1 <= len(keyword) <= 79:
        raise DataError(f"damaged: a chunk {_name(kind)} has no keyword")
    if packed:
        unpack = zlib.decompressobj()
        try:
            rest = unpack.decompress(rest, _MAX_TEXT + 1)
        except zlib.error as error:
            raise DataError(f"damaged: a note cannot be unpacked ({error})") from None
    if len(rest) > _MAX_TEXT:
        raise DataError(f"a note has more than {_MAX_TEXT >> 10} kB; such a file is not read")
    return keyword.decode("latin-1"), rest.decode(encoding, "replace"), len(rest)
