"""The controller's side of Triton: which version callers get, loading another beside it, trying it, pointing to it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

from danqing.errors import ServingError
from serving.client.client import _parse
from serving.rollout import naming
from serving.rollout.naming import POINTERS, Release
from serving.triton.server import CONTROL_KEY

PROMPTS = ("a lone boat under misty mountains, freehand", "two red fish, fine brush, in colour")
SEEDS = (1, 2)
BLANK = 1.0
"""Standard deviation of a picture's values, of 255, below which there is nothing on it."""


class Triton:
    """A Triton that was started with `serving.triton.server.control(secret)`.

    load_timeout, call_timeout: seconds that a load, and any other call, may take. Every method raises ServingError.
    """

    def __init__(self, url: str, secret: str = "", *, load_timeout: float = 300.0, call_timeout: float = 60.0) -> None:
        from tritonclient.grpc import InferenceServerClient

        host, port, secure = _parse(url)
        self.url, self.load_timeout, self.call_timeout = f"{host}:{port}", load_timeout, call_timeout
        self._headers = {f"triton-grpc-protocol-{CONTROL_KEY}": secret} if secret else None
        # By default gRPC looks for a server that was away only every two minutes.
        options = [("grpc.max_reconnect_backoff_ms", 1000), ("grpc.initial_reconnect_backoff_ms", 200)]
        options += [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._client = InferenceServerClient(self.url, ssl=secure, channel_args=options)

    def close(self) -> None:
        self._client.close()

    def pointed(self) -> tuple[str, str] | None:
        """Key and package fingerprint of the version that callers get; None if they get none."""
        name = POINTERS[0]
        with self._errors("does not answer"):
            if not self._client.is_model_ready(name, client_timeout=self.call_timeout):
                return None
            parameters = self._client.get_model_config(name, client_timeout=self.call_timeout).config.parameters
        return parameters[naming.KEY].string_value, parameters[naming.PACKAGE].string_value

    def loaded(self) -> set[str]:
        """The keys of all versions that are in memory."""
        prefix = f"{POINTERS[0]}-"
        return {name.removeprefix(prefix) for name in self._ready() if name.startswith(prefix)}

    def load(self, release: Release) -> None:
        """Load `release` beside what is there; no caller sees it yet."""
        for pointer in release.pointers():
            name = f"{pointer.name}-{release.key}"
            with self._errors(f"does not load {name}"):
                self._client.load_model(name, headers=self._headers, client_timeout=self.load_timeout)

    def point(self, release: Release) -> None:
        """Let callers get `release`, from one request to the next."""
        from google.protobuf import json_format

        for folder in release.pointers():
            # Sent along, the configuration counts as changed, whatever the dates of files and the clock say.
            config = json_format.MessageToJson(naming.read(folder), preserving_proto_field_name=True)
            with self._errors(f"does not point {folder.name} to {release.key}"):
                self._client.load_model(
                    folder.name, headers=self._headers, config=config, client_timeout=self.load_timeout
                )
        now = self.pointed()
        if now is None or now[0] != release.key:
            raise ServingError(f"{self.url}: Triton was pointed to {release.key} and serves {now and now[0]}")

    def unload(self, key: str) -> None:
        """Free the memory of a version that callers do not get. What they do get is never unloaded."""
        now = self.pointed()
        if now is not None and now[0] == key:
            return
        ours = [name for name in self._ready() if name.endswith(f"-{key}")]
        for name in sorted(ours, key=lambda name: not name.startswith(POINTERS)):  # ensembles before what they need
            with self._errors(f"does not unload {name}"):
                self._client.unload_model(name, headers=self._headers, client_timeout=self.load_timeout)

    def smoke(self, release: Release) -> None:
        """Paint a few pictures with a loaded version; ServingError says what is wrong with them.

        They must have the right size, show something, be the same when asked for again, and differ between prompts
        and seeds. (A value that is not finite cannot be told in 8 bits; it makes a picture blank, or not repeatable.)
        """
        import numpy as np

        config = naming.read(release.folder / f"{POINTERS[0]}-{release.key}")
        shape = next(tuple(tensor.dims) for tensor in config.output if tensor.name == "picture")
        default = float(config.parameters["guidance"].string_value)
        pictures = {}
        for prompt in PROMPTS:
            for seed in SEEDS:
                what = f"the picture of {prompt!r}, seed {seed},"
                picture = pictures[prompt, seed] = self._paint(config.name, prompt, seed)
                if picture.shape != shape or picture.dtype != np.uint8:
                    raise ServingError(f"{what} is {picture.dtype} {picture.shape}, it should be uint8 {shape}")
                if picture.std() < BLANK:
                    raise ServingError(f"{what} is blank")
            # The default, sent along, is the same picture and another entry in the cache: it is painted once more.
            if not np.array_equal(self._paint(config.name, prompt, SEEDS[0], default), pictures[prompt, SEEDS[0]]):
                raise ServingError(f"the picture of {prompt!r}, seed {SEEDS[0]}, is another one when painted again")
            if np.array_equal(pictures[prompt, SEEDS[0]], pictures[prompt, SEEDS[1]]):
                raise ServingError(f"the pictures of {prompt!r} are the same for different seeds")
        if np.array_equal(pictures[PROMPTS[0], SEEDS[0]], pictures[PROMPTS[1], SEEDS[0]]):
            raise ServingError("different prompts give the same picture")

    def _paint(self, model: str, prompt: str, seed: int, guidance: float | None = None) -> Any:
        """One picture, uint8 [size, size, 3]; its PNG must be one."""
        import numpy as np
        from PIL import Image
        from tritonclient.grpc import InferInput

        tensors = [("prompt", "BYTES", np.array([[prompt.encode()]], np.object_))]
        tensors.append(("seed", "UINT64", np.array([[seed]], np.uint64)))
        if guidance is not None:
            tensors.append(("guidance", "FP32", np.array([[guidance]], np.float32)))
        inputs = []
        for name, kind, value in tensors:
            inputs.append(InferInput(name, [1, 1], kind))
            inputs[-1].set_data_from_numpy(value)
        with self._errors("does not paint"):
            answer = self._client.infer(model, inputs, client_timeout=self.call_timeout)
        picture, png = answer.as_numpy("picture"), answer.as_numpy("png")
        if picture is None or picture.ndim != 4 or png is None:
            raise ServingError("an answer came without a picture")
        try:
            with Image.open(io.BytesIO(png.flat[0])) as opened:
                opened.verify()
        except Exception as error:  # Pillow has many
            raise ServingError(f"the PNG is none: {error}") from error
        return picture[0]

    def _ready(self) -> list[str]:
        with self._errors("does not list its models"):
            index = self._client.get_model_repository_index(headers=self._headers, client_timeout=self.call_timeout)
        return [model.name for model in index.models if model.state == "READY"]

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        from tritonclient.utils import InferenceServerException

        try:
            yield
        except InferenceServerException as error:
            lines = [line.strip() for line in str(error.message() or error.status()).splitlines() if line.strip()]
            raise ServingError(f"{self.url}: Triton {what}: {' '.join(lines)[:400] or 'no reason given'}") from error
