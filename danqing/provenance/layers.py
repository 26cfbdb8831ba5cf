"""How a layer of provenance is found, in one word and one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal["absent", "intact", "tampered", "untrusted"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of one file."""

    name: str
    """text, aigc, c2pa or watermark."""
    state: State
    """untrusted: consistent in itself, but nothing tells who wrote it."""
    why: str
    fields: Mapping[str, str] = field(default_factory=dict)
