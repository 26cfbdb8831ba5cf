"""The generator as one ONNX graph, and the proof that it paints what PyTorch paints."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from danqing.models.generate import Generator

if TYPE_CHECKING:
    import onnx
    import onnxruntime as ort

INPUTS = ("ids", "mask", "seed", "guidance")
OPSET = 18

PROMPTS = (
    "misty mountains, a lone boat, freehand",
    "two red fish on the right, fine brush, in colour",
    "a tall pagoda under a full moon, thick ink, winter",
    "plum blossoms, sketch",
    "bamboo and a rock, pale ink, on silk",
    "an old pine tree, blue-green, spring",
    "a thatched hut beside far mountains",
    "lotus flowers, rippling water, summer",
)


def example(generator: Generator, batch: int) -> tuple[torch.Tensor, ...]:
    """Inputs of a batch: prompts in turn, seeds 0, 1, …, the default guidance."""
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(batch)]
    ids, mask = generator.text.pieces(prompts)
    guidance = torch.full((batch,), generator.decoding.guidance)
    return torch.from_numpy(ids), torch.from_numpy(mask), torch.arange(batch, dtype=torch.int64), guidance


def to_onnx(generator: Generator) -> onnx.ModelProto:
    """The graph with all weights inside, under the names of the state dict; the batch is dynamic."""
    from danqing.export.external import strip
    from danqing.export.tidy import tidy

    batch = {0: torch.export.Dim("batch", min=1, max=256)}
    with warnings.catch_warnings():  # torch.onnx warns of its own internals
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            generator, example(generator, 2), dynamo=True, optimize=False, opset_version=OPSET, verbose=False,
            input_names=list(INPUTS), output_names=["picture"], dynamic_shapes=(batch,) * len(INPUTS),
        )  # fmt: skip
    assert program is not None
    return strip(tidy(program.model_proto, set(generator.state_dict())))


def parity(generator: Generator, session: ort.InferenceSession, batches: Sequence[int]) -> dict[str, Any]:
    """Per batch size: largest difference in grey levels, and how many pictures are PyTorch's within one level."""
    rows, same = [], []
    for batch in batches:
        inputs = example(generator, batch)
        with torch.no_grad():
            ours = generator(*inputs).numpy().astype(np.int16)
        feed = {name: tensor.numpy() for name, tensor in zip(INPUTS, inputs, strict=True)}
        theirs = session.run(["picture"], feed)[0].astype(np.int16)
        difference = np.abs(ours - theirs)
        equal = (difference <= 1).mean((1, 2, 3)) > 0.999
        same.append(equal)
        rows.append({"batch": batch, "largest_difference": int(difference.max()), "equal": int(equal.sum())})
    return {"against": "torch, float32, CPU", "rows": rows, "agreement": float(np.concatenate(same).mean())}
