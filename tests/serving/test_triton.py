"""A real tritonserver paints over gRPC."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from PIL import Image
from tritonclient.utils import InferenceServerException

from danqing.errors import DanqingError, ServingError
from serving.client import Danqing
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
    """A Triton metric by model, summed over its other labels."""
    pattern = rf'^{metric}\{{model="(\w+)"[^}}]*\}} (\S+)$'
    totals = {}
    for name, value in re.findall(pattern, fetch(server.metrics_url), re.MULTILINE):
        totals[name] = totals.get(name, 0.0) + float(value)
    return totals


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
    assert counts(server, "nv_inference_request_failure")["danqing"] > bad["danqing"]


@pytest.mark.parametrize(
    ("words", "message"),
    [("", "say what to paint"), ("boat " * 100, "100 word pieces, the model reads 30"), (b"\xff\xfe", "not UTF-8")],
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


@pytest.mark.parametrize("url", ["http://localhost:8000", "grpc://", "localhost:port", "grpc://localhost:99999", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ServingError, match=r"address|port"):
        Danqing(url)
