"""The guard: whether a prompt may be painted as it is, anchored to one dynasty, only with a consultant's approval, or
not at all.

    decision = Guard.load().judge("唐代背景、明代服饰")
    decision.action, decision.prompt  # "anchor", "唐代背景、唐代服饰"

Judges words, not pictures. It reads a prompt and keeps nothing of it.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serving.guard.book import Book, Hit
from serving.guard.dynasties import Anchor, Mixture
from serving.guard.policy import DEFAULT, Policy, Rule, Search, located
from serving.guard.text import Atom, read

Action = Literal["allow", "anchor", "consult", "refuse"]
_SEVERITY = ("refuse", "consult", "anchor")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """rule: the id of the rule that decided, empty where all is allowed. prompt: what may be painted (on `consult`,
    once it is approved): the given prompt, or the one anchored to one dynasty."""

    action: Action
    rule: str
    reason_en: str
    reason_zh: str
    prompt: str

    def reason(self, language: Literal["en", "zh"]) -> str:
        return self.reason_zh if language == "zh" else self.reason_en


class Guard:
    """A loaded policy. One object may be shared between threads."""

    def __init__(self, policy: Policy) -> None:
        self._rules = sorted(policy.rules, key=lambda rule: _SEVERITY.index(rule.kind))
        self._book = Book({**policy.words, **policy.dynasty_words()})
        self._anchor = Anchor(policy.dynasties)
        self.version = policy.digest
        """Which policy this is, for logs and a picture's origin."""

    @classmethod
    def load(cls, path: Path | None = None) -> Guard:
        """The policy in the file `path`, None: the one beside this module. Raises GuardError, StorageError."""
        path = DEFAULT if path is None else path
        policy = Policy.read(path)
        with located(path):
            return cls(policy)

    def judge(self, prompt: str) -> Decision:
        """The first rule that holds decides: refuse before consult before anchor, and else in the policy's order.

        The time it takes grows with the length of the prompt and with nothing else of it.
        """
        atoms = read(prompt)
        found = self._book.find(atoms)
        mixture = self._anchor.mixture(prompt, atoms, found) if found else None
        painted = mixture.prompt if mixture and mixture.prompt is not None else prompt
        for rule in self._rules if found else ():
            if rule.dynasties:
                holds = mixture is not None and (mixture.prompt is None) == (rule.dynasties == "inseparable")
            else:
                holds = any(_holds(search, found, atoms) for search in rule.looks_for)
            if holds:
                return self._decision(rule, prompt if rule.kind == "refuse" else painted, mixture)
        return Decision(action="allow", rule="", reason_en="", reason_zh="", prompt=prompt)

    def _decision(self, rule: Rule, prompt: str, mixture: Mixture | None) -> Decision:
        said = [rule]
        if rule.kind == "consult" and mixture is not None:  # what the consultant approves has one dynasty too
            said += [other for other in self._rules if other.kind == "anchor"][:1]
        kept, dropped = (mixture.kept, mixture.dropped) if mixture else (None, ())
        en = {"kept": kept.called.en if kept else "", "dropped": ", ".join(d.called.en for d in dropped)}
        zh = {"kept": kept.called.zh if kept else "", "dropped": "、".join(d.called.zh for d in dropped)}
        return Decision(
            action=rule.kind, rule=rule.id, prompt=prompt,
            reason_en=" ".join(one.reason.en.format(**en) for one in said),
            reason_zh="".join(one.reason.zh.format(**zh) for one in said),
        )  # fmt: skip


def _holds(search: Search, found: dict[str, list[Hit]], atoms: Sequence[Atom]) -> bool:
    hits = found.get(search.words, [])
    if not search.near:
        return bool(hits)
    others = found.get(search.near, [])
    starts = [other.start for other in others]
    for hit in hits:
        # The nearest that begins after the hit, and those before it, of which the longest may reach into the hit.
        after = bisect.bisect_left(starts, hit.end)
        if after < len(others) and _near(hit, others[after], atoms, search.within):
            return True
        before = bisect.bisect_left(starts, hit.start) - 1
        while before >= 0 and others[before].end > hit.start:
            before -= 1
        if before >= 0 and _near(others[before], hit, atoms, search.within):
            return True
    return False


def _near(one: Hit, other: Hit, atoms: Sequence[Atom], within: int) -> bool:
    return within == 0 or atoms[other.start].place - atoms[one.end - 1].place - 1 <= within
