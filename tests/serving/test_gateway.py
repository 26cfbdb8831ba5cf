"""The gateway's routes on a real painter: in this process, and in front of a real Triton."""

from __future__ import annotations

import base64
import io
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import create_engine, update

from danqing.errors import ConfigError
from serving.gateway import tasks
from serving.gateway.service import assemble
from serving.gateway.settings import Settings
from serving.guard.approvals import Approvals

PROMPT = "a lone boat under misty mountains, freehand"


def gateway(tmp_path, layers=("text",), **values):
    """Without the layers that change pixels or take the time, where they are not the point."""
    return assemble(Settings(database=f"sqlite:///{tmp_path / 'gateway.db'}", layers=layers, **values))


@pytest.fixture(scope="module", params=["in process", "triton"])
def http(request, tmp_path_factory, package):
    folder = tmp_path_factory.mktemp("gateway")
    where = {"model": str(package)}
    if request.param == "triton":
        where = {"triton": request.getfixturevalue("server").url}
    with TestClient(gateway(folder, **where)[0]) as client:
        yield client


def opened(answer):
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def png(array, name="picture.png"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return name, buffer.getvalue(), "image/png"


def scene():
    picture = np.random.default_rng(0).integers(0, 256, (140, 180, 3), dtype=np.uint8)
    mask = np.zeros((140, 180), np.uint8)
    mask[40:80, 50:120] = 255
    return picture, mask


def test_one_picture_is_a_png_that_says_where_it_comes_from(http, painter):
    answer = http.post("/paint", json={"prompt": PROMPT, "seed": 7, "scale": 1})
    picture = opened(answer)
    assert np.array_equal(np.asarray(picture), np.asarray(painter.paint(PROMPT, seed=7)[0]))
    assert picture.info["danqing:model"] == painter.package.version == answer.headers["x-danqing-model"]
    assert answer.headers["content-type"] == "image/png" and answer.headers["x-danqing-seed"] == "7"
    assert min(opened(http.post("/paint", json={"prompt": PROMPT})).size) >= 512


def test_several_pictures_are_json_with_seeds_that_count_on(http):
    body = http.post("/paint", json={"prompt": "墨竹", "seed": 3, "count": 2, "scale": 1}).json()
    assert [p["seed"] for p in body["pictures"]] == [3, 4]
    single = http.post("/paint", json={"prompt": "墨竹", "seed": 4, "scale": 1}, headers={"accept": "application/json"})
    assert single.json()["pictures"][0]["png"] == body["pictures"][1]["png"]


def test_a_picture_names_the_nearest_works_and_a_copy_is_withheld(tmp_path, package):
    asked = {"prompt": PROMPT, "seed": 7, "scale": 1}
    with TestClient(gateway(tmp_path, model=str(package))[0]) as http:
        picture = http.post("/paint", json=asked, headers={"accept": "application/json"}).json()["pictures"][0]
        assert len(picture["nearest"]) == 3 and picture["nearest"][0]["licence"] == "CC0-1.0"
        assert picture["nearest"][0]["similarity"] >= picture["nearest"][1]["similarity"]
    with TestClient(gateway(tmp_path, model=str(package), copy_limit=0.1)[0]) as http:
        answer = http.post("/paint", json=asked)
        assert (answer.status_code, answer.json()["code"]) == (403, "too_near")


def test_prompts_pass_the_policy_and_a_consultant_lets_one_through(tmp_path, package):
    database = f"sqlite:///{tmp_path / 'gateway.db'}"
    with TestClient(gateway(tmp_path, model=str(package))[0]) as http:
        refused = http.post("/paint", json={"prompt": "a laughing buddha vomiting, sketch"})
        assert (refused.status_code, refused.json()["code"]) == (403, "refused")
        assert refused.json()["rule"] == "deity-undignified" and refused.json()["reason_zh"]
        asked = {"prompt": "观音坐像，工笔", "seed": 1, "scale": 1}
        waits = http.post("/paint", json=asked)
        assert (waits.status_code, waits.json()["code"]) == (403, "needs_approval")
        assert http.post("/preview", json=asked).json()["approval"] == waits.json()["approval"]
        Approvals(database).decide(waits.json()["approval"], True, "Li", "for the exhibition")
        assert http.post("/paint", json=asked).status_code == 200
        other = http.post("/paint", json={"prompt": "观音立像，工笔"})
        assert other.json()["code"] == "needs_approval", "an approval is for one prompt"
        anchored = http.post(
            "/paint", json={"prompt": "唐代背景，明代服饰的仕女"}, headers={"accept": "application/json"}
        )
        assert anchored.status_code == 200 and "唐" in anchored.json()["pictures"][0]["note"]
        edited = http.post(
            "/edit", files={"picture": png(scene()[0])}, data={"prompt": "naked people", "strength": 0.5}
        )
        assert (edited.status_code, edited.json()["rule"]) == (403, "sexual")
    with TestClient(gateway(tmp_path, model=str(package), guarded=False)[0]) as http:
        assert http.post("/paint", json={"prompt": "观音立像，工笔"}).status_code == 200


def test_every_picture_carries_its_origin_and_the_gateway_reads_it_back(tmp_path, package, painter):
    layers = ("text", "aigc", "c2pa", "watermark")
    with TestClient(gateway(tmp_path, layers, model=str(package))[0]) as http:
        answer = http.post("/paint", json={"prompt": PROMPT, "seed": 7})
        found = http.post("/inspect", files={"picture": ("a.png", answer.content, "image/png")}).json()
        states = {layer["name"]: layer["state"] for layer in found["layers"]}
        assert states == {"text": "intact", "aigc": "intact", "c2pa": "untrusted", "watermark": "intact"}
        fields = next(layer["fields"] for layer in found["layers"] if layer["name"] == "text")
        assert fields["danqing:model"] == painter.package.version and fields["danqing:seed"] == "7"
        assert len(json.loads(fields["danqing:nearest"])) == 3 and PROMPT not in str(found)

        pixels = np.asarray(opened(answer)).copy()
        pixels[:40, :40] = 0
        changed = http.post("/inspect", files={"picture": png(pixels)}).json()
        assert changed["verdict"] != "absent" and changed["layers"][0]["state"] == "absent"

        picture, mask = scene()
        restored = http.post("/restore", files={"picture": png(picture), "mask": png(mask)})
        assert np.array_equal(np.asarray(opened(restored))[mask == 0], picture[mask == 0])
        found = http.post("/inspect", files={"picture": ("a.png", restored.content, "image/png")}).json()
        assert [layer["state"] for layer in found["layers"]] == ["intact", "intact", "untrusted", "absent"]
        assert http.post("/inspect", files={"picture": ("a", b"no picture")}).status_code == 400


def test_a_preview_is_a_line_a_step_and_then_the_picture(http):
    asked = {"prompt": PROMPT, "seed": 7, "scale": 1}
    lines = [json.loads(line) for line in http.post("/preview", json=asked).text.splitlines()]
    assert [line.get("step") for line in lines] == [*range(1, 9), None]
    frame = Image.open(io.BytesIO(base64.b64decode(lines[0]["jpeg"])))
    assert frame.size == Image.open(io.BytesIO(base64.b64decode(lines[-1]["picture"]["png"]))).size


def test_restoring_and_editing_leave_the_rest_alone(http):
    picture, mask = scene()
    files = {"picture": png(picture), "mask": png(mask)}
    for route, data in (("/restore", {}), ("/edit", {"prompt": "a pagoda"})):
        made = np.asarray(opened(http.post(route, files=files, data={**data, "seed": 1})))
        assert np.array_equal(made[mask == 0], picture[mask == 0])
        assert not np.array_equal(made[mask > 0], picture[mask > 0])
    files.pop("mask")
    wider = opened(http.post("/edit", files=files, data={"prompt": "pine trees", "extend": "right"}))
    assert wider.size[0] > 180 and wider.size[1] == 140


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "prompt", "required"),
        ({"prompt": ""}, "prompt", "at least 1"),
        ({"prompt": "  "}, "prompt", "at least 1"),
        ({"prompt": "x" * 2001}, "prompt", "at most 2000"),
        ({"prompt": "boat " * 50}, "prompt", "word pieces"),
        ({"prompt": "饕餮"}, "prompt", "no word"),
        ({"prompt": "a boat", "seed": -1}, "seed", "greater than"),
        ({"prompt": "a boat", "seed": 2**63}, "seed", "less than"),
        ({"prompt": "a boat", "guidance": "much"}, "guidance", "number"),
        ({"prompt": "a boat", "count": 9}, "count", "8 at most"),
        ({"prompt": "a boat", "colour": "red"}, "colour", "not permitted"),
    ],
)
def test_bad_input_is_400_and_names_the_field(http, body, field, words):
    answer = http.post("/paint", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["field"] == field and words in answer.json()["message"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"picture": ("a.png", b"no picture", "image/png")}, "picture", "not a picture"),
        ({"picture": png(scene()[0])[:1] + (png(scene()[0])[1][:2000], "image/png")}, "picture", "cannot be unpacked"),
        ({"mask": png(scene()[1][:-1])}, "mask", "same size needed"),
        ({"mask": png(np.zeros((140, 180), np.uint8))}, "mask", "marks nothing"),
    ],
)
def test_bad_pictures_are_400_and_named(http, change, field, words):
    picture, mask = scene()
    answer = http.post("/restore", files={"picture": png(picture), "mask": png(mask)} | change)
    assert (answer.status_code, answer.json()["field"]) == (400, field) and words in answer.json()["message"]


def test_sizes_are_bounded_before_anything_is_unpacked(tmp_path, package):
    app, _ = gateway(tmp_path, model=str(package), max_bytes=50_000, max_pixels=10_000)
    picture, mask = scene()
    with TestClient(app) as http:
        assert http.post("/paint", json={"prompt": "x" * 60_000}).status_code == 413
        chunks = (b"x" * 10_000 for _ in range(10))  # no length is announced
        assert http.post("/paint", content=chunks, headers={"content-type": "application/json"}).status_code == 413
        large = http.post("/restore", files={"picture": png(picture[:80, :150]), "mask": png(mask)})
        assert (large.status_code, large.json()["field"]) == (413, "picture")
        assert http.post("/paint", json={"prompt": PROMPT}).status_code == 200


def test_one_more_than_allowed_is_told_to_come_again(tmp_path, package):
    app, atelier = gateway(tmp_path, model=str(package), concurrency=2)
    with TestClient(app) as http, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda seed: http.post("/paint", json={"prompt": PROMPT, "seed": seed}), range(8)))
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {200, 429} and codes.count(200) >= 2
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
        assert atelier.gate.inside == 0
        assert http.post("/paint", json={"prompt": PROMPT}).status_code == 200


def test_a_caller_may_allow_less_time(http):
    answer = http.post("/paint", json={"prompt": PROMPT, "seed": 99}, headers={"request-timeout": "0.0001"})
    assert (answer.status_code, answer.json()["code"]) == (504, "too_slow")
    assert http.post("/paint", json={"prompt": PROMPT}, headers={"request-timeout": "-1"}).status_code == 400


def test_without_a_painter_the_gateway_says_so_and_is_not_ready(tmp_path, free_port):
    app, atelier = gateway(tmp_path, triton=f"grpc://127.0.0.1:{free_port}", timeout=5)
    with TestClient(app) as http:
        answer = http.post("/paint", json={"prompt": PROMPT})
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert not http.portal.call(atelier.backend.ready)


def test_a_key_is_needed_where_others_can_reach_it(tmp_path, package):
    with pytest.raises(ConfigError, match="without API keys"):
        Settings(host="0.0.0.0")
    keys = tmp_path / "keys"
    keys.write_text("# name key\nmuseum 0123456789abcdef0123\nother abcdefabcdefabcdefab\n")
    app, _ = gateway(tmp_path, model=str(package), host="0.0.0.0", keys_file=str(keys))
    with TestClient(app) as http:
        assert http.get("/styles").status_code == 401
        assert http.get("/styles", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert http.get("/").status_code == 200 and http.get("/studio/main.js").status_code == 200
        assert http.get("/studio/%2e%2e/app.py").status_code == 404
        assert http.get("/studio/%2e%2e/%2e%2e/styles").status_code == 404
        museum = {"authorization": "Bearer 0123456789abcdef0123"}
        assert http.get("/styles", headers=museum).status_code == 200
        assert http.get("/styles", headers={"x-api-key": "abcdefabcdefabcdefab"}).status_code == 200
        task = http.post("/tasks", json={"prompts": ["plum"]}, headers=museum).json()["id"]
        assert http.get(f"/tasks/{task}", headers={"x-api-key": "abcdefabcdefabcdefab"}).status_code == 404
        assert http.get(f"/tasks/{task}", headers=museum).status_code == 200


def until(http, task, state, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = http.get(f"/tasks/{task}").json()
        if found["state"] == state:
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_a_task_paints_in_the_background_and_says_what_failed(http):
    answer = http.post("/tasks", json={"prompts": ["bamboo", "饕餮"], "seed": 5, "count": 2})
    assert answer.status_code == 202
    task = answer.json()["id"]
    found = until(http, task, "done")
    assert (found["total"], found["painted"], found["failed"]) == (4, 2, 2)
    direct = http.post("/paint", json={"prompt": "bamboo", "seed": 6})
    piece = opened(http.get(f"/tasks/{task}/pictures/1"))
    assert np.array_equal(np.asarray(piece), np.asarray(opened(direct)))
    missing = http.get(f"/tasks/{task}/pictures/2")
    assert missing.status_code == 404 and "no word" in missing.json()["message"]


def test_a_task_survives_a_restart_and_can_be_cancelled(tmp_path, package):
    with TestClient(gateway(tmp_path, model=str(package))[0]) as http:
        task = http.post("/tasks", json={"prompts": ["plum"] * 6}).json()["id"]
        other = http.post("/tasks", json={"prompts": ["plum"] * 500}).json()["id"]
        assert http.delete(f"/tasks/{other}").json()["state"] == "cancelled"
        while not http.get(f"/tasks/{task}").json()["painted"]:
            time.sleep(0.05)
    with TestClient(gateway(tmp_path, model=str(package))[0]) as http:
        # The first gateway ended but still holds its claim; another one waits until that runs out.
        with create_engine(f"sqlite:///{tmp_path / 'gateway.db'}").begin() as connection:
            connection.execute(update(tasks.Task).values(lease=0))
        assert until(http, task, "done")["painted"] == 6
        assert http.get(f"/tasks/{other}").json()["state"] == "cancelled"


def test_the_log_has_a_line_a_request_and_never_a_prompt(http, caplog):
    log = logging.getLogger("danqing.gateway")
    log.addHandler(caplog.handler)
    try:
        http.post("/paint", json={"prompt": "a secret boat"}, headers={"x-request-id": "mine-1"})
        http.post("/paint", json={"prompt": "a secret boat", "seed": -1})
    finally:
        log.removeHandler(caplog.handler)
    lines = [json.loads(record.message) for record in caplog.records if record.name == log.name]
    assert [(line["route"], line["status"]) for line in lines] == [("/paint", 200), ("/paint", 400)]
    assert lines[0]["request"] == "mine-1" and "secret" not in caplog.text


def test_the_words_that_the_painter_knows_are_there_in_both_languages(http):
    styles = http.get("/styles").json()
    assert {"en": "bamboo", "zh": "竹"} in styles["elements"] and len(styles["techniques"]) == 18


@pytest.mark.parametrize("path", ["/", "/studio/style.css", "/studio/seal.svg"])
def test_the_studio_may_load_nothing_from_elsewhere_and_nobody_may_frame_it(http, path):
    answer = http.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self';" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert (answer.headers["x-content-type-options"], answer.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert http.get(path, headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_settings_come_from_the_environment():
    read = Settings.read({"DANQING_GATEWAY_PORT": "3100", "DANQING_GATEWAY_TIMEOUT": "5", "HOME": "/"})
    assert (read.port, read.timeout) == (3100, 5.0)
    for name, value in (("PORT", "many"), ("POTR", "1"), ("CONCURRENCY", "0")):
        with pytest.raises(ConfigError, match="gateway"):
            Settings.read({f"DANQING_GATEWAY_{name}": value})
