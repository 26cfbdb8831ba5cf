"""What is said of a picture's origin, and how a deployment wants it said."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from danqing import __version__, files
from danqing.errors import ConfigError

SECRET = "DANQING_PROVENANCE_SECRET"  # noqa: S105 - the name of a variable that holds a path
"""Environment variable that names the file of the secret."""
_LONGEST = 8192
Label = Literal["", "zh", "en"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A work of the corpus that is near the picture."""

    id: str
    licence: str
    similarity: float
    """0 to 1, of the measure that the caller uses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a picture comes from. Raises ConfigError on what cannot be written down."""

    model: str
    """The version that painted it, as `Package.version` says it."""
    seed: int
    guidance: float | None
    prompt_sha256: str
    """Digest of the prompt in hexadecimal, from `prompt_digest`. The prompt itself may be private and is nowhere."""
    prompt_keyed: bool = False
    """The digest was made with the deployment's secret."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Of the model: git and data revision, configuration …"""
    software: str = f"danqing {__version__}"
    policy: str = ""
    """Version of the rules that let the prompt pass."""
    nearest: tuple[Work, ...] = ()
    time: str = ""
    """ISO 8601 with its zone. Empty leaves the time out, so that the same request gives the same notes."""

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError("the origin names no model: give the version that painted the picture")
        if not re.fullmatch("[0-9a-f]{64}", self.prompt_sha256):
            raise ConfigError("the origin's prompt digest is no SHA-256 in hexadecimal: make it with prompt_digest")
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise ConfigError(f"the origin's guidance is {self.guidance}: a finite number is needed")
        if self.time:
            try:
                zone = datetime.fromisoformat(self.time).tzinfo
            except ValueError:
                zone = None
            if zone is None:
                raise ConfigError(
                    f"the origin's time is {self.time!r}: ISO 8601 with a zone, e.g. 2026-11-23T08:00:00Z"
                )
        for key, value in self.facts().items():
            if len(value) > _LONGEST or not value.isprintable():
                raise ConfigError(f"the origin's {key} is too long or holds control characters: {value[:40]!r}")

    def facts(self) -> dict[str, str]:
        """The notes of a picture, key → text."""
        facts = {
            "Software": self.software,
            "danqing:model": self.model,
            "danqing:seed": str(self.seed),
            f"danqing:prompt-{'hmac-' if self.prompt_keyed else ''}sha256": self.prompt_sha256,
        }
        if self.guidance is not None:
            facts["danqing:guidance"] = f"{self.guidance:g}"
        if self.lineage:
            facts["danqing:lineage"] = canonical(dict(self.lineage))
        if self.policy:
            facts["danqing:policy"] = self.policy
        if self.nearest:
            works = [[work.id, work.licence, round(work.similarity, 4)] for work in self.nearest]
            facts["danqing:nearest"] = canonical(works)
        if self.time:
            facts["danqing:time"] = self.time
        return facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamping:
    """Which layers a deployment writes, in whose name, and with which keys."""

    text: bool = True
    aigc: bool = True
    c2pa: bool = True
    watermark: bool = True
    label: Label = ""
    """The visible label: "zh" AI生成, "en" AI-generated, or none."""
    producer: str = "danqing"
    """ContentProducer of the AIGC label: the operator's name, or the code that the authority gave."""
    certificate: Path | None = None
    """PEM: the certificate that signs, then its chain. None: see `certificates`."""
    key: Path | None = None
    """PEM: the private key of the certificate."""
    secret: Path | None = None
    """A file of 16 bytes or more that keys watermark, seals and prompt digests; None: $DANQING_PROVENANCE_SECRET."""

    def __post_init__(self) -> None:
        if self.label not in get_args(Label):
            raise ConfigError(f'the label is {self.label!r}: "zh", "en", or "" for none')
        if not self.producer or not self.producer.isprintable() or len(self.producer) > 200:
            raise ConfigError("the producer is empty, too long or holds control characters: name the operator")
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("certificate and key belong together: give the paths of both, or of neither")


def read_secret(path: Path | None) -> bytes:
    """The secret in `path`, else in the file that $DANQING_PROVENANCE_SECRET names, else no bytes: public keys."""
    named = path or (Path(os.environ[SECRET]) if os.environ.get(SECRET) else None)
    if named is None:
        return b""
    with files.storage(named):
        secret = named.read_bytes().strip()
    if len(secret) < 16:
        raise ConfigError(f"{named}: {len(secret)} bytes are no secret; e.g. openssl rand -hex 32 > {named}")
    return secret


def derive(secret: bytes, purpose: str) -> bytes:
    """The key for one purpose; no bytes where there is no secret."""
    return hmac.digest(secret, f"danqing {purpose}".encode(), "sha256") if secret else b""


def prompt_digest(prompt: str, secret: bytes = b"") -> str:
    """SHA-256 of the prompt, or its HMAC-SHA-256 with a secret, in hexadecimal.

    A prompt is short and its words are few: whoever has a bare digest can try prompts until one fits. What is handed
    out to strangers should therefore be keyed. Then only who has the secret can tell, or test, what was asked for.
    """
    if not secret:
        return hashlib.sha256(prompt.encode()).hexdigest()
    return hmac.digest(derive(secret, "prompt"), prompt.encode(), "sha256").hex()


def seal(value: object, secret: bytes = b"") -> str:
    """`sha256:…`, or `hmac-sha256:…` with a secret, over the canonical JSON of `value`."""
    text = canonical(value).encode()
    if not secret:
        return f"sha256:{hashlib.sha256(text).hexdigest()}"
    return f"hmac-sha256:{hmac.digest(derive(secret, 'seal'), text, 'sha256').hex()}"


def picture_id(facts: Mapping[str, str]) -> str:
    """32 hexadecimal digits that name the picture with these facts. Its first 8 are in the watermark."""
    return hashlib.sha256(canonical(dict(facts)).encode()).hexdigest()[:32]


def payload(facts: Mapping[str, str]) -> bytes:
    """What the watermark carries: 2 bytes of the model's SHA-256, 4 bytes of the picture's name."""
    model = hashlib.sha256(facts["danqing:model"].encode()).digest()
    return model[:2] + bytes.fromhex(picture_id(facts)[:8])


def canonical(value: object) -> str:
    """JSON on one line, keys sorted."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
