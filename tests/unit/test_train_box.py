"""The recipe of the model in the box: each stage starts from what the one before it has left."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from danqing import files, presets

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_box.py"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The script as a module, with an old model in the box."""
    spec = importlib.util.spec_from_file_location("train_box", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_box", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "box", lambda: tmp_path / "box")
    files.write_text(tmp_path / "box" / "card.md", "old")
    for scale in (module.SMALL, module.LARGE, module.WHOLE):
        files.write_json(tmp_path / "work" / scale.name / "done.json", {})
    return module


def test_each_stage_goes_on_from_the_one_before_it(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts: dict[str, tuple[str, str]] = {}
    written: list[Path] = []

    def step(name: str, inputs: dict[str, Path], out: Path, values: dict[str, Any]) -> Path:
        line = presets.resolve("default", values)  # what a stage asks for must be a configuration
        if name.startswith("train"):
            section = line.tokenizer if name == "train_tokenizer" else line.painter
            before = Path(section.init.removeprefix("folder:")).name
            assert before == "scratch" or before in starts, "the stage before it has run"
            starts[out.name] = (before, inputs["corpus"].name)
            assert inputs["corpus"].name.startswith(f"both-{line.annotate.size}-")
        return out

    monkeypatch.setattr(recipe, "step", step)
    monkeypatch.setattr(recipe, "write_box", lambda tokenizer, painter, *_, **__: written.extend((tokenizer, painter)))
    recipe.main(["--paintings", str(tmp_path), "--work", str(tmp_path / "work")])
    assert starts == {
        "tokenizer-64": ("scratch", "both-64-4"), "tokenizer-64-lines": ("tokenizer-64", "both-64-4"),
        "tokenizer-128": ("tokenizer-64-lines", "both-128-8"),
        "painter-64": ("scratch", "both-64-4"), "painter-128": ("painter-64", "both-128-8"),
        "painter-128-whole": ("painter-128", "both-128-3"),
    }  # fmt: skip
    assert [path.name for path in written] == ["tokenizer-128", "painter-128-whole"]


def test_what_goes_into_the_box_has_the_shape_that_the_default_line_goes_on_from(recipe: Any) -> None:
    line = presets.default()
    assert (recipe.LARGE.size, recipe.LARGE.levels) == (line.tokenizer.model.size, line.tokenizer.model.detail_levels)


def test_there_is_one_box_only(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):  # a default run would start from the old box
        recipe.main(["--paintings", str(tmp_path), "--out", str(tmp_path / "elsewhere")])
