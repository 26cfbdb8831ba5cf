"""The paper's caption grammar for works whose scene nobody wrote down: category, content, technique, with adjectives.

One short sentence in English and one label in Chinese, from the words that the brush painter's captions use as well, so
that real and procedural pictures teach the same vocabulary. No artist's name: a style is asked for by its marks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from danqing.taxonomy import CATEGORIES, CONTENTS, ELEMENTS, GROUNDS, PALETTES, SEASONS, TECHNIQUES

LONGEST = 28
"""Word pieces of a caption, the two special ones included."""

_PLAIN = {
    "ink": "in ink alone", "blue-green": "in blue-green", "light-crimson": "in light crimson", "colour": "in colour",
}  # fmt: skip
_UNCOUNTED = frozenset({"mist", "water", "snow", "rain", "bamboo", "fish", "reeds", "narcissus", "fruit"})
_MANY = frozenset({"mountain", "plum", "tree", "flower", "geese", "rock", "bare_tree", "cliff"})


class Dice:
    """Choices that depend on a picture's id alone, so that a caption never changes with its neighbours."""

    def __init__(self, seed: str) -> None:
        self._state = hashlib.sha256(seed.encode()).digest()

    def roll(self, sides: int) -> int:
        self._state = hashlib.sha256(self._state).digest()
        return int.from_bytes(self._state[:4], "big") % sides


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _thing(kind: str, adjective: str = "") -> str:
    term = ELEMENTS[kind]
    lead = f"{adjective} " if adjective and not term.en.startswith(adjective) else ""
    if kind in _UNCOUNTED:
        return lead + term.en
    return lead + term.plural if kind in _MANY else _article(lead + term.en)


def _subject(row: Mapping[str, str], dice: Dice) -> tuple[str, str]:
    """What the picture shows first, in English and Chinese: its main element, else its content."""
    if row["main"]:
        en, zh = ELEMENTS[row["main"]].adjective(dice.roll(3))
        return _thing(row["main"], en), f"{zh}的{ELEMENTS[row['main']].zh}" if zh else ELEMENTS[row["main"]].zh
    term = CONTENTS[row["content"]]
    en, zh = term.adjective(dice.roll(2))
    phrase = f"{en} {term.en}"
    return (_article(phrase) if row["content"] == "landscape" else phrase), f"{zh}的{term.zh}"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def compose(row: Mapping[str, str], others: Sequence[str], ground: str, count: Callable[[str], int]) -> tuple[str, str]:
    """(English, Chinese) for a record with category, content, technique, palette, season, main and id.

    others: further element kinds, most telling first. ground: paper, silk or "". count: word pieces of a text, after
    which what matters least is left out until the caption fits.
    """
    dice = Dice(row["id"])
    manner = CATEGORIES[row["category"]]
    stroke = TECHNIQUES[row["technique"]]
    manner_en, manner_zh = manner.adjective(dice.roll(2))
    stroke_en, stroke_zh = stroke.adjective(dice.roll(2))
    subject_en, subject_zh = _subject(row, dice)
    things = [kind for kind in others if kind != row["main"]][:2]
    shown = [_thing(kind) if kind != "mist" else "drifting mist" for kind in things]
    marks = [f"{stroke_en} {stroke.en}".strip()]
    colour = _PLAIN.get(row["palette"], "")
    if colour and row["palette"].replace("-", " ") != row["technique"].replace("-", " "):
        marks.append(colour)
    if row["season"]:
        marks.append(SEASONS[row["season"]].en)
    if ground:
        marks.append(f"on {GROUNDS[ground].en}")
    form = dice.roll(4)
    style = f"{manner_en} {manner.en}"
    while True:
        english = _sentence(form, style, subject_en, shown, marks)
        if count(english) <= LONGEST or not (len(marks) > 1 or shown):
            break
        if len(marks) > 1:
            marks.pop()
        else:
            shown.pop()
    place = f"{CONTENTS[row['content']].zh}" if row["main"] else ""
    pictured = subject_zh + "".join(f"、{ELEMENTS[kind].zh}" for kind in things)
    parts = [f"{manner_zh}的{manner.zh}{place}", pictured, f"{stroke_zh}的{stroke.zh}"]
    if row["palette"] and PALETTES[row["palette"]].zh != stroke.zh:
        parts.append(PALETTES[row["palette"]].zh)
    if row["season"]:
        parts.append(SEASONS[row["season"]].zh)
    if ground:
        parts.append(GROUNDS[ground].zh)
    return english, "，".join(parts)


def _sentence(form: int, style: str, subject: str, shown: Sequence[str], marks: Sequence[str]) -> str:
    if form < 2:
        extras = f" with {_joined(shown)}" if shown else ""
        text = f"{_article(style)} painting of {subject}{extras}, {', '.join(marks)}."
    elif form == 2:
        text = f"{_joined([subject, *shown])}, {style} Chinese painting in {', '.join(marks)}"
    else:
        text = ", ".join([subject, *shown, style.rsplit(" ", 1)[-1], *marks])
        return text
    return text[0].upper() + text[1:]
