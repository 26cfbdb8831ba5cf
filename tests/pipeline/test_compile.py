"""The compiled pipeline is what the repository says it is, and what a cluster will take."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2

from danqing import presets
from danqing.steps import STEPS
from pipelines import compile as compiling
from pipelines.cluster import MACHINERY

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = sorted(path for path in (ROOT / "components").glob("*.py") if path.name != "__init__.py")


@pytest.fixture(scope="module")
def text() -> str:
    return compiling.text_of(compiling.pipelines()["danqing"])


@pytest.fixture(scope="module")
def documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.safe_load_all(text)
    return spec, platform


def step_of(task: str) -> str:
    return task.replace("-", "_")


@pytest.mark.parametrize("name", ["danqing", "ablation", "sharded"])
def test_the_golden_files_are_what_compiles(name: str) -> None:
    golden = (compiling.GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")
    text = compiling.text_of(compiling.pipelines()[name])
    assert text == golden, "the pipeline has changed: run `python -m pipelines.compile` and read the difference"


def test_compiling_twice_gives_the_same_bytes(text: str) -> None:
    assert compiling.text_of(compiling.pipelines()["danqing"]) == text


@pytest.mark.parametrize("name", ["danqing", "ablation", "sharded"])
def test_both_documents_parse_strictly(name: str) -> None:
    spec, platform = yaml.safe_load_all((compiling.GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert executors
    for settings in executors.values():
        json_format.ParseDict(settings, kubernetes.KubernetesExecutorConfig(), ignore_unknown_fields=False)


def test_strict_parsing_refuses_an_unknown_field(documents: tuple[dict, dict]) -> None:
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict({**documents[0], "colour": "red"}, pipeline_spec_pb2.PipelineSpec())


def test_the_edges_are_those_of_the_steps(documents: tuple[dict, dict]) -> None:
    tasks = documents[0]["root"]["dag"]["tasks"]
    assert {step_of(name) for name in tasks} == set(STEPS)
    for name, task in tasks.items():
        step = STEPS[step_of(name)]
        artifacts = task.get("inputs", {}).get("artifacts", {})
        read = {key: step_of(value["taskOutputArtifact"]["producerTask"]) for key, value in artifacts.items()}
        assert read == dict(step.inputs), name
        waits = {step_of(other) for other in task.get("dependentTasks", [])}
        assert waits == set(step.inputs.values()) | set(step.after), name


def test_dvc_has_the_same_steps_edges_and_sections() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert list(stages) == list(STEPS)
    written = {name: stage["outs"][0] for name, stage in stages.items()}
    for name, stage in stages.items():
        step = STEPS[name]
        wanted = [written[other] for other in (*step.inputs.values(), *step.after)]
        if hasattr(getattr(presets.default(), step.section), "init"):  # may start from the model in the box
            wanted.append(f"pretrained/{step.section}.safetensors")
        assert sorted(stage.get("deps", [])) == sorted(set(wanted)), name
        assert stage["params"] == [step.section]
        assert stage.get("always_changed", False) == (name in ("ingest", "gate", "register")), name
        words = stage["cmd"].split()
        assert words[:2] == ["danqing", name.replace("_", "-")]
        options = dict(zip(words[2::2], words[3::2], strict=True))
        given = {f"--{argument.replace('_', '-')}": written[other] for argument, other in step.inputs.items()}
        assert options == {**given, "--out": written[name], "--params": "params.yaml"}, name


def test_params_yaml_is_the_default_preset() -> None:
    from pipelines.params import text_of

    path = ROOT / "params.yaml"
    assert presets.load(path) == presets.default()
    assert path.read_text(encoding="utf-8") == text_of("default"), "run `python -m pipelines.params`"


def test_steps_that_depend_on_the_registry_are_never_cached(documents: tuple[dict, dict]) -> None:
    tasks = documents[0]["root"]["dag"]["tasks"]
    cached = {step_of(name) for name, task in tasks.items() if task.get("cachingOptions", {}).get("enableCache")}
    assert cached == set(STEPS) - {"gate", "register"}


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.stem)
def test_a_component_is_thin_and_stands_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert function.name == path.stem
    assert function.end_lineno - function.body[0].lineno < 30
    # KFP ships the function's source alone: a name of this module would be unknown where it runs.
    module = {alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom)
              for alias in node.names}  # fmt: skip
    used = {node.id for statement in function.body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    assert not used & module
    roots = {node.module.split(".")[0] for node in ast.walk(function) if isinstance(node, ast.ImportFrom)}
    assert roots == {"danqing"}
    assert {path.stem for path in COMPONENTS} == set(STEPS) | set(MACHINERY)


def test_there_is_one_component_a_step() -> None:
    assert {path.stem for path in COMPONENTS} == set(STEPS) | set(MACHINERY)


def test_components_take_what_their_step_reads() -> None:
    import importlib

    for name, step in STEPS.items():
        component = getattr(importlib.import_module(f"components.{name}"), name)
        parameters = inspect.signature(component.python_func).parameters
        assert set(step.inputs) <= set(parameters), name
        assert {"out", "profile", "overrides"} <= set(parameters), name
