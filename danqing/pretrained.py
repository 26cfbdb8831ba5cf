"""Where the model in the box lies."""

from __future__ import annotations

from pathlib import Path


def box() -> Path:
    """The folder of the model that comes with danqing: beside the code in a checkout, inside the package in a wheel."""
    inside = Path(__file__).parent / "box"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "pretrained"


def start_folder(init: str) -> Path | None:
    """The folder of the model that a training with this `init` goes on from; None from scratch."""
    if init == "scratch":
        return None
    return box() if init == "pretrained" else Path(init.removeprefix("folder:")).expanduser()
