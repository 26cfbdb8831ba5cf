"""Seven instructions in a row: the holes are where the change is asked for, the judge tells good editors from bad."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from danqing.data import brush
from danqing.evaluate import instructions
from danqing.evaluate.features import Features

SIZE = 64


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_replacing_paints_over_the_old_and_the_new_motif_and_keeps_the_hand() -> None:
    scene = brush.compose(5, main="pagoda")
    step = instructions.replace_element(rng(), scene, SIZE)
    assert step.asked == step.scene.main != "pagoda"
    assert instructions.hand(step.scene) == instructions.hand(scene)
    for x0, y0, x1, y1 in (scene.elements[0].box, step.scene.elements[0].box):
        assert step.hole[int(y0 * SIZE) : int(np.ceil(y1 * SIZE)), int(x0 * SIZE) : int(np.ceil(x1 * SIZE))].all()


def test_tuning_changes_one_attribute_and_leaves_a_share_of_the_patches() -> None:
    scene = brush.compose(5, main="bamboo")
    step = instructions.tune_attribute(rng(), scene, SIZE)
    assert step.scene.main == "bamboo" and getattr(step.scene, step.attribute) == step.asked
    assert step.asked != getattr(scene, step.attribute)
    assert 0.5 < step.hole.mean() < 0.7


def test_an_extension_moves_the_view_along() -> None:
    step = instructions.extend_scene(rng(), brush.compose(5), SIZE)
    picture = np.arange(SIZE * SIZE * 3, dtype=np.uint8).reshape(SIZE, SIZE, 3)
    view = instructions.shifted(picture, step.shift)
    assert view.shape == picture.shape and not step.hole[:, : SIZE - step.shift].any() and step.hole.any()
    assert (view[:, : SIZE - step.shift] == picture[:, step.shift :]).all()


class Seeing:
    """Reads pictures of known scenes as if a network had: one-hot truth. Others are read as nothing."""

    def __init__(self) -> None:
        self.known: dict[bytes, brush.Scene] = {}

    def draw(self, scenes: list[brush.Scene], size: int) -> np.ndarray:
        made = np.random.default_rng(len(self.known)).integers(0, 256, (len(scenes), size, size, 3), dtype=np.uint8)
        self.known |= {p.tobytes(): s for p, s in zip(made, scenes, strict=True)}
        return made

    def __call__(self, pictures: np.ndarray) -> Features:
        pooled, style = np.zeros((len(pictures), 64), np.float32), np.zeros((len(pictures), 64), np.float32)
        for row, picture in enumerate(pictures):
            if (scene := self.known.get(picture.tobytes())) is not None:
                pooled[row, brush.MAINS.index(scene.main)] = 1
                for name in ("category", "palette"):
                    style[row, sum(getattr(scene, name).encode()) % 64] += 1
        return Features(pooled=pooled, quarters=pooled, style=style)


@pytest.mark.parametrize("name", list(instructions.FAMILIES))
def test_the_judge_tells_an_editor_who_obeys_from_one_who_does_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    see = Seeing()
    monkeypatch.setattr(instructions, "drawn", lambda scenes, size: see.draw(list(scenes), size))
    judge = instructions.Judge(see, [brush.compose(i) for i in range(300)], 8)
    wanted: list[brush.Scene] = []
    made = instructions.FAMILIES[name]

    def noted(*given: object) -> instructions.Instruction:
        step = made(*given)  # type: ignore[arg-type]
        wanted.append(step.scene)
        return dataclasses.replace(step, hole=step.hole[:8, :8])

    monkeypatch.setattr(instructions, "FAMILIES", {name: noted})

    def obeys(pictures: np.ndarray, holes: np.ndarray, prompts: list[str], seeds: list[int]) -> np.ndarray:
        return see.draw(wanted[-len(pictures) :], 8)

    def lazy(pictures: np.ndarray, holes: np.ndarray, prompts: list[str], seeds: list[int]) -> np.ndarray:
        return pictures

    good = instructions.follow(name, obeys, judge, 24, rounds=2)
    bad = instructions.follow(name, lazy, judge, 24, rounds=2)
    assert good.probe_accuracy > 0.95
    assert min(r.accuracy for r in good.rounds) > 0.9 > 0.6 > max(r.accuracy for r in bad.rounds)
    if name == "attribute fine-tuning":
        assert bad.rounds[0].similarity > 0.99 > good.rounds[0].similarity
    assert good.pictures.shape == (3, 24, 8, 8, 3) and len(good.asked) == 2
