"""What is counted of prompts and pictures, in training and in serving alike, so that the two can be compared.

Counts only: of a prompt the terms of the taxonomy that it names, its language, its length and how much of it was not
understood; of a picture five measures, each in one of 64 bins. No prompt can be had back from them. Needs numpy and
Pillow only, so that a gateway can count.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from danqing import lexicon, taxonomy
from danqing.data.catalogue_words import ENGLISH
from danqing.errors import StorageError
from danqing.phrases import ADJECTIVES, NOUNS, PLACES, STYLES

TERMS = ("element", "category", "technique", "palette", "season", "place")
"""What a prompt may name, each with the terms of the taxonomy as values; a prompt may name several or none."""
PROMPT = ("length", "unknown")
"""Words of the English reading, and the share of them that are not of the domain's vocabulary."""
PICTURE = ("brightness", "colour", "ink", "white", "gradient")
TOLD = ("language", "outcome", "good", "bad")
"""Counted and reported, but compared with nothing: the training set has no counterpart."""
ATTRIBUTES = (*TERMS, *PROMPT, *PICTURE, *TOLD)
BINS = 64
LANGUAGES = ("en", "zh", "mixed", "other")
MOST_VALUES = 64
"""Different values of one attribute; further ones are counted as `other`."""

_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_STOP = frozenset(
    _WORD.findall(
        "a an and are as at by chinese draw for from has in into is it its me my of on one or over painted painting "
        "picture please show shows some style that the there through to two three four five six several under up upon "
        "very was white with"
    )
)


@functools.cache
def _phrases() -> dict[str, list[tuple[str, str]]]:
    """English phrase → (attribute, term) that it names."""
    found: dict[str, list[tuple[str, str]]] = {}
    tables = {"element": taxonomy.ELEMENTS, "category": taxonomy.CATEGORIES, "technique": taxonomy.TECHNIQUES,
              "palette": taxonomy.PALETTES, "season": taxonomy.SEASONS, "place": taxonomy.PLACES}  # fmt: skip

    def name(phrase: str, attribute: str, key: str) -> None:
        if phrase and (attribute, key) not in found.setdefault(phrase, []):
            found[phrase].append((attribute, key))

    for attribute, table in tables.items():
        for key, term in table.items():
            name(term.en, attribute, key)
            name(term.plural, attribute, key)
    for key, words in ENGLISH.items():
        for word in words.replace("-", " ").split():
            name(word, "element", key)
            name(word + "s", "element", key)
    for phrase in ("in colour", "in color", "colourful", "colorful", "coloured", "colored"):
        name(phrase, "palette", "colour")
    del found["colour"]  # "one colour" asks for none
    return {phrase: sorted(terms) for phrase, terms in found.items() if phrase}


@functools.cache
def _pattern() -> re.Pattern[str]:
    longest = sorted(_phrases(), key=len, reverse=True)
    return re.compile(r"\b(" + "|".join(map(re.escape, longest)) + r")\b")


@functools.cache
def _known() -> frozenset[str]:
    """Words of the domain's vocabulary."""
    tables = (taxonomy.ELEMENTS, taxonomy.CONTENTS, taxonomy.CATEGORIES, taxonomy.TECHNIQUES, taxonomy.GROUNDS,
              taxonomy.COMPOSITIONS, taxonomy.THEMES)  # fmt: skip
    texts = [*_phrases(), *NOUNS.values(), *STYLES.values(), *ADJECTIVES.values(), *PLACES.values()]
    texts += [word for table in tables for t in table.values() for word in (t.en, t.plural, *t.adjectives)]
    return frozenset(word for text in texts for word in _WORD.findall(text.lower())) | _STOP


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What is kept of one prompt."""

    language: str
    terms: Mapping[str, frozenset[str]]
    length: int
    unknown: float


def language(prompt: str) -> str:
    """One of `LANGUAGES`: by its letters."""
    latin = re.search(r"[A-Za-z]{2}", prompt) is not None
    if lexicon.has_chinese(prompt):
        return "mixed" if latin else "zh"
    return "en" if latin else "other"


def read(prompt: str) -> Prompt:
    """Read a prompt by the dictionary alone: no network is asked, and nothing fails."""
    english, left_out = prompt, 0
    if lexicon.has_chinese(prompt):
        parts: list[str] = []
        for clause in lexicon.clauses(prompt):
            phrases, unread = lexicon.translate(clause)
            parts += phrases
            left_out += sum(map(len, unread))
        english = ", ".join(parts)
    text = english.lower()
    terms: dict[str, set[str]] = {name: set() for name in TERMS}
    for match in _pattern().finditer(text):
        for attribute, key in _phrases()[match.group()]:
            terms[attribute].add(key)
    words = _WORD.findall(text)
    strange = sum(word not in _known() for word in words) + left_out
    total = len(words) + left_out
    return Prompt(
        language=language(prompt), terms={name: frozenset(keys) for name, keys in terms.items()}, length=total,
        unknown=strange / total if total else 1.0,
    )  # fmt: skip


def measures(picture_HWC: np.ndarray) -> dict[str, float]:
    """uint8 (H, W, 3) RGB → each of `PICTURE`, 0 to 1, measured at 128 pixels."""
    from PIL import Image

    small = np.asarray(Image.fromarray(picture_HWC).resize((128, 128), Image.Resampling.BOX), np.float32)
    grey = small @ np.array([0.299, 0.587, 0.114], np.float32)
    red_green, yellow_blue = small[..., 0] - small[..., 1], (small[..., 0] + small[..., 1]) / 2 - small[..., 2]
    # The ground is the most frequent of the brighter tones.
    histogram = np.convolve(np.bincount(grey.astype(int).ravel(), minlength=256), np.ones(9), "same")
    histogram[: int(np.percentile(grey, 65))] = 0
    ground = float(histogram.argmax())
    near = np.abs(grey - ground) <= 6
    near = near if near.any() else np.ones_like(near)
    ink = grey < ground - 14
    hue = np.hypot(red_green - np.median(red_green[near]), yellow_blue - np.median(yellow_blue[near])) > 24
    dy, dx = np.gradient(grey / 255)
    # Hasler & Suesstrunk 2003, over what a very colourful photograph has.
    colour = np.hypot(red_green.std(), yellow_blue.std()) + 0.3 * np.hypot(red_green.mean(), yellow_blue.mean())
    return {
        "brightness": float(grey.mean() / 255), "colour": min(1.0, float(colour / 128)), "ink": float(ink.mean()),
        "white": float((~ink & ~hue).mean()), "gradient": min(1.0, float(8 * np.hypot(dx, dy).mean())),
    }  # fmt: skip


def bin_of(value: float) -> str:
    """The bin of a value between 0 and 1."""
    return str(min(BINS - 1, max(0, int(value * BINS))))


@dataclass(kw_only=True, slots=True)
class Counts:
    """How many prompts and pictures had what."""

    prompts: int = 0
    pictures: int = 0
    values: dict[str, Counter[str]] = field(default_factory=dict)
    """Attribute → value (a term, or the number of a bin) → how many."""

    def add(self, attribute: str, value: str, times: int = 1) -> None:
        counter = self.values.setdefault(attribute, Counter())
        counter[value if value in counter or len(counter) < MOST_VALUES else "other"] += times

    def add_prompt(self, prompt: str) -> None:
        seen = read(prompt)
        self.prompts += 1
        self.add("language", seen.language)
        for attribute, keys in seen.terms.items():
            for key in keys:
                self.add(attribute, key)
        self.add("length", bin_of(seen.length / BINS))
        self.add("unknown", bin_of(seen.unknown))

    def add_picture(self, picture_HWC: np.ndarray) -> None:
        self.pictures += 1
        for name, value in measures(picture_HWC).items():
            self.add(name, bin_of(value))

    def merge(self, other: Counts) -> None:
        self.prompts += other.prompts
        self.pictures += other.pictures
        for attribute, counter in other.values.items():
            for value, times in counter.items():
                self.add(attribute, value, times)

    def as_dict(self) -> dict[str, Any]:
        values = {name: dict(sorted(counter.items())) for name, counter in sorted(self.values.items())}
        return {"version": 1, "prompts": self.prompts, "pictures": self.pictures, "values": values}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Counts:
        """Raises StorageError on what is no such dict; attributes that are not known are left out."""
        try:
            if plain["version"] != 1:
                raise ValueError(f"version {plain['version']!r}")
            found = cls(prompts=_whole(plain["prompts"]), pictures=_whole(plain["pictures"]))
            for name, counter in plain["values"].items():
                for value, times in counter.items() if name in ATTRIBUTES else ():
                    found.add(name, str(value), _whole(times))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StorageError(f"these are no counts ({type(error).__name__}: {error})") from error
        return found


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def count(captions: Iterable[str], pictures: Iterable[np.ndarray]) -> Counts:
    """Of captions, and of pictures uint8 (H, W, 3)."""
    found = Counts()
    for caption in captions:
        found.add_prompt(caption)
    for picture in pictures:
        found.add_picture(picture)
    return found
