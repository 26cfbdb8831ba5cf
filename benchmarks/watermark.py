"""How often the invisible watermark survives, what it changes, and what each layer of provenance costs.

python -m benchmarks.watermark                               # the model in the box, minutes on two cores
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import table
from danqing.paint import Painter, enlarge
from danqing.provenance import (
    Origin,
    Stamping,
    aigc,
    certificates,
    inspect,
    label,
    manifest,
    notes,
    prompt_digest,
    stamp,
    watermark,
)
from danqing.provenance.origin import payload

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPTS = Path(__file__).parent / "gallery.txt"
SIDES = (512, 256, 128)
QUALITIES = (90, 75, 50)
SCALES = (0.5, 0.75, 1.5, 2.0)
KEYS = 32


def jpeg(picture: Image, quality: int) -> Image:
    from PIL import Image

    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def scaled(picture: Image, scale: float) -> Image:
    from PIL import Image

    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)


def resaved(picture: Image) -> Image:
    from PIL import Image

    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return Image.open(file).convert("RGB")


def there_and_back(picture: Image, scale: float) -> Image:
    from PIL import Image

    return scaled(picture, scale).resize(picture.size, Image.Resampling.BICUBIC)


def scaled_jpeg(picture: Image, scale: float, quality: int) -> Image:
    return jpeg(scaled(picture, scale), quality)


def webp(picture: Image, quality: int) -> Image:
    from PIL import Image

    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality)
    return Image.open(file).convert("RGB")


def cut(picture: Image, share: float) -> Image:
    x, y = round(picture.width * share), round(picture.height * share)
    return picture.crop((x, y, picture.width - x, picture.height - y))


def trials() -> dict[str, Callable[[Image], Image]]:
    """Name → what happens to a picture between stamping and reading."""
    found: dict[str, Callable[[Image], Image]] = {"saved again as PNG": resaved}
    for quality in QUALITIES:
        found[f"JPEG {quality}"] = partial(jpeg, quality=quality)
    for scale in SCALES:
        found[f"× {scale:g}"] = partial(scaled, scale=scale)
        found[f"× {scale:g} and back"] = partial(there_and_back, scale=scale)
    for scale in SCALES:
        for quality in QUALITIES:
            found[f"× {scale:g}, then JPEG {quality}"] = partial(scaled_jpeg, scale=scale, quality=quality)
    beyond = {"JPEG 30": partial(jpeg, quality=30), "WebP 60": partial(webp, quality=60),
              "0.4 % cut off at each side": partial(cut, share=0.004),
              "1 % cut off at each side": partial(cut, share=0.01)}  # fmt: skip
    return found | {f"(not promised) {name}": change for name, change in beyond.items()}


def painted(seeds: int) -> Iterator[tuple[Image, Origin]]:
    """Each prompt of the gallery with `seeds` seeds, as the model paints it, and where it comes from."""
    painter = Painter.load()
    prompts = [line.strip() for line in PROMPTS.read_text(encoding="utf-8").splitlines() if line.strip()]
    for k in range(seeds):
        for i, prompt in enumerate(prompts):
            seed = 1000 * k + i
            origin = Origin(model=painter.package.version, seed=seed, guidance=painter.package.guidance,
                            prompt_sha256=prompt_digest(prompt))  # fmt: skip
            yield painter.paint(prompt, seed)[0], origin


def psnr(one: Image, other: Image) -> float:
    error = np.mean((np.asarray(one, np.float64) - np.asarray(other, np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def rate(came_back: list[bool]) -> str:
    hits, count = sum(came_back), len(came_back)
    return f"{100 * hits / count:.1f} % ({hits}/{count})"


def survival(pictures: list[tuple[Image, Origin]], few: int) -> tuple[list[list[str]], list[str]]:
    """A row a trial, and lines about what the mark changes and how often it is seen where none is.

    few: how many of the pictures are tried at the sides but the first, too.
    """
    attacks = trials()
    came_back: dict[tuple[str, int], list[bool]] = {(name, side): [] for name in attacks for side in SIDES}
    changed: dict[int, list[float]] = {side: [] for side in SIDES}
    false: list[bool] = []
    for number, (small, origin) in enumerate(pictures):
        wanted = payload(origin.facts())
        for side in SIDES if number < few else SIDES[:1]:
            picture = enlarge(small, side // small.width)
            marked = watermark.embed(picture, wanted)
            changed[side].append(psnr(picture, marked))
            for name, attack in attacks.items():
                came_back[name, side].append(watermark.extract(attack(marked)) == wanted)
                if side == SIDES[0]:
                    false.append(watermark.extract(attack(picture)) is not None)
            if side == SIDES[0]:
                false += [watermark.extract(marked, b"another key %d" % k) is not None for k in range(KEYS)]
    rows = [[name, *(rate(came_back[name, side]) for side in SIDES)] for name in attacks]
    loudness = ", ".join(
        f"{side} px {statistics.mean(changed[side]):.1f} dB, at least {min(changed[side]):.1f} dB" for side in SIDES
    )
    lines = [
        f"PSNR of marked against unmarked: {loudness}.",
        f"False positives: {sum(false)} in {len(false)} readings of unmarked pictures and with {KEYS} wrong keys. By "
        f"its checksum the rate is 2^-32 = 2.3e-10 a reading; these readings alone show no more than that it is below "
        f"{3 / len(false):.0e} (95 %).",
    ]
    return rows, lines


def cost(picture: Image, origin: Origin, rounds: int) -> list[list[str]]:
    """Milliseconds of each part of stamping and inspecting, and the bytes that it adds to the file."""
    none = Stamping(text=False, aigc=False, c2pa=False, watermark=False)
    facts = origin.facts()
    plain = stamp(picture, origin, none)
    whole, pixels, mark = stamp(picture, origin), notes.pixels_digest(picture), payload(facts)
    sealed = notes.write(facts, pixels, ["text"])
    parts: dict[str, tuple[Callable[[], object], Stamping | None]] = {
        "writing the PNG": (partial(stamp, picture, origin, none), None),
        "text, the digest of the pixels with it": (
            lambda: notes.write(facts, notes.pixels_digest(picture), ["text"]), replace(none, text=True)),
        "AIGC label": (partial(aigc.write, "danqing", "0" * 32, pixels), replace(none, aigc=True)),
        "C2PA, reading the certificate with it": (
            lambda: manifest.sign(plain, sealed, certificates.credentials()), replace(none, c2pa=True)),
        "of that the certificate": (certificates.credentials, None),
        "watermark": (partial(watermark.embed, picture, mark), replace(none, watermark=True)),
        "reading the watermark": (partial(watermark.extract, picture), None),
        "visible label": (partial(label.draw, picture, "zh"), replace(none, label="zh")),
        "`stamp`, all but the visible label": (partial(stamp, picture, origin), Stamping()),
        "`inspect` of all that": (partial(inspect, whole), None),
    }  # fmt: skip
    seconds = table.interleaved({name: run for name, (run, _) in parts.items()}, rounds)
    return [
        [
            name,
            table.spread(seconds[name]),
            "" if way is None else f"{len(stamp(picture, origin, way)) - len(plain):+d}",
        ]
        for name, (_, way) in parts.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="pictures of each prompt of gallery.txt")
    parser.add_argument("--rounds", type=int, default=15, help="how often each layer is timed")
    given = parser.parse_args()
    pictures = list(painted(given.seeds))
    rows, lines = survival(pictures, few=64)
    first = pictures[0]
    costs = cost(enlarge(first[0], 4), first[1], given.rounds)
    texts = [
        f"{len(pictures)} pictures by the model in the box ({pictures[0][0].width} px), enlarged by Lanczos as "
        "`danqing paint` does, nothing chosen; public key; scaled by bicubic resampling.",
        "Survived means that all 48 bits came back. "
        f"None of {len(pictures)} lost is at least {100 * 0.05 ** (1 / len(pictures)):.1f} % with 95 % confidence.",
        f"Other work ran beside (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores), so times are upper bounds. "
        + table.versions("numpy", "pillow", "c2pa-python")
        + ".",
    ]
    body = [
        "## Survival, by the side of the picture that was marked", "",
        *table.grid(["what happened to it", *(f"{side} px" for side in SIDES)], rows), "",
        *(f"{line}\n" for line in lines),
        "## Cost at 512 px", "",
        *table.grid(["what", "ms, median (least to most)", "bytes it adds"], costs),
    ]  # fmt: skip
    table.save("watermark", "The watermark, and what provenance costs", texts, body)


if __name__ == "__main__":
    main()
