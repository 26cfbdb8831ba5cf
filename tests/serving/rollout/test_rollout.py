"""The alias `champion` moves, and Triton's callers get another model's pictures without noticing more than that."""

from __future__ import annotations

import json
import random
import time
import urllib.request

import numpy as np
import pytest
from rollout_parts import PROMPT, until
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from danqing.errors import ServingError
from danqing.package import RESTORE, Package
from danqing.paint import box
from danqing.platform import registry
from serving.client import Danqing
from serving.rollout.registry import with_line


def test_moving_the_alias_and_rolling_back_change_the_model_under_load(
    owned, control, caller, now, running, painters, survived
):
    controller = control()
    owned.move(1)
    controller.step()
    assert now() == 1, controller.lines
    running(controller)
    with caller() as painting:
        until(lambda: painting.painted.count(1) > 5, "pictures of the first")
        owned.move(2)
        until(lambda: owned.tag(2) == "serving", f"version 2: {controller.lines}")
        assert now() == 2, "a request that was answered from the cache before is not answered by the old model"
        owned.client.set_registered_model_alias("danqing", "previous", "1")
        registry.rollback(tracking_uri=owned.uri)
        until(lambda: owned.tag(1) == "serving", f"back to version 1: {controller.lines}")
        assert now() == 1
    survived("promoted, and rolled back", painting)
    assert set(painting.painted) == {1, 2}
    assert owned.tag(2) == "replaced by version 1"
    with Danqing(controller.settings.triton) as client:
        assert client.version() == painters[1].package.version == controller.status.model


def test_promote_moves_what_is_served(owned, control, now):
    controller = control()
    for number in (2, 3, 2):
        registry.promote(number, tracking_uri=owned.uri)
        controller.step()
        assert now() == number


def test_a_round_without_a_change_does_nothing(owned, control, now):
    controller = control()
    owned.move(1)
    controller.step()
    said, switches = list(controller.lines), controller.status.switches
    for _ in range(3):
        controller.step()
    assert controller.lines == said and controller.status.switches == switches


def test_the_description_stays_its_owners_but_for_the_last_line(owned, control, now):
    owned.describe(1, "Trained on bamboo.\n\nAsk Li.")
    owned.move(1)
    controller = control()
    controller.step()
    *theirs, ours = owned.describe(1).splitlines()
    assert theirs == ["Trained on bamboo.", "", "Ask Li."] and ours.startswith("Rollout: serving (")
    owned.move(2)
    controller.step()
    *theirs, ours = owned.describe(1).splitlines()
    assert theirs == ["Trained on bamboo.", "", "Ask Li."] and ours.startswith("Rollout: replaced by version 2 (")
    assert with_line("", "serving").startswith("Rollout: serving (")


def test_the_status_file_says_what_is_served_and_that_the_loop_lives(owned, control, tmp_path, painters):
    controller = control()
    owned.move(3)
    controller.step()
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["version"], status["model"]) == (3, painters[3].package.version)
    before = (tmp_path / "status.json").stat().st_mtime_ns
    controller.step()
    assert (tmp_path / "status.json").stat().st_mtime_ns > before


def test_who_does_not_know_the_secret_loads_and_unloads_nothing(owned, control, served, now):
    owned.move(1)
    control().step()
    server = served[0]
    client = InferenceServerClient(server.url.removeprefix("grpc://"))
    for call in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="restricted"):
            call("danqing")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        opener.open(urllib.request.Request(f"{server.http_url}/v2/repository/models/danqing/unload", b"{}"))
    assert now() == 1


def test_only_two_versions_stay_loaded_and_only_some_on_disk(owned, control, served, now):
    controller = control(drain=0.01, keep=2)
    for number in (1, 2, 3):
        owned.move(number)
        controller.step()
    assert now() == 3
    until(lambda: (controller.step(), len(controller.triton.loaded()) == 2)[1], "two loaded")
    store = controller.store
    assert [release.key for release in store.served()[:2]] == sorted(
        controller.triton.loaded(), key=lambda key: key != controller.status.serving
    )
    owned.move(2)
    controller.step()  # what is no longer loaded is cleared away with the next change
    assert now() == 2
    assert len(list(store.versions.iterdir())) == 2
    assert all(link.exists() for link in store.models.iterdir()), "no link points nowhere"


@pytest.mark.slow
def test_editing_and_previews_come_and_go_with_the_versions_that_have_them(owned, control, served, now, tmp_path):
    assert RESTORE in Package.read(box()).graphs
    controller = control()
    full = owned.register(box(), tmp_path)
    with Danqing(served[0].url) as client:
        for number in (1, full, 2):
            owned.move(number)
            controller.step()
            assert controller.status.version == number, controller.lines
            if number == full:
                picture = client.paint("bamboo", seed=1)
                assert picture.info["danqing:model"] == Package.read(box()).version
                steps = list(client.preview("bamboo", seed=1))
                assert [step.number for step in steps] == list(range(1, 9))
                assert client.edit(picture, np.ones(picture.size, bool), "a pagoda").size == picture.size
            else:
                assert controller.triton.pointed().pointers == {"danqing"}
                with pytest.raises(ServingError):
                    list(client.preview("bamboo"))
    assert now() == 2


@pytest.mark.slow
def test_fifty_promotions_and_rollbacks_in_a_row_end_on_the_last(owned, control, caller, now, running, survived):
    rng, controller = random.Random(0), control()
    owned.move(1)
    controller.step()
    running(controller)
    with caller() as painting:
        for i in range(50):
            if i % 3 == 2:
                registry.rollback(tracking_uri=owned.uri)
            else:
                registry.promote(rng.randint(1, 3), tracking_uri=owned.uri)
            time.sleep(rng.choice((0, 0.05, 0.3)))
        last = registry.champion(owned.uri).number
        controller.sees()
        until(lambda: owned.tag(last) == "serving" and now() == last, f"version {last}: {controller.lines[-5:]}")
        painted = len(painting.painted)
        until(lambda: len(painting.painted) > painted + 20, "pictures of the last")
    survived(f"50 promotions and rollbacks, {controller.status.switches} switches", painting)
    assert set(painting.painted[-10:]) == {last}
    assert controller.status.refusals == 0
    assert [number for number in (1, 2, 3) if owned.tag(number) == "serving"] == [last]


@pytest.mark.slow
def test_two_controllers_at_once_end_on_the_last(owned, control, caller, now, running, tmp_path, survived):
    one, other = control(), control(status=tmp_path / "other.json")
    owned.move(1)
    one.step()
    running(one)
    running(other)
    with caller() as painting:
        for number in (2, 3, 1, 2, 3, 2):
            owned.move(number)
            time.sleep(0.4)
        one.sees()
        other.sees()
        until(lambda: owned.tag(2) == "serving" and now() == 2, f"version 2: {one.lines} {other.lines}")
    survived(f"two controllers, {one.status.switches} + {other.status.switches} switches", painting)
    assert one.status.refusals == other.status.refusals == 0
    assert PROMPT not in "".join(one.lines + other.lines)
