"""The gateway as it is run: BentoML's server, its own process, and what operators look at."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from danqing import files
from danqing.errors import ConfigError
from serving.gateway.run import command, run
from serving.gateway.settings import Settings
from serving.triton.server import Server

PROMPT = {"prompt": "plum blossoms, sketch", "seed": 1, "scale": 1}


@pytest.fixture
def running(free_port: int, tmp_path: Path):
    """Starts gateways; none of their processes is left behind."""
    started = []

    def start(**values: object) -> httpx.Client:
        settings = Settings(port=free_port, **values)  # type: ignore[arg-type]
        arguments, environment = command(settings)
        environment["DANQING_WORKSPACE"] = str(tmp_path)
        log = open(tmp_path / "gateway.log", "wb")  # noqa: SIM115 - the process writes into it
        started.append(subprocess.Popen(arguments, env=environment, stdout=log, stderr=log, start_new_session=True))
        http = httpx.Client(base_url=f"http://127.0.0.1:{free_port}", timeout=60, trust_env=False)
        for _ in range(600):
            try:
                http.get("/livez").raise_for_status()
                return http
            except httpx.HTTPError:
                assert started[-1].poll() is None, (tmp_path / "gateway.log").read_text()
                time.sleep(0.1)
        raise AssertionError((tmp_path / "gateway.log").read_text())

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def ready(http: httpx.Client, wanted: int) -> bool:
    for _ in range(100):
        if http.get("/readyz").status_code == wanted:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_the_gateway_is_ready_while_triton_is_and_paints_again_by_itself(
    running, repository, package, tmp_path, monkeypatch
):
    files.write_json(tmp_path / "drift.json", {"drifted": True, "made": "2026-11-24T00:00:00+00:00",
                                               "attributes": {"element": {"value": 0.31}}})  # fmt: skip
    monkeypatch.setenv("DANQING_GATEWAY_DRIFT", str(tmp_path / "drift.json"))
    with Server(repository) as server:
        ports = {"http": server.http, "grpc": server.grpc, "metrics": server.metrics}
        http = running(triton=server.url, timeout=20)
        assert ready(http, 200) and http.get("/healthz").status_code == 200
        first = http.post("/paint", json=PROMPT)
        assert first.status_code == 200
    assert ready(http, 503) and http.get("/livez").status_code == 200
    down = http.post("/paint", json=PROMPT)
    assert (down.status_code, down.json()["code"]) == (503, "not_ready")
    with Server(repository, **ports):
        assert ready(http, 200)
        again = http.post("/paint", json=PROMPT)
        assert again.status_code == 200 and again.headers["x-danqing-model"] == first.headers["x-danqing-model"]
    text = http.get("/metrics").text
    for line in ('danqing_gateway_requests_total{route="/paint",status="200"} 2.0',
                 'danqing_gateway_requests_total{route="/paint",status="503"} 1.0',
                 'danqing_gateway_refusals_total{reason="not_ready"} 1.0',
                 'danqing_gateway_stage_seconds_count{stage="paint"}', "danqing_gateway_in_flight 0.0",
                 'danqing_gateway_prompts_total{language="en",outcome="painted"} 2.0',
                 'danqing_drift{attribute="element"} 0.31', "danqing_drifted 1.0",
                 "danqing_drift_report_timestamp_seconds 1.7954784e+09"):  # fmt: skip
        assert line in text, line


def test_settings_that_make_no_sense_are_said_before_anything_starts(tmp_path):
    with pytest.raises(ConfigError, match="without API keys"):
        run(triton="", model=None, host="0.0.0.0", port=3000, keys=None)
    with pytest.raises(ConfigError, match="cannot be read"):
        run(triton="", model=None, host="127.0.0.1", port=3000, keys=tmp_path / "none")
