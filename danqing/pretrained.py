"""Where the model in the box lies."""

from __future__ import annotations

from pathlib import Path


def box() -> Path:
    """The folder of the model that comes with danqing: beside the code in a checkout, inside the package in a wheel."""
    inside = Path(__file__).parent / "box"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "pretrained"
