"""Lets torchvision import beside a CPU build of torch.

The wheels of torchvision on the package index are built against CUDA. Beside a CPU torch their extension cannot load,
and torchvision then registers fake kernels for two operators that nobody has declared, which raises `RuntimeError:
operator torchvision::nms does not exist` and takes open_clip and timm along. Declaring the two schemas first is all
that is needed; whatever needs the extension itself still raises its own clear error. Where the extension loads,
nothing is changed.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library: Any = None  # torch drops the schemas with their Library object


class _BeforeTorchvision:
    """A finder that acts once, when something first imports torchvision, and then steps aside."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        if name != "torchvision":
            return
        sys.meta_path.remove(_BeforeTorchvision)  # type: ignore[arg-type]
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.origin:
            _declare(Path(spec.origin).parent)


def _declare(package: Path) -> None:
    global _library
    import torch

    for extension in sorted(package.glob("_C*.so")):
        try:
            torch.ops.load_library(str(extension))
        except (OSError, ImportError, RuntimeError):
            continue
        return
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        _library.define(schema)


def install() -> None:
    """Watch for the first import of torchvision. Costs nothing until then."""
    if "torchvision" not in sys.modules and _BeforeTorchvision not in sys.meta_path:
        sys.meta_path.insert(0, _BeforeTorchvision)  # type: ignore[arg-type]
