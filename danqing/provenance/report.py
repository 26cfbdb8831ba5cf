"""Read a picture's origin back, layer by layer, and say where the layers no longer fit the picture or each other."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from danqing import files
from danqing.errors import DataError
from danqing.provenance import aigc, manifest, notes, png, watermark
from danqing.provenance.layers import Layer
from danqing.provenance.origin import derive, payload, picture_id

if TYPE_CHECKING:
    from PIL.Image import Image

_MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found in one file."""

    format: str
    width: int
    height: int
    layers: tuple[Layer, ...]
    """text, aigc, c2pa and watermark, in this order."""

    def __getitem__(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)

    @property
    def verdict(self) -> Literal["intact", "untrusted", "tampered", "absent"]:
        """The worst of the layers that are there; absent where none is."""
        found = {layer.state for layer in self.layers}
        return next(state for state in ("tampered", "untrusted", "intact", "absent") if state in found)  # type: ignore[return-value]

    @property
    def summary(self) -> str:
        """One line for a person."""
        there = [layer.name for layer in self.layers if layer.state != "absent"]
        wrong = [layer.name for layer in self.layers if layer.state == "tampered"]
        if not there:
            return "nothing of an origin is there: not stamped here, or everything was removed"
        if wrong:
            return f"tampered with: {', '.join(wrong)}"
        if there == ["watermark"]:
            return "only the watermark is left: the picture was stamped here, and saved anew since, without its notes"
        if self.verdict == "untrusted":
            doubtful = ", ".join(layer.name for layer in self.layers if layer.state == "untrusted")
            return f"nothing was changed; who wrote it is not proved ({doubtful})"
        return "nothing was changed"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        layers = [{"name": layer.name, "state": layer.state, "why": layer.why, "fields": dict(layer.fields)}
                  for layer in self.layers]  # fmt: skip
        return {"format": self.format, "width": self.width, "height": self.height, "verdict": self.verdict,
                "summary": self.summary, "layers": layers}  # fmt: skip


def inspect(data: bytes | Path, *, secret: bytes = b"", trust: bytes = b"") -> Report:
    """The origin that a PNG, JPEG or WebP carries. Reads at most 64 MB and unpacks at most 50 million pixels.

    secret: the deployment's, checks what is keyed with it. trust: PEM certificates of CAs whose signers are trusted.
    Raises DataError where there is no file, no such picture, a damaged or a larger one; ConfigError on a wrong `trust`.
    """
    if not isinstance(data, bytes):
        data = _load(data)
    kind, picture, texts, foreign = _open(data)
    pixels = notes.pixels_digest(picture)
    text = notes.check(texts, foreign, pixels, secret)
    c2pa, signed = manifest.check(data, _MIME[kind], trust)
    found, keyed = _read_mark(picture, secret)
    facts = notes.facts_of(signed)
    # A manifest that does not fit may have come with another picture: then its facts are not to be compared with.
    fits = c2pa.state != "tampered" or signed.get(notes.PIXELS) == pixels
    ours = bool(facts) and (fits or found == payload(facts))
    told = signed if ours else text.fields
    facts = notes.facts_of(told)
    mark = _mark(found, keyed, facts, told.get(notes.SEAL, ""), secret)
    label = aigc.check(texts, pixels, secret, picture_id(facts) if facts else "")
    if ours:
        text = _against_signed(text, signed)
    if c2pa.state == "tampered" and signed:
        c2pa = dataclasses.replace(c2pa, why=_broken(signed, ours, pixels, found))
    layers = _missed((text, label, c2pa, mark), told.get(notes.LAYERS, "").split())
    return Report(format=kind, width=picture.width, height=picture.height, layers=layers)


def _load(path: Path) -> bytes:
    with files.storage(path):
        if not path.is_file():
            raise DataError(f"{path}: there is no such file") if not path.exists() else DataError(f"{path}: no file")
        if path.stat().st_size > png.MAX_BYTES:
            raise DataError(f"{path}: more than {png.MAX_BYTES >> 20} MB; such a file is not read")
        with open(path, "rb") as file:
            return file.read(png.MAX_BYTES + 1)


def _open(data: bytes) -> tuple[str, Image, tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Format, RGB picture, texts and foreign chunks. Raises DataError."""
    from PIL import Image

    if len(data) > png.MAX_BYTES:
        raise DataError(f"more than {png.MAX_BYTES >> 20} MB; such a file is not read")
    chunks = png.parse(data) if data.startswith(png.SIGNATURE) else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=list(_MIME)) as image:
                if image.width * image.height > png.MAX_PIXELS:
                    raise DataError(f"{image.width} x {image.height} pixels; at most {png.MAX_PIXELS} are read")
                kind, mode = str(image.format), image.mode
                image.load()
                picture = image if mode == "RGB" else image.convert("RGB")
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = "not a picture that can be read (PNG, JPEG or WebP)" if "cannot identify" in said else said
        raise DataError(reason) from None
    foreign = () if chunks is None else chunks.foreign
    return kind, picture, () if chunks is None else chunks.texts, foreign if mode == "RGB" else (*foreign, mode)


def _read_mark(picture: Image, secret: bytes) -> tuple[bytes | None, bool]:
    """The watermark's payload, and whether it was made with the secret."""
    if secret and (found := watermark.extract(picture, derive(secret, "watermark"))):
        return found, True
    return watermark.extract(picture), False


def _mark(found: bytes | None, keyed: bool, facts: Mapping[str, str], seal: str, secret: bytes) -> Layer:
    if found is None:
        if seal.startswith("hmac-") and not secret:
            return Layer("watermark", "untrusted", "made with the operator's secret, and cannot be read without it")
        return Layer("watermark", "absent", "no mark" if secret else "no mark that can be read without a secret")
    fields = {"model": found[:2].hex(), "picture": found[2:].hex()}
    if facts and found != payload(facts):
        return Layer("watermark", "tampered", "the mark of another picture than the notes tell of", fields)
    by = "made with the operator's secret" if keyed else "made with the public key: anyone could have done so"
    fit = "the mark fits the notes" if facts else "a mark, and no notes to compare it with"
    return Layer("watermark", "intact", f"{fit}; {by}", fields)


def _against_signed(text: Layer, signed: Mapping[str, str]) -> Layer:
    """The notes beside those under the signature, which nobody could seal anew."""
    if text.state == "absent":
        return text
    changed = sorted(key for key in {*text.fields, *signed} if text.fields.get(key) != signed.get(key))
    if not changed:
        return text
    return dataclasses.replace(text, state="tampered", why=f"not as it was signed: {', '.join(changed[:4])}")


def _broken(signed: Mapping[str, str], ours: bool, pixels: str, found: bytes | None) -> str:
    """What it means that a manifest's hash does not fit the file."""
    if signed.get(notes.PIXELS) == pixels:
        return "the notes were changed after signing; the pixels are those that were signed"
    if ours:
        return "the pixels were changed after signing; by its watermark it is the picture that was signed"
    if found is not None:
        return "the manifest of another picture: the watermark does not fit what is signed"
    return "the pixels were changed after signing, or this is the manifest of another picture"


def _missed(layers: tuple[Layer, ...], promised: list[str]) -> tuple[Layer, ...]:
    """An absent layer that the notes say was written has been removed."""
    return tuple(
        dataclasses.replace(layer, state="tampered", why="was there, as the notes say, and has been removed")
        if layer.state == "absent" and layer.name in promised
        else layer
        for layer in layers
    )
