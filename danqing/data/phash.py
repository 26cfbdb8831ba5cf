"""Perceptual hashes: pictures that look alike get hashes that differ in few of 64 bits.

The hash is the sign pattern of the 64 lowest frequencies (after the constant) of a 32 x 32 grey picture's cosine
transform, against their median.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

BITS = 64
SIDE = 32
CROWDING = 10
"""How much oftener pictures share a band than hashes drawn by chance would: paintings look alike. Among 3,000
of the brush's 2 (13 bits) to 9 times (21 bits)."""

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


def bands(count: int, bits: int) -> int:
    """Into how many bands hashes are best cut to find, among `count`, those that differ in at most `bits` bits.

    Of m bands two such hashes share m - bits whole ones. More bands mean more choices of which, each a sort of all
    hashes, but longer keys, which fewer hashes share by chance.
    """

    def work(m: int) -> float:
        by_chance = CROWDING * count**2 / 2 ** (BITS * (m - bits) / m + 1)
        return math.comb(m, bits) * (count * math.log2(count + 2) + by_chance)

    return min(range(bits + 1, bits + 5), key=work)


def near_pairs(hashes: Sequence[str], bits: int) -> Iterator[tuple[int, int]]:
    """Index pairs (i < j) whose hashes differ in at most `bits` bits, each once, without comparing all with all."""
    values = np.array([int(h, 16) for h in hashes], np.uint64)
    count, m = len(values), bands(len(values), bits)
    edges = [round(BITS * k / m) for k in range(m + 1)]
    masks = [sum(1 << bit for bit in range(low, high)) for low, high in itertools.pairwise(edges)]
    found = np.zeros(0, np.int64)
    for chosen in itertools.combinations(masks, m - bits):
        keys = values & np.uint64(sum(chosen))
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        here = np.arange(count)
        for step in range(1, count):  # within a run of equal keys, each with the one that stands `step` behind it
            here = here[: np.searchsorted(here, count - step)]
            here = here[keys[here] == keys[here + step]]
            if not len(here):
                break
            i, j = order[here], order[here + step]
            near = np.bitwise_count(values[i] ^ values[j]) <= bits
            i, j = i[near], j[near]
            found = np.union1d(found, np.minimum(i, j) * count + np.maximum(i, j))
    for pair in found.tolist():
        yield divmod(pair, count)


def connected(hashes: Sequence[str], bits: int) -> Iterator[tuple[int, int]]:
    """Pairs enough to join what `near_pairs` joins: of many equal hashes each is joined to the first alone."""
    first: dict[str, int] = {}
    for index, value in enumerate(hashes):
        if value in first:
            yield first[value], index
        else:
            first[value] = index
    where = list(first.values())
    for i, j in near_pairs(list(first), bits):
        yield where[i], where[j]


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
