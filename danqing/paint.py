"""Paint from a package: word pieces in, pictures out, with onnxruntime alone.

    from danqing.paint import Painter
    Painter.load().paint("a lone boat under misty mountains, freehand", seed=7)[0].save("boat.png")

Imports neither torch nor transformers nor the registry's client: from the shell a picture is there in a second or two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from danqing import files, package
from danqing.errors import DanqingError
from danqing.package import Package, champion
from danqing.pretrained import box
from danqing.wordpieces import WordPieces

if TYPE_CHECKING:
    import onnxruntime as ort
    from PIL.Image import Image

__all__ = ["Painter", "box", "enlarge", "save"]

MAX_SEED = 2**63 - 1


class Painter:
    """A loaded model. The same prompt, seed and guidance give the same picture, whatever else is painted beside it."""

    def __init__(self, model: Package, session: ort.InferenceSession, pieces: WordPieces) -> None:
        self.package, self._session, self._pieces = model, session, pieces
        self._steps: tuple[ort.InferenceSession, ort.InferenceSession] | None = None

    @classmethod
    def load(cls, path: Path | None = None, *, verify: bool = True, threads: int = 0) -> Painter:
        """The package in the folder `path`, else the champion of this workspace, else the model in the box.

        verify: compare every file with its SHA-256 first. threads: CPU threads, 0 takes all cores.
        """
        model = Package.read(champion() if path is None else path, verify=verify)
        pieces = WordPieces(model.text_length, path=model.folder / package.WORDPIECES)
        return cls(model, model.session(threads=threads), pieces)

    def paint(self, prompt: str | list[str], seed: int | list[int] = 0, guidance: float | None = None) -> list[Image]:
        """One picture a prompt, RGB, `package.size` pixels a side.

        seed: 0 … 2^63 - 1, one for all prompts or one each. guidance: how closely the words are followed, None takes
        the model's own default. Raises DanqingError on a prompt that is empty or longer than the model reads, and on
        a seed or guidance out of range.
        """
        import numpy as np
        from PIL import Image

        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts:
            raise DanqingError("there is no prompt: say what to paint")
        for text in prompts:
            self._pieces.check(text)
        seeds = [check_seed(number) for number in (seed if isinstance(seed, list) else [seed] * len(prompts))]
        if len(seeds) != len(prompts):
            raise DanqingError(f"{len(prompts)} prompts but {len(seeds)} seeds: give one seed, or one a prompt")
        strength = check_guidance(self.package.guidance if guidance is None else guidance)
        ids, mask = self._pieces(prompts)
        pictures = []
        # One at a time: in a batch the sums may be taken in another order, and one code that falls the other way
        # is another picture.
        for row, number in enumerate(seeds):
            feeds = {
                "ids": ids[row : row + 1],
                "mask": mask[row : row + 1],
                "seed": np.array([number], np.int64),
                "guidance": np.array([strength], np.float32),
            }
            pictures.append(Image.fromarray(np.asarray(self._session.run(["picture"], feeds)[0])[0]))
        return pictures

    def preview(self, prompt: str, seed: int = 0, guidance: float | None = None) -> Iterator[Image]:
        """The picture after each step of decoding; the last one is what `paint` gives, but for rounding."""
        import numpy as np
        from PIL import Image

        from danqing.stepwise import steps

        ids, mask = self._pieces([self._pieces.check(prompt)])
        strength = check_guidance(self.package.guidance if guidance is None else guidance)
        asked = {"ids": ids, "mask": mask, "seed": np.array([check_seed(seed)], np.int64),
                 "guidance": np.array([strength], np.float32)}  # fmt: skip
        if self._steps is None:
            self._steps = self.package.session(package.FIRST), self.package.session(package.THEN)
        for picture in steps(*self._steps, asked, self.package.steps):
            yield Image.fromarray(picture[0])


def check_seed(seed: int) -> int:
    """`seed` if it is one, else a DanqingError."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise DanqingError(f"the seed is {seed!r}: a whole number is needed")
    number = seed.__index__()
    if not 0 <= number <= MAX_SEED:
        raise DanqingError(f"the seed is {number}: use a number from 0 to {MAX_SEED}")
    return number


def check_guidance(guidance: float) -> float:
    try:
        value = float(guidance)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value <= 100:
        raise DanqingError(f"the guidance is {guidance!r}: use a number from 0 to 100, usually between 1 and 8")
    return value


def enlarge(picture: Image, scale: int | None) -> Image:
    """`picture` with sides `scale` times as long; None: as often as makes the short side 512 pixels or more."""
    from PIL import Image

    if scale is None:
        scale = max(1, math.ceil(512 / min(picture.size)))
    if not 1 <= scale <= 64:
        raise DanqingError(f"the scale is {scale}: use a whole number from 1 to 64")
    if scale == 1:
        return picture
    width, height = picture.size
    return picture.resize((width * scale, height * scale), Image.Resampling.LANCZOS)


def save(picture: Image, path: Path, *, prompt: str, seed: int, guidance: float | None, model: str) -> None:
    """Write a PNG that says who painted it and that `danqing inspect` believes; the file is whole or not there.

    The prompt is in it as its digest only: it may be private.
    """
    from danqing.provenance import Origin, Stamping, prompt_digest, read_secret, stamp

    secret = read_secret(None)
    origin = Origin(
        model=model, seed=seed, guidance=guidance, prompt_sha256=prompt_digest(prompt, secret),
        prompt_keyed=bool(secret),
    )  # fmt: skip
    files.write_bytes(path, stamp(picture, origin, Stamping(aigc=False, c2pa=False, watermark=False)))
