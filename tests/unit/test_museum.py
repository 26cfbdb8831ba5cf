"""The museum source, over HTTP, against a server that fails in every way that servers fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from museum_server import ARTIC_SEARCH, MET_SEARCH, Museum, serve, stock

from danqing import config, presets
from danqing.data import corpus
from danqing.data.ingest import ingest
from danqing.data.sources.http import Http, Unavailable
from danqing.errors import DataError
from danqing.monitor import Silent

OBJECT = "/public/collection/v1/objects/"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def shelf() -> Any:
    """Real paintings where they are at hand, painted ones elsewhere: the server serves either."""
    return stock(SHARED if (SHARED / "paintings" / "metadata.csv").is_file() else None)


@pytest.fixture
def museum(shelf: Any) -> Iterator[Museum]:
    pictures, facts = shelf
    with serve(Museum(pictures=dict(pictures), facts=dict(facts))) as server:
        yield server


def _section(museum: Museum, **overrides: Any) -> config.Ingest:
    values = {"source": "museum", "count": 100, "met_url": museum.url, "artic_url": museum.url, "rate": 2000.0,
              "timeout": 2.0, "tries": 4, "backoff": 0.01, **overrides}  # fmt: skip
    return presets.override(presets.default(), {f"ingest.{k}": v for k, v in values.items()}).ingest


def _run(tmp_path: Path, museum: Museum, **overrides: Any) -> tuple[Path, dict[str, Any]]:
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir(exist_ok=True)
    scratch.mkdir(exist_ok=True)
    metrics = ingest(out=out, config=_section(museum, **overrides), monitor=Silent(), scratch=scratch)
    return out, metrics


def _reasons(out: Path) -> dict[str, str]:
    return {r.id: r.reason for r in corpus.rejected(out)}


def test_both_museums_fill_one_corpus_in_turn(museum: Museum, tmp_path: Path) -> None:
    out, metrics = _run(tmp_path, museum)
    records = list(corpus.read(out))
    assert metrics["pictures"] == len(records) == 16
    assert [r["source"] for r in records] == ["met", "artic"] * 8
    first = records[0]
    assert first["id"] == "met-1" and first["source_id"] == "1" and first["source_url"].endswith("/art/1")
    assert {r["licence"] for r in records} == {"CC0-1.0"}
    assert "Metropolitan" in first["institution"] and records[1]["institution"] == "The Art Institute of Chicago"
    assert all(len(r["sha256"]) == 64 and len(r["phash"]) == 16 and r["group"] for r in records)
    assert first["theme"] == "landscape"
    assert museum.count(ARTIC_SEARCH) == 2, "both pages were asked for"
    assert all("danqing/" in agent for agent in museum.agents)
    assert museum.repeated() == {}, "nothing was asked for twice"


def test_the_number_of_pictures_is_bounded(museum: Museum, tmp_path: Path) -> None:
    _, metrics = _run(tmp_path, museum, count=5)
    assert metrics["pictures"] == 5
    assert museum.count(OBJECT) <= 3


def test_what_is_not_public_domain_stays_outside(museum: Museum, tmp_path: Path) -> None:
    museum.private = {2, 1003}
    out, _ = _run(tmp_path, museum)
    ids = {r["id"] for r in corpus.read(out)}
    assert "met-2" not in ids and "artic-1003" not in ids and len(ids) == 14
    assert _reasons(out)["met-2"] == "not in the public domain"
    assert not any("/2.jpg" in path for path in museum.asked), "its picture was not even asked for"


@pytest.mark.parametrize(
    ("path", "faults"),
    [
        (MET_SEARCH, ["status:500", "html"]),
        (f"{ARTIC_SEARCH}?page=2", ["status:502", "status:503"]),
        (f"{OBJECT}3", ["status:500", "status:504", "html"]),
        (f"{OBJECT}3", ["retry-after:0", "retry-after:Wed, 21 Oct 2015 07:28:00 GMT"]),
        ("/images/web-large/3.jpg", ["cut", "status:500"]),
        ("/images/web-large/3.jpg", ["half"]),
        ("/iiif/2/image-1003/full/843,/0/default.jpg", ["cut", "status:429"]),
        ("/iiif/2/image-1003/full/843,/0/default.jpg", ["html"]),
    ],
)
def test_passing_faults_cost_nothing(museum: Museum, tmp_path: Path, path: str, faults: list[str]) -> None:
    museum.faults[path].extend(faults)
    _, metrics = _run(tmp_path, museum)
    assert metrics["pictures"] == 16 and metrics["set_aside"] == 0
    assert museum.asked.count(path) == len(faults) + 1


def test_a_slow_answer_is_asked_for_again(museum: Museum, tmp_path: Path) -> None:
    museum.faults[f"{OBJECT}1"].append("slow:1.5")
    _, metrics = _run(tmp_path, museum, timeout=0.4)
    assert metrics["pictures"] == 16
    assert museum.asked.count(f"{OBJECT}1") == 2


def test_a_picture_that_stays_broken_is_set_aside_with_its_reason(museum: Museum, tmp_path: Path) -> None:
    small, large = "/images/web-large/3.jpg", "/images/original/3.jpg"
    museum.faults[small].extend(["half"] * 9)
    museum.faults[large].extend(["half"] * 9)
    museum.pictures[4] = b"<html>no longer here</html>"
    museum.pictures[1004] = b""
    del museum.pictures[1005]
    out, metrics = _run(tmp_path, museum)
    assert metrics["pictures"] == 12
    reasons = _reasons(out)
    assert "damaged" in reasons["met-3"] and "not a picture" in reasons["met-4"]
    assert reasons["artic-1004"] == reasons["artic-1005"] == "the file is empty"


def test_the_large_picture_is_taken_where_the_small_one_is_broken(museum: Museum, tmp_path: Path) -> None:
    museum.faults["/images/web-large/3.jpg"].extend(["html"] * 9)
    _, metrics = _run(tmp_path, museum)
    assert metrics["pictures"] == 16
    assert "/images/original/3.jpg" in museum.asked


def test_a_body_without_end_is_not_read(museum: Museum, tmp_path: Path) -> None:
    for path in ("/images/web-large/3.jpg", "/images/original/3.jpg"):
        museum.faults[path].extend(["huge:3000000"] * 3)
    out, metrics = _run(tmp_path, museum, max_bytes=1_000_000)
    assert metrics["pictures"] == 15
    assert "more than max_bytes = 1000000" in _reasons(out)["met-3"]


def test_a_work_that_cannot_be_had_today_is_named_and_tried_again_another_day(museum: Museum, tmp_path: Path) -> None:
    museum.faults[f"{OBJECT}3"].extend(["status:500"] * 4)
    out, metrics = _run(tmp_path, museum)
    assert metrics["pictures"] == 15 and metrics["unavailable"] == 1
    assert "HTTP 500 after 4 tries" in _reasons(out)["met-3"]
    out, metrics = _run(tmp_path, museum)
    assert metrics["pictures"] == 16 and _reasons(out) == {}


def test_a_redirect_in_a_circle_costs_one_work_only(museum: Museum, tmp_path: Path) -> None:
    path = "/images/web-large/3.jpg"
    museum.faults[path].extend([f"redirect:{path}"] * 100)
    out, metrics = _run(tmp_path, museum, tries=2)
    assert metrics["pictures"] == 15 and metrics["unavailable"] == 1
    assert "redirect" in _reasons(out)["met-3"]


def test_a_description_without_end_costs_one_work_and_such_a_search_is_one_clear_error(
    museum: Museum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("danqing.data.sources.http.LARGEST_JSON", 100_000)
    museum.faults[f"{OBJECT}3"].append("huge:200000")
    out, metrics = _run(tmp_path, museum)
    assert metrics["pictures"] == 15 and "the answer is too large" in _reasons(out)["met-3"]
    museum.faults[MET_SEARCH].append("huge:200000")
    with pytest.raises(DataError, match=r"the museum cannot be asked.*the answer is too large"):
        _run(tmp_path, museum)


def test_a_museum_that_is_down_is_one_clear_error(tmp_path: Path) -> None:
    nobody = Museum(pictures={}, facts={}, url="http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"the museum cannot be asked.*run again later") as caught:
        _run(tmp_path, nobody, tries=2)
    assert "\n" not in str(caught.value)


def test_one_museum_out_of_reach_does_not_cost_the_other(
    museum: Museum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("danqing.data.sources.museum.GIVE_UP", 2)
    for number in range(1, 9):
        museum.faults[f"{OBJECT}{number}"].extend(["status:500"] * 4)
    _, metrics = _run(tmp_path, museum)
    assert metrics["pictures"] == 8 and metrics["unavailable"] == 8
    assert museum.count(OBJECT) == 2 * 4, "after two works it was left alone"


def test_an_interrupted_run_goes_on_and_asks_for_nothing_twice(
    museum: Museum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("danqing.data.sources.museum.GIVE_UP", 3)
    whole_folder = tmp_path / "whole"
    whole_folder.mkdir()
    whole, _ = _run(whole_folder, museum)
    museum.asked.clear()
    museum.answer_until = 17
    with pytest.raises(DataError, match="run again later"):
        _run(tmp_path, museum, tries=1)
    had = [path for path in museum.asked[:17] if "image" in path]
    museum.answer_until = None
    museum.asked.clear()
    out, metrics = _run(tmp_path, museum, tries=1)
    assert metrics["pictures"] == 16
    assert museum.count(MET_SEARCH) == museum.count(ARTIC_SEARCH) == 0, "the searches were kept"
    assert set(had).isdisjoint(museum.asked), "a picture that had arrived was fetched again"
    assert list(corpus.read(out)) == list(corpus.read(whole))
    assert list((tmp_path / "scratch").iterdir()) == []


_SCRIPT = """
import os, signal, sys
from pathlib import Path
from danqing import config, presets
from danqing.data.ingest import ingest
from danqing.monitor import Silent

class Killer(Silent):
    def progress(self, done, total, note=""):
        if done == 6:
            os.kill(os.getpid(), signal.SIGKILL)

section = presets.override(presets.default(), {
    "ingest.source": "museum", "ingest.count": 100, "ingest.met_url": sys.argv[1], "ingest.artic_url": sys.argv[1],
    "ingest.rate": 2000.0, "ingest.timeout": 2.0, "ingest.tries": 4, "ingest.backoff": 0.01}).ingest
ingest(out=Path(sys.argv[2]), config=section, monitor=Killer(), scratch=Path(sys.argv[3]))
"""


def test_a_killed_run_goes_on_and_asks_for_nothing_twice(museum: Museum, tmp_path: Path) -> None:
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    script = [sys.executable, "-c", _SCRIPT, museum.url, str(tmp_path / "out"), str(tmp_path / "scratch")]
    killed = subprocess.run(script, capture_output=True, text=True, env={**os.environ})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = set(museum.asked)
    museum.asked.clear()
    _, metrics = _run(tmp_path, museum)
    assert metrics["pictures"] == 16
    assert before.isdisjoint(museum.asked)


def test_the_environment_can_name_another_address(
    museum: Museum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANQING_MET_URL", museum.url)
    monkeypatch.setenv("DANQING_ARTIC_URL", museum.url)
    _, metrics = _run(tmp_path, museum, met_url="http://127.0.0.1:9", artic_url="http://127.0.0.1:9")
    assert metrics["pictures"] == 16


def test_an_unknown_museum_is_refused_by_name(museum: Museum, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'louvre': known are met, artic"):
        _run(tmp_path, museum, museums=["louvre"])


def _http(waits: list[float], **overrides: Any) -> Http:
    values = {"rate": 1000.0, "timeout": 2.0, "tries": 4, "backoff": 1.0, **overrides}
    return Http(**values, sleep=waits.append)


def test_pauses_grow_and_a_server_that_names_its_pause_gets_it(museum: Museum) -> None:
    waits: list[float] = []
    museum.faults[f"{OBJECT}1"].extend(["status:500", "status:500", "retry-after:7"])
    assert _http(waits).json(f"{museum.url}{OBJECT}1", {})["objectID"] == 1
    pauses = [w for w in waits if w > 0.5]
    assert 1 <= pauses[0] <= 1.25 and 2 <= pauses[1] <= 2.5 and pauses[2] == 7


def test_a_server_that_asks_for_an_hour_is_left_alone(museum: Museum) -> None:
    waits: list[float] = []
    museum.faults[f"{OBJECT}1"].append("retry-after:3600")
    with pytest.raises(Unavailable, match="asks to wait 3600 s"):
        _http(waits).json(f"{museum.url}{OBJECT}1", {})
    assert max(waits, default=0) < 1


def test_a_refusal_is_not_repeated(museum: Museum) -> None:
    museum.faults[f"{OBJECT}1"].append("status:403")
    with pytest.raises(Unavailable, match="HTTP 403 after 1 tries"):
        _http([]).json(f"{museum.url}{OBJECT}1", {})


def test_no_more_than_the_agreed_number_of_requests_a_second(museum: Museum) -> None:
    waits: list[float] = []
    http = _http(waits, rate=0.5)
    for number in (1, 2, 3):
        http.json(f"{museum.url}{OBJECT}{number}", {})
    assert len(waits) == 2 and 1.5 < waits[0] <= 2 < waits[1] <= 4
