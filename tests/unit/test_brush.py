"""The ink painter: what it decides is what it paints, the same way every time."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from danqing.data.brush import MAINS, Element, Scene, caption, compose, paint, phrases, vocab

CATEGORIES = vocab.CATEGORIES


def _darkness(picture: np.ndarray) -> np.ndarray:
    """How much darker than the blank ground each pixel is, 0..255, from the picture's own median."""
    grey = picture.astype(float).mean(axis=2)
    return np.quantile(grey, 0.9) - grey


def test_same_seed_same_scene_and_same_bytes() -> None:
    for seed in range(8):
        a, b = compose(seed), compose(seed)
        assert a == b
        assert paint(a, 64).tobytes() == paint(b, 64).tobytes()


def test_painting_does_not_depend_on_what_was_painted_before() -> None:
    scene = compose(5)
    first = paint(scene)
    for seed in range(3):
        paint(compose(seed))
    np.random.default_rng().random(10)
    assert np.array_equal(first, paint(scene))


def test_different_seeds_give_different_pictures() -> None:
    pictures = {paint(compose(seed, main="pine", category="freehand"), 64).tobytes() for seed in range(12)}
    assert len(pictures) == 12


@pytest.mark.parametrize("size", [32, 64, 128, 256, 300])
def test_size_and_type(size: int) -> None:
    picture = paint(compose(3), size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8


def test_a_larger_painting_is_the_same_painting() -> None:
    scene = compose(11, main="mountain", category="freehand", technique="thick ink")
    small = paint(scene, 64).astype(float).mean(2)
    large = paint(scene, 512).astype(float).mean(2).reshape(64, 8, 64, 8).mean((1, 3))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("main", MAINS)
def test_every_main_in_every_category_is_drawn_in_its_box(main: str, category: str) -> None:
    for seed in range(3):
        scene = compose(seed, main=main, category=category)
        assert (scene.main, scene.category) == (main, category)
        assert scene.elements[0].kind == main
        dark = _darkness(paint(scene))
        x0, y0, x1, y1 = (round(v * 128) for v in scene.elements[0].box)
        inside = dark[y0:y1, x0:x1]
        assert (inside > 60).mean() > 0.015, "the main element must be plainly inked"
        assert inside.mean() > dark.mean() * 0.95, "and be where the scene says it is"


@pytest.mark.parametrize("kind", [k for k in vocab.EXTRAS if k not in ("mist",)])
def test_every_extra_leaves_ink_in_its_box(kind: str) -> None:
    for seed in range(3):
        main = "mountain" if kind == "waterfall" else "bird"  # a fall needs something to fall from
        scene = compose(seed, main=main, category="freehand", ink="medium", ground="paper", extras=[kind])
        (element,) = scene.elements[1:]
        assert element.kind == kind
        without = dataclasses.replace(scene, elements=scene.elements[:1])
        change = np.abs(paint(scene).astype(int) - paint(without).astype(int)).sum(2)
        x0, y0, x1, y1 = (int(v * 128) for v in element.box)
        assert change[y0 : y1 + 1, x0 : x1 + 1].max() > 40
        if kind != "moon":  # whose halo is meant to reach further
            assert change[y0 : y1 + 1, x0 : x1 + 1].sum() > 0.6 * change.sum()


def test_mist_lifts_the_ink_beneath_it() -> None:
    scene = compose(2, main="mountain", category="freehand", ink="thick", ground="paper", extras=["mist"])
    without = dataclasses.replace(scene, elements=scene.elements[:1])
    _, y0, _, y1 = scene.elements[1].box
    band = slice(int((y0 + 0.04) * 128), int((y1 - 0.04) * 128))
    assert paint(scene)[band].mean() > paint(without)[band].mean()


def test_vocabulary_is_closed_and_covered() -> None:
    scenes = [compose(seed) for seed in range(1500)]
    assert len(vocab.TECHNIQUES) == 18 and len(vocab.CONTENTS) == 15
    for field, words in (
        ("category", CATEGORIES),
        ("technique", vocab.TECHNIQUES),
        ("content", vocab.CONTENTS),
        ("season", vocab.SEASONS),
        ("palette", vocab.PALETTES),
        ("ground", vocab.GROUNDS),
        ("ink", vocab.INKS),
        ("composition", vocab.COMPOSITIONS),
        ("main", MAINS),
        ("theme", tuple(vocab.SUBTHEMES)),
    ):
        assert {getattr(s, field) for s in scenes} == set(words), field
    for s in scenes:
        assert s.subtheme in vocab.SUBTHEMES[s.theme]
        assert 0.0 < s.white_space < 1.0
        for e in s.elements:
            assert e.kind in vocab.KINDS
            assert 0 <= e.box[0] < e.box[2] <= 1 and 0 <= e.box[1] < e.box[3] <= 1


def test_wishes_are_honoured_and_checked() -> None:
    scene = compose(
        1, main="fish", count=3, place="left", season="spring", technique="wet brush", extras=["reeds", "moon"]
    )
    assert scene.elements[0].count == 3 and scene.elements[0].place == "left"
    assert (scene.season, scene.technique) == ("spring", "wet brush")
    assert [e.kind for e in scene.elements[1:]] == ["reeds", "moon"]
    assert compose(1, theme="figure").main == "figure"
    assert compose(1, main="pine", count=4).elements[0].count == 1, "a count that cannot be painted is not promised"
    with pytest.raises(ValueError, match="dragon"):
        compose(1, main="dragon")
    with pytest.raises(ValueError, match="technique"):
        compose(1, technique="oil")
    with pytest.raises(TypeError, match="size"):
        compose(1, size=3)


def test_scene_as_dict_goes_through_json() -> None:
    scene = compose(4)
    data = json.loads(json.dumps(scene.as_dict()))
    elements = tuple(Element(**{**e, "box": tuple(e["box"])}) for e in data.pop("elements"))
    assert Scene(**data, elements=elements) == scene


@pytest.mark.parametrize("main", MAINS)
def test_captions_name_the_main_element(main: str) -> None:
    one, many, noun, _ = phrases.NOUN[main]
    for seed in range(40):
        english, chinese = caption(compose(seed, main=main))
        assert any(word in english.lower() for word in (one, many, one.split()[0], one.split()[-1])), english
        assert noun in chinese, chinese
        assert english.isascii() and not chinese.isascii()


def test_captions_say_nothing_untrue_of_count_or_season() -> None:
    for seed in range(400):
        scene = compose(seed)
        english, chinese = caption(scene)
        words = set(english.lower().replace(",", " ").replace(".", " ").replace(";", " ").split())
        assert not (set(vocab.SEASONS) - {scene.season}) & words, english
        if scene.main == "fish" and scene.elements[0].count > 1:
            assert phrases.NUMBER[scene.elements[0].count] in words
        other = {phrases.SEASON[s][1] for s in vocab.SEASONS if s != scene.season}
        assert chinese.split("\uff0c")[-1] not in other


def test_captions_are_varied_and_repeatable() -> None:
    pairs = [caption(compose(seed)) for seed in range(1000)]
    assert len({english for english, _ in pairs}) > 900
    assert len({chinese for _, chinese in pairs}) > 700
    assert pairs[7] == caption(compose(7))


def test_composing_does_not_load_opencv() -> None:
    code = "import sys, danqing.data.brush as b; b.caption(b.compose(1)); assert 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
