"""What a lower precision does to pictures: half precision, bfloat16 and 8-bit weights against single precision.

Tensors that differ by a thousandth can be the same picture, or one code that falls the other way and every code after
it: another picture, as good or not, but not the one that the seed promised. So pictures and codes are counted.

    python -m benchmarks.precision [--count 32]
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import table
from danqing.export.lowering import Precision, lower, whole
from danqing.package import GENERATE, WORDPIECES, Package
from danqing.pretrained import box
from danqing.wordpieces import WordPieces

if TYPE_CHECKING:
    import onnx
    import onnxruntime as ort

EIGHT = "8-bit weights, dynamic"
HEADER = ("precision", "pictures equal within one grey level", "codes that differ", "mean difference, grey levels",
          "ms a picture")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=32, help="Pictures of each precision.")
    count = parser.parse_args().count
    package = Package.read(box())
    feeds = inputs(package, count)
    graphs = {
        "float32": with_codes(package),
        "mixed: float16 products after the codes": lowered(package, "mixed"),
        "float16 products": lowered(package, "fp16"),
        "bfloat16 products": lowered(package, "bf16"),
        EIGHT: eight_bits(with_codes(package)),
    }
    sessions = {name: session(graph) for name, graph in graphs.items()}
    real = {name: sessions[name] for name in ("float32", EIGHT)}
    times = table.interleaved({name: partial(run.run, None, feeds[0]) for name, run in real.items()}, 9)
    pictures, codes = paint(sessions.pop("float32"), feeds)
    rows = [["float32", "–", "–", "–", table.spread(times["float32"])]]
    for name, lowered_session in sessions.items():
        milliseconds = table.spread(times[name]) if name in times else "emulated"
        rows.append([name, *compare(pictures, codes, *paint(lowered_session, feeds)), milliseconds])
    batches = paint(real["float32"], inputs(package, count, rows=8))
    rows.append(["float32, in batches of 8", *compare(pictures, codes, *batches), ""])
    table.write(
        "precision",
        "Precision, on pictures",
        [
            f"The model in the box, {count} prompts of benchmarks/gallery.txt, seeds 0 to {count - 1}, one at a time, "
            "against float32.",
            "Products (MatMul, Gemm, convolutions) alone are rounded, as `danqing plan` writes them for TensorRT:",
            "inputs, weights and results, with sums in single precision. A GPU sums in another order and differs more.",
            "8-bit: onnxruntime's dynamic quantisation of matrix products, one scale a column.",
            "Median (least to most) of 9, by turns.",
            table.versions("onnxruntime") + ".",
        ],
        HEADER,
        rows,
    )


def inputs(package: Package, count: int, rows: int = 1) -> list[dict[str, np.ndarray]]:
    lines = (Path(__file__).parent / "gallery.txt").read_text(encoding="utf-8").splitlines()
    ids, mask = WordPieces(package.text_length, path=package.folder / WORDPIECES)(
        [lines[number % len(lines)] for number in range(count)]
    )
    whole_set = {
        "ids": ids, "mask": mask, "seed": np.arange(count, dtype=np.int64),
        "guidance": np.full(count, package.guidance, np.float32),
    }  # fmt: skip
    return [{name: value[at : at + rows] for name, value in whole_set.items()} for at in range(0, count, rows)]


def with_codes(package: Package) -> onnx.ModelProto:
    """The graph that paints, with the codes that it decodes as further outputs."""
    from onnx import TensorProto, helper

    model = whole(package, GENERATE)
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0].startswith("tokenizer."):  # a code's vector in its codebook
            model.graph.output.append(helper.make_tensor_value_info(node.input[1], TensorProto.INT64, None))
    return model


def lowered(package: Package, precision: Precision) -> onnx.ModelProto:
    return lower(with_codes(package), precision, emulate=True)


def eight_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        session(model, plain)  # weights are turned once, and so are weights to the quantiser
        quantize_dynamic(plain, small, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True,
                         weight_type=QuantType.QInt8)  # fmt: skip
        return onnx.load(small)


def session(model: onnx.ModelProto, simplified: Path | None = None) -> ort.InferenceSession:
    """As `Package.session` makes it; simplified: onnxruntime's own rewriting is done and written there."""
    import onnxruntime as ort

    options, level = ort.SessionOptions(), ort.GraphOptimizationLevel
    options.log_severity_level = 3
    options.graph_optimization_level = level.ORT_ENABLE_BASIC if simplified else level.ORT_DISABLE_ALL
    if simplified:
        options.optimized_model_filepath = str(simplified)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def paint(session: ort.InferenceSession, feeds: list[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, S, S, 3) and their codes (N, K)."""
    pictures, codes = [], []
    for feed in feeds:
        picture, *chosen = session.run(None, feed)
        pictures.append(picture.astype(np.int16))
        codes.append(np.concatenate([part.reshape(len(picture), -1) for part in chosen], 1))
    return np.concatenate(pictures), np.concatenate(codes)


def compare(pictures: np.ndarray, codes: np.ndarray, others: np.ndarray, fallen: np.ndarray) -> list[str]:
    difference = np.abs(pictures - others)
    equal = (difference.max((1, 2, 3)) <= 1).mean()
    return [f"{equal:.0%}", f"{(codes != fallen).mean():.2%}", f"{difference.mean():.2f}"]


if __name__ == "__main__":
    main()
