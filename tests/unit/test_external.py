"""Taking the weights out of an exported graph."""

from __future__ import annotations

import pytest
import tiny_package

from danqing.errors import DanqingError
from danqing.export.external import ALIGNMENT, externalise, strip
from danqing.export.tidy import tidy

NAMES = [*tiny_package.weights(), "text.embeddings.LayerNorm.weight"]


def test_named_weights_leave_the_graph_and_the_original_stays_whole():
    model = tiny_package.graph()
    before = model.SerializeToString()
    slim, offsets = externalise(model, NAMES)
    assert set(offsets) == set(NAMES)
    assert len(slim.SerializeToString()) < len(before) / 10
    assert model.SerializeToString() == before


def test_offsets_are_aligned_and_do_not_overlap():
    model, offsets = externalise(tiny_package.graph(), NAMES)
    sizes = {t.name: int(t.external_data[2].value) for t in model.graph.initializer if t.external_data}
    ends = 0
    for name, offset in sorted(offsets.items(), key=lambda item: item[1]):
        assert offset % ALIGNMENT == 0
        assert offset >= ends
        ends = offset + sizes[name]


def test_weights_can_be_called_otherwise_than_in_the_graph():
    model, offsets = externalise(
        tiny_package.graph(), [n.replace("painter.", "p.") for n in NAMES], rename=lambda n: n.replace("painter.", "p.")
    )
    assert "p.table" in offsets
    assert any("p.table" in node.input for node in model.graph.node)
    assert not any("painter.table" in node.input for node in model.graph.node)


def test_a_weight_that_would_stay_inside_is_named():
    with pytest.raises(DanqingError, match=r"painter\.seeds"):
        externalise(tiny_package.graph(), [n for n in NAMES if n != "painter.seeds"], inside=1000)


def test_two_weights_cannot_take_one_name():
    with pytest.raises(DanqingError, match="keep names apart"):
        externalise(tiny_package.graph(), ["one"], rename=lambda n: "one" if n.startswith("painter") else n)


def test_strip_removes_where_the_graph_was_made():
    model = tiny_package.graph()
    note = model.graph.node[0].metadata_props.add()
    note.key, note.value = "stack_trace", "/home/somebody/model.py, line 3"
    model.graph.doc_string = "/home/somebody"
    assert b"somebody" not in strip(model).SerializeToString()


def test_a_tidied_graph_computes_the_same_with_its_weights_untouched():
    import numpy as np
    import onnxruntime as ort
    from onnx import helper, numpy_helper

    model = tiny_package.graph()
    # Twice the same, as unrolled steps have it, on the weights and beside them.
    for name in ("one", "two"):
        model.graph.node.insert(0, helper.make_node("Mul", ["white", "white"], [f"square_{name}"]))
        model.graph.node.insert(0, helper.make_node("Transpose", ["tokenizer.out"], [f"turned_{name}"], perm=[1, 0]))
    model.graph.node.insert(4, helper.make_node("Add", ["square_one", "square_two"], ["a"]))
    model.graph.node.insert(5, helper.make_node("Add", ["turned_one", "turned_two"], ["b"]))
    model.graph.node.insert(6, helper.make_node("Mul", ["a", "b"], ["c"]))
    model.graph.output.append(helper.make_tensor_value_info("c", 1, None))
    neat = tidy(model, NAMES)
    assert len(neat.graph.node) < len(model.graph.node)
    assert [node.op_type for node in neat.graph.node].count("Transpose") == 1
    before = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer if t.name in NAMES}
    after = {t.name: numpy_helper.to_array(t) for t in neat.graph.initializer if t.name in NAMES}
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    feeds = {
        "ids": np.arange(64, dtype=np.int64).reshape(2, 32), "mask": np.ones((2, 32), np.int64),
        "seed": np.array([1, 2], np.int64), "guidance": np.array([1, 3], np.float32),
    }  # fmt: skip
    run = [ort.InferenceSession(m.SerializeToString()).run(None, feeds) for m in (model, neat)]
    assert all(np.array_equal(a, b) for a, b in zip(*run, strict=True))
    externalise(neat, NAMES)
