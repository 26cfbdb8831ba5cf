"""What a picture shows: the scene and its elements, the ground truth of every painting."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """One drawn thing. `box` is (x0, y0, x1, y1) in fractions of the picture, y downwards."""

    kind: str
    box: tuple[float, float, float, float]
    count: int = 1
    place: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Everything that is drawn, in the vocabulary of `vocab`; `elements[0]` is the main element.

    `white_space` is the intended fraction (0..1) of the picture left as blank ground.
    """

    seed: int
    theme: str
    subtheme: str
    category: str
    content: str
    technique: str
    main: str
    elements: tuple[Element, ...]
    season: str
    palette: str
    ground: str
    ink: str
    composition: str
    white_space: float

    def as_dict(self) -> dict[str, Any]:
        """Plain, JSON-ready values."""
        out = asdict(self)
        out["elements"] = [{**e, "box": list(e["box"])} for e in out["elements"]]
        return out
