"""The recipe of the model in the box: each stage starts from what the one before it has left."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from danqing import files

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_box.py"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The script as a module, with an old model in the box."""
    spec = importlib.util.spec_from_file_location("train_box", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "box", lambda: tmp_path / "box")
    for name in ("tokenizer.safetensors", "tokenizer.json", "card.md"):
        files.write_text(tmp_path / "box" / name, "old")
    files.write_json(tmp_path / "work" / "both" / "done.json", {})
    return module


def test_the_lines_are_trained_from_the_plain_tokenizer(
    recipe: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    starts: dict[str, str] = {}
    written: list[Path] = []

    def step(name: str, inputs: dict[str, Path], out: Path, values: dict[str, Any]) -> Path:
        starts[out.name] = (tmp_path / "box" / "tokenizer.safetensors").read_text()
        if name == "train_tokenizer":
            for file in ("tokenizer.safetensors", "tokenizer.json"):
                files.write_text(out / file, out.name)
        return out

    monkeypatch.setattr(recipe, "step", step)
    monkeypatch.setattr(recipe, "write_box", lambda *_, out, config: written.append(out) or {})
    recipe.main(["--paintings", str(tmp_path), "--work", str(tmp_path / "work")])
    assert starts["plain"] == "old" and starts["lines"] == "plain"
    assert written == [tmp_path / "box"]


def test_there_is_one_box_only(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):  # the stages would start from the old box
        recipe.main(["--paintings", str(tmp_path), "--out", str(tmp_path / "elsewhere")])
