"""Configurations are checked once, and a wrong one is told in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from danqing import config, presets, values
from danqing.errors import ConfigError, StorageError


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_valid(name: str) -> None:
    assert isinstance(presets.preset(name), config.Line)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'default'"):
        presets.preset("defualt")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("painter.stepps", 1, "no config key 'painter.stepps'.*'steps'"),
        ("pianter.steps", 1, "no config key 'pianter'.*'painter'"),
        ("painter.steps", "many", "painter.steps is 'many': int is needed"),
        ("painter.steps", 1.5, "painter.steps is 1.5: int is needed"),
        ("painter.steps", 0, "painter.steps is 0"),
        ("tokenizer.extractor", "vgg", "use one of efficientnet, screener, none"),
        ("ingest.source", "ftp://x", "use brush, museum, folder:PATH or parts:PATH"),
        ("annotate.size", 64, "pictures and tokenizer must have one size"),
        ("tokenizer", 3, "a section with keys is needed"),
        ("painter.steps", float("inf"), "painter.steps is inf: int is needed"),
        ("painter.steps", "1e999", "painter.steps is '1e999': int is needed"),
        ("gate.max_p", "nan", "gate.max_p is 'nan': a finite number is needed"),
        ("gate.min_psnr", float("-inf"), "gate.min_psnr is -inf: a finite number is needed"),
        ("painter.lr", 10**400, "painter.lr is 1000.*: float is needed"),
        ("export.batches", [], "export.batches is empty"),
        ("export.batches", "1,0", "export.batches is 1, 0: sizes of at least 1"),
        *(
            (f"{section}.seed", -1, f"{section}.seed is -1: at least 0")
            for section in ("ingest", "screen", "annotate", "tokenizer", "clip", "painter", "evaluate")
        ),
        *(
            (f"{section}.{name}", 0, f"{section}.{name} is 0: at least 1")
            for section in ("tokenizer", "clip", "painter")
            for name in ("checkpoint", "log")
        ),
        *(
            (key, 0, f"{key} is 0: at least 1")
            for key in (
                "ingest.count",
                "painter.clip_every",
                "clip.steps",
                "clip.batch",
                "evaluate.batch",
                "evaluate.grid",
                "evaluate.pictures",
                "evaluate.permutations",
                "evaluate.decoding.global_steps",
                "export.decoding.detail_steps",
            )
        ),
    ],
)
def test_a_wrong_override_says_what_is_wrong(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        presets.override(presets.default(), {key: value})


@pytest.mark.parametrize(
    ("given", "number"),
    [(9007199254740993, 9007199254740993), ("9007199254740993", 9007199254740993), ("2e3", 2000), (200.0, 200)],
)
def test_a_whole_number_is_taken_as_it_is_whatever_its_spelling(given: object, number: int) -> None:
    line = presets.override(presets.default(), {"painter.seed": given})
    assert line.painter.seed == number and isinstance(line.painter.seed, int)


def test_overrides_change_only_what_they_name() -> None:
    changed = presets.override(presets.default(), {"painter.steps": "7", "tokenizer.model.rdb": "false"})
    assert changed.painter.steps == 7
    assert changed.tokenizer.model.rdb is False
    assert dataclasses.replace(changed.painter, steps=presets.default().painter.steps) == presets.default().painter


def test_two_sizes_can_change_together() -> None:
    line = presets.override(presets.default(), {"annotate.size": 64, "tokenizer.model.size": 64})
    assert line.annotate.size == line.tokenizer.model.size == 64


def test_configs_survive_json() -> None:
    line = presets.gpu()
    assert values.build(config.Line, values.as_dict(line)) == line


def test_params_yaml_starts_from_its_preset(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("preset: debug\npainter:\n  steps: 9\n", encoding="utf-8")
    line = presets.load(path)
    assert line.painter.steps == 9
    assert line.clip == presets.debug().clip


@pytest.mark.parametrize("text", ["- a\n", "painter: [", "preset: nothing\n", "painter:\n  stepps: 1\n"])
def test_a_broken_params_yaml_is_one_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        presets.load(path)


def test_a_missing_params_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere\.yaml"):
        presets.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("text", ["[1]", "{", "3"])
def test_overrides_in_json_must_be_an_object(text: str) -> None:
    with pytest.raises(ConfigError):
        presets.resolve("default", text)


@pytest.mark.parametrize("item", ["steps", "=3"])
def test_assignments_need_key_and_value(item: str) -> None:
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        presets.parse_assignments([item])
