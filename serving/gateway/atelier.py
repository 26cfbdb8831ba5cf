"""What the gateway does with a request, without HTTP: judge, paint, stamp. Routes and tasks share it."""

from __future__ import annotations

import contextlib
import functools
import io
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio.to_thread
import numpy as np
from PIL import Image

from danqing.errors import DanqingError
from danqing.paint import check_guidance, check_seed, enlarge
from danqing.tracing import Near
from serving.client import Step
from serving.gateway import metrics
from serving.gateway.errors import Declined, explained
from serving.gateway.judging import Judge
from serving.gateway.stamping import Stamp

if TYPE_CHECKING:
    from danqing.editing import Editor
    from serving.gateway.backend import Backend
    from serving.gateway.feedback import Seal
    from serving.gateway.observing import Observer
    from serving.gateway.settings import Settings
    from serving.gateway.works import KnownWorks


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One picture to paint."""

    prompt: str
    seed: int | None = None
    """None takes one by chance."""
    guidance: float | None = None
    scale: int | None = None
    """How much larger than painted; None at least 512 pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Painted:
    png: bytes
    seed: int
    model: str
    note: str = ""
    """What was changed about the prompt, and why."""
    nearest: tuple[Near, ...] = ()
    """The works that the model was trained on and that the picture is most like."""
    id: str = ""
    """To vote on it (`serving.gateway.feedback`)."""


class Gate:
    """Lets so many in at once; one more is told to come again."""

    def __init__(self, limit: int) -> None:
        self.limit, self.inside = limit, 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        if self.inside >= self.limit:
            raise Declined(429, "busy", f"{self.limit} requests are being painted; try again in a moment")
        self.inside += 1
        metrics.waiting.inc()
        try:
            yield
        finally:
            self.inside -= 1
            metrics.waiting.dec()


@contextlib.contextmanager
def explaining() -> Iterator[None]:
    """What the painter raises, as an answer to the caller."""
    try:
        yield
    except DanqingError as error:
        raise explained(error) from error


class Atelier:
    def __init__(
        self, settings: Settings, backend: Backend, judge: Judge, stamp: Stamp, works: KnownWorks, observer: Observer,
        seal: Seal,
    ) -> None:  # fmt: skip
        self.settings, self.backend, self.judge, self.stamp, self.works = settings, backend, judge, stamp, works
        self.observer, self.seal = observer, seal
        self.gate = Gate(settings.concurrency)

    async def paint(self, order: Order, *, timeout: float, gated: bool = True) -> Painted:
        """Raises Declined. gated: count it among the requests at once."""
        with contextlib.nullcontext() if not gated else self.gate():
            async with self._noticing(order.prompt) as shown:
                allowed = await self.judge(order.prompt)
                with explaining():
                    seed = secrets.randbelow(2**31) if order.seed is None else check_seed(order.seed)
                    guidance = None if order.guidance is None else check_guidance(order.guidance)
                    with metrics.stage("paint"):
                        picture = await self.backend.paint(allowed.prompt, seed, guidance, timeout)
                shown.append(picture)
                return await self._finish(picture, order, seed, allowed.note, await self._trace(picture))

    async def preview(self, order: Order, *, timeout: float) -> AsyncIterator[Step | Painted]:
        """The pictures of all steps as they come, the last one stamped. The prompt is judged before the first."""
        with self.gate():
            async with self._noticing(order.prompt) as shown:
                allowed = await self.judge(order.prompt)
                last = None
                with explaining():
                    seed = secrets.randbelow(2**31) if order.seed is None else check_seed(order.seed)
                    guidance = None if order.guidance is None else check_guidance(order.guidance)
                    async for step in self.backend.preview(allowed.prompt, seed, guidance, timeout):
                        last = step
                        yield step
                if last is None:
                    raise Declined(503, "not_ready", "the painter ended before it began; try again later")
                shown.append(last.picture)
                done = await self._finish(last.picture, order, seed, allowed.note, await self._trace(last.picture))
            yield done

    async def edit(
        self, picture: np.ndarray, order: Order, *, hole: np.ndarray | None = None, extend: str = "",
        strength: float | None = None, restoring: bool = False,
    ) -> Painted:  # fmt: skip
        """Paint into the hole, beyond a side, or all over with some strength. Raises Declined."""
        with self.gate():
            allowed = await self.judge(order.prompt)
            with explaining():
                seed = secrets.randbelow(2**31) if order.seed is None else check_seed(order.seed)
                editor = await self.backend.editor(restoring)

                def work(editor: Editor = editor) -> np.ndarray:
                    if hole is not None:
                        return editor.restore(picture, hole, allowed.prompt, seed=seed, guidance=order.guidance)
                    if extend:
                        return editor.extend(picture, allowed.prompt, side=extend, seed=seed, guidance=order.guidance)
                    return editor.revise(
                        picture, allowed.prompt, strength=strength or 0, seed=seed, guidance=order.guidance
                    )

                with metrics.stage("paint"):
                    made = Image.fromarray(await anyio.to_thread.run_sync(work))
            made.info["danqing:model"] = editor.version
            return await self._finish(made, order, seed, allowed.note, edited=True)

    @contextlib.asynccontextmanager
    async def _noticing(self, prompt: str) -> AsyncIterator[list[Image.Image]]:
        """Counts a prompt with what becomes of it. The picture goes into the list, which is noted before it is stamped.

        Whoever hangs up is not counted.
        """
        shown: list[Image.Image] = []
        note = self.observer.note
        try:
            yield shown
        except Declined as declined:
            await anyio.to_thread.run_sync(note, prompt, declined.code)
            raise
        await anyio.to_thread.run_sync(note, prompt, "painted", np.asarray(shown[0]) if shown else None)

    async def _trace(self, picture: Image.Image) -> tuple[Near, ...]:
        """Raises Declined where the picture is as good as a work that the model has seen."""
        works = self.works.of(str(picture.info.get("danqing:model")))
        if works is None:
            return ()
        with metrics.stage("trace"):
            nearest = await anyio.to_thread.run_sync(works.nearest, np.asarray(picture))
        first = nearest[0]
        if first.similarity >= self.settings.copy_limit:
            work = f"{first.work.title or first.work.id} ({first.work.institution}, {first.work.licence})"
            raise Declined(403, "too_near", f"the picture came out too much like {work}; try another seed or prompt")
        return tuple(nearest)

    async def _finish(
        self, picture: Image.Image, order: Order, seed: int, note: str, nearest: tuple[Near, ...] = (),
        edited: bool = False,
    ) -> Painted:  # fmt: skip
        model = str(picture.info.get("danqing:model", "unknown"))
        with metrics.stage("stamp"), explaining():
            large = enlarge(picture, 1 if edited else order.scale)
            write = functools.partial(
                self.stamp, large, prompt=order.prompt, seed=seed, guidance=order.guidance, model=model,
                nearest=nearest, edited=edited,
            )  # fmt: skip
            png = await anyio.to_thread.run_sync(write)
        metrics.pictures.labels(model=model).inc()
        return Painted(png=png, seed=seed, model=model, note=note, nearest=nearest, id=self.seal.give(model))


def jpeg(picture: Image.Image) -> bytes:
    """A step of a preview: small, and gone in a moment."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
