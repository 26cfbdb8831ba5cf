"""What the gateway counts for the drift report, and that no prompt is in it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, timedelta

import pytest
import tiny_package
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY, generate_latest

from danqing import files, served
from danqing.errors import StorageError
from serving.gateway.feedback import Seal
from serving.gateway.observing import Observer
from serving.gateway.service import assemble
from serving.gateway.settings import Settings

SECRET_WORDS = "a lone boat for Zhang Wei of Lotus Road"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_package.make(tmp_path_factory.mktemp("tiny") / "package").folder


@pytest.fixture
def gateway(tmp_path, tiny):
    def start(model=tiny, **values):
        where = f"sqlite:///{tmp_path / 'gateway.db'}"
        return assemble(Settings(model=str(model), database=where, layers=("text",), **values))[0]

    return start


def shown(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_prompts_are_counted_once_a_day_and_no_word_of_them_is_written(gateway, tmp_path):
    records = tmp_path / "records"
    before = {o: shown("danqing_gateway_prompts_total", language="en", outcome=o) for o in ("painted", "refused")}
    with TestClient(gateway(records=str(records))) as http:
        for seed in (1, 2, 3):
            assert http.post("/paint", json={"prompt": SECRET_WORDS, "seed": seed, "scale": 1}).status_code == 200
        assert http.post("/paint", json={"prompt": "墨竹，写意", "scale": 1}).status_code == 200
        assert http.post("/paint", json={"prompt": "the Heart Sutra mantra written out"}).status_code == 403
        assert http.post("/paint", json={"prompt": "赛博格"}).status_code == 400
    found = served.read(records).counts
    assert found.prompts == 4 and found.pictures == 2
    assert found.values["element"]["boat"] == 1 and found.values["element"]["bamboo"] == 1
    assert found.values["outcome"]["painted"] == 4 and found.values["outcome"]["bad_input"] == 1
    assert sum(found.values["outcome"].values()) == 6
    assert sum(found.values["brightness"].values()) == 2
    text = "".join(p.read_text() for p in records.iterdir())
    assert not any(word in text for word in ("Zhang", "zhang", "Wei", "Road", "road", "Heart", "mantra", "竹", "格"))
    assert shown("danqing_gateway_prompts_total", language="en", outcome="painted") == before["painted"] + 3
    assert shown("danqing_gateway_prompts_total", language="en", outcome="refused") == before["refused"] + 1


def test_a_preview_counts_like_a_picture(gateway, tmp_path, package):
    with TestClient(gateway(package, records=str(tmp_path / "records"))) as http:
        lines = http.post("/preview", json={"prompt": "plum blossoms", "scale": 1}).text.splitlines()
        assert http.post("/feedback", json={"picture": json.loads(lines[-1])["picture"]["id"], "good": True}).json()
    found = served.read(tmp_path / "records").counts
    assert (found.prompts, found.pictures, found.values["element"]) == (1, 1, {"plum": 1})


def test_nothing_is_written_where_nobody_asked_for_it(gateway, tmp_path):
    with TestClient(gateway()) as http:
        http.post("/paint", json={"prompt": "a boat", "scale": 1})
    assert not list(tmp_path.glob("**/*.jsonl"))


def test_a_vote_counts_for_the_model_that_painted_the_picture_once(gateway, tmp_path):
    with TestClient(gateway(records=str(tmp_path / "records"))) as http:
        answer = http.post("/paint", json={"prompt": "a boat", "seed": 1, "scale": 1})
        picture, model = answer.headers["x-danqing-picture"], answer.headers["x-danqing-model"]
        before = shown("danqing_gateway_feedback_total", model=model, verdict="good")
        votes = [http.post("/feedback", json={"picture": picture, "good": True}).json() for _ in range(2)]
        assert votes == [{"counted": True}, {"counted": False}]
        as_json = http.post("/paint", json={"prompt": "a boat", "scale": 1}, headers={"accept": "application/json"})
        other = as_json.json()["pictures"][0]["id"]
        assert http.post("/feedback", json={"picture": other, "good": False}).json() == {"counted": True}
        forged = picture[:-1] + "x" if picture[-1] != "x" else picture[:-1] + "y"
        for wrong in (forged, "0" * 48 + "-" + model, "\ud7ff", model):
            assert http.post("/feedback", json={"picture": wrong, "good": True}).status_code == 404
    assert shown("danqing_gateway_feedback_total", model=model, verdict="good") == before + 1
    found = served.read(tmp_path / "records").counts.values
    assert found["good"] == {model: 1} and found["bad"] == {model: 1}


def test_gateways_with_one_secret_know_each_others_pictures():
    secret = b"one secret of the deployment"
    given = Seal(secret).give("1.2+abc")
    assert Seal(secret).model(given) == "1.2+abc" and Seal(b"another secret, as long").model(given) is None
    assert Seal().model(Seal().give("1.2")) is None


def test_the_report_is_shown_as_metrics(tmp_path):
    path = tmp_path / "drift.json"
    observer = Observer(report=path)
    observer.show()  # there is none yet
    files.write_json(path, {
        "drifted": True, "made": "2026-11-24T00:00:00+00:00",
        "attributes": {"element": {"value": 0.31}, "season": {"value": None}},
    })  # fmt: skip
    observer.show()
    assert shown("danqing_drift", attribute="element") == 0.31 and shown("danqing_drifted") == 1
    assert shown("danqing_drift_report_timestamp_seconds") == 1795478400
    assert 'danqing_drift{attribute="season"} NaN' in generate_latest().decode()
    for broken in ("{", "[]", '{"made": "yesterday"}'):
        path.write_text(broken)
        observer.show()
    assert shown("danqing_drift", attribute="element") == 0.31


def test_each_day_has_its_file_and_old_ones_go(tmp_path):
    day = date(2026, 11, 1)
    observer = Observer(tmp_path, keep_days=3, today=lambda: day)
    for _ in range(6):
        observer.note("a boat", "painted")
        observer.note("a boat", "painted")
        day += timedelta(days=1)
    observer.flush()
    found = served.read(tmp_path)
    assert (found.since, found.until) == ("2026-11-05", "2026-11-06") or found.since == "2026-11-04"
    assert found.counts.prompts == len(list(tmp_path.iterdir()))  # once a day


def test_a_disk_that_says_no_costs_nobody_a_picture(gateway, tmp_path):
    (tmp_path / "records").write_text("a file, no folder")
    before = shown("danqing_gateway_unrecorded_total")
    with TestClient(gateway(records=str(tmp_path / "records"))) as http:
        assert http.post("/paint", json={"prompt": "a boat", "scale": 1}).status_code == 200
    assert shown("danqing_gateway_unrecorded_total") > before
    with pytest.raises(StorageError):
        served.read(tmp_path / "records")


def test_lines_are_as_small_as_is_said(tmp_path):
    observer = Observer(tmp_path)
    for k in range(300):
        observer.note(f"{'a pine tree' if k % 2 else '墨竹'} number {k}, thick ink, winter, on the left", "painted")
    observer.flush()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size < 3000 and json.loads(path.read_text())["prompts"] == 300


def test_counting_needs_nothing_that_a_gateway_has_not():
    """Neither a deep-learning library nor OpenCV is in the gateway's image."""
    code = (
        "import sys, numpy as np, serving.gateway.observing as o; from pathlib import Path\n"
        "o.Observer(Path(sys.argv[1])).note('墨竹', 'painted', np.zeros((8, 8, 3), np.uint8))\n"
        "print(sorted({'torch', 'cv2', 'pandas', 'scipy', 'sklearn', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, "/nowhere"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
