"""The client for asyncio: many pictures at once from one thread.

async with AsyncDanqing("grpc://localhost:8001") as server:
    pictures = await asyncio.gather(*(server.paint("bamboo", seed=s) for s in range(16)))
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from danqing.errors import ServingError
from serving.client import wire

if TYPE_CHECKING:
    from PIL.Image import Image


class AsyncDanqing:
    """As `Danqing`, to be awaited. Made and used in one event loop."""

    def __init__(self, url: str = wire.DEFAULT_URL, *, timeout: float = 60.0, retries: int = 0) -> None:
        host, port, secure = wire.parse(url)
        try:
            from tritonclient.grpc.aio import InferenceServerClient
        except ImportError as error:
            raise ServingError("the gRPC client is missing: pip install 'danqing[serve]'") from error
        self.url, self.timeout, self.retries = f"{host}:{port}", timeout, retries
        self._client = InferenceServerClient(self.url, ssl=secure, channel_args=wire.CHANNEL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.close()

    async def ready(self) -> bool:
        """Whether the server answers and the model is loaded."""
        try:
            with wire.errors(self.url, self.timeout):
                return bool(await self._client.is_model_ready(wire.PAINT, client_timeout=self.timeout))
        except ServingError:
            return False

    async def version(self) -> str:
        """Which model is served, as it stands in the pictures."""
        with wire.errors(self.url, self.timeout):
            config = await self._client.get_model_config(wire.PAINT, client_timeout=self.timeout)
        return wire.parameter(config.config, "model", self.url)

    async def paint(
        self, prompt: str, seed: int = 0, guidance: float | None = None, *, timeout: float | None = None
    ) -> Image:
        """The picture, RGB; see `Danqing.paint`. Cancelling the task cancels the request."""
        limit = self.timeout if timeout is None else timeout
        inputs = wire.asked([prompt], [seed], guidance)
        for again in reversed(range(self.retries + 1)):
            try:
                with wire.errors(self.url, limit):
                    answer = await self._client.infer(wire.PAINT, inputs, client_timeout=limit)
                return wire.pictures(answer, self.url)[0]
            except wire.Unreachable:
                if not again:
                    raise
        raise AssertionError("unreachable")

    async def preview(
        self, prompt: str, seed: int = 0, guidance: float | None = None, *, timeout: float | None = None
    ) -> AsyncIterator[wire.Step]:
        """The picture after each step of decoding; see `Danqing.preview`."""
        limit = self.timeout if timeout is None else timeout
        request = {"model_name": wire.PREVIEW, "inputs": wire.asked([prompt], [seed], guidance),
                   "enable_empty_final_response": True}  # fmt: skip

        async def requests() -> AsyncIterator[dict[str, Any]]:
            yield request

        with wire.errors(self.url, limit):
            stream = self._client.stream_infer(requests(), stream_timeout=limit)
            async for result, error in stream:
                if error is not None:
                    raise error
                if result.get_response().parameters["triton_final_response"].bool_param:
                    stream.cancel()
                    return
                yield wire.step(result)
