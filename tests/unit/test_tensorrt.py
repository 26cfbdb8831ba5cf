"""TensorRT plans: the graph that TensorRT gets, and the records that keep a plan where it belongs."""

from __future__ import annotations

import dataclasses
import importlib.util
import os

import numpy as np
import onnxruntime as ort
import pytest
import tiny_package
from onnx import TensorProto

from danqing import files
from danqing.errors import ConfigError, DanqingError, ServingError, StorageError
from danqing.export.lowering import LOWERED, bytes_at_the_edges, lower, whole
from danqing.export.tensorrt import Machine, Plan, build, check
from danqing.package import GENERATE, MANIFEST, RESTORE, SIGNATURES, Package
from danqing.pretrained import box

H100 = Machine(gpu="NVIDIA H100 80GB HBM3", compute_capability="9.0", tensorrt="10.13.0")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package.make_box(tmp_path_factory.mktemp("package") / "box")


@pytest.fixture
def plan(package, tmp_path):
    """A plan as `build` leaves it, but for its bytes."""
    path = tmp_path / "generate.plan"
    path.write_bytes(b"an engine")
    files.write_json(
        path.with_suffix(".json"),
        {
            "format": 1, "graph": "generate", **dataclasses.asdict(H100), "precision": "fp16", "batches": [1, 4, 8],
            "onnx_sha256": package.files["generate.onnx"], "package_sha256": package.digest,
            "plan_sha256": files.sha256(path), "seconds": 81.5,
        },
    )  # fmt: skip
    return path


def rewrite(plan, **values):
    record = plan.with_suffix(".json")
    files.write_json(record, {**files.read_json(record), **values})


def session(model):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def feeds(package, graph):
    """Two rows of every input that `graph` takes, none of them all zeros."""
    rng = np.random.default_rng(5)
    shapes = {value.name: value.shape[1:] for value in package.session(graph).get_inputs()}
    made = {}
    for name, (kind, *_) in SIGNATURES[graph][0].items():
        shape = (2, *shapes[name])
        if kind == "float32":
            made[name] = rng.uniform(0.5, 4, shape).astype(np.float32)
        elif kind == "bool":
            made[name] = rng.random(shape) < 0.5
        else:
            most = {"mask": 2, "step": 2, "glob": 64, "detail": 64, "image": 256}.get(name, 1000)
            made[name] = rng.integers(0, most, shape).astype(kind)
    return made


def test_a_plan_is_taken_where_it_belongs(plan, package):
    assert check(plan, package, H100)["batches"] == [1, 4, 8]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("gpu", "NVIDIA L4", "GPU NVIDIA H100 80GB HBM3, here is NVIDIA L4"),
        ("compute_capability", "8.9", r"compute capability 9\.0, here is 8\.9"),
        ("tensorrt", "10.14.1", r"TensorRT 10\.13\.0, here is 10\.14\.1"),
    ],
)
def test_a_plan_for_another_machine_is_refused_and_told_what_differs(plan, package, field, value, words):
    with pytest.raises(ServingError, match=words) as refused:
        check(plan, package, dataclasses.replace(H100, **{field: value}))
    assert "danqing plan --package" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_everything_that_differs_is_named_at_once(plan, package):
    with pytest.raises(ServingError, match=r"GPU .* for compute capability .* for TensorRT"):
        check(plan, package, Machine(gpu="NVIDIA L4", compute_capability="8.9", tensorrt="10.1"))


def test_a_plan_of_another_package_is_refused(plan, tmp_path):
    other = tiny_package.make(tmp_path / "other")
    with pytest.raises(ServingError, match=f"this is {other.digest[:12]}"):
        check(plan, other, H100)


def test_other_weights_are_another_package_although_the_graph_is_the_same(plan, package, tmp_path):
    """package.json lists the weights, so their digest is part of the package's."""
    changed = tiny_package.make_box(tmp_path / "changed").folder
    values = files.read_json(changed / MANIFEST)
    values["files"]["painter.safetensors"] = "0" * 64
    files.write_json(changed / MANIFEST, values)
    other = Package.read(changed, verify=False)
    assert other.files["generate.onnx"] == package.files["generate.onnx"]
    with pytest.raises(ServingError, match="package"):
        check(plan, other, H100)


def test_a_plan_under_another_graphs_name_is_refused(plan, package):
    for path in (plan, plan.with_suffix(".json")):
        path.rename(path.with_stem("restore"))
    with pytest.raises(ServingError, match=r"graph generate, the file is called restore\.plan"):
        check(plan.with_stem("restore"), package, H100)


def test_a_damaged_plan_is_refused(plan, package):
    plan.write_bytes(b"half an engi")
    with pytest.raises(StorageError, match="build it again"):
        check(plan, package, H100)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": 2}, "format 2"),
        ({"precision": "int4"}, "int4"),
        ({"batches": [4, 1]}, r"\[4, 1\]"),
        ({"batches": "148"}, "batches|str"),
        ({"gpu": None}, "a text is expected"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(plan, package, values, words):
    rewrite(plan, **values)
    with pytest.raises(StorageError, match=words):
        check(plan, package, H100)


@pytest.mark.parametrize("missing", [".plan", ".json"])
def test_plan_and_record_belong_together(plan, package, missing):
    plan.with_suffix(missing).unlink()
    with pytest.raises(StorageError, match=r"generate\.(plan|json)"):
        check(plan, package, H100)


@pytest.mark.parametrize("values", [{"precision": "int8"}, {"batches": ()}, {"batches": (8, 4)}, {"batches": (0, 4)}])
def test_a_plan_that_cannot_be_built_is_not_begun(values):
    with pytest.raises(ConfigError):
        Plan(**values)


def test_every_batch_up_to_the_last_has_exactly_one_profile():
    profiles = Plan(batches=(1, 4, 8)).profiles()
    for batch in range(1, 9):
        assert sum(low <= batch <= high for low, _, high in profiles) == 1
    assert [best for _, best, _ in profiles] == [1, 4, 8]


def test_without_a_gpu_it_says_so_and_leaves_nothing(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServingError, match="no NVIDIA GPU"):
        build(package.folder, tmp_path / "plans", Plan())
    assert not (tmp_path / "plans").exists()


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is here")
def test_with_a_gpu_but_no_tensorrt_it_says_how_to_get_it(package, tmp_path, monkeypatch):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'NVIDIA L4, 8.9'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ServingError, match="pip install tensorrt"):
        build(package.folder, tmp_path / "plans", Plan())


def test_the_command_line_says_it_in_one_line(package, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from danqing.cli import app

    monkeypatch.setenv("PATH", str(tmp_path))
    command = ["plan", "--package", str(package.folder), "--out", str(tmp_path / "plans")]
    assert CliRunner().invoke(app, command).exit_code == ServingError.exit_code
    assert CliRunner().invoke(app, [*command, "--batches", "1,many"]).exit_code == ConfigError.exit_code
    assert not issubclass(ConfigError, ServingError) and issubclass(ServingError, DanqingError)


def test_bytes_stay_at_the_edges_and_the_picture_is_the_same(package):
    model = bytes_at_the_edges(whole(package, "generate"))
    given = feeds(package, "generate")
    assert np.array_equal(session(model).run(None, given)[0], package.session().run(None, given)[0])
    casts = [node for node in model.graph.node if node.op_type == "Cast" and node.attribute[0].i == 2]
    assert [node.output[0] for node in casts] == ["picture"]


@pytest.mark.slow
@pytest.mark.parametrize("graph", SIGNATURES)
def test_the_graphs_of_the_box_paint_the_same_bytes_with_bytes_at_the_edges(graph):
    model = Package.read(box(), verify=False)
    given = feeds(model, graph)
    ours = session(bytes_at_the_edges(whole(model, graph))).run(None, given)
    for mine, theirs in zip(ours, model.session(graph).run(None, given), strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_lower_precision_rounds_the_products_and_little_else(package, precision):
    given = feeds(package, "generate")
    exact = package.session().run(None, given)[0].astype(int)
    low = session(lower(whole(package, "generate"), precision, emulate=True)).run(None, given)[0].astype(int)
    assert 0 < np.abs(exact - low).max() <= (2 if precision == "fp16" else 12)


def test_mixed_precision_leaves_alone_whatever_chooses_a_code():
    """Only products after the last code are lowered: nothing that a sampled code hangs on has been rounded."""
    model = lower(whole(Package.read(box(), verify=False), GENERATE), "mixed")
    made_by = {name: node for node in model.graph.node for name in node.output}
    pending = [node.output[0] for node in model.graph.node if node.op_type == "CumSum"]
    before = set(pending)
    while pending:
        node = made_by.get(pending.pop())
        new = set(node.input) - before if node is not None else set()
        pending.extend(new)
        before |= new
    halves = [n for n in model.graph.node if n.op_type == "Cast" and n.attribute[0].i == TensorProto.FLOAT16]
    assert len(pending) == 0 and len(before) > 1000
    assert len(halves) > 50 and not before & {name for node in halves for name in node.output}
    assert all(n.input[0].endswith("_mixed") for n in model.graph.node if n.op_type == "Conv")


def test_what_the_quantiser_compares_stays_exact():
    """Of the products of `restore`, those whose ArgMin picks a code are not touched; all others are."""
    before = whole(Package.read(box(), verify=False), RESTORE)
    products = {n.output[0] for n in before.graph.node if n.op_type in LOWERED}
    least = sum(n.op_type == "ArgMin" for n in before.graph.node)
    after = lower(before, "bf16")
    kept = [n.output[0] for n in after.graph.node if n.op_type in LOWERED and n.output[0] in products]
    assert least == len(kept) > 0
