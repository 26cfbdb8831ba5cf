"""Where a compiled pipeline's tasks run: what a cluster's profile says, and that each check finds its fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from components import CPU_IMAGE, CUDA_IMAGE
from danqing import values
from danqing.cli import app
from danqing.errors import ConfigError
from danqing.platform.trainjob import SETTINGS, Place
from danqing.steps import STEPS
from pipelines import checks, cluster, placement
from pipelines import compile as compiling

KNOWN = sorted(path.stem for path in cluster.FOLDER.glob("*.yaml"))
DIGESTS = {"cpu_image": "registry.example/danqing@sha256:" + "1" * 64,
           "cuda_image": "registry.example/danqing@sha256:" + "2" * 64}  # fmt: skip


def parsed(text: str) -> list[dict[str, Any]]:
    return list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def golden(name: str) -> list[dict[str, Any]]:
    return parsed((compiling.GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return golden("danqing")


def by_name(documents: list[dict[str, Any]]) -> dict[str, checks.Task]:
    return {task.step: task for task in checks.tasks(*documents)}


@pytest.mark.parametrize("name", ["danqing", "ablation", "sharded"])
def test_the_golden_files_have_no_fault(name: str) -> None:
    assert checks.problems((compiling.GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")) == []


def test_the_checks_see_every_step_of_both_pipelines() -> None:
    assert set(by_name(golden("danqing"))) == set(STEPS)
    trained_and_compared = {name for name in STEPS if name not in ("gate", "export", "register")}
    assert set(by_name(golden("ablation"))) == trained_and_compared | {"plan", "compare"}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("pipeline", ["danqing", "ablation", "sharded"])
def test_each_known_cluster_gets_a_sound_file_with_its_own_nodes(name: str, pipeline: str) -> None:
    site = compiling.site_of(name, **DIGESTS)
    text = compiling.text_of(compiling.pipelines()[pipeline], site)
    assert checks.problems(text, digests=True) == []
    for step, task in by_name(parsed(text)).items():
        pool = site.cluster.pool(step)
        assert task.container["image"] == DIGESTS["cuda_image" if site.cluster.heavy(step) else "cpu_image"]
        assert task.placed.get("nodeSelector", {}).get("labels", {}) == pool.selector
        assert task.placed["activeDeadlineSeconds"] == str(pool.deadline_hours * 3600)
        assert task.resources["resourceMemoryLimit"] == pool.memory_limit
        assert ("accelerator" in task.resources) == site.cluster.heavy(step)


def test_light_steps_ask_for_nothing_of_the_gpu_pool(documents: list[dict[str, Any]]) -> None:
    for step, task in by_name(documents).items():
        assert task.container["image"] == (CUDA_IMAGE if STEPS[step].heavy else CPU_IMAGE)
        if not STEPS[step].heavy:
            assert "accelerator" not in task.resources
            assert not {"nodeSelector", "tolerations", "emptyDirMounts"} & set(task.placed)


def test_long_steps_are_tried_again_from_what_survives_on_a_volume(documents: list[dict[str, Any]]) -> None:
    for step, task in by_name(documents).items():
        mounts = [mount["mountPath"] for mount in task.placed.get("pvcMount", [])]
        memo = [one["value"] for one in task.container["env"] if one["name"] == "DANQING_MEMO"]
        assert mounts == memo == ([placement.MEMO] if STEPS[step].heavy or step == "ingest" else [])


def test_passwords_come_from_secrets_that_need_not_be_there(documents: list[dict[str, Any]]) -> None:
    wanted = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    for task in by_name(documents).values():
        secrets = task.placed["secretAsEnv"]
        assert {pair["envVar"] for secret in secrets for pair in secret["keyToEnv"]} == wanted
        assert all(secret["optional"] for secret in secrets)


def test_a_model_version_is_told_the_image_that_made_it() -> None:
    text = compiling.text_of(compiling.pipelines()["danqing"], compiling.site_of("gke", **DIGESTS))
    for task in by_name(parsed(text)).values():
        assert {"name": "DANQING_IMAGE", "value": task.container["image"]} in task.container["env"]


# What a careless hand does to a compiled file, and what must be said of it.
Change = Callable[[dict[str, Any], dict[str, Any]], None]
EXECUTOR, SMALL = "exec-train-painter", "exec-validate"


def container(spec: dict[str, Any], name: str = EXECUTOR) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][name]["container"]


def placed(platform: dict[str, Any], name: str = EXECUTOR) -> dict[str, Any]:
    return platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][name]


def task_of(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["root"]["dag"]["tasks"]["train-painter"]


def form(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["root"]["inputDefinitions"]["parameters"]


FAULTS: dict[str, tuple[Change, str]] = {
    "no accelerator": (lambda s, p: container(s)["resources"].pop("accelerator"), "no accelerator type"),
    "no number of accelerators": (
        lambda s, p: container(s)["resources"]["accelerator"].update(resourceCount="0"), "accelerator limit is '0'"),
    "no selector": (lambda s, p: placed(p).pop("nodeSelector"), "no node selector"),
    "no toleration": (lambda s, p: placed(p).pop("tolerations"), "no toleration of nvidia.com/gpu"),
    "another toleration": (
        lambda s, p: placed(p)["tolerations"][0].update(key="spot"), "no toleration of nvidia.com/gpu"),
    "no shared memory": (lambda s, p: placed(p).pop("emptyDirMounts"), "no /dev/shm"),
    "shared memory on disk": (
        lambda s, p: placed(p)["emptyDirMounts"][0].pop("medium"), "shared memory is not memory"),
    "all of the memory shared": (
        lambda s, p: placed(p)["emptyDirMounts"][0].update(sizeLimit="32Gi"), "shared memory takes 32Gi"),
    "request above limit": (
        lambda s, p: container(s)["resources"].update(resourceMemoryRequest="33Gi"), "memory request 33Gi is above"),
    "no cpu limit": (lambda s, p: container(s)["resources"].pop("resourceCpuLimit"), "no cpu request and limit"),
    "a light task without memory": (
        lambda s, p: container(s, SMALL)["resources"].pop("resourceMemoryLimit"), "no memory request and limit"),
    "no retry": (lambda s, p: task_of(s).pop("retryPolicy"), "no retry"),
    "retries at once": (
        lambda s, p: task_of(s)["retryPolicy"].update(backoffDuration="0s"), "retries without back-off"),
    "no deadline": (lambda s, p: placed(p, SMALL).pop("activeDeadlineSeconds"), "no deadline"),
    "no security context": (lambda s, p: placed(p, SMALL).pop("securityContext"), "may run as root"),
    "root by number": (lambda s, p: placed(p)["securityContext"].update(runAsUser="0"), "may run as root"),
    "no labels": (lambda s, p: placed(p).pop("podMetadata"), "no pod label app.kubernetes.io/part-of"),
    "a password in the file": (
        lambda s, p: container(s)["env"].append({"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}),
        "AWS_SECRET_ACCESS_KEY stands in the file"),
    "deaf to a rerun": (
        lambda s, p: task_of(s)["inputs"]["parameters"].pop("rerun"), "is cached whatever rerun says"),
    "deaf to new data": (
        lambda s, p: s["root"]["dag"]["tasks"]["ingest"]["inputs"]["parameters"].pop("data_revision"),
        "is cached whatever data_revision says"),
    "a long form": (lambda s, p: form(s).update({f"z{i}": {"parameterType": "STRING"} for i in range(9)}),
                    "run form: 16 parameters"),
    "an unsorted form": (lambda s, p: form(s).update(source=form(s).pop("source"), seed=form(s).pop("seed")),
                         "are not sorted"),
    "an unexplained parameter": (lambda s, p: s["pipelineInfo"].update(description="pictures"),
                                 "does not explain seed"),
    "an unknown field": (lambda s, p: s.update(colour="red"), "KFP would not read it"),
    "an unknown field of placement": (lambda s, p: placed(p).update(colour="red"), "KFP would not read it"),
    "a number where a word belongs": (lambda s, p: placed(p)["securityContext"].update(runAsNonRoot="yes"),
                                      "KFP would not read it"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_named(fault: str, documents: list[dict[str, Any]]) -> None:
    change, said = FAULTS[fault]
    spec, platform = copy.deepcopy(documents)
    change(spec, platform)
    found = checks.faults(spec, platform)
    assert any(said in line for line in found), found


def test_every_check_has_a_planted_fault(documents: list[dict[str, Any]]) -> None:
    for check in set(checks.EACH) - {checks.launcher}:  # whose faults stand below
        found = []
        for change, _ in FAULTS.values():
            spec, platform = copy.deepcopy(documents)
            change(spec, platform)
            found += [line for task in checks.tasks(spec, platform) for line in check(task)]
        assert found, check.__name__


def test_what_is_no_compiled_pipeline_is_said_to_be_none() -> None:
    assert "not the two YAML documents" in checks.problems("a: 1")[0]
    assert "KFP would not read it" in checks.problems("a: 1\n---\nb: 2\n")[0]


def test_images_by_tag_are_found_where_digests_are_asked_for() -> None:
    text = (compiling.GOLDEN / "danqing.yaml").read_text(encoding="utf-8")
    assert len(checks.problems(text, digests=True)) == len(STEPS)


def cache_key(task: checks.Task, parameters: dict[str, str]) -> tuple[object, ...]:
    """What KFP's own key is made of, as far as one run's parameters and the file decide it."""
    given = task.task["inputs"]["parameters"]
    values = {name: parameters.get(one.get("componentInputParameter", ""), str(one)) for name, one in given.items()}
    return (task.container["image"], *task.container["args"], *sorted(values.items()))


def test_a_rerun_and_another_image_miss_every_cached_result_and_new_data_is_ingested() -> None:
    pipeline = compiling.pipelines()["danqing"]
    ours, others = (
        by_name(parsed(compiling.text_of(pipeline, compiling.site_of("gke", **images))))
        for images in (DIGESTS, {name: f"{image[:-1]}0" for name, image in DIGESTS.items()})
    )
    defaults = {"rerun": "", "data_revision": "a"}
    cached = [step for step, task in ours.items() if task.task.get("cachingOptions", {}).get("enableCache")]
    assert set(STEPS) - set(cached) == {"gate", "register"}
    for step in cached:
        key = cache_key(ours[step], defaults)
        assert cache_key(ours[step], dict(defaults)) == key
        assert cache_key(ours[step], {**defaults, "rerun": "again"}) != key, step
        assert cache_key(others[step], defaults) != key, step
    # What follows reads what ingest wrote: KFP's key has the artifact's name.
    assert cache_key(ours["ingest"], {**defaults, "data_revision": "b"}) != cache_key(ours["ingest"], defaults)


WRONG = {
    "steps: {train_paniter: {retries: 1}}": "there is no step 'train_paniter': did you mean 'train_painter'?",
    "gpu: {memroy: 1Gi}": "there is no config key 'gpu.memroy': did you mean 'memory'?",
    "gpu: {memory: 64Gi}": "gpu.memory is 64Gi, memory_limit 32Gi: a request is at most its limit",
    "cpu: {cpu: two}": "cpu.cpu is 'two': a quantity of Kubernetes is needed",
    "steps: {train_painter: {shared_memory: 32Gi}}": "steps.train_painter.shared_memory is 32Gi: it must fit",
    "gpu: {accelerators: 0}": "gpu.accelerator is 'nvidia.com/gpu' and accelerators 0: name and number",
    "gpu: {selector: {pool: 'a b'}}": "gpu.selector has pool: 'a b', which Kubernetes takes for no label",
    "gpu: {selector: {nvidia.com/gpu.present: true}}": "gpu.selector.nvidia.com/gpu.present is True: a word is needed",
    "steps: {ingest: 72}": "steps.ingest is 72: keys are needed",
    "gpu: {selector: gpu}": "gpu.selector is 'gpu': keys and values are needed",
    "gpu: {tolerations: [{key: a, effect: Never}]}": "use one of NoSchedule",
    "user: 0": "user is 0: steps run as a user without rights",
    "secrets: [{name: S3, env: {}}]": "secret 'S3': Kubernetes takes that for no name",
    "- a": "keys and values are needed",
    "a: [": "no YAML",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_profile_is_refused_with_file_key_and_reason(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        cluster.load(str(file))
    assert str(error.value).startswith(f"{file}: ") and WRONG[text] in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_cluster_is_told_what_it_may_have_meant() -> None:
    with pytest.raises(ConfigError, match="there is no cluster 'gek': did you mean 'gke'"):
        cluster.load("gek")


def test_quantities_are_those_of_kubernetes() -> None:
    assert [cluster.quantity(text) for text in ("500m", "4", "1.5k", "2Gi")] == [0.5, 4, 1500, 2 * 1024**3]


def test_the_command_line_compiles_for_a_profile_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("gpu: {selector: {rack: seven}, tolerations: [{key: nvidia.com/gpu}]}\n")
    images = [f"--{name.replace('_', '-')}={image}" for name, image in DIGESTS.items()]
    out = tmp_path / "out.yaml"
    done = CliRunner().invoke(
        app, ["compile", "--cluster", str(tmp_path / "mine.yaml"), *images, "-o", str(out)]
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert checks.problems(out.read_text(encoding="utf-8"), digests=True) == []
    assert "rack: seven" in out.read_text(encoding="utf-8")


def test_a_profile_whose_steps_would_not_be_placed_is_refused_by_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("gpu: {selector: {rack: seven}}\n")
    command = ["compile", "--cluster", str(tmp_path / "mine.yaml"), "--allow-tags", "-o", str(tmp_path / "out.yaml")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2 and "no toleration of nvidia.com/gpu" in done.output
    assert not (tmp_path / "out.yaml").exists()


def test_a_cluster_gets_no_image_by_tag_unless_told(tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    command = ["compile", "--cluster", "gke", "--cpu-image", "danqing:1", "-o", str(out)]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2 and "--cpu-image is danqing:1" in refused.output and not out.exists()
    assert CliRunner().invoke(app, [*command, "--allow-tags"]).exit_code == 0
    assert "image: danqing:1" in out.read_text(encoding="utf-8")


def test_the_default_is_what_the_golden_file_says(tmp_path: Path) -> None:
    out = tmp_path / "danqing.yaml"
    done = CliRunner().invoke(app, ["compile", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == (compiling.GOLDEN / "danqing.yaml").read_bytes()


def on_two_nodes(tmp_path: Path) -> list[dict[str, Any]]:
    """The pipeline for a cluster whose profile spreads steps over two nodes."""
    profile = tmp_path / "two.yaml"
    profile.write_text(
        "gpu: {nodes: 2, accelerators: 4, selector: {danqing/pool: gpu}, "
        "tolerations: [{key: nvidia.com/gpu, operator: Exists}]}\n"
    )
    site = placement.Site(cluster=cluster.read(profile))
    return parsed(compiling.text_of(compiling.pipelines()["danqing"], site))


def test_a_pool_of_several_nodes_makes_launchers_of_the_steps_that_can_be_shared(tmp_path: Path) -> None:
    spec, platform = on_two_nodes(tmp_path)
    assert checks.faults(spec, platform) == []
    for name, task in by_name([spec, platform]).items():
        assert bool(task.launches) is STEPS[name].parallel
        assert ("accelerator" in task.resources) is (STEPS[name].heavy and not STEPS[name].parallel)
        if task.launches:
            place = values.build(Place, json.loads(task.launches))
            assert (place.nodes, place.processes) == (2, 4) and place.claim == "danqing-memo"
            assert place.limits["nvidia.com/gpu"] == "4" and place.selector == {"danqing/pool": "gpu"}
            assert "nodeSelector" not in task.placed, "the launcher itself runs anywhere"


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (lambda pods: pods.update(selector={}), "pods have no node selector"),
        (lambda pods: pods.update(tolerations=[]), "pods have no toleration"),
        (lambda pods: pods.update(shared_memory=""), "pods have no room in shared memory"),
        (lambda pods: pods.update(limits={"cpu": "4"}), "ask for no device"),
    ],
)
def test_a_launcher_whose_pods_would_not_work_is_seen(
    plant: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    spec, platform = on_two_nodes(tmp_path)
    container = spec["deploymentSpec"]["executors"]["exec-train-painter"]["container"]
    (variable,) = [v for v in container["env"] if v["name"] == SETTINGS]
    pods = json.loads(variable["value"])
    plant(pods)
    variable["value"] = json.dumps(pods)
    (fault,) = checks.faults(spec, platform)
    assert fault.startswith("train-painter:") and message in fault


def test_a_launcher_whose_trainjob_nobody_would_own_is_seen(tmp_path: Path) -> None:
    spec, platform = on_two_nodes(tmp_path)
    placed = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-evaluate"]
    placed["fieldPathAsEnv"] = [f for f in placed["fieldPathAsEnv"] if f["name"] != "POD_UID"]
    assert checks.faults(spec, platform) == ["evaluate: launches a TrainJob without POD_UID: nobody would own it"]
