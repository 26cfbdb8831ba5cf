"""The client, over gRPC. Needs tritonclient, numpy and Pillow, and no model.

with Danqing("grpc://localhost:8001") as server:
    server.paint("a lone boat under misty mountains, freehand", seed=7).save("boat.png")
    for step in server.preview("bamboo in the rain", seed=7):
        step.picture.save(f"step{step.number}.png")
    server.edit(picture, hole, "a pagoda", seed=7).save("pagoda.png")
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from danqing.errors import ServingError
from serving.client import wire

if TYPE_CHECKING:
    from PIL.Image import Image

    from danqing.editing import Manner


class Danqing:
    """A served model. One object keeps one connection; it may be shared between threads.

    url: `grpc://host:port`, or `grpcs://…` for TLS; the port is 8001 where none is given. timeout: seconds that a call
    may take at most. retries: how often a call is repeated when the server cannot be reached: painting changes nothing
    there, so that this is safe.

    Every method raises a ServingError that says what to do about it (Unreachable, Loading, Broken, Overloaded, TooSlow,
    Refused), and DanqingError on a seed or guidance out of range.
    """

    def __init__(self, url: str = wire.DEFAULT_URL, *, timeout: float = 60.0, retries: int = 0) -> None:
        host, port, secure = wire.parse(url)
        try:
            from tritonclient.grpc import InferenceServerClient
        except ImportError as error:
            raise ServingError("the gRPC client is missing: pip install 'danqing[serve]'") from error
        self.url, self.timeout, self.retries, self._secure = f"{host}:{port}", timeout, retries, secure
        self._client = InferenceServerClient(self.url, ssl=secure, channel_args=wire.CHANNEL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def ready(self) -> bool:
        """Whether the server answers and the model is loaded."""
        try:
            with wire.errors(self.url, self.timeout):
                return bool(self._client.is_model_ready(wire.PAINT, client_timeout=self.timeout))
        except ServingError:
            return False

    def version(self) -> str:
        """Which model is served, as it stands in the pictures."""
        return self._parameter("model")

    def guidance(self) -> float:
        """The guidance that a call without one gets."""
        return float(self._parameter("guidance"))

    def size(self) -> int:
        """Side of the pictures, pixels."""
        return int(self._config(wire.PAINT).output[0].dims[0])

    def paint(
        self, prompt: str, seed: int = 0, guidance: float | None = None, *, timeout: float | None = None
    ) -> Image:
        """The picture, RGB. The same prompt, seed and guidance give the same picture.

        seed: 0 … 2^63 - 1. guidance: None takes the model's own default.
        """
        return self.paint_all([prompt], [seed], guidance, timeout=timeout)[0]

    def paint_all(
        self, prompts: Sequence[str], seeds: Sequence[int], guidance: float | None = None,
        *, timeout: float | None = None,
    ) -> list[Image]:  # fmt: skip
        """One picture a prompt, in one call for every 8 of them."""
        found: list[Image] = []
        for start in range(0, len(prompts), wire.BATCH):
            part = slice(start, start + wire.BATCH)
            inputs = wire.asked(prompts[part], seeds[part], guidance)
            found += self._infer(wire.PAINT, inputs, timeout)
        return found

    def preview(
        self, prompt: str, seed: int = 0, guidance: float | None = None, *, timeout: float | None = None
    ) -> Iterator[wire.Step]:
        """The picture after each step of decoding, as the server finishes it; the last one is what `paint` gives.

        Whoever stops early tells the server, which then stops too.
        """
        from tritonclient.grpc import InferenceServerClient

        limit = self.timeout if timeout is None else timeout
        inputs = wire.asked([prompt], [seed], guidance)
        arrived: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
        client = InferenceServerClient(self.url, ssl=self._secure)  # a connection holds one stream at a time
        ended, stream = False, None
        try:
            with wire.errors(self.url, limit):
                client.start_stream(lambda result, error: arrived.put((result, error)), stream_timeout=limit)
                stream = client._stream
                client.async_stream_infer(wire.PREVIEW, inputs, enable_empty_final_response=True)
                while True:
                    result, error = arrived.get()
                    if error is not None:
                        raise error
                    if result.get_response().parameters["triton_final_response"].bool_param:
                        ended = True
                        return
                    yield wire.step(result)
        finally:
            with contextlib.suppress(Exception):  # a stream that has failed cannot be stopped
                client.stop_stream(cancel_requests=not ended)
            if stream is not None:
                # A cancelled stream goes on waiting for requests, with a thread of its own, until it hears of the end.
                stream._request_queue.put(None)
            client.close()

    def edit(
        self, picture: Image, hole: Image | np.ndarray, prompt: str, seed: int = 0, guidance: float | None = None
    ) -> Image:
        """`picture` of any size with something new where `hole` is white; elsewhere it stays byte for byte.

        hole: a picture of the same size (what is lighter than middle grey), or bool (H, W).
        """
        return self._edited(picture, hole, prompt, seed, guidance, None)

    def restore(
        self, picture: Image, hole: Image | np.ndarray, prompt: str = "a Chinese painting", seed: int = 0
    ) -> Image:
        """The same with what is likeliest there, rather than something new."""
        from danqing.editing import RESTORING

        return self._edited(picture, hole, prompt, seed, None, RESTORING)

    def _edited(
        self, picture: Image, hole: Image | np.ndarray, prompt: str, seed: int, guidance: float | None,
        manner: Manner | None,
    ) -> Image:  # fmt: skip
        from PIL import Image

        where = np.asarray(hole) if isinstance(hole, np.ndarray) else np.asarray(hole.convert("L")) > 127
        made = self.editor(manner).restore(
            np.asarray(picture.convert("RGB")), where, prompt, seed=seed, guidance=guidance
        )
        return Image.fromarray(made)

    def editor(self, manner: Manner | None = None) -> Any:
        """A `danqing.editing.Editor` whose squares are painted by the server; manner: None takes the model's own."""
        from danqing.editing import Editor, Manner

        own = Manner(guidance=self.guidance(), temperature=float(self._parameter("temperature")))
        return Editor(self._squares, self.size(), manner or own, self.version())

    def _squares(
        self, pictures: np.ndarray, holes: np.ndarray, prompts: Sequence[str], seeds: Sequence[int], manner: Manner
    ) -> np.ndarray:
        inputs = wire.asked(prompts, seeds, manner.guidance)
        count = len(prompts)
        inputs += [
            wire.tensor("temperature", np.full((count, 1), manner.temperature, np.float32)),
            wire.tensor("image", np.ascontiguousarray(pictures)), wire.tensor("hole", holes),
        ]  # fmt: skip
        return np.stack([np.asarray(picture) for picture in self._infer(wire.EDIT, inputs, None)])

    def _infer(self, model: str, inputs: list[Any], timeout: float | None) -> list[Image]:
        limit = self.timeout if timeout is None else timeout
        for again in reversed(range(self.retries + 1)):
            try:
                with wire.errors(self.url, limit):
                    # All outputs: an ensemble that is asked for some of them refuses (server issue 7482).
                    answer = self._client.infer(model, inputs, client_timeout=limit)
                return wire.pictures(answer, self.url)
            except wire.Unreachable:
                if not again:
                    raise
        raise AssertionError("unreachable")

    def _config(self, model: str) -> Any:
        with wire.errors(self.url, self.timeout):
            return self._client.get_model_config(model, client_timeout=self.timeout).config

    def _parameter(self, name: str) -> str:
        return wire.parameter(self._config(wire.PAINT), name, self.url)
