"""Where pictures come from. A `Source` lists what it has, in a fixed order, and fetches it batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from danqing.data.corpus import Rejected


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One picture that a source has, before it is fetched."""

    id: str
    where: Any
    """What the source needs to fetch it: JSON-ready."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Corpus columns that are known already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """The bytes of one picture with its corpus columns."""

    id: str
    data: bytes
    fields: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A picture that could not be had this time, for a reason that may pass: a later run tries it again."""

    id: str
    reason: str


class Source(Protocol):
    batch: int
    """Pictures that are fetched and put on disk together; a killed run loses at most so many."""
    limit: int | None
    """Stop after so many usable pictures."""

    def listing(self) -> list[Item | Rejected]:
        """Everything the source has, in the order of the corpus. Raises DataError when there is nothing to list."""

    def fetch(self, items: Sequence[Item]) -> Iterator[Fetched | Rejected | Failed]:
        """The pictures of `items`, in that order, one for each."""
