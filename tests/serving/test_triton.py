"""A real tritonserver paints over gRPC."""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from PIL import Image
from tritonclient.utils import InferenceServerException

from danqing.editing import RESTORING, Editor
from danqing.errors import DanqingError, ServingError
from serving.client import AsyncDanqing, Danqing, wire
from serving.triton.repository import MODELS

PROMPT = "a lone boat under misty mountains, freehand"


def tensor(name, kind, value, shape=(1, 1)):
    types = {"BYTES": np.object_, "UINT64": np.uint64, "INT32": np.int32, "FP32": np.float32}
    result = grpcclient.InferInput(name, list(shape), kind)
    result.set_data_from_numpy(np.full(shape, value, dtype=types[kind]))
    return result


def prompt(text=PROMPT):
    return tensor("prompt", "BYTES", text.encode() if isinstance(text, str) else text)


@pytest.fixture(scope="module")
def raw(server):
    """Triton's own client, for what ours does not do."""
    with grpcclient.InferenceServerClient(server.url.removeprefix("grpc://")) as client:
        yield client


def fetch(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return answer.read().decode()


def counts(server, metric):
    """A Triton metric by model, summed over its other labels; Triton answers first and counts then, so it is
    read until it rests."""
    pattern = rf'^{metric}\{{model="(\w+)"[^}}]*\}} (\S+)$'
    before = None
    for _ in range(20):
        totals = {}
        for name, value in re.findall(pattern, fetch(server.metrics_url), re.MULTILINE):
            totals[name] = totals.get(name, 0.0) + float(value)
        if totals == before:
            return totals
        before = totals
        time.sleep(0.3)
    raise AssertionError(f"{metric} goes on changing: {totals}")


def test_every_model_is_ready(raw, client):
    assert client.ready()
    assert all(raw.is_model_ready(name) for name in MODELS)


def test_the_server_paints_what_is_painted_in_process(client, painter):
    ours = painter.paint(PROMPT, seed=7)[0]
    theirs = client.paint(PROMPT, seed=7)
    assert theirs.size == ours.size
    assert theirs.tobytes() == ours.tobytes()


def test_seed_and_guidance_reach_the_model(client, painter):
    assert client.paint(PROMPT, seed=8).tobytes() == painter.paint(PROMPT, seed=8)[0].tobytes()
    assert client.paint(PROMPT, seed=8).tobytes() != client.paint(PROMPT, seed=9).tobytes()
    strong = client.paint(PROMPT, seed=8, guidance=1.0)
    assert strong.tobytes() == painter.paint(PROMPT, seed=8, guidance=1.0)[0].tobytes()
    assert strong.tobytes() != client.paint(PROMPT, seed=8).tobytes()


def test_a_chinese_prompt_is_read_by_the_server_as_in_process(client, painter):
    for prompt in ("山水，孤舟", "一位妇女"):  # by the dictionary, and by its meaning
        assert client.paint(prompt, seed=3).tobytes() == painter.paint(prompt, seed=3)[0].tobytes()


def test_the_server_says_which_model_it_serves(client, painter):
    assert client.version() == painter.package.version
    assert client.guidance() == painter.package.guidance


def test_what_is_not_sent_takes_its_default(raw, painter):
    picture = raw.infer("danqing", [prompt()]).as_numpy("picture")[0]
    assert np.array_equal(picture, np.asarray(painter.paint(PROMPT, seed=0)[0]))


def test_the_png_holds_the_picture_and_says_who_painted_it(raw, painter):
    answer = raw.infer("danqing", [prompt(), tensor("seed", "UINT64", 4)])
    with Image.open(io.BytesIO(answer.as_numpy("png")[0, 0])) as png:
        assert np.array_equal(np.asarray(png), answer.as_numpy("picture")[0])
        assert png.text["danqing:model"] == painter.package.version


def test_a_batch_gives_each_prompt_its_own_picture(raw, painter):
    words = grpcclient.InferInput("prompt", [2, 1], "BYTES")
    words.set_data_from_numpy(np.array([[b"bamboo"], [b"a red fish"]], dtype=np.object_))
    pictures = raw.infer("danqing", [words, tensor("seed", "UINT64", 5, (2, 1))]).as_numpy("picture")
    for picture, text in zip(pictures, ("bamboo", "a red fish"), strict=True):
        assert alike(picture, painter.paint(text, seed=5)[0])


def alike(picture, expected):
    """Equal but for the order of the sums, which a batch may change."""
    difference = np.abs(np.asarray(picture).astype(int) - np.asarray(expected).astype(int))
    return (difference <= 1).mean() >= 0.95


def test_callers_at_the_same_time_get_their_own_pictures(client, painter):
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(lambda seed: client.paint("bamboo", seed=seed), range(100, 116)))
    for seed, picture in zip(range(100, 116), pictures, strict=True):
        assert alike(picture, painter.paint("bamboo", seed=seed)[0])


def test_a_request_seen_before_is_answered_from_the_cache(client, server):
    first = client.paint(PROMPT, seed=424242)
    hits, runs = counts(server, "nv_cache_num_hits_per_model"), counts(server, "nv_inference_exec_count")
    assert client.paint(PROMPT, seed=424242).tobytes() == first.tobytes()
    assert counts(server, "nv_cache_num_hits_per_model")["danqing"] == hits["danqing"] + 1
    assert counts(server, "nv_inference_exec_count")["generate"] == runs["generate"]


def test_metrics_count_what_was_painted_and_what_was_refused(client, server):
    good, bad = counts(server, "nv_inference_request_success"), counts(server, "nv_inference_request_failure")
    client.paint(PROMPT, seed=31337)
    with pytest.raises(ServingError):
        client.paint("")
    assert counts(server, "nv_inference_request_success")["generate"] == good["generate"] + 1
    # Triton counts an ensemble's failure twice: for the ensemble, and for the step of it that failed.
    assert counts(server, "nv_inference_request_failure")["danqing"] > bad["danqing"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "say what to paint"),
        ("boat " * 2_000_000, "10000000 characters, 2000 at most"),
        ("boat " * 100, "100 word pieces, the model reads 30"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_the_server_refuses_words_it_cannot_use(raw, words, message):
    with pytest.raises(InferenceServerException, match=message):
        raw.infer("danqing", [prompt(words)])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("seed", "UINT64", 2**63), "the seed is 9223372036854775808"),
        (("guidance", "FP32", float("nan")), "the guidance must be"),
        (("guidance", "FP32", -1), "the guidance must be"),
    ],
)
def test_the_server_refuses_values_out_of_range(raw, extra, message):
    with pytest.raises(InferenceServerException, match=message):
        raw.infer("danqing", [prompt(), tensor(*extra)])


def test_a_wrong_type_is_refused_by_name(raw):
    with pytest.raises(InferenceServerException, match=r"'seed' data-type is 'INT32'.*expects 'UINT64'"):
        raw.infer("danqing", [prompt(), tensor("seed", "INT32", 1)])


def test_a_missing_prompt_is_refused(raw):
    with pytest.raises(InferenceServerException, match="danqing"):
        raw.infer("danqing", [tensor("seed", "UINT64", 1)])


def test_a_batch_larger_than_allowed_is_refused(raw):
    with pytest.raises(InferenceServerException, match="batch-size must be <= 8"):
        raw.infer("danqing", [tensor("prompt", "BYTES", b"bamboo", (9, 1))])


def test_an_unknown_model_is_refused(raw):
    with pytest.raises(InferenceServerException, match="unknown model: 'shuimo'") as caught:
        raw.infer("shuimo", [prompt()])
    assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_after_every_refusal_the_server_still_paints(client):
    assert client.ready()
    client.paint(PROMPT, seed=99)


def test_http_serves_the_same_picture(server, painter):
    binary = {"binary_data": True}
    body = {
        "inputs": [{"name": "prompt", "shape": [1, 1], "datatype": "BYTES", "data": [PROMPT]}],
        "outputs": [{"name": "picture", "parameters": binary}, {"name": "png", "parameters": binary}],
    }
    request = urllib.request.Request(f"{server.http_url}/v2/models/danqing/infer", json.dumps(body).encode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        head = int(answer.headers["Inference-Header-Content-Length"])
        content = answer.read()
    start = head
    for output in json.loads(content[:head])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        if output["name"] == "picture":
            assert content[start : start + size] == painter.paint(PROMPT, seed=0)[0].tobytes()
        start += size
    assert start == len(content)


def test_our_client_says_what_is_wrong_in_one_line(client):
    for call, message in (
        (lambda: client.paint(""), "the prompt is empty"),
        (lambda: client.paint(PROMPT, timeout=1e-5), "gave no picture within"),
        (lambda: client.paint(PROMPT, seed=-1), "the seed is -1"),
        (lambda: client.paint(PROMPT, guidance=float("nan")), "the guidance"),
    ):
        with pytest.raises(DanqingError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_no_server_is_said_with_what_to_do(free_port):
    with Danqing(f"grpc://127.0.0.1:{free_port}", timeout=5) as nobody:
        assert not nobody.ready()
        with pytest.raises(ServingError, match="danqing serve"):
            nobody.paint(PROMPT)


def scene(side=200):
    """A picture larger than the model's, and a hole in it."""
    y, x = np.mgrid[:side, : side + 40]
    picture = np.stack([(x + y) % 256, x % 256, y % 256], -1).astype(np.uint8)
    hole = np.zeros(picture.shape[:2], bool)
    hole[60:120, 80:150] = True
    return picture, hole


@pytest.fixture(scope="module")
def editor(package):
    return Editor.load(package)


def test_the_server_edits_as_it_is_edited_in_process(client, editor):
    picture, hole = scene()
    ours = editor.restore(picture, hole, "a tall pagoda", seed=5)
    theirs = np.asarray(client.edit(Image.fromarray(picture), hole, "a tall pagoda", seed=5))
    assert np.array_equal(theirs[~hole], picture[~hole]) and not np.array_equal(theirs[hole], picture[hole])
    assert alike(theirs, ours)


def test_restoring_is_another_manner_and_takes_a_mask_as_a_picture(client, package):
    picture, hole = scene(128)
    mask = Image.fromarray(hole.astype(np.uint8) * 255)
    restored = client.restore(Image.fromarray(picture), mask, "misty mountains", seed=5)
    edited = client.edit(Image.fromarray(picture), mask, "misty mountains", seed=5)
    assert alike(restored, Editor.load(package, RESTORING).restore(picture, hole, "misty mountains", seed=5))
    assert restored.tobytes() != edited.tobytes()


def test_a_picture_of_another_size_than_the_model_takes_is_refused(raw, painter):
    size = painter.package.size
    image = grpcclient.InferInput("image", [1, size, size + 1, 3], "UINT8")
    image.set_data_from_numpy(np.zeros((1, size, size + 1, 3), np.uint8))
    hole = grpcclient.InferInput("hole", [1, size, size], "BOOL")
    hole.set_data_from_numpy(np.ones((1, size, size), bool))
    with pytest.raises(InferenceServerException, match=r"unexpected shape for input 'image'"):
        raw.infer("edit", [prompt(), image, hole])
    image.set_shape([1, size, size, 3])
    image.set_data_from_numpy(np.zeros((1, size, size, 3), np.uint8))
    with pytest.raises(InferenceServerException, match="the temperature must be"):
        raw.infer("edit", [prompt(), image, hole, tensor("temperature", "FP32", 0.0)])


def test_a_preview_streams_a_picture_a_step_and_ends_with_what_is_painted(client, painter):
    steps = list(client.preview(PROMPT, seed=7))
    assert [(s.number, s.steps) for s in steps] == [(k, 8) for k in range(1, 9)]
    assert all(s.picture.size == (painter.package.size,) * 2 for s in steps)
    assert len({s.picture.tobytes() for s in steps}) == 8
    final = np.asarray(painter.paint(PROMPT, seed=7)[0]).astype(int)
    assert alike(steps[-1].picture, final)
    away = [np.abs(np.asarray(s.picture) - final).mean() for s in steps]
    assert away[0] > away[4] > away[-1], "each step brings it nearer to the picture"


def test_a_preview_may_be_left_early_and_says_what_is_wrong(client):
    stream = client.preview(PROMPT, seed=11)
    assert next(stream).number == 1
    stream.close()
    with pytest.raises(ServingError, match="the prompt is empty"):
        list(client.preview(""))
    assert len(list(client.preview(PROMPT, seed=12))) == 8


def test_previews_leave_no_thread_behind(client):
    """Read to the end, left early, or refused."""
    list(client.preview(PROMPT, seed=13))
    before = set(threading.enumerate())
    for seed in range(3):
        list(client.preview(PROMPT, seed=seed))
        early = client.preview(PROMPT, seed=seed)
        next(early)
        early.close()
        with pytest.raises(ServingError):
            list(client.preview(""))
    for _ in range(100):
        left = set(threading.enumerate()) - before
        if not left:
            break
        time.sleep(0.1)
    assert not left, left


def test_many_prompts_are_painted_in_batches(client, painter, server):
    before = counts(server, "nv_inference_exec_count")["generate"]
    prompts, seeds = ["bamboo", "plum"] * 6, list(range(500, 512))
    pictures = client.paint_all(prompts, seeds)
    assert all(alike(p, painter.paint(t, seed=s)[0]) for p, t, s in zip(pictures, prompts, seeds, strict=True))
    assert counts(server, "nv_inference_exec_count")["generate"] - before == 2


def test_callers_who_come_together_are_painted_together(client, server):
    runs, rows = (counts(server, f"nv_inference_{name}").get("generate", 0) for name in ("exec_count", "count"))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda seed: client.paint("plum", seed=seed), range(700, 732)))
    runs, rows = (counts(server, f"nv_inference_{name}")["generate"] - b
                  for name, b in (("exec_count", runs), ("count", rows)))  # fmt: skip
    assert rows == 32 and runs <= 16


def test_asyncio_paints_previews_and_gives_up(server, painter):
    async def all_of_it():
        async with AsyncDanqing(server.url) as asynchronous:
            assert await asynchronous.ready()
            assert await asynchronous.version() == painter.package.version
            pictures = await asyncio.gather(*(asynchronous.paint("orchid", seed=s) for s in range(800, 808)))
            steps = [step async for step in asynchronous.preview("orchid", seed=800)]
            with pytest.raises(ServingError, match="gave no picture within"):
                await asynchronous.paint("orchid", seed=900, timeout=1e-5)
            with pytest.raises(ServingError, match="the prompt is empty"):
                await asynchronous.paint(" ")
            return pictures, steps

    pictures, steps = asyncio.run(all_of_it())
    for seed, picture in zip(range(800, 808), pictures, strict=True):
        assert alike(picture, painter.paint("orchid", seed=seed)[0])
    assert len(steps) == 8 and alike(steps[-1].picture, pictures[0])


@pytest.mark.slow
def test_a_full_queue_says_so_and_the_server_recovers(server, painter):
    """64 may wait for `generate`; the others are refused at once. Triton paints on for callers who have gone away."""

    async def flood():
        async with AsyncDanqing(server.url) as asynchronous:
            asked = [asyncio.create_task(asynchronous.paint("lotus", seed=10_000 + k)) for k in range(120)]
            done, waiting = set(), set(asked)
            while not any(isinstance(task.exception(), wire.Overloaded) for task in done):
                done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION, timeout=60)
            for task in waiting:
                task.cancel()
            found = await asyncio.gather(*asked, return_exceptions=True)
            for _ in range(300):
                try:
                    return found, await asynchronous.paint("lotus", seed=20_000)
                except wire.Overloaded:
                    await asyncio.sleep(0.1)
            raise AssertionError("the server did not recover")

    found, last = asyncio.run(flood())
    full = [error for error in found if isinstance(error, wire.Overloaded)]
    given_up = [error for error in found if isinstance(error, asyncio.CancelledError)]
    assert full and "try again later" in str(full[0])
    assert len(full) + len(given_up) + sum(isinstance(f, Image.Image) for f in found) == 120
    assert alike(last, painter.paint("lotus", seed=20_000)[0])


@pytest.mark.parametrize("url", ["http://localhost:8000", "grpc://", "localhost:port", "grpc://localhost:99999", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ServingError, match=r"address|port"):
        Danqing(url)
