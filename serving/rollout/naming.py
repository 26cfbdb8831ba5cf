"""Versions side by side in one Triton: every model of a repository gets the version's key into its name.

    danqing                  what callers ask: an ensemble of one step, a pointer to
    danqing-<key>            the ensemble of this version, with the response cache, over
    tokenize-<key> generate-<key> encode-<key> …

`edit` and `preview` are pointers as well, in versions that have them; they change over one after the other, within
milliseconds. A pointer itself must not cache: Triton's cache knows a model by name and version number
(`TritonCache::Hash` in triton-inference-server/core, src/cache_manager.cc), and would go on answering with the old
model's pictures.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danqing import files
from serving.client.wire import EDIT, PAINT, PREVIEW

POINTERS = (PAINT, EDIT, PREVIEW)
"""The models that callers ask, as far as a version has them. The first is always there."""
KEY, PACKAGE = "rollout_key", "package_sha256"
"""Parameters of a pointer: which version it points to, and the fingerprint of the package that it was built from."""
_NEVER = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What callers get."""

    key: str
    """The version; empty if the pointers name several."""
    sha: str
    pointers: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A version that Triton can load."""

    sha: str
    """Fingerprint of its package."""
    folder: Path
    """One folder a model, and one a pointer."""

    @property
    def key(self) -> str:
        return self.folder.name.removesuffix(SUFFIX)

    def models(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.name not in POINTERS)

    def pointers(self) -> list[Path]:
        return [self.folder / name for name in POINTERS if (self.folder / name).is_dir()]

    def served(self) -> Served:
        """What callers get when they get this."""
        return Served(key=self.key, sha=self.sha, pointers=frozenset(path.name for path in self.pointers()))


SUFFIX = ".named"


def rename(built: Path, target: Path, sha: str) -> None:
    """Write into `target` the models of the repository `built` under their new names, and the pointers to them."""
    key = built.name
    configs = {folder.name: read(folder) for folder in sorted(built.iterdir())}
    for name, config in configs.items():
        files.copy_tree(built / name, target / f"{name}-{key}")
        config.name = f"{name}-{key}"
        for step in config.ensemble_scheduling.step:
            if step.model_name in configs:
                step.model_name += f"-{key}"
        for parameter, value in config.parameters.items():
            if parameter.endswith("_model") and value.string_value in configs:  # whom a Python model calls
                value.string_value += f"-{key}"
        _write(target / config.name, config)
    for name in POINTERS:
        if name in configs:
            _write(target / name, _pointer(name, configs[name], key, sha))


def read(folder: Path) -> Any:
    """The `ModelConfig` in a model's folder."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    with files.storage(folder):
        text = (folder / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _pointer(name: str, config: Any, key: str, sha: str) -> Any:
    from tritonclient.grpc import model_config_pb2

    pointer = model_config_pb2.ModelConfig(
        name=name,
        platform="ensemble",
        max_batch_size=config.max_batch_size,
        input=config.input,
        output=config.output,
        parameters=config.parameters,
    )
    step = pointer.ensemble_scheduling.step.add(model_name=config.name, model_version=1)
    for tensor in config.input:
        step.input_map[tensor.name] = tensor.name
    for tensor in config.output:
        step.output_map[tensor.name] = tensor.name
    pointer.parameters[KEY].string_value = key
    pointer.parameters[PACKAGE].string_value = sha
    return pointer


def _write(folder: Path, config: Any) -> None:
    from google.protobuf import text_format

    (folder / "1").mkdir(parents=True, exist_ok=True)
    path = folder / "config.pbtxt"
    path.unlink(missing_ok=True)  # it is a link to the file of `built`
    path.write_text(text_format.MessageToString(config, as_utf8=True), encoding="utf-8")
    # Python leaves __pycache__ beside a model's code, which Triton takes for a change and loads the model again with
    # every ensemble above it (triton-inference-server/server#7489). Nothing is newer than this date.
    os.utime(path, (_NEVER, _NEVER))
