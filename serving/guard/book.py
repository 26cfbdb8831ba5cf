"""Word lists as one table, and where a prompt holds their words.

Every expression is compiled to the strings that it may stand as: an English one with its plural; a Chinese one as
characters, as pinyin, and as any mixture of the two. A search walks over the atoms of a prompt and goes on only while
what it has read is the beginning of some expression, so it takes at most the longest expression's steps from each atom.
No regular expression ever sees more than one character of it.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from serving.guard.text import Atom, Gap, read

WILD = "?"
_LEET = {"0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "6": "bg", "7": "t", "8": "b", "9": "g",
         "@": "a", "$": "s", "!": "i", "|": "il", "+": "t"}  # fmt: skip
_HYPHENS = frozenset("-‐‑–—'’")
_SPLIT_WORD = 6
"""Letters of the shortest word that is found although a blank stands inside it: "bud dha", but not "pen is"."""
_MASKED_WORD = 5
"""Letters of the shortest word that is found although one of them is hidden: "b*ddha"."""
_MIXED = 4
"""Characters of the longest Chinese word of which every mixture with its pinyin is known; of longer ones each is known
with one syllable exchanged."""

Role = Literal["word", "unless", "not_before", "not_after"]


@dataclass(frozen=True, kw_only=True, slots=True)
class WordList:
    """What belongs together, e.g. all deities.

    en: with plurals made. zh: simplified, with pinyin after a blank where that may stand for it: "观音 guan yin".
    unless: longer expressions in which a word means something else (仿佛). not_before, not_after: what makes a word
    another thing when it stands right after or before it (Guanyin *Temple*).
    """

    en: tuple[str, ...] = ()
    zh: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    not_before: tuple[str, ...] = ()
    not_after: tuple[str, ...] = ()


class Hit(NamedTuple):
    """Atoms start … end-1 are a word of a list."""

    start: int
    end: int


class _Form(NamedTuple):
    key: str
    joints: frozenset[int]
    """Where in the key a blank may stand."""


class _Entry(NamedTuple):
    owner: str
    role: Role
    joints: frozenset[int]


def forms(expression: str) -> Iterator[_Form]:
    """The strings that stand for an expression. Raises ValueError where characters and pinyin do not go together."""
    atoms = [atom for atom in read(expression) if atom.kind != "sign"]
    parts = [atom.text for atom in atoms]
    count = sum(atom.kind == "han" for atom in atoms)
    spelt = 0 < count < len(atoms) and atoms[count].gap is Gap.BLANK and all(a.kind == "han" for a in atoms[:count])
    if not atoms:
        raise ValueError("there is nothing to look for in it")
    if count == 0:
        yield from _english(parts)
    elif not spelt:
        yield _form(parts)
    elif len(atoms) != 2 * count:
        raise ValueError(
            f"one syllable of pinyin for each of the {count} characters is needed, with blanks between them"
        )
    else:
        for choice in itertools.product((0, count), repeat=count):
            if count <= _MIXED or sum(map(bool, choice)) in (0, 1, count):
                yield _form([parts[k + shift] for k, shift in enumerate(choice)])


def _form(parts: Sequence[str]) -> _Form:
    return _Form("".join(parts), frozenset(itertools.accumulate(map(len, parts[:-1]))))


def _english(parts: list[str]) -> Iterator[_Form]:
    yield _form(parts)
    last = parts[-1]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        plural = last + "es"
    elif last.endswith("y") and last[-2:-1] not in tuple("aeiou"):
        plural = last[:-1] + "ies"
    else:
        plural = last + "s"
    yield _form([*parts[:-1], plural])


def _masked(form: _Form) -> Iterator[_Form]:
    """One letter hidden, in words that are long enough to be known all the same."""
    if len(form.key) >= _MASKED_WORD and form.key.isascii() and form.key.isalpha():
        for place in range(1, len(form.key) - 1):
            yield _Form(form.key[:place] + WILD + form.key[place + 1 :], form.joints)


class Book:
    """Many word lists, searched at once. Raises ValueError on an expression that cannot be looked for."""

    def __init__(self, lists: Mapping[str, WordList]) -> None:
        table: dict[str, list[_Entry]] = {}
        for name, words in lists.items():
            roles: tuple[tuple[Role, Iterable[str]], ...] = (
                ("word", words.en + words.zh), ("unless", words.unless),
                ("not_before", words.not_before), ("not_after", words.not_after),
            )  # fmt: skip
            for role, expressions in roles:
                for expression in expressions:
                    try:
                        made = list(forms(expression))
                    except ValueError as error:
                        raise ValueError(f"words {name!r}, {expression!r}: {error}") from None
                    for form in made:
                        for one in (form, *(_masked(form) if role == "word" else ())):
                            table.setdefault(one.key, []).append(_Entry(name, role, one.joints))
        self._table = {key: tuple(entries) for key, entries in table.items()}
        self.beginnings = frozenset(key[:length] for key in table for length in range(1, len(key) + 1))

    def find(self, atoms: Sequence[Atom]) -> dict[str, list[Hit]]:
        """The hits of every list that has any, in the prompt's order."""
        found: dict[tuple[str, Role], set[Hit]] = {}
        for start in range(len(atoms)):
            for key, blanks, end in self._walk(atoms, start):
                for entry in self._table.get(key, ()):
                    # A blank inside a word is overlooked in long words, in which it hardly comes about by chance.
                    if entry.joints.issuperset(blanks) or (len(key) >= _SPLIT_WORD and key.isascii()):
                        found.setdefault((entry.owner, entry.role), set()).add(Hit(start, end))
        result = {}
        for (owner, role), hits in found.items():
            if role == "word":
                kept = _allowed(
                    sorted(hits), found.get((owner, "unless"), set()), found.get((owner, "not_before"), set()),
                    found.get((owner, "not_after"), set()), atoms,
                )  # fmt: skip
                if kept:
                    result[owner] = kept
        return result

    def _walk(self, atoms: Sequence[Atom], start: int) -> Iterator[tuple[str, tuple[int, ...], int]]:
        """What may be read from the atom `start` on: (key, where blanks stood inside it, end)."""
        states: dict[str, tuple[tuple[int, ...], bool]] = {"": ((), True)}
        for at in range(start, len(atoms)):
            atom = atoms[at]
            blank = False
            if at > start and atom.gap is not Gap.NONE:
                lone = _lone(atoms, at - 1) and _lone(atoms, at)
                if atom.gap is Gap.BREAK and not lone:
                    return
                blank = not lone
            readings = _readings(atoms, at)
            longer: dict[str, tuple[tuple[int, ...], bool]] = {}
            for key, (blanks, skipped) in states.items():
                here = (*blanks, len(key)) if blank else blanks
                for text in readings:
                    if text == "":
                        if not skipped:
                            longer.setdefault(key, (here, True))
                    elif key + text in self.beginnings:
                        longer[key + text] = (here, False)
            if not longer:
                return
            for key, (blanks, skipped) in longer.items():
                if not skipped:
                    yield key, blanks, at + 1
            states = longer


def _lone(atoms: Sequence[Atom], at: int) -> bool:
    """A single letter or character with something on both sides of it, as in b u d d h a or 观，音."""
    return (
        len(atoms[at].text) == 1
        and atoms[at].gap is not Gap.NONE
        and (at + 1 == len(atoms) or atoms[at + 1].gap is not Gap.NONE)
    )


def _readings(atoms: Sequence[Atom], at: int) -> tuple[str, ...]:
    """As what an atom may be read; "" passes over it, WILD takes it for one hidden letter."""
    kind, text = atoms[at].kind, atoms[at].text
    if kind == "digit":
        return (text, *_LEET.get(text, ""), "", WILD) if _glued(atoms, at) else (text,)
    if kind == "sign":
        hidden = len(text) == 1 and text not in _HYPHENS
        return ("", *_LEET.get(text, ""), *((WILD,) if hidden else ()))
    if kind == "word" and any(text[k] == text[k + 1] == text[k + 2] for k in range(len(text) - 2)):
        runs = ["".join(run) for _, run in itertools.groupby(text)]
        return (text, *("".join(run if len(run) < 3 else run[:most] for run in runs) for most in (1, 2)))
    return (text,)


def _glued(atoms: Sequence[Atom], at: int) -> bool:
    """Whether letters touch the atom on either side."""
    before = at > 0 and atoms[at].gap is Gap.NONE and atoms[at - 1].kind == "word"
    return before or (at + 1 < len(atoms) and atoms[at + 1].gap is Gap.NONE and atoms[at + 1].kind == "word")


def _allowed(hits: list[Hit], unless: set[Hit], before: set[Hit], after: set[Hit], atoms: Sequence[Atom]) -> list[Hit]:
    """The hits that no longer expression covers and no neighbour turns into something else."""
    covers = sorted(unless)
    starts = [cover.start for cover in covers]
    reach = list(itertools.accumulate((cover.end for cover in covers), max))
    follow = {hit.start for hit in before if atoms[hit.start].gap is not Gap.BREAK}
    lead = {following(hit.end, atoms) for hit in after}
    lead = {at for at in lead if at < len(atoms) and atoms[at].gap is not Gap.BREAK}
    kept = []
    for hit in hits:
        known = bisect.bisect_right(starts, hit.start)
        covered = known > 0 and reach[known - 1] >= hit.end
        if not covered and hit.start not in lead and following(hit.end, atoms) not in follow:
            kept.append(hit)
    return kept


def following(at: int, atoms: Sequence[Atom]) -> int:
    """The first atom from `at` on that is no sign."""
    while at < len(atoms) and atoms[at].kind == "sign":
        at += 1
    return at
