"""The model repository that Triton gets."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
import tiny_package
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from danqing import files
from danqing.errors import DanqingError, StorageError
from danqing.package import SIGNATURES, Package
from serving.triton import repository as builder
from serving.triton.repository import MODELS, build


def config(repository, name):
    """The configuration, parsed strictly: an unknown field is an error."""
    text = (repository / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("name", MODELS)
def test_every_configuration_is_one_that_triton_knows(repository, name):
    assert config(repository, name).name == name
    assert (repository / name / "1").is_dir()


@pytest.mark.parametrize("name", ["danqing", "edit"])
def test_an_ensemble_passes_on_what_its_steps_take_and_give(repository, name):
    """Each tensor that a step reads is written by an earlier step or the caller, with the same type and shape."""
    configs = {name: config(repository, name) for name in MODELS}
    ensemble = configs[name]
    known = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = configs[step.model_name]
        taken = [tensor for tensor in model.input if tensor.name in step.input_map]
        assert all(tensor.optional for tensor in model.input if tensor not in taken)
        assert set(step.input_map) == {tensor.name for tensor in taken}
        for tensor in taken:
            assert known[step.input_map[tensor.name]] == (tensor.data_type, list(tensor.dims))
        given = [tensor for tensor in model.output if tensor.name in step.output_map]
        for tensor in given:
            known[step.output_map[tensor.name]] = (tensor.data_type, list(tensor.dims))
    for tensor in ensemble.output:
        assert known[tensor.name] == (tensor.data_type, list(tensor.dims))


@pytest.mark.parametrize("name", ["generate", "restore"])
def test_configuration_package_and_graph_agree_on_every_tensor(repository, package, name):
    """Names, types and shapes: what Triton is told, what the package says, and what the exported graph has."""
    triton, model = config(repository, name), Package.read(package)
    symbols = {"text_length": model.text_length, "size": model.size}
    kinds = {"tensor(int64)": "int64", "tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(bool)": "bool"}
    words = {"float32": "FP32"}
    session = model.session(name)
    inputs, outputs = SIGNATURES[name]
    for told, graph, tensors in ((triton.input, session.get_inputs(), inputs),
                                 (triton.output, session.get_outputs(), outputs)):  # fmt: skip
        assert [t.name for t in told] == list(tensors) == [t.name for t in graph]
        for mine, theirs, (kind, batch, *shape) in zip(told, graph, tensors.values(), strict=True):
            dims = [symbols.get(d, d) for d in shape]
            assert batch == "batch" and kinds[theirs.type] == kind
            assert model_config_pb2.DataType.Name(mine.data_type) == f"TYPE_{words.get(kind, kind.upper())}"
            assert theirs.shape[1:] == dims == (list(mine.dims) if dims else [])


def test_weights_lie_on_the_disk_once(repository):
    files = [path.stat() for path in repository.glob("*/1/weights")]
    assert len(files) == 3 and len({file.st_ino for file in files}) == 1


def test_a_package_that_only_paints_gives_a_repository_that_only_paints(tmp_path):
    built = build(tiny_package.make(tmp_path / "a").folder, tmp_path / "repositories")
    assert {path.name for path in built.iterdir()} == {"danqing", "tokenize", "generate", "encode"}


def test_sizes_come_from_the_package(repository, package):
    model = Package.read(package)
    ensemble = config(repository, "danqing")
    assert list(ensemble.output[0].dims) == [model.size, model.size, 3]
    assert ensemble.parameters["model"].string_value == model.version
    assert list(config(repository, "generate").input[0].dims) == [model.text_length]


def test_the_same_package_is_built_once(package, tmp_path):
    first = build(package, tmp_path)
    before = files.fingerprint(first)
    assert build(package, tmp_path) == first
    assert files.fingerprint(first) == before
    assert [p.name for p in tmp_path.iterdir()] == [first.name]


def test_another_package_is_another_folder_and_the_old_one_stays(tmp_path):
    first = build(tiny_package.make(tmp_path / "a").folder, tmp_path / "repositories")
    second = build(tiny_package.make_box(tmp_path / "b").folder, tmp_path / "repositories")
    assert first != second
    assert first.is_dir()


def test_weights_outside_the_package_are_written_where_the_graph_looks_for_them(tmp_path):
    """Plain onnxruntime, as NVIDIA's backend uses it, loads both kinds of package and computes the same."""
    feeds = {
        "ids": np.arange(64, dtype=np.int64).reshape(2, 32), "mask": np.ones((2, 32), np.int64),
        "seed": np.array([1, 2], np.int64), "guidance": np.array([1, 3], np.float32),
    }  # fmt: skip
    pictures = []
    for package in (tiny_package.make(tmp_path / "a"), tiny_package.make_box(tmp_path / "b")):
        path = build(package.folder, tmp_path / "repositories") / "generate" / "1" / "model.onnx"
        pictures.append(ort.InferenceSession(path).run(None, feeds)[0])
    assert np.array_equal(*pictures)


def test_tokenize_brings_its_own_modules_and_they_stand_alone(repository):
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(repository / 'tokenize' / '1')!r})\n"
        "from danqing.wordpieces import WordPieces\n"
        "from pathlib import Path\n"
        "import danqing\n"
        "pieces = WordPieces(32, path=Path(sys.path[0]) / 'wordpieces.json')\n"
        "assert pieces(['山水'])[1].sum() > 2\n"
        "assert pieces.count('一位妇女') > 2  # not in the dictionary: read by its meaning\n"
        "assert 'danqing.meaning' in sys.modules\n"
        "loaded = {m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'danqing'}\n"
        "assert all(f.startswith(sys.path[0]) for f in loaded), loaded\n"
    )
    subprocess.run([sys.executable, "-I", "-c", program], check=True)


def test_a_damaged_package_is_refused_and_nothing_is_built(tmp_path):
    package = tiny_package.make(tmp_path / "a").folder
    with open(package / "generate.onnx", "ab") as file:
        file.write(b"more")
    with pytest.raises(StorageError, match="damaged"):
        build(package, tmp_path / "repositories")
    assert not (tmp_path / "repositories").exists()


def test_a_build_that_fails_midway_leaves_nothing_behind(tmp_path, monkeypatch):
    package = tiny_package.make(tmp_path / "a").folder
    copyfile = shutil.copyfile

    def full(source, target):
        if str(target).endswith("model.onnx"):
            raise OSError(28, "No space left on device")
        return copyfile(source, target)

    monkeypatch.setattr(builder.shutil, "copyfile", full)
    with pytest.raises(DanqingError, match="the disk is full"):
        build(package, tmp_path / "repositories")
    assert list((tmp_path / "repositories").iterdir()) == []
