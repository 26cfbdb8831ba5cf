"""A curator's policy: what it may say, and what is said about a mistake in it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from danqing.errors import GuardError, StorageError
from serving.guard import Guard
from serving.guard.policy import DEFAULT


@functools.cache
def short_policy() -> dict:
    """The policy with two words a list."""

    def short(value: object) -> object:
        if isinstance(value, dict):
            return {key: short(one) for key, one in value.items()}
        return value[:2] if isinstance(value, list) and isinstance(value[0], str) else value

    policy = yaml.load(DEFAULT.read_text(encoding="utf-8"), yaml.BaseLoader)
    return {key: short(part) if key != "rules" else part for key, part in policy.items()}


def edited(tmp_path: Path, change: Callable[[dict], None]) -> Path:
    policy = copy.deepcopy(short_policy())
    change(policy)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(policy, allow_unicode=True), encoding="utf-8")
    return path


def rule(policy: dict, id: str) -> dict:
    return next(one for one in policy["rules"] if one["id"] == id)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p.pop("words"), "three sections"),
        (lambda p: p.update(rules=[]), "rules"),
        (lambda p: rule(p, "gore").pop("reason"), "rule 'gore': reason is missing"),
        (lambda p: rule(p, "gore").update(kind="ban"), "rule 'gore': kind is 'ban'"),
        (lambda p: rule(p, "gore").update(looks_for=["gor"]), "rule 'gore': looks_for.*did you mean 'gore'"),
        (lambda p: rule(p, "gore").update(look_for=["gore"]), "rule 'gore'.*look_for"),
        (lambda p: rule(p, "gore").pop("looks_for"), "rule 'gore': looks_for or dynasties"),
        (lambda p: rule(p, "gore").update(id="hate"), "rule 'hate': id is used twice"),
        (lambda p: rule(p, "gore")["reason"].update(zh=" "), "rule 'gore': reason.zh is empty"),
        (lambda p: rule(p, "gore")["reason"].update(en="{who}"), "rule 'gore': reason.en: only"),
        (lambda p: rule(p, "attribution")["looks_for"][0].update(within="far"), "rule 'attribution'.*within"),
        (lambda p: rule(p, "dynasties").update(kind="refuse"), "rule 'dynasties': kind: anchor"),
        (lambda p: p["words"]["gore"].update(en=["…"]), "words 'gore', '…'"),
        (lambda p: p["words"]["deities"]["zh"].append("观音 guanyin"), "'观音 guanyin'.*one syllable"),
        (lambda p: p["words"]["gore"].update(zn=["血"]), "words 'gore'.*zn"),
        (lambda p: p["dynasties"]["people"][0].update(of=["tong"]), "dynasties: of: no dynasty 'tong'"),
        (lambda p: p["dynasties"].pop("marks"), "dynasties: marks is missing"),
    ],
)
def test_a_wrong_policy_names_file_place_and_field(tmp_path: Path, change: Callable[[dict], None], told: str) -> None:
    path = edited(tmp_path, change)
    with pytest.raises(GuardError, match=told) as caught:
        Guard.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [("words: [", "no valid YAML"), ("- a", "three sections"), ("", "three sections"),
     ("words: {a: {}, a: {}}", "'a' stands twice"), ("words: !!python/name:os.system x", "YAML|three")],
)  # fmt: skip
def test_a_file_that_is_no_policy(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GuardError, match=told):
        Guard.load(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.yaml"):
        Guard.load(tmp_path / "none.yaml")


def test_a_curator_adds_words_and_a_rule(tmp_path: Path) -> None:
    def change(policy: dict) -> None:
        policy["words"]["durian"] = {"en": ["durian"], "zh": ["榴莲 liu lian"], "unless": ["durian stone"]}
        policy["rules"].append({"id": "smell", "kind": "refuse", "looks_for": ["durian"], "note": "no",
                                "reason": {"en": "No durian.", "zh": "不画榴莲。"}})  # fmt: skip

    guard = Guard.load(edited(tmp_path, change))
    for prompt in ("two durians", "榴 莲", "liú lián", "d-u-r-i-a-n", "榴lian"):
        assert guard.judge(prompt).reason("zh") == "不画榴莲。", prompt
    assert guard.judge("a durian stone").action == "allow"
    assert guard.version != Guard.load(edited(tmp_path, lambda policy: None)).version
