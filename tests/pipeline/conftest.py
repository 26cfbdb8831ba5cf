"""What several tests of the pipeline need: a model registry that is there at once, and packages to put into it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables, which MLflow takes seconds to make: once for all tests."""
    from danqing.platform import tracking

    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    tracking.client(f"sqlite:///{file}").get_experiment_by_name("none")
    return file


@pytest.fixture
def uri(_empty_registry: Path, tmp_path: Path) -> str:
    """The address of an empty registry of this test's own, in a workspace of its own."""
    (tmp_path / "workspace").mkdir()
    shutil.copyfile(_empty_registry, tmp_path / "workspace" / "mlflow.db")
    return f"sqlite:///{tmp_path / 'workspace' / 'mlflow.db'}"


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a package folder; equal words make equal packages."""
    from danqing.package import write_manifest

    def make(words: str) -> Path:
        folder = tmp_path / f"package-{words}"
        folder.mkdir(exist_ok=True)
        (folder / "generate.onnx").write_text(f"graph {words}")
        (folder / "wordpieces.json").write_text("{}")
        decoding = {"guidance": 3.0, "temperature": 1.0, "global_steps": 3, "detail_steps": 5}
        write_manifest(folder, name="danqing", size=64, text_length=32, decoding=decoding)
        return folder

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[str, str, object], Path]:
    """Makes the output folder of a step: folder(name, file, content as JSON)."""

    def make(name: str, file: str, content: object) -> Path:
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        (path / file).write_text(json.dumps(content))
        return path

    return make
