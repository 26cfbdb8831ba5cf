"""What a prompt asks for is looked for where it is said, by probes that are held to what they do on real pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from danqing.data import brush
from danqing.evaluate import judge
from danqing.evaluate.features import Features
from danqing.evaluate.following import Attribute, attributes, follow, places_said, white_space


def row(caption: str, **values: object) -> dict[str, object]:
    elements = [{"kind": "fish", "count": 2, "place": "left"}, {"kind": "sun", "count": 1, "place": "right"}]
    known = {
        "caption_en": caption, "main": "fish", "category": "fine-brush", "technique": "layered wash",
        "palette": "colour", "season": "summer", "elements": json.dumps(elements),
    }  # fmt: skip
    return known | values


def named(found: list[Attribute], name: str) -> Attribute:
    return next(a for a in found if a.name == name)


def test_an_attribute_is_asked_for_only_where_the_caption_says_it() -> None:
    said = row("Two swimming fish and a red sun on the right, fine-brush, layered wash, in colour, summer")
    silent = row("two fish")
    found = attributes([said] * 5 + [silent])
    for name in ("manner", "technique", "colour", "season", "place of sun"):
        attribute = named(found, name)
        assert attribute.asked[0] == attribute.truth[0] != "" and attribute.asked[-1] == "", name
        assert attribute.truth[-1] == attribute.truth[0], "what is there is there, said or not"
    assert named(found, "main element").asked[-1] == "fish" and named(found, "number").asked[-1] == "2"
    assert not any(a.name == "place of fish" for a in found), "nobody says where the fish are"


@pytest.mark.parametrize(
    ("kind", "caption", "said"),
    [
        ("sun", "a bird beside a red sun on the right", True),
        ("sun", "a bird and a red sun, a rock on the right", False),
        ("mountain", "a hut before far mountains", True),
        ("mountain", "mountains in the distance", True),
        ("mountain", "towering mountains, freehand", False),
        ("boat", "two lone boats on the left", True),
    ],
)
def test_a_place_is_said_of_its_own_thing(kind: str, caption: str, said: bool) -> None:
    assert places_said(kind, caption) is said


def scenes(first: int, count: int) -> list[dict[str, object]]:
    rows = []
    for seed in range(first, first + count):
        scene = brush.compose(seed)
        things = [{"kind": e.kind, "count": e.count, "place": e.place} for e in scene.elements]
        rows.append({
            "caption_en": brush.caption(scene)[0], "main": scene.main, "category": scene.category, "technique":
            scene.technique, "palette": scene.palette, "season": scene.season, "elements": json.dumps(things),
        })  # fmt: skip
    return rows


def features(rows: list[dict[str, object]], noise: float, seed: int) -> Features:
    """Features that show the truth, as if a network had seen it."""
    shown = {"pooled": ("main",), "style": ("category", "technique", "palette", "season"), "quarters": ("elements",)}
    made = {}
    for name, columns in shown.items():
        words = [[w for c in columns for w in str(r[c]).replace("}", "{").split("{")] for r in rows]
        if name == "pooled":
            words = [[*w, f"{json.loads(str(r['elements']))[0]['count']}"] for w, r in zip(words, rows, strict=True)]
        table = np.zeros((len(rows), 256), np.float32)
        for number, each in enumerate(words):
            for word in each:
                table[number, sum(word.encode()) * 31 % 256] += 1
        made[name] = table + noise * np.random.default_rng(seed).normal(size=table.shape).astype(np.float32)
    return Features(**made)


def test_pictures_of_the_prompts_are_told_from_pictures_of_others() -> None:
    train, test = scenes(0, 400), scenes(5000, 120)
    learnt, real = features(train, 0.05, 1), features(test, 0.05, 2)
    good = {f.name: f for f in follow(learnt, train, real, features(test + test, 0.1, 3), test)}
    other = features(scenes(9000, 120), 0.1, 4)
    bad = {f.name: f for f in follow(learnt, train, real, other, test)}
    assert {"main element", "manner", "technique", "colour", "season", "number", "place"} <= set(good)
    assert good["main element"].trusted and good["main element"].prompts == 120
    for name in ("main element", "manner", "place"):
        assert good[name].rate > good[name].chance + 0.2, name
        assert abs(bad[name].rate - bad[name].chance) < 0.2, name


def test_white_space_is_compared_over_prompts() -> None:
    def inked(share: float) -> np.ndarray:
        picture = np.full((64, 64, 3), 240, np.uint8)
        picture[: int(64 * share)] = 30
        return picture

    real = np.stack([inked(s) for s in (0.1, 0.3, 0.5, 0.2)])
    assert white_space(np.concatenate([real, real]), real) == pytest.approx(1)
    assert white_space(real[[2, 1, 0, 3]], real) < 0


@pytest.mark.slow
def test_a_judge_learns_what_it_is_shown_and_ignores_pictures_without_truth() -> None:
    rng = np.random.default_rng(0)
    red = rng.random(96) < 0.5
    images = np.full((96, 32, 32, 3), 120, np.uint8) + rng.integers(0, 40, (96, 32, 32, 3), np.uint8)
    images[red, ..., 0] += 90
    truth = ["red" if r else "grey" for r in red]
    taught = [t if i % 3 else "" for i, t in enumerate(truth)]
    reader = judge.train(
        images[:64],
        [Attribute(name="colour", features="", truth=taught[:64], asked=taught[:64]),
         Attribute(name="empty", features="", truth=[""] * 64, asked=[""] * 64)],
        judge.Lesson(steps=12, lr=1e-3),
    )  # fmt: skip
    assert reader.classes == {"colour": ["grey", "red"]}
    assert np.mean([a == b for a, b in zip(reader.read(images[64:])["colour"], truth[64:], strict=True)]) > 0.9
