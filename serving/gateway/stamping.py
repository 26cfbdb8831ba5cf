"""What goes into every picture that leaves the gateway: its origin, in the layers that the operator wants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PIL.Image import Image

from danqing.provenance import Origin, Stamping, Work, prompt_digest, read_secret, stamp
from danqing.provenance.certificates import credentials
from danqing.tracing import Near
from serving.gateway.settings import Settings

Stamp = Callable[..., bytes]
"""(picture, prompt=…, seed=…, guidance=…, model=…, nearest=…, edited=…) → a PNG file."""


def stamping(settings: Settings, policy: str) -> Stamp:
    """As the operator says; ConfigError on certificates and secrets that cannot be used, before anybody asks for a
    picture. policy: version of the rules that prompts have to pass.
    """

    def path(name: str) -> Path | None:
        return Path(name) if name else None

    how = Stamping(
        text="text" in settings.layers, aigc="aigc" in settings.layers, c2pa="c2pa" in settings.layers,
        watermark="watermark" in settings.layers, label=settings.label, producer=settings.producer,
        certificate=path(settings.certificate), key=path(settings.key), secret=path(settings.secret),
    )  # fmt: skip
    secret = read_secret(how.secret)
    if how.c2pa:
        credentials(how.certificate, how.key)
    # In what was edited every byte outside the hole stays as it came: a watermark would change it.
    unmarked = replace(how, watermark=False, label="")

    def write(
        picture: Image, *, prompt: str, seed: int, guidance: float | None, model: str, nearest: Sequence[Near] = (),
        edited: bool = False,
    ) -> bytes:  # fmt: skip
        works = tuple(Work(id=n.work.id, licence=n.work.licence, similarity=n.similarity) for n in nearest)
        origin = Origin(
            model=model, seed=seed, guidance=guidance, prompt_sha256=prompt_digest(prompt, secret),
            prompt_keyed=bool(secret), policy=policy, nearest=works,
        )  # fmt: skip
        return stamp(picture, origin, unmarked if edited else how)

    return write
