"""`danqing restore` and `danqing edit`: a picture in, a PNG out."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

from danqing import files
from danqing.errors import DanqingError
from danqing.lexicon import explain, has_chinese
from danqing.paint import check_seed, save


def read_picture(path: Path, max_pixels: int = 50_000_000) -> np.ndarray:
    """uint8 (H, W, 3). Raises DanqingError on what is no picture, or too large a one."""
    from PIL import Image

    from danqing.data import corpus
    from danqing.data.pictures import Unusable, dimensions

    with files.storage(path):
        data = Path(path).read_bytes()
    try:
        width, height = dimensions(data)
    except Unusable as error:
        raise DanqingError(f"{path}: {error}") from None
    if width * height > max_pixels:
        raise DanqingError(f"{path}: {width} x {height} pixels, at most {max_pixels} are taken; scale it down")
    try:
        return corpus.decode(data)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DanqingError(f"{path}: cannot be unpacked ({error})") from None


def read_mask(path: Path) -> np.ndarray:
    """bool (H, W): where the mask is lighter than middle grey."""
    return read_picture(path).mean(2) > 127


def read_box(text: str, picture: np.ndarray) -> np.ndarray:
    """bool (H, W) from "x0,y0,x1,y1" in shares of the picture, e.g. "0.5,0.1,0.9,0.6"."""
    height, width = picture.shape[:2]
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise DanqingError(f'the box is {text!r}: four numbers are needed, e.g. "0.5,0.1,0.9,0.6"') from None
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise DanqingError(f"the box is {text!r}: x0 < x1 and y0 < y1, all between 0 and 1")
    hole = np.zeros((height, width), bool)
    hole[round(y0 * height) : max(round(y1 * height), round(y0 * height) + 1),
         round(x0 * width) : max(round(x1 * width), round(x0 * width) + 1)] = True  # fmt: skip
    return hole


def edit_command(
    picture: Path,
    prompt: str,
    *,
    out: Path,
    mask: Path | None = None,
    box: str = "",
    extend: str = "",
    strength: float | None = None,
    seed: int | None = None,
    guidance: float | None = None,
    model: Path | None = None,
    restoring: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Paint into `picture` and write `out`: into a mask or a box, beyond a side, or all over with some strength.

    restoring: what is likeliest there, rather than something new.
    """
    ways = [name for name, given in (("--mask", mask), ("--box", box), ("--extend", extend),
                                     ("--strength", strength)) if given]  # fmt: skip
    if len(ways) != 1:
        named = " and ".join(ways) or "nothing"
        raise DanqingError(f"{named} given: say where to paint by one of --mask, --box, --extend or --strength")
    if out.suffix.lower() != ".png":
        raise DanqingError(f"{out}: pictures are saved as PNG; give a name that ends in .png")
    number = secrets.randbelow(2**31) if seed is None else check_seed(seed)
    original = read_picture(picture)
    hole = read_mask(mask) if mask else read_box(box, original) if box else None
    from danqing.editing import RESTORING, Editor

    editor = Editor.load(model, RESTORING if restoring else None)
    if has_chinese(prompt):
        say(explain(prompt))
    if hole is not None:
        made = editor.restore(original, hole, prompt, seed=number, guidance=guidance)
    elif extend:
        made = editor.extend(original, prompt, side=extend, seed=number, guidance=guidance)
    else:
        made = editor.revise(original, prompt, strength=float(strength or 0), seed=number, guidance=guidance)
    from PIL import Image

    used = editor.manner.guidance if guidance is None else guidance
    save(Image.fromarray(made), out, prompt=prompt, seed=number, guidance=used, model=editor.version)
    say(f"{out}  {made.shape[1]} x {made.shape[0]}, seed {number}")
    return out
