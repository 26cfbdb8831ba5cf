"""The served graphs through TensorRT's own parser and compiler, without a GPU.

TensorRT for RTX has the parser and the builder's interface of TensorRT, and builds engines on a machine without a GPU.
What comes out is no TensorRT plan; what it shows is that the graphs hold nothing that TensorRT does not take.
"""

from __future__ import annotations

import os

import pytest
import tiny_package

from danqing.errors import ServingError
from danqing.export.lowering import whole
from danqing.export.tensorrt import Machine, Plan, build, check, engine, parse, prepare
from danqing.package import GENERATE, RESTORE, SIGNATURES, Package
from danqing.pretrained import box

rtx = pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not here: it has wheels for Linux on x86-64 only")
thorough = pytest.mark.skipif(os.environ.get("DANQING_RTX") != "all", reason="takes minutes: make rtx")
HERE = Machine(gpu="none", compute_capability="0.0", tensorrt=str(rtx.__version__))


@pytest.fixture(scope="module")
def painter():
    return Package.read(box(), verify=False)


@pytest.mark.slow
@pytest.mark.parametrize("graph", SIGNATURES)
def test_the_graph_parses_without_an_error(painter, graph):
    _, network = parse(rtx, prepare(painter, graph, "mixed"))
    inputs, outputs = SIGNATURES[graph]
    assert [network.get_input(n).name for n in range(network.num_inputs)] == list(inputs)
    assert [network.get_output(n).name for n in range(network.num_outputs)] == list(outputs)


def test_what_tensorrt_does_not_take_is_named(painter):
    """The graph as it was exported makes bytes before the last operator."""
    with pytest.raises(ServingError, match=r"\(Cast\): .*UINT8"):
        parse(rtx, whole(painter, GENERATE).SerializeToString())


@pytest.mark.parametrize(
    ("precision", "batches"), [("mixed", (1, 4, 8)), ("fp16", (1, 8)), ("bf16", (1,)), ("fp32", (8,))]
)
def test_a_plan_is_built_recorded_and_taken(tmp_path, precision, batches):
    package = tiny_package.make_box(tmp_path / "box")
    plan = Plan(precision=precision, batches=batches)
    records = build(package.folder, tmp_path / "plans", plan, runtime=rtx, machine=HERE)
    assert list(records) == [GENERATE]
    record = check(tmp_path / "plans" / "generate.plan", package, HERE)
    assert record == records[GENERATE] and record["precision"] == precision
    assert sorted(path.name for path in (tmp_path / "plans").iterdir()) == ["generate.json", "generate.plan"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("graph", "precision", "profiles"),
    [
        (GENERATE, "mixed", [(1, 8, 8)]),
        pytest.param(GENERATE, "mixed", Plan().profiles(), marks=thorough),
        pytest.param(GENERATE, "fp16", [(1, 1, 1)], marks=thorough),
        pytest.param(RESTORE, "mixed", Plan().profiles(), marks=thorough),
    ],
)
def test_the_graph_of_the_box_compiles(painter, graph, precision, profiles):
    """With any batch from 1 to 8 in one profile, and with a profile for each batch size as a plan has them."""
    assert len(engine(rtx, prepare(painter, graph, precision), profiles)) > 50_000_000
