"""The split is 8:1:1, never cuts a group, and does not move what was placed before."""

from __future__ import annotations

from collections import Counter

import pytest

from danqing.data.split import position, split


def _corpus(count: int, start: int = 0) -> tuple[list[str], list[str]]:
    names = [f"work-{i}" for i in range(start, start + count)]
    return names, [("landscape", "figure", "flower", "bird_animal")[i % 4] for i in range(start, start + count)]


def test_a_large_corpus_is_split_8_1_1_over_all_and_in_every_theme() -> None:
    groups, themes = _corpus(8000)
    splits = split(groups, themes)
    for theme in set(themes):
        share = Counter(s for s, t in zip(splits, themes, strict=True) if t == theme)
        assert share["train"] / 2000 == pytest.approx(0.8, abs=0.03)
        assert share["val"] / 2000 == pytest.approx(0.1, abs=0.03)
        assert share["test"] / 2000 == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("count", [40, 100, 160, 368])
def test_a_small_corpus_stays_within_the_tolerance_of_validation(count: int) -> None:
    for start in range(0, 4000, 400):
        share = Counter(split(*_corpus(count, start)))
        assert abs(share["train"] / count - 0.8) <= 0.05 + 1 / count
        assert abs(share["val"] / count - 0.1) <= 0.05 + 1 / count
        assert abs(share["test"] / count - 0.1) <= 0.05 + 1 / count


def test_ten_groups_fill_all_three_splits() -> None:
    for start in range(0, 500, 10):
        assert set(split(*_corpus(10, start))) == {"train", "val", "test"}


def test_a_theme_of_twenty_groups_is_in_every_split() -> None:
    for start in range(0, 2000, 200):
        groups = [f"work-{i}" for i in range(start, start + 200)]
        themes = ["figure" if i < 20 else "landscape" for i in range(200)]
        assert {s for s, t in zip(split(groups, themes), themes, strict=True) if t == "figure"} == {
            "train",
            "val",
            "test",
        }


def test_pictures_of_one_group_share_a_split() -> None:
    groups = [f"scroll-{i // 5}" for i in range(500)]
    splits = split(groups, ["landscape"] * 500)
    assert all(len({splits[5 * k + j] for j in range(5)}) == 1 for k in range(100))


def test_additions_move_nothing_in_a_large_corpus() -> None:
    groups, themes = _corpus(2000)
    more, more_themes = _corpus(700, 2000)
    before = dict(zip(groups, split(groups, themes), strict=True))
    # The new ones come in the middle: order must not matter.
    mixed, mixed_themes = groups[:900] + more + groups[900:], themes[:900] + more_themes + themes[900:]
    after = dict(zip(mixed, split(mixed, mixed_themes), strict=True))
    assert {name: after[name] for name in groups} == before


def test_additions_move_at_most_a_few_of_a_small_corpus() -> None:
    for start in range(0, 3000, 300):
        groups, themes = _corpus(100, start)
        before = split(groups, themes)
        more, more_themes = _corpus(20, start + 100)
        after = split(groups + more, themes + more_themes)[:100]
        assert sum(a != b for a, b in zip(before, after, strict=True)) <= 6


def test_a_place_depends_on_the_name_alone() -> None:
    assert position("work-1") == position("work-1") != position("work-2")
    assert 0 <= position("") < 1
