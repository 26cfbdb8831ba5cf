"""What goes over the wire to a served danqing and comes back: shared by the client and its asynchronous twin."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from danqing.errors import ServingError
from danqing.paint import check_guidance, check_seed

if TYPE_CHECKING:
    from PIL.Image import Image

PAINT, EDIT, PREVIEW = "danqing", "edit", "preview"
CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.use_local_subchannel_pool", 1),  # a new client connects at once, whatever another has met
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]
"""gRPC's settings. By default it looks for a server that was away only every two minutes. The message lengths are
tritonclient's own, which it leaves out as soon as it is given any setting."""
BATCH = 8
"""Pictures that one call may ask for."""
DEFAULT_PORT = 8001
DEFAULT_URL = f"grpc://localhost:{DEFAULT_PORT}"
_ADDRESS = re.compile(r"^(?:(?P<scheme>[a-z]+)://)?(?P<host>\[[0-9a-fA-F:]+\]|[^:/\s\[\]]+)(?::(?P<port>\d+))?/?$")
_KINDS = {"int32": "INT32", "uint64": "UINT64", "float32": "FP32", "uint8": "UINT8", "bool": "BOOL", "object": "BYTES"}


class Unreachable(ServingError):
    """Nobody answers there: the one error after which the same call may be tried again at once."""


class Overloaded(ServingError):
    """The server's queue is full."""


class TooSlow(ServingError):
    """No picture within the time allowed."""


class Broken(ServingError):
    """A model's process has died in the server, which is started anew by `danqing serve` within seconds."""


class Loading(ServingError):
    """The server is there, its model is not, or not yet."""


class Refused(ServingError):
    """The server does not accept the request as it is."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}")
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One picture of a preview."""

    picture: Image
    number: int
    """From 1 on."""
    steps: int
    """How many there will be."""


def parse(url: str) -> tuple[str, int, bool]:
    """(host, port, whether by TLS). Raises ServingError on what is no address."""
    found = _ADDRESS.match(url.strip())
    if found is None or (found["scheme"] or "grpc") not in ("grpc", "grpcs"):
        raise ServingError(f"{url!r} is no address of a server: use grpc://host:port")
    port = int(found["port"] or DEFAULT_PORT)
    if not 0 < port < 65536:
        raise ServingError(f"{url!r}: a port lies between 1 and 65535")
    return found["host"], port, found["scheme"] == "grpcs"


def tensor(name: str, values: np.ndarray) -> Any:
    from tritonclient.grpc import InferInput

    made = InferInput(name, list(values.shape), _KINDS[values.dtype.name])
    made.set_data_from_numpy(values)
    return made


def asked(prompts: Sequence[str], seeds: Sequence[int], guidance: float | None) -> list[Any]:
    """The inputs that all models take."""
    if len(prompts) != len(seeds):
        raise ServingError(f"{len(prompts)} prompts but {len(seeds)} seeds: one each is needed")
    words = np.array([[prompt.encode("utf-8")] for prompt in prompts], np.object_)
    inputs = [tensor("prompt", words), tensor("seed", np.array([[check_seed(s)] for s in seeds], np.uint64))]
    if guidance is not None:
        inputs.append(tensor("guidance", np.full((len(prompts), 1), check_guidance(guidance), np.float32)))
    return inputs


def pictures(answer: Any, url: str) -> list[Image]:
    """RGB; `info["danqing:model"]` says which model painted it, whatever is served by now."""
    from PIL import Image

    found, files = answer.as_numpy("picture"), answer.as_numpy("png")
    if found is None or files is None or found.ndim != 4:
        raise ServingError(f"{url} answered without a picture; is it a danqing server of this version?")
    made = []
    for pixels, png in zip(found, files[:, 0], strict=True):
        picture = Image.fromarray(pixels)
        with Image.open(io.BytesIO(png)) as file:  # reads the notes only, not the pixels again
            picture.info.update(file.info)
        made.append(picture)
    return made


def step(answer: Any) -> Step:
    from PIL import Image

    numbers = {name: int(answer.as_numpy(name)[0]) for name in ("step", "steps")}
    return Step(picture=Image.fromarray(answer.as_numpy("picture")[0]), number=numbers["step"], steps=numbers["steps"])


def parameter(config: Any, name: str, url: str) -> str:
    if name not in config.parameters:
        raise ServingError(f"{url} serves a model without the parameter {name!r}; is it a danqing server?")
    return str(config.parameters[name].string_value)


@contextlib.contextmanager
def errors(url: str, limit: float) -> Iterator[None]:
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        raise _explained(error, url, limit) from error


def _explained(error: Any, url: str, limit: float) -> ServingError:
    status, message = str(error.status() or ""), str(error.message() or "").strip()
    if "DEADLINE_EXCEEDED" in status:
        return TooSlow(f"{url} gave no picture within {limit:g} s; try again or allow more time")
    # Triton reports a refused request and a missing model under other codes; only a lost connection is gRPC's own.
    if "UNAVAILABLE" in status and ("connect" in message.lower() or "socket" in message.lower()):
        return Unreachable(f"no server answers at {url}; start one with `danqing serve`")
    if "Server is stopping" in message:  # refused before anything was painted
        return Unreachable(f"the server at {url} is being stopped, or started anew")
    first = message.splitlines()[0] if message else status
    # An ensemble says where in itself it failed; the caller need not know.
    first = re.sub(r"^(in ensemble '[^']*', )?(\[request id: [^\]]*\] )?", "", first)
    if "queue size" in first or "RESOURCE_EXHAUSTED" in status:
        return Overloaded(f"{url} is busy: {first}; try again later")
    if "INVALID_ARGUMENT" in status:
        return Refused(url, first)
    if "no available versions" in message:
        return Loading(f"{url}: the model is not served now; it may still be loading")
    if "Stub process" in message:
        return Broken(f"{url}: a model's process has died there; try again in a moment")
    return ServingError(f"{url}: {first}")
