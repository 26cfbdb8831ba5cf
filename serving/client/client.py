"""A synchronous client over gRPC. Needs tritonclient, numpy and Pillow, and no model.

with Danqing("grpc://localhost:8001") as server:
    server.paint("a lone boat under misty mountains, freehand", seed=7).save("boat.png")
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from danqing.errors import ServingError
from danqing.paint import check_guidance, check_seed

if TYPE_CHECKING:
    from PIL.Image import Image

MODEL = "danqing"
DEFAULT_PORT = 8001
_ADDRESS = re.compile(r"^(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[0-9a-fA-F:]+\]|[^:/\s\[\]]+)(?::(?P<port>\d+))?/?$")


class Danqing:
    """A served model. One object keeps one connection; it may be shared between threads.

    url: `grpc://host:port`, or `grpcs://…` for TLS; the port is 8001 where none is given. timeout: seconds that a call
    may take at most.
    """

    def __init__(self, url: str = "grpc://localhost:8001", *, timeout: float = 60.0) -> None:
        host, port, secure = _parse(url)
        try:
            from tritonclient.grpc import InferenceServerClient
        except ImportError as error:
            raise ServingError("the gRPC client is missing: pip install 'danqing[serve]'") from error
        self.url, self.timeout = f"{host}:{port}", timeout
        self._client = InferenceServerClient(self.url, ssl=secure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def ready(self) -> bool:
        """Whether the server answers and the model is loaded."""
        try:
            with self._errors():
                return bool(self._client.is_model_ready(MODEL, client_timeout=self.timeout))
        except ServingError:
            return False

    def version(self) -> str:
        """Which model is served, as it stands in the pictures."""
        return self._parameter("model")

    def guidance(self) -> float:
        """The guidance that a call without one gets."""
        return float(self._parameter("guidance"))

    def paint(
        self, prompt: str, seed: int = 0, guidance: float | None = None, *, timeout: float | None = None
    ) -> Image:
        """The picture, RGB. The same prompt, seed and guidance give the same picture.

        seed: 0 … 2^63 - 1. guidance: None takes the model's own default. Raises ServingError: no server, too slow, or
        what the server says against the request; DanqingError on a seed or guidance out of range.
        """
        import numpy as np
        from PIL import Image
        from tritonclient.grpc import InferInput

        words = InferInput("prompt", [1, 1], "BYTES")
        words.set_data_from_numpy(np.array([[prompt.encode("utf-8")]], dtype=np.object_))
        number = InferInput("seed", [1, 1], "UINT64")
        number.set_data_from_numpy(np.array([[check_seed(seed)]], np.uint64))
        inputs = [words, number]
        if guidance is not None:
            strength = InferInput("guidance", [1, 1], "FP32")
            strength.set_data_from_numpy(np.array([[check_guidance(guidance)]], np.float32))
            inputs.append(strength)
        limit = self.timeout if timeout is None else timeout
        with self._errors(limit):
            # All outputs: an ensemble that is asked for some of them refuses (triton-inference-server/server#7482).
            answer = self._client.infer(MODEL, inputs, client_timeout=limit)
        picture = answer.as_numpy("picture")
        if picture is None or picture.ndim != 4:
            raise ServingError(f"{self.url} answered without a picture; is it a danqing server of this version?")
        return Image.fromarray(picture[0])

    def _parameter(self, name: str) -> str:
        with self._errors():
            config = self._client.get_model_config(MODEL, client_timeout=self.timeout).config
        if name not in config.parameters:
            raise ServingError(f"{self.url} serves a model without the parameter {name!r}; is it a danqing server?")
        return str(config.parameters[name].string_value)

    @contextlib.contextmanager
    def _errors(self, limit: float | None = None) -> Iterator[None]:
        from tritonclient.utils import InferenceServerException

        try:
            yield
        except InferenceServerException as error:
            raise ServingError(self._explain(error, self.timeout if limit is None else limit)) from error

    def _explain(self, error: Any, limit: float) -> str:
        status, message = str(error.status() or ""), str(error.message() or "").strip()
        if "DEADLINE_EXCEEDED" in status:
            return f"{self.url} gave no picture within {limit:g} s; try again or allow more time"
        # Triton reports a refused request and a missing model under other codes; only a lost connection is gRPC's own.
        if "UNAVAILABLE" in status and ("connect" in message.lower() or "socket" in message.lower()):
            return f"no server answers at {self.url}; start one with `danqing serve`"
        first = message.splitlines()[0] if message else status
        # An ensemble says where in itself it failed; the caller need not know.
        first = re.sub(r"^(in ensemble '[^']*', )?(\[request id: [^\]]*\] )?", "", first)
        return f"{self.url}: {first}"


def _parse(url: str) -> tuple[str, int, bool]:
    found = _ADDRESS.match(url.strip())
    if found is None or (found["scheme"] or "grpc") not in ("grpc", "grpcs"):
        raise ServingError(f"{url!r} is no address of a server: use grpc://host:port")
    port = int(found["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise ServingError(f"{url!r}: a port lies between 1 and 65535")
    return found["host"], port, found["scheme"] == "grpcs"
