"""What of a prompt is in the picture: the element, how many, where, in what manner, technique, colour and season.

For pictures whose truth is known (the brush's). Each attribute has a probe, a linear classifier trained on real
pictures and their truth; a prompt asks for an attribute only if its caption says it. How often the probe is right on
real held-out pictures that ask for the same stands beside what it finds in painted ones: below `TRUSTED` it proves
nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from danqing.data.brush import phrases as ph
from danqing.data.measure import measure
from danqing.evaluate import probe
from danqing.evaluate.features import Features

TRUSTED = 0.9
NONE = "none"
_MANY = 4
"""Four and more are counted alike."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    name: str
    features: str
    """Which of the features tell it."""
    truth: Sequence[str]
    """Of each picture; "" where it has none."""
    asked: Sequence[str]
    """The same, only where the caption says it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """rate: asked for and found. chance: the same if prompts were dealt at random. accuracy: on real pictures."""

    name: str
    rate: float
    chance: float
    accuracy: float
    prompts: int

    @property
    def trusted(self) -> bool:
        return self.accuracy >= TRUSTED


def attributes(rows: Sequence[Mapping[str, Any]]) -> list[Attribute]:
    """Of pictures with the corpus's columns main, category, technique, palette, season, elements and caption_en."""
    captions = [str(row["caption_en"]).lower() for row in rows]
    elements = [json.loads(row["elements"] or "[]") for row in rows]

    def said(truth: Sequence[str], words: Mapping[str, str]) -> list[str]:
        pairs = zip(truth, captions, strict=True)
        return [t if t and words.get(t, t) in caption else "" for t, caption in pairs]

    def column(name: str) -> list[str]:
        return [str(row[name]) for row in rows]

    colours = {name: english for name, (english, _) in ph.PALETTE.items()}
    found = [
        Attribute(name="main element", features="pooled", truth=column("main"), asked=column("main")),
        Attribute(name="manner", features="style", truth=column("category"), asked=said(column("category"), {})),
        Attribute(name="technique", features="style", truth=column("technique"), asked=said(column("technique"), {})),
        Attribute(name="colour", features="style", truth=column("palette"), asked=said(column("palette"), colours)),
        Attribute(name="season", features="style", truth=column("season"), asked=said(column("season"), {})),
    ]
    numbers = [str(min(_MANY, e[0]["count"])) if e else "" for e in elements]
    several = {e[0]["kind"] for e, n in zip(elements, numbers, strict=True) if n not in ("", "1")}
    counted = [n if e and e[0]["kind"] in several else "" for e, n in zip(elements, numbers, strict=True)]
    found.append(Attribute(name="number", features="pooled", truth=counted, asked=counted))
    for kind in ph.NOUN:
        places = [next((x["place"] for x in e if x["kind"] == kind), NONE) or NONE for e in elements]
        asked = [p if p != NONE and places_said(kind, c) else "" for p, c in zip(places, captions, strict=True)]
        if len([a for a in asked if a]) >= probe.MIN_EXAMPLES:
            found.append(Attribute(name=f"place of {kind}", features="quarters", truth=places, asked=asked))
    return found


def places_said(kind: str, caption: str) -> bool:
    """Whether a caption says where its `kind` is."""
    one, many, _, _ = ph.NOUN[kind]
    words = "|".join(re.escape(english) for english, _ in ph.PLACE.values())
    if kind == "mountain" and re.search(r"\b(distant|far) mountains\b", caption):
        return True
    return re.search(rf"\b({re.escape(many)}|{re.escape(one)}) ({words})", caption) is not None


def follow(
    train: Features, train_rows: Sequence[Mapping[str, Any]], real: Features, painted: Features,
    rows: Sequence[Mapping[str, Any]],
) -> list[Followed]:  # fmt: skip
    """Train on real pictures, look at painted ones. painted: of the prompts of `rows`, once or several times over.

    All places are brought into one figure, `place`: left, right, far, near or centre of whatever was asked for.
    """
    known = {a.name: a for a in attributes(train_rows)}
    spaces: dict[str, tuple[np.ndarray, ...]] = {}
    classes: dict[str, Sequence[str]] = {}
    on_real: dict[str, list[str]] = {}
    on_painted: dict[str, list[str]] = {}
    for asked in attributes(rows):
        truth = known.get(asked.name)
        if truth is None or len(probe.usable(list(truth.truth))) < 2:
            continue
        if truth.features not in spaces:
            spaces[truth.features] = leading(*(getattr(f, truth.features) for f in (train, real, painted)))
        learnt, held_out, ours = spaces[truth.features]
        reader = probe.fit(learnt, list(truth.truth), penalty=1e-3)
        classes[asked.name] = reader.classes
        on_real[asked.name], on_painted[asked.name] = reader.predict(held_out), reader.predict(ours)
    return compare(rows, classes, on_real, on_painted)


def compare(
    rows: Sequence[Mapping[str, Any]], classes: Mapping[str, Sequence[str]], on_real: Mapping[str, list[str]],
    on_painted: Mapping[str, list[str]],
) -> list[Followed]:  # fmt: skip
    """What the prompts of `rows` ask for, against what a reader that knows `classes` found, attribute by attribute.

    on_painted: of pictures of these prompts, once or several times over.
    """
    found: list[Followed] = []
    places: list[tuple[str, str, str]] = []
    times = 1
    for asked in attributes(rows):
        wanted = [a if a in classes.get(asked.name, ()) else "" for a in asked.asked]
        if not any(wanted):
            continue
        times = len(on_painted[asked.name]) // len(rows)
        seen = on_painted[asked.name], on_real[asked.name] * times, wanted * times
        if asked.name.startswith("place of "):
            places += zip(*seen, strict=True)
        else:
            found.append(_followed(asked.name, *seen, times))
    if places:
        painted, real, wanted = ([place[i] for place in places] for i in range(3))
        found.append(_followed("place", painted, real, wanted, times))
    return found


def _followed(name: str, painted: list[str], real: list[str], wanted: list[str], times: int) -> Followed:
    seen = probe.hits(painted, wanted)
    prompts = len([w for w in wanted if w]) // times
    return Followed(
        name=name, rate=seen.rate, chance=seen.chance, accuracy=probe.hits(real, wanted).rate, prompts=prompts
    )


def leading(*features: np.ndarray, components: int = 300) -> tuple[np.ndarray, ...]:
    """Standardised by the first, and its leading components: thousands of columns would be learnt by heart."""
    from sklearn.decomposition import PCA

    first = np.asarray(features[0], np.float32)
    mean, scale = first.mean(0), np.maximum(first.std(0), 1e-3)
    pca = PCA(min(components, *first.shape), svd_solver="randomized", random_state=0).fit((first - mean) / scale)
    return tuple(pca.transform((np.asarray(f, np.float32) - mean) / scale) for f in features)


def white_space(painted_NHWC: np.ndarray, real_NHWC: np.ndarray) -> float:
    """Correlation over prompts of the share of blank ground in what was painted and in the real picture of the prompt.

    painted may hold several pictures of each prompt, one round after another.
    """
    ours = np.array([measure(p).white for p in painted_NHWC]).reshape(-1, len(real_NHWC)).mean(0)
    theirs = np.array([measure(p).white for p in real_NHWC])
    if ours.std() < 1e-9 or theirs.std() < 1e-9:
        return float("nan")
    return float(np.corrcoef(ours, theirs)[0, 1])
