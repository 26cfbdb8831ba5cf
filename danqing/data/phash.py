"""Perceptual hashes: pictures that look alike get hashes that differ in few of 64 bits.

The hash is the sign pattern of the 64 lowest frequencies (after the constant) of a 32 x 32 grey picture's cosine
transform, against their median.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

BITS = 64
SIDE = 32

# Rows and columns of the 64 lowest frequencies in zigzag order, the constant left out.
_LOW = ((r, c) for r in range(SIDE) for c in range(SIDE) if 0 < r + c < 11)
_ORDER = sorted(_LOW, key=lambda rc: (sum(rc), rc))[:BITS]
_ROWS, _COLS = (np.array(axis) for axis in zip(*_ORDER, strict=True))


def phash(picture: np.ndarray) -> str:
    """uint8 (H, W, 3) RGB → 16 hex digits."""
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[_ROWS, _COLS]
    bits = low > np.median(low)
    return np.packbits(bits).tobytes().hex()


def distance(a: str, b: str) -> int:
    """Bits in which two hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def near_pairs(hashes: Sequence[str], bits: int) -> Iterator[tuple[int, int]]:
    """Index pairs (i < j) whose hashes differ in at most `bits` bits, each once, without comparing all with all.

    Cut into `bits + 1` bands, two such hashes must agree in one whole band; only those that do are compared.
    """
    values = [int(h, 16) for h in hashes]
    edges = [round(BITS * k / (bits + 1)) for k in range(bits + 2)]
    seen: set[tuple[int, int]] = set()
    for low, high in itertools.pairwise(edges):
        mask = (1 << (high - low)) - 1
        buckets: dict[int, list[int]] = {}
        for index, value in enumerate(values):
            buckets.setdefault((value >> low) & mask, []).append(index)
        for bucket in buckets.values():
            for k, i in enumerate(bucket):
                for j in bucket[k + 1 :]:
                    if (values[i] ^ values[j]).bit_count() <= bits and (i, j) not in seen:
                        seen.add((i, j))
                        yield i, j


def merge(groups: Sequence[str], pairs: Iterator[tuple[int, int]]) -> list[str]:
    """`groups` with those joined that a pair connects; a joined group takes the alphabetically first name."""
    parent = {name: name for name in groups}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for i, j in pairs:
        a, b = sorted((root(groups[i]), root(groups[j])))
        parent[b] = a
    return [root(name) for name in groups]
