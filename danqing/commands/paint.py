"""`danqing paint`: prompts in, PNG files out, painted here or by a server."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from danqing.errors import DanqingError
from danqing.lexicon import explain, has_chinese
from danqing.paint import Painter, check_guidance, check_seed, enlarge, save

if TYPE_CHECKING:
    from PIL.Image import Image


def paint_command(
    prompts: Sequence[str],
    *,
    url: str | None = None,
    model: Path | None = None,
    out: Path | None = None,
    seed: int | None = None,
    count: int = 1,
    guidance: float | None = None,
    scale: int | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Paint `count` pictures of each prompt; returns the files.

    url: a server's address; None paints in this process. model: a package folder, None takes the champion, else the
    model in the box. out: a file ending in .png, or a folder; None makes new names here, a named file is overwritten.
    seed: of the first picture of each prompt, None takes one by chance and says which. scale: how much larger than
    painted the sides are saved, None at least 512 pixels, 1 as painted.
    """
    if not prompts:
        raise DanqingError('there is no prompt: danqing paint "a lone boat under misty mountains, freehand"')
    if not 1 <= count <= 1000:
        raise DanqingError(f"the count is {count}: between 1 and 1000 pictures of each prompt")
    if scale is not None and not 1 <= scale <= 64:
        raise DanqingError(f"the scale is {scale}: use a whole number from 1 to 64")
    if url is not None and model is not None:
        raise DanqingError("--url and --model contradict each other: a server paints with the model that it serves")
    first = secrets.randbelow(2**31) if seed is None else check_seed(seed)
    check_seed(first + count - 1)
    if guidance is not None:
        check_guidance(guidance)
    jobs = [(prompt, first + k) for prompt in prompts for k in range(count)]
    place = _Names(out, len(jobs))
    paint, version, default = _connect(url) if url is not None else _load(model)
    for prompt in prompts:
        if has_chinese(prompt):
            say(_explain(prompt) if url is not None else explain(prompt))
    written = []
    for prompt, number in jobs:
        picture = enlarge(paint(prompt, number, guidance), scale)
        path = place.next(number)
        used = default if guidance is None else guidance
        save(picture, path, prompt=prompt, seed=number, guidance=used, model=version)
        written.append(path)
        say(f"{path}  {picture.width} x {picture.height}, seed {number}, {version}")
    return written


def _explain(prompt: str) -> str:
    # A server may have the encoder of free Chinese where this client has not: it alone can say that nothing is known.
    try:
        return explain(prompt)
    except DanqingError:
        return f"{prompt}: not known here; the server reads it"


Paint = Callable[[str, int, "float | None"], "Image"]


def _load(model: Path | None) -> tuple[Paint, str, float]:
    painter = Painter.load(model)
    return (lambda *args: painter.paint(*args)[0]), painter.package.version, painter.package.guidance


def _connect(url: str) -> tuple[Paint, str, float]:
    # The one place in the core's commands that knows the client; it is not imported to paint in process.
    from serving.client import Danqing

    server = Danqing(url)
    return server.paint, server.version(), server.guidance()


class _Names:
    """Where the pictures go: the named file, numbered files in the named folder, or new names here."""

    def __init__(self, out: Path | None, count: int) -> None:
        self._used: set[Path] = set()
        self._file: Path | None = None
        self._folder, self._stem = Path(), "danqing"
        if out is None:
            return
        if out.is_dir():
            self._folder = out
        elif out.suffix.lower() == ".png":
            if count == 1:
                self._file = out
            self._folder, self._stem = out.parent, out.stem
        elif out.suffix:
            raise DanqingError(f"{out}: pictures are saved as PNG; give a name that ends in .png, or a folder")
        else:
            self._folder = out

    def next(self, seed: int) -> Path:
        if self._file is not None:
            return self._file
        path, again = self._folder / f"{self._stem}-{seed}.png", 1
        while path in self._used or path.exists():
            again += 1
            path = self._folder / f"{self._stem}-{seed}-{again}.png"
        self._used.add(path)
        return path
