"""Fig. 13 of the paper on pictures whose truth is known: seven instructions in a row, of three families.

Replace the main element, fine-tune an attribute, extend the scene. After each round two things are asked: is it still
the same hand (style similarity to the round before), and is there what was asked for (a probe, whose accuracy on real
pictures stands beside it). The paper does not define its style similarity; here it is the cosine of standardised early
features, between two anchors measured on real pictures: the same hand with another motif, and any two pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from danqing.data.brush import MAINS, compose, paint
from danqing.data.brush import phrases as ph
from danqing.data.brush.scene import Scene
from danqing.evaluate import probe
from danqing.evaluate.features import Features
from danqing.evaluate.following import leading

ROUNDS = 7
STYLE_KEPT, FOLLOWED = 0.70, 0.80
"""The paper's thresholds of the two figures."""
_EXTENSION = 0.75
_STRENGTH = 0.6

Edit = Callable[[np.ndarray, np.ndarray, list[str], list[int]], np.ndarray]
"""Pictures uint8 (N, S, S, 3), holes bool (N, S, S), prompts, seeds → pictures."""
Reader = Callable[[np.ndarray], Features]


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """After one round, over all sequences of the family: means, and the standard error of the similarity."""

    similarity: float
    error: float
    accuracy: float
    chance: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    name: str
    rounds: tuple[Round, ...]
    probe_accuracy: float
    """How often the probe is right on real held-out pictures."""
    pictures: np.ndarray
    """uint8 (rounds + 1, N, S, S, 3), the start first."""
    asked: tuple[tuple[str, ...], ...]
    """(rounds, N): the element or attribute value that each instruction asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchors:
    """Style similarity between real pictures."""

    same_hand: float
    """Manner, technique, colour and ground shared, another motif."""
    any_two: float


class Judge:
    """Probes and a style space, learnt from real brush pictures."""

    def __init__(self, read: Reader, scenes: Sequence[Scene], size: int) -> None:
        self.read, self.size = read, size
        learnt = read(drawn(scenes, size))
        self.learnt = {"main": learnt.pooled, "category": learnt.style, "palette": learnt.style}
        self.truth = {name: [str(getattr(s, name)) for s in scenes] for name in self.learnt}
        self.mean, self.scale = learnt.style.mean(0), np.maximum(learnt.style.std(0), 1e-3)

    def names(self, attribute: str, *pictures: Features) -> list[list[str]]:
        """What `attribute` is in each picture, for each of the sets."""
        kind = "pooled" if attribute == "main" else "style"
        learnt, *seen = leading(self.learnt[attribute], *(getattr(p, kind) for p in pictures))
        reader = probe.fit(learnt, self.truth[attribute], penalty=1e-3)
        return [reader.predict(s) for s in seen]

    def similarity(self, a: Features, b: Features) -> np.ndarray:
        """(N,) cosine of standardised style features."""
        x, y = ((f.style - self.mean) / self.scale for f in (a, b))
        return (x * y).sum(1) / np.maximum(np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1), 1e-9)


def drawn(scenes: Sequence[Scene], size: int) -> np.ndarray:
    """uint8 (N, S, S, 3), the brush's pictures, painted larger and shrunk as `annotate` does."""
    import cv2

    large = [paint(scene, size + size // 2) for scene in scenes]
    return np.stack([cv2.resize(p, (size, size), interpolation=cv2.INTER_AREA) for p in large])


def hand(scene: Scene) -> dict[str, str]:
    """What makes two pictures one painter's, whatever they show."""
    return {name: getattr(scene, name) for name in ("category", "technique", "palette", "ground", "ink", "season")}


def prompt(scene: Scene) -> str:
    """Plain words for motif and manner, as one would type them."""
    one, many, _, _ = ph.NOUN[scene.main]
    words = [many if scene.main in ("mountain", "plum") else one, scene.category, ph.TECHNIQUE[scene.technique][0]]
    if scene.palette != "ink":
        words.append(ph.PALETTE[scene.palette][0])
    return ", ".join([*words, scene.season])


def _region(boxes: Sequence[tuple[float, float, float, float]], size: int) -> np.ndarray:
    """bool (S, S): the rectangle around all boxes."""
    x0, y0 = (int(min(b[i] for b in boxes) * size) for i in (0, 1))
    x1, y1 = (int(np.ceil(max(b[i] for b in boxes) * size)) for i in (2, 3))
    hole = np.zeros((size, size), bool)
    hole[y0:y1, x0:x1] = True
    return hole


def _others(rng: np.random.Generator, names: Sequence[str], but: str) -> str:
    left = [name for name in names if name != but]
    return left[int(rng.integers(len(left)))]


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """What one round does to one picture."""

    scene: Scene
    """What the picture should show afterwards."""
    asked: str
    attribute: str
    hole: np.ndarray
    shift: int = 0
    """Columns that leave the picture at the left before the round; the scene goes on at the right."""


def replace_element(rng: np.random.Generator, scene: Scene, size: int) -> Instruction:
    main = _others(rng, MAINS, scene.main)
    after = compose(int(rng.integers(2**31)), main=main, extras=(), **hand(scene))
    hole = _region([scene.elements[0].box, after.elements[0].box], size)
    return Instruction(scene=after, asked=main, attribute="main", hole=hole)


def tune_attribute(rng: np.random.Generator, scene: Scene, size: int) -> Instruction:
    """Another manner, or another colour, of the same motif: a share of the patches is painted anew, spread evenly."""
    wishes: dict[str, str] = hand(scene)
    del wishes["technique"], wishes["ink"]  # these follow from manner and colour
    attribute = ("category", "palette")[int(rng.integers(2))]
    values = tuple(ph.CATEGORY) if attribute == "category" else ("ink", "colour")
    wishes[attribute] = _others(rng, values, wishes[attribute])
    after = compose(scene.seed, main=scene.main, extras=(), **wishes)
    grid = size // 8
    chosen = rng.permutation(grid * grid).reshape(grid, grid) < _STRENGTH * grid * grid
    hole = chosen.repeat(8, 0).repeat(8, 1)
    return Instruction(scene=after, asked=wishes[attribute], attribute=attribute, hole=hole)


def extend_scene(rng: np.random.Generator, scene: Scene, size: int) -> Instruction:
    """The scroll is unrolled: most of the view is new, and another motif is wanted in it."""
    main = _others(rng, MAINS, scene.main)
    after = compose(int(rng.integers(2**31)), main=main, extras=(), **hand(scene))
    more = round(_EXTENSION * size)
    hole = np.zeros((size, size), bool)
    hole[:, size - more :] = True
    return Instruction(scene=after, asked=main, attribute="main", hole=hole, shift=more)


FAMILIES: Mapping[str, Callable[[np.random.Generator, Scene, int], Instruction]] = {
    "element replacement": replace_element,
    "attribute fine-tuning": tune_attribute,
    "scene extension": extend_scene,
}


def follow(
    name: str, edit: Edit, judge: Judge, count: int, *, rounds: int = ROUNDS, seed: int = 0,
    done: Callable[[int], None] = lambda number: None,
) -> Family:  # fmt: skip
    """`count` sequences of one family, from brush pictures that the judge has not learnt from."""
    rng = np.random.default_rng([seed, *name.encode()])
    scenes = [compose(int(rng.integers(2**31)), extras=()) for _ in range(count)]
    pictures = [drawn(scenes, judge.size)]
    instructions: list[list[Instruction]] = []
    for number in range(rounds):
        steps = [FAMILIES[name](rng, scene, judge.size) for scene in scenes]
        scenes = [step.scene for step in steps]
        start = np.stack([shifted(p, s.shift) for p, s in zip(pictures[-1], steps, strict=True)])
        seeds = [seed + number * count + i for i in range(count)]
        pictures.append(edit(start, np.stack([s.hole for s in steps]), [prompt(s) for s in scenes], seeds))
        instructions.append(steps)
        done(number + 1)
    return _judged(name, judge, pictures, instructions)


def shifted(picture: np.ndarray, columns: int) -> np.ndarray:
    """The picture moved left; the last column is repeated at the right."""
    if columns == 0:
        return picture
    return np.concatenate([picture[:, columns:], picture[:, -1:].repeat(columns, 1)], 1)


def _judged(name: str, judge: Judge, pictures: list[np.ndarray], instructions: list[list[Instruction]]) -> Family:
    features = [judge.read(p) for p in pictures]
    every = [i for steps in instructions for i in steps]
    truth = judge.read(drawn([i.scene for i in every], judge.size))
    attributes = sorted({i.attribute for i in every})
    seen = {a: judge.names(a, *features[1:], truth) for a in attributes}
    proof = np.mean([seen[i.attribute][-1][n] == i.asked for n, i in enumerate(every)])
    found = []
    for number, steps in enumerate(instructions):
        rates = [
            (probe.hits(seen[a][number], [s.asked if s.attribute == a else "" for s in steps]))
            for a in attributes
            if any(s.attribute == a for s in steps)
        ]
        total = sum(r.pictures for r in rates)
        similarity = judge.similarity(features[number], features[number + 1])
        found.append(Round(
            similarity=float(similarity.mean()), error=float(similarity.std(ddof=1) / np.sqrt(len(similarity))),
            accuracy=sum(r.rate * r.pictures for r in rates) / total,
            chance=sum(r.chance * r.pictures for r in rates) / total,
        ))  # fmt: skip
    return Family(
        name=name, rounds=tuple(found), probe_accuracy=float(proof), pictures=np.stack(pictures),
        asked=tuple(tuple(s.asked for s in steps) for steps in instructions),
    )  # fmt: skip


def anchors(judge: Judge, count: int, seed: int = 0) -> Anchors:
    """Style similarity of real pictures: what an editor who keeps the hand could reach, and what comes by itself."""
    rng = np.random.default_rng([seed, 13])
    first = [compose(int(rng.integers(2**31)), extras=()) for _ in range(count)]
    second = [compose(int(rng.integers(2**31)), main=_others(rng, MAINS, s.main), extras=(), **hand(s)) for s in first]
    a, b = (judge.read(drawn(scenes, judge.size)) for scenes in (first, second))
    other = Features(pooled=np.roll(b.pooled, 1, 0), quarters=np.roll(b.quarters, 1, 0), style=np.roll(b.style, 1, 0))
    return Anchors(same_hand=float(judge.similarity(a, b).mean()), any_two=float(judge.similarity(a, other).mean()))
