"""Which pictures train, validate and test: 8:1:1 by group, the same for a picture whatever else is in the corpus.

A group (one work, one scene) is placed by a hash of its own name, so adding pictures moves nothing that was placed
before. The price of that is sampling error: of n groups, the share of a split is off by about 0.4/√n. Where that would
hurt, the fewest groups that lie nearest to a border of the hash's range are moved:

* the whole corpus has at least `TEN` groups and a share is off by more than `TOLERANCE`, or a split is empty;
* a theme has at least `TWENTY` groups and a split is without any of it.

Large corpora and themes never need that, so there additions never move a picture. In a small one an addition may undo a
move; what it touches are the few groups nearest to a border, never the bulk.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from danqing.data.corpus import SPLITS

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
TOLERANCE = 0.04
"""Below validate.split_tolerance, so that rounding cannot carry a corpus over it."""
TEN, TWENTY = 10, 20


def position(group: str) -> float:
    """Where a group lies in [0, 1): below 0.8 train, below 0.9 val, else test."""
    digest = hashlib.sha256(f"split\0{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _natural(place: float) -> str:
    return "train" if place < 0.8 else "val" if place < 0.9 else "test"


def split(groups: Sequence[str], themes: Sequence[str]) -> list[str]:
    """The split of every record. groups, themes: of each record; a group counts with the theme of its first record."""
    theme_of: dict[str, str] = {}
    for group, theme in zip(groups, themes, strict=True):
        theme_of.setdefault(group, theme)
    weight: dict[str, int] = {}
    for group in groups:
        weight[group] = weight.get(group, 0) + 1
    places = {group: position(group) for group in theme_of}
    chosen = {group: _natural(place) for group, place in places.items()}
    for theme in sorted(set(theme_of.values())):
        members = [group for group in sorted(theme_of) if theme_of[group] == theme]
        if len(members) >= TWENTY:
            _fill_empty(chosen, places, members)
    everything = sorted(theme_of)
    if len(everything) >= TEN:
        _fill_empty(chosen, places, everything)
        _balance(chosen, places, weight)
    return [chosen[group] for group in groups]


def _near(name: str, place: float) -> float:
    """Distance of a hash position to the range of split `name`."""
    low = {"train": 0.0, "val": 0.8, "test": 0.9}[name]
    return max(low - place, place - (low + SHARES[name]), 0.0)


def _fill_empty(chosen: dict[str, str], places: Mapping[str, float], members: Sequence[str]) -> None:
    for name in SPLITS:
        if any(chosen[group] == name for group in members):
            continue
        count = {s: sum(chosen[g] == s for g in members) for s in SPLITS}
        donors = [g for g in members if count[chosen[g]] > 1]
        if donors:
            chosen[min(donors, key=lambda g: (_near(name, places[g]), g))] = name


def _balance(chosen: dict[str, str], places: Mapping[str, float], weight: Mapping[str, int]) -> None:
    """Move groups from the fullest to the emptiest split until no share of the pictures is off by more than allowed."""
    total = sum(weight.values())
    for _ in range(len(chosen)):
        filled = {name: sum(weight[g] for g, s in chosen.items() if s == name) for name in SPLITS}
        excess = {name: filled[name] / total - SHARES[name] for name in SPLITS}
        giver, taker = max(SPLITS, key=excess.__getitem__), min(SPLITS, key=excess.__getitem__)
        allowed = max(TOLERANCE, 0.5 / math.sqrt(total) if total < 40 else 0.0)
        if max(excess[giver], -excess[taker]) <= allowed:
            return
        # A group may be moved only if that brings both splits nearer to their shares.
        gap = min(excess[giver], -excess[taker]) * total if min(excess[giver], -excess[taker]) > 0 else 0.0
        limit = max(2 * gap, (excess[giver] - excess[taker]) * total)
        movable = [g for g, s in chosen.items() if s == giver and weight[g] < limit]
        if not movable or sum(s == giver for s in chosen.values()) < 2:
            return
        chosen[min(movable, key=lambda g: (_near(taker, places[g]), g))] = taker
