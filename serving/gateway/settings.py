"""What an operator may set, from environment variables: BentoML starts workers that see nothing else."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from danqing.errors import ConfigError
from danqing.tracing import COPY
from danqing.values import at_least, build, require

PREFIX = "DANQING_GATEWAY_"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    triton: str = ""
    """Address of the server, grpc://host:port; empty paints in this process."""
    model: str = ""
    """Package folder to paint with in this process; empty takes the champion, else the model in the box."""
    host: str = "127.0.0.1"
    port: int = 3000
    keys_file: str = ""
    """A file of API keys, one a line, a name before each. Needed as soon as others than this machine can reach us."""
    concurrency: int = 16
    """Requests that are painted or wait for it; one more is refused with 429."""
    timeout: float = 30.0
    """Seconds a request may take; a caller may ask for less (Request-Timeout)."""
    max_bytes: int = 20_000_000
    """Of a request's body."""
    max_pixels: int = 16_000_000
    """Of a picture to edit."""
    max_pictures: int = 8
    """In one answer."""
    max_task: int = 1000
    """Pictures of one task."""
    keep_hours: float = 24.0
    """How long a finished task's pictures are kept."""
    guarded: bool = True
    """Whether prompts are held against the policy."""
    policy: str = ""
    """A policy file; empty is danqing's own (serving/guard/policy.yaml)."""
    layers: tuple[str, ...] = ("text", "aigc", "c2pa", "watermark")
    """What says in a picture where it comes from (`danqing.provenance`)."""
    label: Literal["", "zh", "en"] = ""
    """The visible label: zh, en, or none."""
    producer: str = "danqing"
    certificate: str = ""
    """PEM with which pictures are signed; empty makes one for development, which nobody trusts."""
    key: str = ""
    secret: str = ""
    """A file that keys watermark and prompt digests."""
    copy_limit: float = COPY
    """Similarity to a work of the training from which a picture is withheld."""
    database: str = ""
    """SQLAlchemy's URL for tasks and approvals; empty is an SQLite file in danqing's cache folder."""
    records: str = ""
    """A folder for counts of what is asked for and painted, for `danqing drift`; no prompt is in them. Empty: none."""
    record_days: int = 90
    """How long they are kept."""
    drift: str = ""
    """The drift.json whose values are shown as metrics; empty: none."""

    def __post_init__(self) -> None:
        at_least(
            self,
            "gateway",
            port=0,
            concurrency=1,
            max_bytes=1000,
            max_pixels=1,
            max_pictures=1,
            max_task=1,
            record_days=1,
        )
        wrong = ", ".join(set(self.layers) - {"text", "aigc", "c2pa", "watermark"})
        require(not wrong, f"gateway.layers has {wrong}: the layers are text, aigc, c2pa and watermark")
        require(self.timeout > 0, f"gateway.timeout is {self.timeout}: seconds above 0 are needed")
        require(
            bool(self.keys_file) or loopback(self.host),
            f"the gateway would listen on {self.host} without API keys: set {PREFIX}KEYS_FILE, or listen on 127.0.0.1",
        )

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """From variables like DANQING_GATEWAY_TRITON; ConfigError names the one that makes no sense."""
        values = {n.removeprefix(PREFIX).lower(): v for n, v in environment.items() if n.startswith(PREFIX)}
        return build(cls, values, "gateway")

    def keys(self) -> dict[str, str]:
        """SHA-256 of each key → whose it is; empty where no key is asked for."""
        if not self.keys_file:
            return {}
        try:
            lines = Path(self.keys_file).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(f"{self.keys_file}: the API keys cannot be read ({error.strerror})") from error
        found = {}
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            parts = line.split()
            require(len(parts) == 2, f"{self.keys_file}, line {number}: a name and a key are needed")
            require(len(parts[1]) >= 16, f"{self.keys_file}, line {number}: a key of 16 characters or more is needed")
            found[hashlib.sha256(parts[1].encode()).hexdigest()] = parts[0]
        require(bool(found), f"{self.keys_file}: there is no key in it")
        return found


def loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
