"""The smoke test: a few pictures by a version that is loaded and that no caller sees yet.

They must have the right size, show something, be the same when asked for again, and differ between prompts and seeds.
(A value that is not finite cannot be told in 8 bits; it makes a picture blank, or one that does not come again.) A
preview must come to its end, and an edit must leave alone what is outside the hole.
"""

from __future__ import annotations

import queue
from typing import Any

import numpy as np

from danqing.errors import ServingError
from serving.client import wire
from serving.rollout import naming
from serving.rollout.naming import Release
from serving.rollout.triton import Triton

PROMPTS = ("a lone boat under misty mountains, freehand", "two red fish, fine brush, in colour")
SEEDS = (1, 2)
BLANK = 1.0
"""Standard deviation of a picture's values, of 255, below which there is nothing on it."""


def smoke(triton: Triton, release: Release) -> None:
    """Raises ServingError, which says what is wrong with the pictures of `release`."""
    names = {path.name: f"{path.name}-{release.key}" for path in release.pointers()}
    config = naming.read(release.folder / names[wire.PAINT])
    shape = next(tuple(tensor.dims) for tensor in config.output if tensor.name == "picture")
    default = float(config.parameters["guidance"].string_value)

    def paint(prompt: str, seed: int, guidance: float | None = None) -> np.ndarray:
        picture = _paint(triton, names[wire.PAINT], wire.asked([prompt], [seed], guidance))
        return _look(picture, shape, f"the picture of {prompt!r}, seed {seed},")

    prompt, seed = PROMPTS[0], SEEDS[0]
    first = paint(prompt, seed)
    # The default, sent along, is the same picture and another entry in the cache: it is painted once more.
    if not np.array_equal(first, paint(prompt, seed, default)):
        raise ServingError(f"the picture of {prompt!r}, seed {seed}, is another one when painted again")
    if np.array_equal(first, paint(prompt, SEEDS[1])):
        raise ServingError(f"the pictures of {prompt!r} are the same for different seeds")
    if np.array_equal(first, paint(PROMPTS[1], seed)):
        raise ServingError("different prompts give the same picture")
    if wire.PREVIEW in names:
        _look(_preview(triton, names[wire.PREVIEW]), shape, "the last picture of a preview")
    if wire.EDIT in names:
        hole = np.zeros((1, *shape[:2]), np.bool_)
        hole[:, :, shape[1] // 2 :] = True
        inputs = [*wire.asked(PROMPTS[1:], SEEDS[:1], None), wire.tensor("image", first[None])]
        edited = _look(_paint(triton, names[wire.EDIT], [*inputs, wire.tensor("hole", hole)]), shape, "an edit")
        if not np.array_equal(edited[~hole[0]], first[~hole[0]]):
            raise ServingError("an edit changes what is outside the hole")


def _look(picture: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    if picture.shape != shape or picture.dtype != np.uint8:
        raise ServingError(f"{what} is {picture.dtype} {picture.shape}, it should be uint8 {shape}")
    if picture.std() < BLANK:
        raise ServingError(f"{what} is blank")
    return picture


def _paint(triton: Triton, model: str, inputs: list[Any]) -> np.ndarray:
    """One picture, (size, size, 3); its PNG must say that it is one."""
    with triton.errors("does not paint"):
        answer = triton.client.infer(model, inputs, client_timeout=triton.call_timeout)
    try:
        return np.asarray(wire.pictures(answer, triton.url)[0])
    except (ValueError, OSError) as error:  # Pillow's
        raise ServingError(f"the PNG cannot be read: {error}") from error


def _preview(triton: Triton, model: str) -> np.ndarray:
    """The last picture of a stream."""
    arrived: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    last = None
    with triton.errors("does not preview"):
        triton.client.start_stream(
            lambda result, error: arrived.put((result, error)), stream_timeout=triton.call_timeout
        )
        try:
            inputs = wire.asked(PROMPTS[:1], SEEDS[:1], None)
            triton.client.async_stream_infer(model, inputs, enable_empty_final_response=True)
            while True:
                result, error = arrived.get()
                if error is not None:
                    raise error
                if result.get_response().parameters["triton_final_response"].bool_param:
                    break
                last = wire.step(result)
        finally:
            triton.client.stop_stream(cancel_requests=True)
    if last is None or last.number != last.steps:
        raise ServingError("a preview ends early")
    return np.asarray(last.picture)
