"""Builds what Triton serves: an immutable model repository out of a package.

    <target>/<key>/
      danqing/    the ensemble that callers see: prompt, seed, guidance → picture, png
      tokenize/   Python: checks, words → word pieces
      generate/   onnxruntime: the exported graph
      encode/     Python: pixels → PNG

The key is made of everything that goes in, so that one folder is one content for ever: a new model is a new folder,
the old one stays as the way back.
"""

from __future__ import annotations

import ast
import hashlib
import shutil
import string
from pathlib import Path

from danqing import __version__, files
from danqing.package import GRAPH, WORDPIECES, Package

MODELS = ("danqing", "tokenize", "generate", "encode")
_TEMPLATES = Path(__file__).parent / "models"
_LIBRARY = Path(files.__file__).parent


def build(package: Path, target: Path) -> Path:
    """The repository for the package folder `package`, below `target`; built if it is not there yet.

    It is whole or not there. Raises StorageError on a damaged package or a target that cannot be written.
    """
    model = Package.read(package)
    rendered = {name: _render(name, model) for name in MODELS}
    modules = text_modules()
    key = _key(model, rendered, modules)
    folder = Path(target) / key
    if folder.is_dir():
        return folder
    with files.atomic_folder(folder) as new:
        for name in MODELS:
            version = new / name / "1"
            version.mkdir(parents=True)
            (new / name / "config.pbtxt").write_text(rendered[name], encoding="utf-8")
            code = _TEMPLATES / name / "model.py"
            if code.is_file():
                shutil.copyfile(code, version / "model.py")
        library = new / "tokenize" / "1" / "danqing"
        library.mkdir()
        (library / "__init__.py").write_text(f'__version__ = "{__version__}"\n', encoding="utf-8")
        for path in modules:
            shutil.copyfile(path, library / path.name)
        shutil.copyfile(model.folder / WORDPIECES, new / "tokenize" / "1" / "wordpieces.json")
        shutil.copyfile(model.folder / GRAPH, new / "generate" / "1" / "model.onnx")
        if model.weights is not None:
            _write_weights(model, new / "generate" / "1" / "weights")
        shutil.copyfile(model.folder / "package.json", new / "danqing" / "1" / "package.json")
    return folder


def text_modules() -> list[Path]:
    """The files of danqing that `danqing.wordpieces` needs, itself included: what `tokenize` takes along."""
    found: dict[str, Path] = {}
    pending = ["wordpieces"]
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


def _write_weights(model: Package, path: Path) -> None:
    """The file that a graph without weights names in its `external_data`: single precision, each at its offset."""
    assert model.weights is not None
    arrays = model.arrays()
    with open(path, "wb") as file:
        for name, offset in model.weights.initializers.items():
            file.seek(offset)
            file.write(arrays[name].tobytes())
