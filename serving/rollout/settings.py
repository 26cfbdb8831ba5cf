"""What a controller needs to know, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from danqing import config
from danqing.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """What a controller needs to know."""

    tracking: str
    """Address of the MLflow registry."""
    store: Path
    """Folder of its own; Triton reads `store / "models"`."""
    triton: str = "grpc://localhost:8001"
    secret: str = field(default="", repr=False)
    """What Triton wants to hear before it loads or unloads a model."""
    name: str = config.Register().name
    fallback: Path | None = None
    """Package that is served as long as nothing else was, and the registry names no champion or does not answer."""
    status: Path | None = None
    """Where the status file goes; `store / "status.json"` if None."""
    interval: float = 2.0
    """Seconds between two looks at the registry."""
    keep: int = 3
    """Versions that stay on disk: the served one and those before it. Two of them stay in Triton's memory."""
    drain: float = 60.0
    """Seconds that a version stays loaded after callers got it last: as long as a request may take."""
    retry: float = 10.0
    """Seconds until a refused version is tried again, twice as many after each time, up to ten minutes."""
    fetch_timeout: float = 600.0
    load_timeout: float = 300.0

    def __post_init__(self) -> None:
        if self.keep < 2:
            raise ConfigError(f"keep is {self.keep}: at least 2 versions are needed, the served one and the way back")
        for name in ("interval", "drain", "retry", "fetch_timeout", "load_timeout"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)}: a number of seconds above 0 is needed")
