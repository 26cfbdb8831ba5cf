"""Who paints for the gateway: a Triton server, or this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio.to_thread
import numpy as np

from danqing.editing import RESTORING, Editor
from danqing.paint import Painter
from serving.client import AsyncDanqing, Danqing, Step
from serving.client.wire import TooSlow
from serving.gateway.settings import Settings

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")


class Backend(Protocol):
    """All calls raise DanqingError; timeout: seconds."""

    async def ready(self) -> bool: ...

    async def paint(self, prompt: str, seed: int, guidance: float | None, timeout: float) -> Image:
        """RGB; `info["danqing:model"]` says which model painted it."""
        ...

    def preview(self, prompt: str, seed: int, guidance: float | None, timeout: float) -> AsyncIterator[Step]: ...

    async def editor(self, restoring: bool) -> Editor:
        """To be used in a thread."""
        ...

    async def close(self) -> None: ...


class Remote:
    """By Triton. One connection for painting, one for editing, one for each preview."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self._timeout = url, timeout
        self._client = Danqing(url, timeout=timeout, retries=1)
        self._asynchronous: AsyncDanqing | None = None

    @property
    def _server(self) -> AsyncDanqing:
        if self._asynchronous is None:  # it belongs to the event loop that first uses it
            self._asynchronous = AsyncDanqing(self._url, timeout=self._timeout, retries=1)
        return self._asynchronous

    async def ready(self) -> bool:
        return await self._server.ready()

    async def paint(self, prompt: str, seed: int, guidance: float | None, timeout: float) -> Image:
        return await self._server.paint(prompt, seed, guidance, timeout=timeout)

    def preview(self, prompt: str, seed: int, guidance: float | None, timeout: float) -> AsyncIterator[Step]:
        return self._server.preview(prompt, seed, guidance, timeout=timeout)

    async def editor(self, restoring: bool) -> Editor:
        found: Editor = await anyio.to_thread.run_sync(self._client.editor, RESTORING if restoring else None)
        return found

    async def close(self) -> None:
        if self._asynchronous is not None:
            await self._asynchronous.close()
        self._client.close()


class Local:
    """In this process: one picture at a time, since each takes all cores."""

    def __init__(self, model: Path | None) -> None:
        self._painter = Painter.load(model)
        self._turn = threading.Lock()
        self._editor: Editor | None = None

    async def ready(self) -> bool:
        return True

    async def paint(self, prompt: str, seed: int, guidance: float | None, timeout: float) -> Image:
        def work() -> Image:
            with self._turn:
                return self._painter.paint(prompt, seed, guidance)[0]

        picture = await _within(timeout, anyio.to_thread.run_sync(work, abandon_on_cancel=True))
        picture.info["danqing:model"] = self._painter.package.version
        return picture

    async def preview(self, prompt: str, seed: int, guidance: float | None, timeout: float) -> AsyncIterator[Step]:
        pictures: Iterator[Image] = self._painter.preview(prompt, seed, guidance)
        total = sum(self._painter.package.steps)

        def following() -> Image | None:
            with self._turn:
                return next(pictures, None)

        number = 0
        while picture := await _within(timeout, anyio.to_thread.run_sync(following)):
            number += 1
            picture.info["danqing:model"] = self._painter.package.version
            yield Step(picture=picture, number=number, steps=total)

    async def editor(self, restoring: bool) -> Editor:
        if self._editor is None:
            self._editor = await anyio.to_thread.run_sync(Editor.load, self._painter.package.folder)
        own, turn = self._editor, self._turn

        def squares(*args: object) -> np.ndarray:
            with turn:
                return own.squares(*args)  # type: ignore[arg-type]

        return Editor(squares, own.size, RESTORING if restoring else own.manner, own.version)

    async def close(self) -> None:
        pass


async def _within(timeout: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(timeout):  # not wait_for, which may swallow a cancellation (Python 3.11)
            return await work
    except TimeoutError as error:
        raise TooSlow(f"no picture within {timeout:g} s") from error


def backend(settings: Settings) -> Backend:
    if settings.triton:
        return Remote(settings.triton, settings.timeout)
    return Local(Path(settings.model) if settings.model else None)
