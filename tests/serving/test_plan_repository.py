"""The model repository where TensorRT plans lie beside the package."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest
import tiny_package
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from danqing import files
from danqing.cli import app
from danqing.errors import ServingError, StorageError
from danqing.export.tensorrt import Machine
from danqing.package import GENERATE, RESTORE, Package
from serving.triton.repository import build

L4 = Machine(gpu="NVIDIA L4", compute_capability="8.9", tensorrt="10.13.0")


def config(repository, name):
    text = (repository / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def write_plans(folder, package, *graphs, batches=(1, 4, 8), content=b"an engine"):
    """Plans as `danqing plan` leaves them, but for their bytes."""
    model = Package.read(package)
    for graph in graphs:
        path = folder / f"{graph}.plan"
        files.write_bytes(path, content)
        files.write_json(
            path.with_suffix(".json"),
            {
                "format": 1, "graph": graph, **dataclasses.asdict(L4), "precision": "fp16", "batches": list(batches),
                "onnx_sha256": model.files[f"{graph}.onnx"], "package_sha256": model.digest,
                "plan_sha256": files.sha256(path), "seconds": 60.0,
            },
        )  # fmt: skip
    return folder


@pytest.fixture
def small(tmp_path):
    return tiny_package.make_box(tmp_path / "box").folder


def test_a_plan_takes_the_place_of_the_graph_and_nothing_else_changes(repository, package, tmp_path):
    graphs = [graph for graph in (GENERATE, RESTORE) if graph in Package.read(package).graphs]
    built = build(package, tmp_path / "new", plan=write_plans(tmp_path / "plans", package, *graphs), machine=L4)
    assert {path.name for path in built.iterdir()} == {path.name for path in repository.iterdir()}
    for graph in graphs:
        assert [path.name for path in (built / graph / "1").iterdir()] == ["model.plan"]
        mine, theirs = config(built, graph), config(repository, graph)
        assert (mine.platform, mine.backend, mine.default_model_filename) == ("tensorrt_plan", "", "model.plan")
        assert mine.optimization.cuda.graphs
        assert list(mine.dynamic_batching.preferred_batch_size) == [1, 4, 8]
        (group,) = mine.instance_group
        assert list(group.profile) == ["0", "1", "2"] and group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
        for field in ("platform", "backend", "default_model_filename", "optimization", "instance_group"):
            mine.ClearField(field), theirs.ClearField(field)
        for one in (mine, theirs):
            del one.dynamic_batching.preferred_batch_size[:]
        assert mine == theirs
    for name in {path.name for path in built.iterdir()} - set(graphs):
        assert config(built, name) == config(repository, name)


def test_only_the_model_with_a_plan_is_changed(package, tmp_path):
    assert RESTORE in Package.read(package).graphs
    built = build(package, tmp_path / "new", plan=write_plans(tmp_path / "plans", package, GENERATE), machine=L4)
    assert config(built, RESTORE).backend == "onnxruntime"
    assert {path.name for path in (built / RESTORE / "1").iterdir()} == {"model.onnx", "weights"}


def test_another_plan_is_another_folder(small, tmp_path):
    plain = build(small, tmp_path / "repositories")
    keys = {plain}
    for content in (b"an engine", b"another"):
        plans = write_plans(tmp_path / content.decode(), small, GENERATE, content=content)
        keys.add(build(small, tmp_path / "repositories", plan=plans, machine=L4))
        assert build(small, tmp_path / "repositories", plan=plans, machine=L4) in keys
    assert len(keys) == 3
    assert build(small, tmp_path / "repositories") == plain


def test_a_plan_for_another_machine_builds_nothing(small, tmp_path):
    plans = write_plans(tmp_path / "plans", small, GENERATE)
    with pytest.raises(ServingError, match="here is NVIDIA A10"):
        build(small, tmp_path / "new", plan=plans, machine=dataclasses.replace(L4, gpu="NVIDIA A10"))
    assert not (tmp_path / "new").exists()


def test_a_plan_that_takes_smaller_batches_than_the_server_sends_is_refused(small, tmp_path):
    plans = write_plans(tmp_path / "plans", small, GENERATE, batches=(1, 4))
    with pytest.raises(ServingError, match="batches up to 4"):
        build(small, tmp_path / "new", plan=plans, machine=L4)


def test_a_folder_without_a_plan_is_said_to_be_one(small, tmp_path):
    with pytest.raises(StorageError, match=r"generate\.json"):
        build(small, tmp_path / "new", plan=tmp_path, machine=L4)


def test_danqing_serve_says_how_nvidias_image_serves_plans(small, tmp_path, monkeypatch):
    plans = write_plans(tmp_path / "plans", small, GENERATE)
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: L4))
    monkeypatch.setenv("DANQING_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(app, ["serve", "--model", str(small), "--plan", str(plans)])
    assert done.exit_code == 0, done.output
    line = next(line for line in done.output.splitlines() if line.startswith("docker run"))
    (mount,) = [word for word in shlex.split(line) if word.endswith(":/models:ro")]
    assert (Path(mount.removesuffix(":/models:ro")) / "generate" / "1" / "model.plan").is_file()


def test_danqing_serve_without_a_gpu_says_where_plans_are_served(small, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # no nvidia-smi
    done = CliRunner().invoke(app, ["serve", "--model", str(small), "--plan", str(tmp_path)])
    assert done.exit_code != 0 and "no NVIDIA GPU here" in done.output
