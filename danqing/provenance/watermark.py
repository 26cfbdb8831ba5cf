"""An invisible mark in the picture itself: 48 bits that survive JPEG, resizing and the loss of all metadata.

Spread spectrum (Cox et al., "Secure spread spectrum watermarking for multimedia", IEEE Trans. Image Process. 6, 1997,
1673-1687) in a frame of 256 x 256 pixels, to which every picture is scaled first, whatever its size and shape: what
scales the whole picture leaves the frame as it is. The 48 bits, 32 bits of CRC and a convolutional code make 258
coded bits; each is spread over 45 coefficients of the frame's cosine transform, which a key chooses. Embedding
knows the picture: it adds no more than what each coded bit still lacks (Malvar and Florencio, "Improved spread
spectrum", IEEE Trans. Signal Process. 51, 2003, 898-905), in the ink and hardly on blank paper, which would show it.

What it does not survive: cropping, turning, and whoever wants to remove it. Without a secret key everyone can read the
mark and put it elsewhere; it then tells where an honest picture comes from, and proves nothing. What it survives how
often stands in benchmarks/results/watermark.md. A picture without the mark is taken for marked once in 2^32.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from typing import TYPE_CHECKING

import numpy as np

from danqing.provenance import convolution

if TYPE_CHECKING:
    from PIL.Image import Image

PAYLOAD = 6
"""Bytes that a mark carries."""
_MAGIC = b"danqing mark 1"
"""Goes into checksum and layout: a mark that is made in another way gets another number here."""
_FRAME = 256
_BAND = (40, 128)
"""The coefficients that carry: distance from the origin of the transform. Below is the picture, above JPEG's noise."""
_TARGET = 1.6
"""What each coded bit is to become: the mean of its coefficients, in their standard deviation, times root of number."""
_STRONGEST = 16.0
"""Grey levels."""
_PAPER = 0.06
"""Strength on blank paper as a share of that in the ink."""
_INK = 12.0
"""Standard deviation over 5 x 5 pixels of the frame, in grey levels, from which on the mark has its full strength."""
_GRAIN = 8.0
"""Grey levels up to which what happens in 9 x 9 pixels counts as it is; stronger strokes are scaled down to that."""
_QUIET = 0.4
"""Least standard deviation of a coefficient that is believed: a picture without any content must not look sure."""
_ROUNDS, _GAIN = 3, 6.0
"""Each step sees what the coded bits still lack; many small steps end no better than a few large ones."""
_PSNR = 38.5
"""No picture is changed more than this, in dB, before its values are rounded."""


def embed(picture: Image, payload: bytes, key: bytes = b"") -> Image:
    """`picture`, RGB, with `payload` (PAYLOAD bytes) in it, a new picture of the same size. key: empty is public.

    A picture without any ink, or of fewer than 128 pixels a side, may not hold the mark: `extract` tells.
    """
    from PIL import Image

    if len(payload) != PAYLOAD:
        raise ValueError(f"{len(payload)} bytes, a mark carries {PAYLOAD}")
    data = payload + zlib.crc32(_MAGIC + payload).to_bytes(4, "big")
    wanted = convolution.encode(np.unpackbits(np.frombuffer(data, np.uint8)))
    places, weights = _layout(key)
    cosines, frame = _cosines(), _frame(picture)
    strength = _strength(frame)
    mark = np.zeros_like(frame)
    for _ in range(_ROUNDS):
        lacking = np.maximum(_TARGET - wanted * _values(frame + mark, key), 0)
        if lacking.max() < 0.1 * _TARGET:
            break
        spectrum = np.zeros(len(cosines) ** 2, np.float32)
        spectrum[places] = (_GAIN * lacking * wanted)[:, None] * np.sign(weights)
        mark += strength * (cosines.T @ spectrum.reshape(len(cosines), -1) @ cosines)
        mark = np.clip(mark, -_STRONGEST, _STRONGEST)
    whole = np.asarray(Image.fromarray(mark).resize(picture.size, Image.Resampling.LANCZOS))
    whole = whole * min(1.0, 255 / 10 ** (_PSNR / 20) / max(float(np.sqrt(np.mean(whole**2))), 1e-9))
    marked = np.clip(np.rint(np.asarray(picture, np.float32) + whole[..., None]), 0, 255)
    return Image.fromarray(marked.astype(np.uint8))


def extract(picture: Image, key: bytes = b"") -> bytes | None:
    """The payload of a marked picture of any size, None where there is no mark that was made with `key`."""
    data = np.packbits(convolution.decode(_values(_frame(picture), key))).tobytes()
    payload, check = data[:PAYLOAD], data[PAYLOAD:]
    return payload if zlib.crc32(_MAGIC + payload) == int.from_bytes(check, "big") else None


def _frame(picture: Image) -> np.ndarray:
    """Luminance (256, 256), float32."""
    from PIL import Image

    grey = (picture if picture.mode in ("L", "RGB") else picture.convert("RGB")).convert("L")
    return np.asarray(grey.resize((_FRAME, _FRAME), Image.Resampling.LANCZOS), np.float32)


def _values(frame: np.ndarray, key: bytes) -> np.ndarray:
    """The coded bits (258,) as they can be read: near +-_TARGET where they were embedded, else normal around 0."""
    mean = _mean(9)
    high = frame - mean @ frame @ mean.T
    even = high / np.sqrt(mean @ high**2 @ mean.T + _GRAIN**2)
    cosines = _cosines()
    places, weights = _layout(key)
    seen = (cosines @ even @ cosines.T).ravel()[places] * weights
    # One strong line of the picture must not outvote all the other coefficients.
    scale = np.hypot(float(np.median(np.abs(seen))) / 0.6745, _QUIET)
    values: np.ndarray = np.clip(seen / scale, -3, 3).sum(1) / np.sqrt(places.shape[1])
    return values


def _strength(frame: np.ndarray) -> np.ndarray:
    """How strong the mark may be, (256, 256), _PAPER to 1: full where every 5 x 5 window around a pixel has ink."""
    mean = _mean(5)
    spread = np.sqrt(np.maximum(mean @ frame**2 @ mean.T - (mean @ frame @ mean.T) ** 2, 0))
    # The least of the windows that hold a pixel: paper beside a stroke is paper, and a halo there would be seen.
    for _ in range(2):
        rows = np.pad(spread, ((2, 2), (0, 0)), "edge")
        spread = np.minimum.reduce([rows[i : i + _FRAME] for i in range(5)]).T
    return np.clip(spread / _INK, _PAPER, 1).astype(np.float32)


@functools.cache
def _cosines() -> np.ndarray:
    """The first rows of the orthonormal cosine transform (DCT-II), (128, 256)."""
    k, x = np.arange(_BAND[1])[:, None], np.arange(_FRAME)[None]
    cosines = np.sqrt(2 / _FRAME) * np.cos(np.pi * (2 * x + 1) * k / (2 * _FRAME))
    cosines[0] /= np.sqrt(2)
    return cosines.astype(np.float32)


@functools.cache
def _mean(width: int) -> np.ndarray:
    """The running mean over `width` pixels as a matrix (256, 256); fewer at the borders."""
    distance = np.abs(np.subtract.outer(np.arange(_FRAME), np.arange(_FRAME)))
    near = (distance <= width // 2).astype(np.float32)
    return near / near.sum(1, keepdims=True)


@functools.lru_cache(maxsize=8)
def _layout(key: bytes) -> tuple[np.ndarray, np.ndarray]:
    """For each coded bit its places in the flat spectrum and their weights, both (258, 45).

    A weight's sign is the key's; its size makes up for a painting's spectrum, which falls as the frequency rises.
    """
    square = (np.indices((_BAND[1], _BAND[1])) ** 2).sum(0).ravel()  # whole numbers: no rounding decides who is in
    band = np.flatnonzero((square >= _BAND[0] ** 2) & (square < _BAND[1] ** 2))
    # Drawn from a hash, not by numpy's generators: their streams may change between versions, a mark must not.
    drawn = np.frombuffer(hashlib.shake_256(_MAGIC + key).digest(8 * len(band)), "<u4").reshape(2, -1)
    coded = convolution.length(8 * (PAYLOAD + 4))
    chips = len(band) // coded
    places = band[np.argsort(drawn[0], kind="stable")[: coded * chips]]
    sign = np.where(drawn[1][: coded * chips] & 1, 1.0, -1.0)
    weights = sign * (square[places] / _BAND[1] ** 2) ** 0.75
    return places.reshape(coded, chips), weights.reshape(coded, chips).astype(np.float32)
