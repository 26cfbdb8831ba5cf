"""The first layer: what a picture says of itself in PNG text chunks, and whether that still fits.

    Software, danqing:model, danqing:seed, danqing:guidance, danqing:prompt-sha256, …    the facts, see `Origin`
    danqing:picture          the picture's name, made of its facts; the watermark carries the beginning of it
    danqing:layers           what else was written, so that a layer that is gone is missed
    danqing:pixels-sha256    of the size and the RGB bytes
    danqing:seal             over all notes above

Anyone can change a note and seal it anew, unless the seal is keyed with a secret: alone, this layer finds accidents and
clumsy hands. What a note said when the picture was served is proved by the C2PA signature over the whole file.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from danqing.provenance.layers import Layer
from danqing.provenance.origin import picture_id, seal

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURE, LAYERS, PIXELS, SEAL = "danqing:picture", "danqing:layers", "danqing:pixels-sha256", "danqing:seal"
_ABOUT = (PICTURE, LAYERS, PIXELS, SEAL)


def pixels_digest(picture: Image) -> str:
    """SHA-256 over the size and the RGB bytes, in hexadecimal."""
    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    digest = hashlib.sha256(f"{rgb.width}x{rgb.height} RGB\n".encode())
    rows = max(1, (1 << 22) // (3 * rgb.width))
    for top in range(0, rgb.height, rows):
        digest.update(rgb.crop((0, top, rgb.width, min(top + rows, rgb.height))).tobytes())
    return digest.hexdigest()


def write(facts: Mapping[str, str], pixels: str, layers: Sequence[str], secret: bytes = b"") -> dict[str, str]:
    """The facts and what guards them. pixels: the digest of the finished picture. layers: names, this one too."""
    notes = {**facts, PICTURE: picture_id(facts), LAYERS: " ".join(layers), PIXELS: pixels}
    return {**notes, SEAL: seal(notes, secret)}


def facts_of(notes: Mapping[str, str]) -> dict[str, str]:
    """The facts alone; empty where the notes are not this program's."""
    facts = {key: value for key, value in notes.items() if _is_ours(key) and key not in _ABOUT}
    return facts if "danqing:model" in facts else {}


def check(texts: Sequence[tuple[str, str]], foreign: Sequence[str], pixels: str, secret: bytes = b"") -> Layer:
    """This layer's report; texts: every text chunk of the file. pixels: the digest of the picture as it is now."""
    ours = [(key, value) for key, value in texts if _is_ours(key)]
    notes = dict(ours)
    if not any(key.startswith("danqing:") for key in notes):
        return Layer("text", "absent", "no notes")

    def tampered(why: str) -> Layer:
        return Layer("text", "tampered", why, notes)

    if len(notes) < len(ours):
        return tampered("a note is there twice: one of the two was added")
    if PIXELS not in notes or SEAL not in notes:
        if PICTURE in notes or LAYERS in notes:
            return tampered("a digest was taken out")
        return Layer("text", "untrusted", "notes without digests: nothing tells whether they are still true", notes)
    if notes[PIXELS] != pixels:
        return tampered("the pixels are not those that the notes were written for")
    if foreign:
        return tampered(f"another program has written into the file ({', '.join(foreign[:3])})")
    if notes.get(PICTURE) != picture_id(facts_of(notes)):
        return tampered("a note was changed: the picture's name does not follow from the facts")
    keyed = notes[SEAL].startswith("hmac-")
    if keyed and not secret:
        return Layer("text", "intact", "the pixels match; the seal can be checked with the secret only", notes)
    expected = seal({key: value for key, value in notes.items() if key != SEAL}, secret if keyed else b"")
    if not hmac.compare_digest(notes[SEAL].encode(), expected.encode()):
        return tampered("a note was changed: the seal does not fit, or was made with another secret")
    if keyed:
        return Layer("text", "intact", "pixels and notes match their digests, sealed with the operator's secret", notes)
    if secret:
        return Layer("text", "untrusted", "pixels and notes match, but they were sealed without the secret", notes)
    return Layer("text", "intact", "pixels and notes match their digests; anyone could have sealed them anew", notes)


def _is_ours(key: str) -> bool:
    return key == "Software" or key.startswith("danqing:")
