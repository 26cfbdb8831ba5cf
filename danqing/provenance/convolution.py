"""A convolutional code: bits that come back right although many of their copies came back doubtful or wrong.

The code of constraint length 7 and rate 1/3 with the generators 133, 171, 165 (octal), ended by six zeros, as in many
radio standards; decoded by the algorithm of Viterbi (IEEE Trans. Inf. Theory 13, 1967, 260-269) from soft values. A
packet in the index that does this in numpy was not found.
"""

from __future__ import annotations

import functools

import numpy as np

GENERATORS = (0o133, 0o171, 0o165)
MEMORY = 6
_STATES = 1 << MEMORY


def length(bits: int) -> int:
    """How many coded bits carry `bits` bits."""
    return len(GENERATORS) * (bits + MEMORY)


def encode(bits: np.ndarray) -> np.ndarray:
    """bits (B,) of 0 and 1 → coded (length(B),) of +1 for a zero and -1 for a one."""
    after, sent = _trellis()
    state, coded = 0, []
    for bit in [*bits.astype(int), *[0] * MEMORY]:
        coded.append(sent[state, bit])
        state = after[state, bit]
    return np.concatenate(coded)


def decode(soft: np.ndarray) -> np.ndarray:
    """soft (length(B),), positive where a zero is likelier, the more the surer → the likeliest bits (B,)."""
    after, sent = _trellis()
    # The two ways (state before * 2 + bit) that lead into each state.
    into = np.argsort(after.ravel(), kind="stable").reshape(_STATES, 2)
    signs = sent.reshape(2 * _STATES, len(GENERATORS))
    score = np.full(_STATES, -np.inf)
    score[0] = 0
    ways = []
    for values in soft.reshape(-1, len(GENERATORS)):
        reached = (score.repeat(2) + signs @ values)[into]
        best = reached.argmax(1)
        ways.append(into[np.arange(_STATES), best])
        score = reached[np.arange(_STATES), best]
    state, bits = 0, []
    for way in reversed(ways):
        bits.append(way[state] & 1)
        state = way[state] >> 1
    return np.array(bits[::-1][:-MEMORY], np.uint8)


@functools.cache
def _trellis() -> tuple[np.ndarray, np.ndarray]:
    """State after (64, 2) and signs sent (64, 2, 3) for each state and bit."""
    register = (np.arange(2)[None, :] << MEMORY) | np.arange(_STATES)[:, None]
    parity = np.array([[[bin(int(r) & g).count("1") & 1 for g in GENERATORS] for r in row] for row in register])
    return register >> 1, 1.0 - 2.0 * parity
