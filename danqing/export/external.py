"""Graphs without weights: ONNX whose parameters are names only, for a package that keeps them elsewhere.

A package has several graphs of one model and ships its weights once, as safetensors; MiniLM's come from the package
that brings them. `externalise` makes such graphs; `danqing.package` feeds the weights back at load by
`SessionOptions.add_external_initializers`. What onnxruntime (measured with 1.32) asks of it:

- `data_location = EXTERNAL` and no data. For weights that are fed, location, offset and length may be anything or
  missing, and the file need not exist, whether the model is loaded from a path or from bytes. We fill them in all the
  same, so that a server that cannot be fed (Triton) gets a plain file `weights` written beside the graph;
- every external initializer is given, with exactly its shape and element type, in C order;
- nothing more than that is given: a name that the graph does not have is an error, hence the names that
  `externalise` returns and package.json keeps.

The weights are put in before any optimisation, so a session made this way computes the same as one from the whole
model. Export with `torch.onnx.export(…, dynamo=True, optimize=False)`: the initializers then are exactly the state
dict, under its names. With `optimize=True` transposed copies are folded into nameless constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from danqing.errors import DanqingError

if TYPE_CHECKING:
    import onnx

LOCATION = "weights"
"""File beside the graph that would hold the data."""
ALIGNMENT = 4096
"""Data begin at multiples of so many bytes, so that a runtime can map them instead of copying."""


class Layout:
    """Where each weight begins in the one file that would hold them all."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self.end = 0

    def place(self, name: str, size: int) -> int:
        if name not in self.offsets:
            self.offsets[name] = self.end
            self.end += -(-size // ALIGNMENT) * ALIGNMENT
        return self.offsets[name]


def externalise(
    model: onnx.ModelProto | bytes,
    weights: Collection[str],
    *,
    rename: Callable[[str], str] = lambda name: name,
    inside: int = 65_536,
    layout: Layout | None = None,
) -> tuple[onnx.ModelProto, dict[str, int]]:
    """A copy of `model` in which every initializer named in `weights` is a name without data; name → offset in bytes.

    layout: of the file that other graphs of the same weights share; what it does not have yet is put at its end.
    weights: the names that the package can deliver (a state dict will do). rename: from the model's initializer
    names to these. inside: bytes of constants (tables, scalars) that may stay in the graph; more than that means that
    a weight was folded or is called otherwise, and is a DanqingError that names the largest.
    """
    import onnx

    if isinstance(model, bytes):
        copy = onnx.ModelProto.FromString(model)
    else:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
    renamed = {t.name: rename(t.name) for t in copy.graph.initializer if rename(t.name) in weights}
    _rename_values(copy.graph, {old: new for old, new in renamed.items() if old != new})
    kept: list[tuple[int, str]] = []
    offsets: dict[str, int] = {}
    layout = Layout() if layout is None else layout
    for tensor in sorted(copy.graph.initializer, key=lambda tensor: tensor.name):
        if tensor.name in offsets:
            raise DanqingError(f"two initializers would be called {tensor.name}: `rename` must keep names apart")
        if tensor.name in renamed.values():
            offsets[tensor.name] = _empty(tensor, layout)
        else:
            kept.append((tensor.ByteSize(), tensor.name))
    kept.extend((a.t.ByteSize(), node.name) for node in copy.graph.node for a in node.attribute if a.HasField("t"))
    if sum(size for size, _ in kept) > inside:
        largest = ", ".join(f"{name} ({size} bytes)" for size, name in sorted(kept, reverse=True)[:5])
        raise DanqingError(
            f"{sum(size for size, _ in kept)} bytes of constants would stay in the graph, the largest {largest}: "
            "export with optimize=False, and check the names of the weights"
        )
    return copy, offsets


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` itself without the exporter's notes, which hold stack traces: source lines and folders of one machine."""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        nodes = list(graph.node)
        for item in (graph, *nodes, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            item.doc_string = ""
            del item.metadata_props[:]
        graphs.extend(sub for node in nodes for a in node.attribute for sub in (a.g, *a.graphs) if sub.node)
    for function in model.functions:
        for item in (function, *function.node, *function.value_info):
            item.doc_string = ""
            del item.metadata_props[:]
    return model


def _empty(tensor: onnx.TensorProto, layout: Layout) -> int:
    """Point `tensor` into the file of weights instead of at its data; returns the offset there."""
    import onnx

    size = math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    offset = layout.place(tensor.name, size)
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "external_data"):
        tensor.ClearField(field)  # type: ignore[arg-type]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", LOCATION), ("offset", str(offset)), ("length", str(size))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return offset


def _rename_values(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Call the values of `graph`, its subgraphs included, by their new names."""
    if not names:
        return
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        for attribute in node.attribute:
            for sub in (attribute.g, *attribute.graphs):
                if sub.node:
                    _rename_values(sub, names)
