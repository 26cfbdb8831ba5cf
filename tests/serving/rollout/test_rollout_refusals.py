"""What is not in order is never served: the old version stays, and the new one says why."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
import tiny_package
from onnx import helper
from rollout_parts import until

from danqing.package import GRAPH, write_manifest
from danqing.platform.versions import read
from serving.rollout.registry import Registry


def other_package(owned, packages, tmp_path):
    owned.set_tag(2, "package_sha256", "0" * 64)
    return 2


def other_graph(owned, packages, tmp_path):
    owned.set_tag(2, "onnx_sha256", "0" * 64)
    return 2


def path_for_a_hash(owned, packages, tmp_path):
    owned.set_tag(2, "package_sha256", "../../elsewhere")
    return 2


def no_hash(owned, packages, tmp_path):
    owned.client.delete_model_version_tag("danqing", "2", "package_sha256")
    return 2


def changed_after_export(owned, packages, tmp_path):
    package = tiny_package.make(tmp_path / "changed").folder
    (package / "card.md").write_text("Something else.")
    return owned.register(package, tmp_path)  # the tag is that of the changed folder


def no_files(owned, packages, tmp_path):
    tags = {"package_sha256": "1" * 64}
    return int(owned.client.create_model_version("danqing", (tmp_path / "nowhere").as_uri(), tags=tags).version)


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (other_package, "package_sha256 is announced as 000000000000…, its files have"),
        (other_graph, "onnx_sha256 is announced as 000000000000…, generate.onnx is another file"),
        (path_for_a_hash, "package_sha256 is '../../elsewhere', no SHA-256"),
        (no_hash, "no tag package_sha256"),
        (changed_after_export, "package/card.md: damaged or changed after export"),
        (no_files, "has no package there"),
    ],
)
def test_a_registry_that_lies_is_refused_and_told_so(
    owned, control, now, packages, tmp_path, caller, survived, lie, why
):
    controller = control()
    owned.move(1)
    controller.step()
    number = lie(owned, packages, tmp_path)
    owned.describe(number, "The best so far.")
    with caller() as painting:
        owned.move(number)
        controller.step()
        painting.goes_on()
    survived(f"the registry lies: {lie.__name__.replace('_', ' ')}", painting)
    assert now() == 1
    assert owned.tag(number).startswith("refused: ") and why in owned.tag(number)
    first, last = owned.describe(number).splitlines()
    assert first == "The best so far." and why in last
    assert why in controller.status.last_error and controller.status.refusals == 1
    assert owned.tag(1) == "serving"
    assert list(controller.store.root.rglob(".*")) == [], "nothing half-done is left"


def test_what_was_refused_is_tried_again_when_it_is_put_right(owned, control, now):
    controller = control()
    owned.move(1)
    controller.step()
    right = owned.tag(2, "package_sha256")
    owned.set_tag(2, "package_sha256", "0" * 64)
    owned.move(2)
    for _ in range(3):
        controller.step()
    assert now() == 1 and controller.status.refusals == 1, "not tried again at once"
    owned.set_tag(2, "package_sha256", right)
    controller.step()
    assert now() == 2 and owned.tag(2) == "serving"


def test_what_was_refused_is_tried_again_after_a_while(owned, control):
    controller = control(retry=0.01)
    owned.move(1)
    controller.step()
    owned.set_tag(2, "package_sha256", "0" * 64)
    owned.move(2)
    for count in (1, 2):
        controller.step()
        assert controller.status.refusals == count
        time.sleep(0.05)


def blank():
    return tiny_package.graph(tiny_package.weights(9) | {"tokenizer.out": np.zeros((8, 768), np.float16)})


def deaf_to_seeds():
    return tiny_package.graph(tiny_package.weights(9) | {"painter.seeds": np.zeros((4096, 8), np.float16)})


def deaf_to_words():
    return tiny_package.graph(tiny_package.weights(9) | {"painter.table": np.zeros((512, 8), np.float16)})


def restless():
    model = tiny_package.graph(tiny_package.weights(9))
    nodes = model.graph.node
    place = next(i for i, node in enumerate(nodes) if list(node.input)[:1] == ["raw"])
    nodes[place].input[0] = "shaken"
    nodes.insert(place, helper.make_node("Add", ["raw", "noise_now"], ["shaken"]))
    nodes.insert(place, helper.make_node("RandomNormalLike", ["raw"], ["noise_now"]))
    return model


class Garbage:
    def SerializeToString(self):
        return b"no graph"


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (blank, "is blank"),
        pytest.param(deaf_to_seeds, "the same for different seeds", marks=pytest.mark.slow),
        pytest.param(deaf_to_words, "different prompts give the same picture", marks=pytest.mark.slow),
        pytest.param(restless, "another one when painted again", marks=pytest.mark.slow),
        pytest.param(Garbage, "does not load", marks=pytest.mark.slow),
    ],
)
def test_a_model_that_paints_nonsense_is_tried_and_refused(owned, control, now, tmp_path, graph, why):
    package = tiny_package.make(tmp_path / "package").folder
    (package / GRAPH).write_bytes(graph().SerializeToString())
    write_manifest(package, name="tiny", size=16, text_length=32, decoding=tiny_package.DECODING)
    controller = control()
    owned.move(1)
    controller.step()
    number = owned.register(package, tmp_path)
    owned.move(number)
    controller.step()
    assert now() == 1
    assert owned.tag(number).startswith("refused: ") and why in owned.tag(number)
    key = next(
        line.split()[-3] for line in controller.lines if line.endswith("is built") and f"version {number}" in line
    )
    assert not any(name.endswith(key) for name in controller.triton._ready()), "its memory is free again"


@pytest.mark.slow
def test_a_repository_that_the_disk_has_lost_a_part_of_is_built_anew(owned, control, now):
    controller = control(retry=0.001, drain=0.001, keep=2)
    for number in (2, 1, 3):  # in the end version 2 is neither served nor loaded
        owned.move(number)
        controller.step()
    until(lambda: (controller.step(), len(controller.triton.loaded()) == 2)[1], "two loaded")
    sha = owned.tag(2, "package_sha256")
    package = controller.store.package(
        sha, None, lambda into: controller.registry.fetch(read(owned.uri, "danqing")[2], into)
    )
    release = controller.store.release(package, sha)
    (release.folder / f"generate-{release.key}" / "1" / "model.onnx").write_bytes(b"")
    owned.move(2)
    controller.step()
    assert now() == 3 and "does not load" in owned.tag(2)
    controller.step()
    assert now() == 2 and owned.tag(2) == "serving"


def test_a_registry_that_never_answers_is_given_up_each_round(control, now, owned, monkeypatch):
    owned.move(1)
    control().step()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        controller = control(tracking=f"http://127.0.0.1:{silent.getsockname()[1]}")
        controller.step()
    assert controller.status.registry_failures == 1 and "MLflow answers" in controller.status.last_error
    assert now() == 1


def test_files_that_do_not_come_are_given_up(owned, tmp_path, monkeypatch):
    from danqing.errors import RegistryError
    from danqing.platform import registry

    owned.move(1)
    slow = Registry(owned.uri, "danqing", fetch_timeout=0.05)
    monkeypatch.setattr(registry, "fetch", lambda *_, **__: time.sleep(1))
    with pytest.raises(RegistryError, match=r"did not come within 0\.05 s"):
        slow.fetch(slow.champion(), tmp_path)


def test_a_pointer_that_is_gone_comes_back_from_disk_while_the_registry_is_away(
    owned, control, now, free_port, monkeypatch
):
    owned.move(2)
    controller = control()
    controller.step()
    controller.triton.client.unload_model("danqing", headers=controller.triton._headers)
    assert controller.triton.pointed() is None
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    without = control(tracking=f"http://127.0.0.1:{free_port}")
    for _ in range(3):
        without.step()
    assert now() == 2
    assert without.status.restorations == 1 and without.status.registry_failures == 3
    assert len([line for line in without.lines if "MLflow answers" in line]) == 1, "said once, not every round"
