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

from danqing import __version__, files
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


def build(package: Path, target: Path) -> Path:
    """The repository for the package folder `package`, below `target`; built if it is not there yet.

    It is whole or not there. Raises StorageError on a damaged package or a target that cannot be written.
    """
    model = Package.read(package)
    rendered = {name: _render(name, model) for name, graphs in GRAPHS.items() if set(graphs) <= set(model.graphs)}
    modules = {name: modules_of(start) for name, start in _LIBRARIES.items() if name in rendered}
    key = _key(model, rendered, sorted({path for paths in modules.values() for path in paths}))
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
            _write_weights(model, [new / name / "1" for name in rendered if any(GRAPHS[name].values())])
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


def _render(name: str, model: Package) -> str:
    template = string.Template((_TEMPLATES / name / "config.pbtxt").read_text(encoding="utf-8"))
    return template.substitute(
        size=model.size,
        length=model.text_length,
        guidance=model.guidance,
        temperature=model.decoding["temperature"],
        global_steps=model.steps[0],
        detail_steps=model.steps[1],
        model=model.version,
        software=f"danqing {__version__}",
    )


def _key(model: Package, rendered: dict[str, str], modules: list[Path]) -> str:
    digest = hashlib.sha256(model.digest.encode())
    for text in rendered.values():
        digest.update(text.encode())
    for path in (*modules, *sorted(_TEMPLATES.glob("*/model.py"))):
        digest.update(path.read_bytes())
    return f"{model.version}-{digest.hexdigest()[:8]}"


def _write_weights(model: Package, folders: list[Path]) -> None:
    """The file that all graphs name in their `external_data`: single precision, each at its offset, once on disk."""
    assert model.weights is not None
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
