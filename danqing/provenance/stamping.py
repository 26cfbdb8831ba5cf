"""Write a picture with its origin: up to four layers, and a visible label if asked for."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from danqing.provenance import aigc, certificates, label, manifest, notes, watermark
from danqing.provenance.origin import Origin, Stamping, derive, payload, picture_id, read_secret

if TYPE_CHECKING:
    from PIL.Image import Image


def stamp(picture: Image, origin: Origin, how: Stamping | None = None) -> bytes:
    """`picture` as the bytes of a PNG file that carries `origin` in the layers that `how` asks for.

    Without C2PA the same picture, origin and stamping give the same bytes. With it, pixels and notes are the same. A
    picture that is too small or too empty to hold the watermark goes without it, and its notes do not claim it.
    Raises ConfigError on certificates, keys or secrets that cannot be used.
    """
    from PIL.PngImagePlugin import PngInfo

    how = how or Stamping()
    secret = read_secret(how.secret)
    signer = certificates.credentials(how.certificate, how.key) if how.c2pa else None
    facts = origin.facts()
    picture = picture.convert("RGB")
    if how.label:
        picture = label.draw(picture, how.label)
    written = [name for name in ("text", "aigc", "c2pa") if getattr(how, name)]
    if how.watermark:
        key = derive(secret, "watermark")
        marked = watermark.embed(picture, payload(facts), key)
        if watermark.extract(marked, key) == payload(facts):
            picture = marked
            written.append("watermark")
    pixels = notes.pixels_digest(picture)
    sealed = notes.write(facts, pixels, written, secret)
    info = PngInfo()
    for keyword, text in (sealed if how.text else {}).items():
        info.add_text(keyword, text)
    if how.aigc:
        for keyword, text in aigc.write(how.producer, picture_id(facts), pixels, secret).items():
            info.add_itxt(keyword, text)
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=info, compress_level=3)  # half the time of 6
    return file.getvalue() if signer is None else manifest.sign(file.getvalue(), sealed, signer)
