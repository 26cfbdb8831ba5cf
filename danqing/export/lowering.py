"""A package's graph as TensorRT wants it: weights inside, bytes only at its edges, precision written into it.

TensorRT 10 can be told to take every type from the graph (a strongly typed network), TensorRT 11 knows nothing else.
So a precision is no flag of a builder but a rewriting of the ONNX graph, and what a GPU will do by it can be looked at
as pictures on a CPU: `benchmarks/precision.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from danqing.package import Package, file_of

if TYPE_CHECKING:
    import onnx

Precision = Literal["fp32", "mixed", "fp16", "bf16"]
"""Of the products: `mixed` is fp16 where a picture is made of codes, and fp32 wherever a code is chosen."""
LOWERED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Where nearly all time goes. Normalisation, softmax and sampling between them stay in single precision."""


def whole(package: Package, graph: str) -> onnx.ModelProto:
    """The graph with its weights inside, from wherever the package keeps them."""
    import onnx

    model = onnx.load(package.folder / file_of(graph), load_external_data=False)
    arrays = package.arrays(graph)
    for tensor in model.graph.initializer:
        if tensor.name in arrays:
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = arrays[tensor.name].tobytes()
    return model


def bytes_at_the_edges(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` itself with no uint8 but its inputs and outputs: TensorRT has no such type between two operators.

    Single precision holds every byte exactly; where a number became a byte, and was cut to a whole one, it is now cut
    without becoming a byte. Expects, as pictures give it, that nothing outside 0 … 255 is ever made a byte.
    """
    from onnx import TensorProto, helper

    graph = model.graph
    inside: dict[str, str] = {}
    first, last = [], []
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            inside[value.name] = f"{value.name}_float"
    for value in graph.input:
        if value.name in inside:
            first.append(helper.make_node("Cast", [value.name], [inside[value.name]], to=TensorProto.FLOAT))
    for value in graph.output:
        if value.name in inside:
            last.append(helper.make_node("Cast", [inside[value.name]], [value.name], to=TensorProto.UINT8))
    nodes = list(graph.node)
    for node in nodes:
        node.input[:] = [inside.get(name, name) for name in node.input]
        node.output[:] = [inside.get(name, name) for name in node.output]
        if node.op_type == "Cast" and node.attribute[0].i == TensorProto.UINT8:
            node.op_type = "Floor"
            del node.attribute[:]
    del graph.value_info[:]  # they would still speak of bytes
    del graph.node[:]
    graph.node.extend([*first, *nodes, *last])
    return model


def lower(model: onnx.ModelProto, precision: Precision, *, emulate: bool = False) -> onnx.ModelProto:
    """`model` itself with its products (`LOWERED`) taken in `precision`; everything between them stays as it is.

    Distances of which an ArgMin takes the least (the quantiser's) stay too: rounded, neighbouring codes fall together.
    So does with `mixed` all that sampling hangs on: one code that falls the other way is another picture.
    emulate: round to `precision` and compute in single, for onnxruntime on a CPU: it has no kernels for these types,
    and where it replaces them by its own for single precision it drops the casts around, and so the rounding, too.
    """
    from onnx import TensorProto, helper

    if precision == "fp32":
        return model
    kind = TensorProto.BFLOAT16 if precision == "bf16" else TensorProto.FLOAT16
    nodes, made, exact = [], set[str](), _deciding(model.graph.node, sampling=precision == "mixed")

    def cast(source: str, target: str, to: int) -> None:
        nodes.append(helper.make_node("Cast", [source], [target], to=to))

    def rounded(name: str) -> str:
        low, again = f"{name}_{precision}", f"{name}_{precision}_float"
        if low not in made:
            made.add(low)
            cast(name, low, kind)
            if emulate:
                cast(low, again, TensorProto.FLOAT)
        return again if emulate else low

    for node in model.graph.node:
        if node.op_type not in LOWERED or node.output[0] in exact:
            nodes.append(node)
            continue
        result = node.output[0]
        node.input[:] = [rounded(name) if name else "" for name in node.input]
        node.output[0] = f"{result}_whole"
        nodes.append(node)
        if emulate:
            cast(node.output[0], f"{result}_low", kind)
        cast(f"{result}_low" if emulate else node.output[0], result, TensorProto.FLOAT)
    del model.graph.value_info[:]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _deciding(nodes: Sequence[onnx.NodeProto], *, sampling: bool) -> set[str]:
    """Outputs of the products that an ArgMin compares; sampling: of all that chooses a code, however far before."""
    made_by = {name: node for node in nodes for name in node.output}
    ends = ("ArgMin", "CumSum") if sampling else ("ArgMin",)
    pending = [name for node in nodes if node.op_type in ends for name in node.input]
    seen, found = set(pending), set()
    while pending:
        node = made_by.get(pending.pop())
        if node is None:
            continue
        if node.op_type in LOWERED:
            found.add(node.output[0])
            if not sampling:
                continue
        pending.extend(name for name in node.input if name not in seen)
        seen.update(node.input)
    return found
