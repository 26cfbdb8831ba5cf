"""Style anchoring: a picture shows one dynasty (paper, section 6.2).

A mention is a dynasty's name, or dress or a person that belongs to some dynasties. It says what is seen (content), how
it is painted (manner), or whom the painter follows (after: never in conflict, painters have always looked back). What
is seen must be of one time, and how it is painted too; a Ming painting of a Tang palace is neither. An older thing in
a later scene (a Song vase on a Qing desk) is no conflict.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from serving.guard.book import Hit, following
from serving.guard.policy import Dynasties, Dynasty
from serving.guard.text import Atom, Gap

_LOOK_AHEAD = 6
"""Words after a name in which stands what it is said of: "Tang dynasty ladies' silk robes"."""
_AND = frozenset({"and", "or", "&", "与", "和", "及"})

_SAID_OF = ("scene", "content", "manner", "heirlooms")

Role = Literal["content", "manner", "after"]
Form = Literal["name", "whole", "dress", "person"]
Found = Mapping[str, Sequence[Hit]]


class _Date(NamedTuple):
    of: frozenset[str]
    form: Form
    begins: int | None = None
    """The atom where a pair of names begins, of which this is the second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """of: the dynasties that it may mean. scene: it is said of where the picture is set. heirloom: of a thing that
    outlives its time. named: the dynasty's name stands before it (清代旗袍)."""

    hit: Hit
    of: frozenset[str]
    form: Form
    role: Role
    scene: bool
    heirloom: bool
    named: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixture:
    """A prompt that mixes dynasties. prompt: with one dynasty only; None where no side can be dropped."""

    prompt: str | None
    kept: Dynasty | None = None
    dropped: tuple[Dynasty, ...] = ()


class Anchor:
    """Finds prompts that mix dynasties, and what may be painted instead."""

    def __init__(self, told: Dynasties) -> None:
        self._told = told
        self._dynasties = {dynasty.key: dynasty for dynasty in told.names}
        self._order = {dynasty.key: place for place, dynasty in enumerate(told.names)}

    def mixture(self, prompt: str, atoms: Sequence[Atom], found: Found) -> Mixture | None:
        """None where nothing is mixed. found: the hits of `Policy.dynasty_words` in `atoms`, the atoms of `prompt`."""
        mixing = "dynasties.mixing" in found
        mentions = self._described(self._dated(atoms, found, mixing), atoms, found)
        people = [mention.of for mention in mentions if mention.form == "person" and mention.role == "content"]
        if people and not frozenset.intersection(*people):
            return Mixture(prompt=None)
        if mixing and not _common([mention.of for mention in mentions if mention.role != "after"]):
            return Mixture(prompt=None)
        wrong = [*self._clashing(mentions, "content"), *self._clashing(mentions, "manner")]
        if not wrong:
            return None
        text = prompt
        for mention, kept in sorted(wrong, key=lambda pair: pair[0].hit, reverse=True):
            start, end = atoms[mention.hit.start].start, atoms[mention.hit.end - 1].end
            text = text[:start] + self._instead(mention, self._dynasties[kept], atoms) + text[end:]
        dropped = sorted({self._earliest(mention.of) for mention, _ in wrong}, key=self._order.__getitem__)
        return Mixture(prompt=text, kept=self._dynasties[wrong[0][1]],
                       dropped=tuple(self._dynasties[key] for key in dropped))  # fmt: skip

    def _dated(self, atoms: Sequence[Atom], found: Found, mixing: bool) -> dict[Hit, _Date]:
        """Where the prompt says a time. A bare name says one before a mark (Tang *dynasty*), joined to a name that does
        (*Tang* and Ming dress), or beside another where mixing is asked for (唐明混搭)."""
        marks = {hit.start for hit in found.get("dynasties.marks", ()) if atoms[hit.start].gap is not Gap.BREAK}
        described = marks | {hit.start for name in _SAID_OF for hit in found.get(f"dynasties.{name}", ())
                             if atoms[hit.start].gap is not Gap.BREAK}  # fmt: skip
        names = {hit.start: (hit, key) for key in self._order for hit in found.get(f"dynasties.name.{key}", ())}
        dated: dict[Hit, _Date] = {}
        for start in sorted(names, reverse=True):
            hit, key = names[start]
            after = following(hit.end, atoms)
            joined = after < len(atoms) and atoms[after].text in _AND
            other, its_key = names.get(after + joined) or names.get(after + 1) or (None, key)
            years = self._order[its_key] - self._order[key]
            if other is not None and years == 1 and not mixing:
                if other in dated:  # 唐宋, 元末明初, Song and Yuan masters: a pair that names one tradition
                    dated[other] = dated[other]._replace(begins=start)
                continue
            # One Chinese character is more often a part of another word (清风) than an English name is another name.
            if after in (marks if atoms[start].kind == "han" else described) or (joined and other in dated):
                dated[hit] = _Date(frozenset({key}), "name")
            elif mixing and other is not None and years > 0:
                dated[hit] = _Date(frozenset({key}), "name")
                dated[other] = _Date(frozenset({its_key}), "name")
        for key in self._order:
            dated |= dict.fromkeys(found.get(f"dynasties.whole.{key}", ()), _Date(frozenset({key}), "whole"))
        for k, dress in enumerate(self._told.dress):
            dated |= dict.fromkeys(found.get(f"dynasties.dress.{k}", ()), _Date(frozenset(dress.of), "dress"))
        for k, person in enumerate(self._told.people):
            dated |= dict.fromkeys(found.get(f"dynasties.people.{k}", ()), _Date(frozenset(person.of), "person"))
        return dated

    def _described(self, dated: Mapping[Hit, _Date], atoms: Sequence[Atom], found: Found) -> list[Mention]:
        order: list[Hit] = []
        for hit in sorted(dated, key=lambda one: (one.start, -one.end)):
            if not order or hit.start >= order[-1].end:  # 唐 within 大唐 says nothing more
                order.append(hit)
        led = {following(hit.end, atoms) for hit in found.get("dynasties.after", ())}
        places = {name: sorted(hit.start for hit in found.get(f"dynasties.{name}", ())) for name in _SAID_OF}
        mentions: list[Mention] = []
        end = 0
        for hit, then in itertools.pairwise([*order, Hit(len(atoms), len(atoms))]):
            date = dated[hit]
            named = end == hit.start and bool(mentions) and not mentions[-1].of.isdisjoint(date.of)
            end = _said_until(atoms, hit.end, then.start)
            said = {name: _first_between(starts, hit.end, end) for name, starts in places.items()}
            by_itself = date.form in ("dress", "person")
            role: Role = "content"
            if (hit.start if date.begins is None else date.begins) in led:
                role = "after"
            elif not by_itself and said["manner"] < end and said["content"] == said["scene"] == end:
                role = "manner"
            heirloom = not by_itself and said["heirlooms"] < said["content"]
            mentions.append(Mention(hit=hit, of=date.of, form=date.form, role=role, scene=said["scene"] < end,
                                    heirloom=heirloom, named=named))  # fmt: skip
        return mentions

    def _clashing(self, mentions: Sequence[Mention], role: Role) -> list[tuple[Mention, str]]:
        """The mentions of one role that do not fit the main one, each with the dynasty that is kept.

        The main one is a person, who cannot be dropped, else what is said of the scene, else what comes first. Things
        that outlive their time are of no time by themselves: a shelf may hold a Shang bronze and a Song bowl.
        """
        ours = [mention for mention in mentions if mention.role == role]
        kept: frozenset[str] = frozenset()
        for mention in sorted(ours, key=lambda m: (m.form != "person", not m.scene, m.hit)):
            if mention.scene or not mention.heirloom:
                kept = (kept & mention.of) or kept or mention.of
        if not kept:
            return []
        main = self._earliest(kept)
        return [(mention, main) for mention in ours
                if main not in mention.of and not (mention.heirloom and self._older(mention.of, main))]  # fmt: skip

    def _older(self, of: frozenset[str], than: str) -> bool:
        return all(self._order[key] < self._order[than] for key in of)

    def _earliest(self, of: frozenset[str]) -> str:
        return min(of, key=self._order.__getitem__)

    def _instead(self, mention: Mention, kept: Dynasty, atoms: Sequence[Atom]) -> str:
        chinese = any(atom.kind == "han" for atom in atoms[mention.hit.start : mention.hit.end])
        full, short = (kept.called.zh, kept.zh) if chinese else (kept.called.en, kept.en)
        if mention.form == "name":
            return short[0] if short else full
        if mention.form == "dress":
            dress = "服饰" if chinese else "dress"
            return dress if mention.named else f"{full}{'' if chinese else ' '}{dress}"
        return full


def _common(sets: Sequence[frozenset[str]]) -> bool:
    """Whether every two of the sets share something."""
    return all(one & other for one, other in itertools.combinations(set(sets), 2))


def _said_until(atoms: Sequence[Atom], start: int, stop: int) -> int:
    """The end of what a name just before `start` may be said of: a break, some words, or the next name at `stop`."""
    end = start
    while end < stop and atoms[end].gap is not Gap.BREAK and atoms[end].place - atoms[start].place < _LOOK_AHEAD:
        end += 1
    return end


def _first_between(starts: Sequence[int], low: int, high: int) -> int:
    """The first of the sorted `starts` in low … high-1; `high` where there is none."""
    at = bisect.bisect_left(starts, low)
    return min(starts[at], high) if at < len(starts) else high
