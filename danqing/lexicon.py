"""Chinese prompts in the painter's English: a small phrase book of the domain and the rules that join its phrases.

Longest match first, over simplified characters (traditional ones are folded first). Each entry says what it is, so that
numbers, measure words, adjectives and places end up where English wants them: 左边的两只鸟 → "two birds on the left".
Where the extra `chinese` is installed, a clause with characters that the book does not know is read by its meaning too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from danqing.errors import DanqingError
from danqing.phrases import ADJECTIVES, DROPPED, MEASURES, NOUNS, NUMBERS, PLACES, POSTPOSITIONS, STYLES, TRADITIONAL

_FOLD = str.maketrans(TRADITIONAL)
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
LONGEST = 200
"""Characters of a prompt of which unknown words are read by their meaning; more than a painter reads, and a server must
not be kept busy by a book."""
_BREAK = re.compile(r"[，。、；：！？,;:!?\n·・…—]+")


def has_chinese(text: str) -> bool:
    return _CHINESE.search(text) is not None


def to_simplified(text: str) -> str:
    """`text` with the domain's traditional characters folded to simplified ones, length unchanged."""
    return text.translate(_FOLD)


# kind, payload. Kinds: noun, adjective, style, place, number, measure, post, drop, latin, unknown.
Token = tuple[str, str]

_TABLE: dict[str, Token] = {}
for _kind, _source in (
    ("drop", DROPPED), ("measure", MEASURES), ("number", NUMBERS), ("post", POSTPOSITIONS), ("place", PLACES),
    ("adjective", ADJECTIVES), ("style", STYLES), ("noun", NOUNS),
):  # fmt: skip
    for _zh, _en in _source.items():
        _TABLE[_zh] = (_kind, _en)
_LONGEST = max(map(len, _TABLE))
# Characters that are a measure word after a number and something else elsewhere.
_AMBIGUOUS_MEASURES = frozenset("叶枝片座头人朵树石")


def _tokens(text: str) -> Iterator[Token]:
    place, last = 0, ""
    while place < len(text):
        piece = text[place]
        if not _CHINESE.match(piece):
            run = re.match(r"[^\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+", text[place:])
            assert run is not None
            place += run.end()
            if run.group().strip():
                yield "latin", run.group().strip()
                last = "latin"
            continue
        if last == "number" and (piece in MEASURES or piece in _AMBIGUOUS_MEASURES):
            follows = text[place + 1 : place + 2]
            if piece in MEASURES or (follows and _CHINESE.match(follows) and follows not in POSTPOSITIONS):
                place, last = place + 1, "measure"
                continue
        for length in range(min(_LONGEST, len(text) - place), 0, -1):
            token = _TABLE.get(text[place : place + length])
            if token is None or (token[0] == "post" and last not in ("noun", "post")):
                continue
            if token[0] == "measure":
                continue
            yield token
            place, last = place + length, token[0]
            break
        else:
            yield "unknown", piece
            place, last = place + 1, "drop"


def _noun(forms: str, count: str, lead: str) -> str:
    """A noun as in a caption. forms: "singular|plural|usual"; usual: s (singular), p (plural), n, N (no article)."""
    singular, plural, usual = forms.split("|")
    lead = f"{lead} " if lead else ""
    if count in ("", "a"):
        if count == "" and usual == "p":
            return lead + plural
        if usual == "n" or (count == "" and usual == "N"):
            return lead + singular
        phrase = lead + singular
        return ("an " if phrase[0] in "aeiou" else "a ") + phrase
    return f"{count} {lead}{singular if usual == 'n' else plural}"


def clauses(prompt: str) -> list[str]:
    """What stands between the punctuation marks, in simplified characters."""
    return [clause.strip() for clause in _BREAK.split(to_simplified(prompt)) if clause.strip()]


def translate(clause: str) -> tuple[list[str], list[str]]:
    """By the book alone: English phrases, and the runs of characters that it does not know."""
    phrases: list[str] = []
    unknown: list[str] = []
    adjectives: list[str] = []
    styles: list[str] = []
    number = place = before = ""
    after_noun = False
    for kind, value in _tokens(clause):
        if kind == "unknown":
            if before == "unknown":
                value = unknown.pop() + value
            unknown.append(value)
        before = kind
        if kind == "noun":
            phrase = _noun(value, number, " ".join([*styles, *adjectives]))
            phrases.append(f"{phrase} {place}" if place else phrase)
            adjectives, styles, number, place, after_noun = [], [], "", "", True
            continue
        if kind == "post" and after_noun and phrases:
            phrases[-1] = f"{value} {phrases[-1]}"
        elif kind == "place":
            if after_noun and phrases:  # 山在左: the place belongs to what was named before
                phrases[-1] = f"{phrases[-1]} {value}"
            else:
                place = value
        elif kind == "adjective":
            adjectives.append(value)
        elif kind == "style":
            styles.append(value)
        elif kind == "number":
            number = value
        elif kind == "latin":
            phrases.append(" ".join([*styles, *adjectives, value]))
            adjectives, styles = [], []
        after_noun = after_noun and kind in ("drop", "unknown")
    phrases.extend(styles)
    if adjectives:
        phrases.append(" ".join(adjectives))
    if place:
        phrases.append(place)
    return phrases, unknown


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a prompt was read as."""

    english: str
    guesses: tuple[tuple[str, str], ...] = ()
    """Pieces of it that were read by their meaning, and the phrases that they added."""
    unread: tuple[str, ...] = ()
    """Characters that were left out."""


def vocabulary() -> dict[str, str]:
    """Every Chinese word for a thing, a season, a manner, technique or colour → its phrase in captions."""
    return {zh: _noun(forms, "", "") for zh, forms in NOUNS.items()} | STYLES


def read(prompt: str) -> Reading:
    """`prompt` with its Chinese as English phrases of the painter's vocabulary; English stays as it is.

    Raises DanqingError when nothing of a Chinese prompt is understood.
    """
    if not has_chinese(prompt):
        return Reading(english=prompt)
    phrases: list[str] = []
    guesses: list[tuple[str, str]] = []
    unread: list[str] = []
    for clause in clauses(prompt):
        known, unknown = translate(clause)
        phrases += known
        if not unknown:
            continue
        from danqing import meaning  # and with it numpy: only where it is needed

        piece, phrase = meaning.nearest(clause, tuple(unknown), alone=not known) if len(prompt) <= LONGEST else ("", "")
        if phrase and not said(phrase, phrases):
            phrases.append(phrase)
            guesses.append((piece, phrase))
        unread += [run for run in unknown if not set(run) & set(piece)]
    if not phrases:
        raise DanqingError(
            f"no word of the prompt {prompt!r} is known; describe it with words like 山水, 孤舟, 墨竹, 写意, "
            f"or in English{_advice(', or, to have free Chinese read by its meaning, ')}"
        )
    english = re.sub(r"\s+", " ", ", ".join(phrases)).strip()
    return Reading(english=english, guesses=tuple(guesses), unread=tuple(unread))


def to_english(prompt: str) -> str:
    """`read(prompt).english`."""
    return read(prompt).english


def explain(prompt: str) -> str:
    """One line for the user: as what a Chinese prompt is read, what of it is a guess, and what is left out."""
    reading = read(prompt)
    line = f"{prompt}: read as “{reading.english}”"
    for piece, phrase in reading.guesses:
        line += f"; {piece} by its meaning as “{phrase}”"
    if reading.unread:
        line += f"; left out: {'、'.join(reading.unread)}{_advice('; to have such words read by their meaning: ')}"
    return line


def said(phrase: str, phrases: Sequence[str]) -> bool:
    """Whether the words of `phrase` are there already, in whatever number."""

    def words(text: str) -> set[str]:
        return {word.removesuffix("s") for word in text.split()} - {"a", "an"}

    return words(phrase) <= words(" ".join(phrases))


def _advice(lead: str) -> str:
    """How to read more, where that is not yet installed."""
    from danqing import meaning

    return "" if meaning.installed() else f"{lead}pip install 'danqing[chinese]'"
