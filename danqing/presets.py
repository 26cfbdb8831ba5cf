"""The line's presets, and how a user's values come into them: dotted keys on the command line, JSON, params.yaml."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from danqing.config import Line
from danqing.errors import ConfigError
from danqing.values import build, closest
from danqing.values import parse_assignments as parse_assignments


def default() -> Line:
    """Minutes on two CPU cores: fine-tunes the model in the box at 128 pixels."""
    return Line()


def debug() -> Line:
    """The same graph in under a minute, for tests: what it paints is not worth looking at."""
    return override(
        Line(),
        {
            "ingest.count": 160, "ingest.size": 64, "annotate.size": 64, "tokenizer.model.size": 64,
            "screen.steps": 2, "screen.batch": 16, "screen.size": 32,
            "tokenizer.steps": 4, "tokenizer.batch": 16, "tokenizer.checkpoint": 2, "tokenizer.log": 1,
            "tokenizer.warmup": 1, "tokenizer.gan_ramp": 1,
            "clip.steps": 4, "clip.batch": 16, "clip.checkpoint": 2, "clip.log": 1, "clip.warmup": 1,
            "painter.steps": 4, "painter.batch": 16, "painter.checkpoint": 2, "painter.log": 1, "painter.warmup": 1,
            "painter.clip_every": 2, "painter.clip_batch": 4,
            "evaluate.pictures": 16, "evaluate.batch": 16, "evaluate.permutations": 200,
            "evaluate.decoding.global_steps": 1, "evaluate.decoding.detail_steps": 2,
            "export.decoding.global_steps": 1, "export.decoding.detail_steps": 2,
            "export.graphs": ["generate"],
        },
    )  # fmt: skip


def gpu() -> Line:
    """128 pixels from scratch on one GPU: hours."""
    return override(
        Line(),
        {
            "ingest.count": 60_000, "ingest.size": 160, "screen.size": 96, "screen.steps": 4000, "screen.batch": 64,
            "annotate.size": 128, "tokenizer.model.size": 128, "tokenizer.init": "scratch",
            "tokenizer.model.width": 192, "tokenizer.steps": 60_000, "tokenizer.batch": 64, "tokenizer.warmup": 1000,
            "tokenizer.continuous": 1000, "tokenizer.gan_start": 10_000, "tokenizer.gan_ramp": 5000,
            "tokenizer.ema": 0.9995, "tokenizer.checkpoint": 1000, "tokenizer.log": 100,
            "clip.guide": "guide-128", "clip.judge": "judge-128", "clip.steps": 20_000, "clip.batch": 256,
            "clip.warmup": 1000, "clip.checkpoint": 1000,
            "painter.init": "scratch", "painter.model.width": 512, "painter.model.depth": 12,
            "painter.model.heads": 8, "painter.steps": 120_000, "painter.batch": 128, "painter.warmup": 2000,
            "painter.ema": 0.9995, "painter.checkpoint": 1000, "painter.log": 100, "painter.clip_start": 60_000,
            "evaluate.pictures": 2000,
        },
    )  # fmt: skip


def paper() -> Line:
    """256 pixels, 100 epochs' worth of steps at the paper's data size (15,000 works), its budget and model size."""
    return override(
        gpu(),
        {
            "ingest.size": 320, "ingest.store": 1024, "annotate.size": 256,
            "tokenizer.model.size": 256, "tokenizer.model.stride": 16,
            "tokenizer.model.width": 256, "tokenizer.steps": 47_000, "tokenizer.batch": 32,
            "clip.guide": "guide-256", "clip.judge": "judge-256",
            "painter.model.width": 768, "painter.model.depth": 12, "painter.model.heads": 12,
            "painter.steps": 47_000, "painter.batch": 32, "painter.clip_batch": 8,
        },
    )  # fmt: skip


PRESETS: dict[str, Callable[[], Line]] = {"default": default, "debug": debug, "gpu": gpu, "paper": paper}


def preset(name: str) -> Line:
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name!r}: {closest(name, list(PRESETS))}")
    return PRESETS[name]()


def override(line: Line, values: Mapping[str, Any]) -> Line:
    """`line` with dotted keys changed, e.g. {"painter.steps": 10}. All keys are set before anything is checked."""
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"config key {key!r} stands both for a value and for a section")
        node[leaf] = value
    return build(Line, tree, base=line)


def parse_overrides(text: str) -> dict[str, Any]:
    """Dotted keys from a JSON object in a string; an empty string has none."""
    try:
        overrides = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ConfigError(f"overrides are not a JSON object: {error}") from error
    if not isinstance(overrides, dict):
        raise ConfigError('overrides must be a JSON object of dotted keys, e.g. {"painter.steps": 200}')
    return overrides


def resolve(profile: str = "default", overrides: Mapping[str, Any] | str | None = None) -> Line:
    """The preset `profile` with `overrides`: dotted keys, or the same as a JSON object in a string."""
    if isinstance(overrides, str):
        overrides = parse_overrides(overrides)
    return override(preset(profile), overrides or {})


def load(path: Path) -> Line:
    """params.yaml: `preset: NAME` and sections with the values that differ from it."""
    import yaml

    from danqing.files import storage

    with storage(path):
        text = Path(path).read_text(encoding="utf-8")
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: keys and values are needed at the top level")
    name = values.pop("preset", "default")
    try:
        return build(Line, values, base=preset(name))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
