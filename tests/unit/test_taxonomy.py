"""The vocabulary is complete, and Chinese prompts come out as its English."""

from __future__ import annotations

import subprocess
import sys

import pytest

from danqing import taxonomy
from danqing.data.brush import phrases as ph
from danqing.data.brush import vocab
from danqing.errors import DanqingError


def test_the_taxonomy_has_the_papers_numbers() -> None:
    assert len(taxonomy.THEMES) == 4
    assert [len(subs) for subs in taxonomy.SUBTHEMES_OF.values()] == [3, 3, 3, 3]
    assert len(taxonomy.CATEGORIES) == 3
    assert len(taxonomy.CONTENTS) == 15
    assert len(taxonomy.TECHNIQUES) == 18
    assert len(taxonomy.EPOCHS) == 3


def test_the_brush_painter_speaks_the_same_vocabulary() -> None:
    assert taxonomy.MAINS == vocab.MAINS
    assert set(vocab.KINDS) <= set(taxonomy.ELEMENTS)
    assert set(vocab.TECHNIQUES) == set(taxonomy.TECHNIQUES)
    assert set(vocab.CONTENTS) == set(taxonomy.CONTENTS)
    assert set(vocab.CATEGORIES) == set(taxonomy.CATEGORIES)
    assert set(vocab.PALETTES) == set(taxonomy.PALETTES)
    assert {theme: tuple(subs) for theme, subs in vocab.SUBTHEMES.items()} == dict(taxonomy.SUBTHEMES_OF)


@pytest.mark.parametrize("table", ["CATEGORIES", "CONTENTS", "TECHNIQUES"])
def test_every_term_of_the_caption_grammar_has_adjectives_in_both_languages(table: str) -> None:
    for key, term in getattr(taxonomy, table).items():
        assert term.key == key
        assert term.en and taxonomy.has_chinese(term.zh)
        assert len(term.adjectives) == len(term.adjectives_zh) >= 1, key


def test_the_vocabulary_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        taxonomy.THEMES["new"] = taxonomy.THEMES["figure"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        taxonomy.THEMES["figure"].en = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("chinese", "english"),
    [
        ("山水", "landscape"),
        ("写意花鸟", "freehand flowers and birds"),
        ("工筆花鳥", "fine-brush flowers and birds"),
        ("墨竹", "ink bamboo"),
        ("遠山孤舟", "distant mountains, a lone boat"),
        ("远山，一叶孤舟，薄雾", "distant mountains, a lone boat, mist"),
        ("雪", "snow"),
        ("秋", "autumn"),
        ("两只鸟", "two birds"),
        ("三棵松", "three pine trees"),
        ("左边的两只鸟", "two birds on the left"),
        ("山在左，船在右", "mountains on the left, a boat on the right"),
        ("近处有一座小桥", "a bridge in the foreground"),
        ("披麻皴山水", "hemp-fibre cun landscape"),
        ("一輪明月", "a moon"),
    ],
)  # fmt: skip
def test_a_chinese_prompt_becomes_english(chinese: str, english: str) -> None:
    assert taxonomy.to_english(chinese) == english


def test_english_is_left_alone_and_mixtures_are_joined() -> None:
    assert taxonomy.to_english("a lone boat, freehand") == "a lone boat, freehand"
    assert taxonomy.to_english("a boat 秋江") == "a boat, an autumn river"


def test_unknown_characters_are_dropped() -> None:
    assert taxonomy.to_english("饕餮孤舟") == "a lone boat"


def test_a_prompt_without_any_known_word_says_what_to_write() -> None:
    with pytest.raises(DanqingError, match="no word of the prompt '饕餮' is known"):
        taxonomy.to_english("饕餮")


@pytest.mark.parametrize("table", ["CATEGORIES", "TECHNIQUES", "PALETTES", "SEASONS", "CONTENTS", "ELEMENTS"])
def test_every_chinese_term_of_the_vocabulary_is_understood(table: str) -> None:
    unknown = []
    for key, term in getattr(taxonomy, table).items():
        try:
            english = taxonomy.to_english(term.zh)
        except DanqingError:
            english = ""
        if not english or taxonomy.has_chinese(english):
            unknown.append((key, term.zh))
    assert unknown == []


def test_the_manners_techniques_and_seasons_mean_the_same_in_both_languages() -> None:
    wrong = [(zh, said) for manner, words in ph.CATEGORY.items() for _, zh in words
             if manner not in (said := taxonomy.to_english(zh))]  # fmt: skip
    for table in (ph.TECHNIQUE, ph.SEASON):
        wrong += [(zh, said) for english, zh in table.values() if (said := taxonomy.to_english(zh)) != english]
    assert wrong == []


def test_importing_the_taxonomy_loads_nothing_heavy() -> None:
    code = "import danqing.taxonomy, sys; print(*[m for m in ('numpy', 'torch', 'pandas', 'cv2') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == ""
