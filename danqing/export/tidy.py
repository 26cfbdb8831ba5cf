"""Makes an exported graph quick to load: everything that needs no weight is computed and merged once, here.

The unrolled decoding repeats the same small computations (shapes, constants, the transposition of a weight) in every
step. Left in the file, each of them costs time whenever a session is made, which for one picture is most of the time.
onnxruntime's own basic rewrites remove them, all in standard operators, and are kept from the weights by being shown
these as inputs: so the weights stay as they are, under their names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def tidy(model: onnx.ModelProto, weights: Collection[str]) -> onnx.ModelProto:
    """A graph that computes the same with fewer nodes; the initializers named in `weights` are untouched."""
    import onnx
    import onnxruntime as ort

    kept = [tensor for tensor in model.graph.initializer if tensor.name in weights]
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    constants = [tensor for tensor in bare.graph.initializer if tensor.name not in weights]
    del bare.graph.initializer[:]
    bare.graph.initializer.extend(constants)
    bare.graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in kept
    )
    with tempfile.TemporaryDirectory(prefix="danqing-") as folder:
        path = Path(folder) / "tidy.onnx"
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        ort.InferenceSession(bare.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"])
        result = onnx.load(path)
    names = {tensor.name for tensor in kept}
    inputs = [value for value in result.graph.input if value.name not in names]
    del result.graph.input[:]
    result.graph.input.extend(inputs)
    result.graph.initializer.extend(kept)
    # onnxruntime writes down every operator set that it knows.
    used = {node.domain for node in result.graph.node} | {""}
    opsets = [opset for opset in result.opset_import if opset.domain in used]
    del result.opset_import[:]
    result.opset_import.extend(opsets)
    return result
