"""The model as ONNX graphs, and the proof that they paint what PyTorch paints."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from danqing.models.generate import Generator
from danqing.models.preview import DetailStep, GlobalStep
from danqing.models.restore import Restorer
from danqing.package import FIRST, GENERATE, RESTORE, SIGNATURES, THEN

if TYPE_CHECKING:
    import onnx
    import onnxruntime as ort

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


def modules(restorer: Restorer) -> dict[str, nn.Module]:
    """Graph → what it computes. A tokenizer without global codes has no preview."""
    generator = restorer.generator
    found: dict[str, nn.Module] = {GENERATE: generator, RESTORE: restorer}
    if "global" in generator.scales:
        found |= {FIRST: GlobalStep(generator), THEN: DetailStep(generator)}
    return found


def example(graph: str, generator: Generator, batch: int) -> dict[str, Tensor]:
    """Inputs of a batch: prompts in turn, seeds 0, 1, …, the default guidance; the left half of a ramp is lost."""
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(batch)]
    ids, mask = generator.text.pieces(prompts)
    t, painter, size = generator.tokenizer.config, generator.painter, generator.tokenizer.config.size
    ramp = torch.arange(size, dtype=torch.float32).mul(255 / size).to(torch.uint8)
    values = {
        "ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask), "seed": torch.arange(batch),
        "guidance": torch.full((batch,), generator.decoding.guidance),
        "temperature": torch.full((batch,), generator.decoding.temperature),
        "image": ramp[None, :, None, None].expand(batch, size, size, 3).contiguous(),
        "hole": (torch.arange(size) < size // 2)[None, None].expand(batch, size, size).contiguous(),
        "step": torch.zeros(batch, dtype=torch.int64), "glob": torch.zeros(batch, painter.n_global, dtype=torch.int64),
        "detail": torch.zeros(batch, t.detail_levels, painter.n_detail, dtype=torch.int64),
        "hidden": torch.ones(batch, painter.n_detail, dtype=torch.bool),
    }  # fmt: skip
    return {name: values[name] for name in SIGNATURES[graph][0]}


def to_onnx(graph: str, module: nn.Module, generator: Generator) -> onnx.ModelProto:
    """The graph with all weights inside, under the names of the module's state dict; the batch is dynamic."""
    from danqing.export.external import strip
    from danqing.export.tidy import tidy

    inputs, (names, outputs) = example(graph, generator, 2), SIGNATURES[graph]
    batch = {0: torch.export.Dim("batch", min=1, max=256)}
    with warnings.catch_warnings():  # torch.onnx warns of its own internals
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module, tuple(inputs.values()), dynamo=True, optimize=False, opset_version=OPSET, verbose=False,
            input_names=list(names), output_names=list(outputs), dynamic_shapes=(batch,) * len(inputs),
        )  # fmt: skip
    assert program is not None
    return strip(tidy(program.model_proto, set(module.state_dict())))


def parity(
    modules: Mapping[str, nn.Module], sessions: Mapping[str, ort.InferenceSession], generator: Generator,
    batches: Sequence[int],
) -> dict[str, Any]:  # fmt: skip
    """Per graph and batch size: largest difference in grey levels, and how many pictures are PyTorch's within one."""
    rows, same = [], []
    for graph, session in sessions.items():
        for batch in batches:
            inputs = example(graph, generator, batch)
            with torch.no_grad():
                found = modules[graph](*inputs.values())
            ours = (found if isinstance(found, Tensor) else found[-1]).numpy().astype(np.int16)
            theirs = session.run(["picture"], {name: tensor.numpy() for name, tensor in inputs.items()})[0]
            difference = np.abs(ours - theirs.astype(np.int16))
            equal = (difference <= 1).mean((1, 2, 3)) > 0.999
            same.append(equal)
            row = {"graph": graph, "batch": batch, "largest_difference": int(difference.max())}
            rows.append({**row, "equal": int(equal.sum())})
    return {"against": "torch, float32, CPU", "rows": rows, "agreement": float(np.concatenate(same).mean())}
