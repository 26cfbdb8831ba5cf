"""Builds what Triton serves: an immutable model repository out of a package.

    <target>/<key>/
      danqing/    the ensemble that callers see: prompt, seed, guidance → picture, png
      edit/       the ensemble that paints into a picture: the same with image and hole
      preview/    Python: a picture after each step of decoding, as a stream
      tokenize/   Python: checks, words → word pieces
      generate/   onnxruntime: the exported graph
      restore/    onnxruntime: the graph that `edit` uses
      encode/     Python: pixels → PNG

Painting has a graph of its own because it is what most callers want, and should not wait for an encoder that it does
not need. A package without the graphs for editing or previews gives a repository without these models.

With a folder of TensorRT plans (`danqing plan`), `generate` and `restore` run those instead of their graphs.

The key is made of everything that goes in, so that one folder is one content for ever: a new model is a new folder,
the old one stays as the way back.
"""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import string
from pathlib import Path
from typing import Any

from danqing import __version__, files
from danqing.errors import ServingError
from danqing.export.tensorrt import Machine, check
from danqing.package import FIRST, GENERATE, RESTORE, THEN, WORDPIECES, Package, file_of

GRAPHS: dict[str, dict[str, str]] = {
    "danqing": {}, "tokenize": {}, "encode": {}, "generate": {GENERATE: "model.onnx"},
    "restore": {RESTORE: "model.onnx"}, "edit": {RESTORE: ""}, "preview": {FIRST: "global.onnx", THEN: "detail.onnx"},
}  # fmt: skip
"""Model → the graphs that it needs, and what they are called in its folder ("": another model has it)."""
MODELS = tuple(GRAPHS)
_LIBRARIES = {"tokenize": "wordpieces", "preview": "stepwise"}
"""Python model → the module of danqing that it uses."""
_TEMPLATES = Path(__file__).parent / "models"
_LIBRARY = Path(files.__file__).parent


MAX_BATCH = 8
"""The largest batch in the configurations."""


def build(package: Path, target: Path, *, plan: Path | None = None, machine: Machine | None = None) -> Path:
    """The repository for the package folder `package`, below `target`; built if it is not there yet.

    plan: a folder of TensorRT plans, one for `generate` at least. machine: where Triton will run, this one by default.
    It is whole or not there. Raises StorageError on a damaged package or plan or a target that cannot be written,
    ServingError on plans for another machine or package.
    """
    model = Package.read(package)
    plans = {} if plan is None else _plans(plan, model, machine)
    rendered = {
        name: _render(name, model, plans.get(name))
        for name, graphs in GRAPHS.items() if set(graphs) <= set(model.graphs)
    }  # fmt: skip
    modules = {name: modules_of(start) for name, start in _LIBRARIES.items() if name in rendered}
    key = _key(model, rendered, sorted({path for paths in modules.values() for path in paths}), plans)
    folder = Path(target) / key
    if folder.is_dir():
        return folder
    with files.atomic_folder(folder) as new:
        for name, text in rendered.items():
            version = new / name / "1"
            version.mkdir(parents=True)
            (new / name / "config.pbtxt").write_text(text, encoding="utf-8")
            code = _TEMPLATES / name / "model.py"
            if code.is_file():
                shutil.copyfile(code, version / "model.py")
            if name in plans:
                assert plan is not None
                shutil.copyfile(plan / f"{name}.plan", version / "model.plan")
                continue
            for graph, file in GRAPHS[name].items():
                if file:
                    shutil.copyfile(model.folder / file_of(graph), version / file)
        for name, paths in modules.items():
            library = new / name / "1" / "danqing"
            library.mkdir()
            (library / "__init__.py").write_text(f'__version__ = "{__version__}"\n', encoding="utf-8")
            for path in paths:
                shutil.copyfile(path, library / path.name)
        shutil.copyfile(model.folder / WORDPIECES, new / "tokenize" / "1" / "wordpieces.json")
        if model.weights is not None:
            _write_weights(
                model, [new / name / "1" for name in rendered if name not in plans and any(GRAPHS[name].values())]
            )
        shutil.copyfile(model.folder / "package.json", new / "danqing" / "1" / "package.json")
    return folder


def modules_of(start: str) -> list[Path]:
    """The files of danqing that the module `start` needs, itself included: what a Python model takes along."""
    found: dict[str, Path] = {}
    pending = [start]
    while pending:
        name = pending.pop()
        path = _LIBRARY / f"{name}.py"
        if name in found or not path.is_file():
            continue
        found[name] = path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "danqing":
                pending.extend(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("danqing."):
                pending.append(str(node.module).removeprefix("danqing."))
    return [found[name] for name in sorted(found)]


def _plans(folder: Path, model: Package, machine: Machine | None) -> dict[str, dict[str, Any]]:
    """Model → the record of its plan."""
    machine = machine or Machine.here()
    found = {}
    for name in (GENERATE, RESTORE):
        path = folder / f"{name}.plan"
        if name != GENERATE and not path.is_file():
            continue
        found[name] = check(path, model, machine)
        if found[name]["batches"][-1] < MAX_BATCH:
            raise ServingError(
                f"{path}: takes batches up to {found[name]['batches'][-1]}, the server's go up to {MAX_BATCH}; "
                f"build it again with --batches 1,4,{MAX_BATCH}"
            )
    return found


def _render(name: str, model: Package, plan: dict[str, Any] | None) -> str:
    file = "config.pbtxt" if plan is None else "plan.pbtxt"
    batches = [] if plan is None else plan["batches"]
    template = string.Template((_TEMPLATES / name / file).read_text(encoding="utf-8"))
    return template.substitute(
        size=model.size,
        length=model.text_length,
        guidance=model.guidance,
        temperature=model.decoding["temperature"],
        global_steps=model.steps[0],
        detail_steps=model.steps[1],
        model=model.version,
        software=f"danqing {__version__}",
        batches=", ".join(str(batch) for batch in batches if batch <= MAX_BATCH),
        profiles=", ".join(f'"{number}"' for number in range(len(batches))),
    )


def _key(model: Package, rendered: dict[str, str], modules: list[Path], plans: dict[str, dict[str, Any]]) -> str:
    digest = hashlib.sha256(model.digest.encode())
    for record in plans.values():
        digest.update(record["plan_sha256"].encode())
    for text in rendered.values():
        digest.update(text.encode())
    for path in (*modules, *sorted(_TEMPLATES.glob("*/model.py"))):
        digest.update(path.read_bytes())
    return f"{model.version}-{digest.hexdigest()[:8]}"


def _write_weights(model: Package, folders: list[Path]) -> None:
    """The file that all graphs name in their `external_data`: single precision, each at its offset, once on disk."""
    assert model.weights is not None
    if not folders:
        return
    arrays = model.arrays(*model.graphs)
    offsets = {name: at for graph in model.weights.initializers.values() for name, at in graph.items()}
    first, *others = (folder / "weights" for folder in folders)
    with open(first, "wb") as file:
        for name, offset in offsets.items():
            file.seek(offset)
            file.write(arrays[name].tobytes())
    for path in others:
        try:
            os.link(first, path)
        except OSError:  # some file systems know no links
            shutil.copyfile(first, path)
