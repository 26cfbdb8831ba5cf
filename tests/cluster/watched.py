"""A real Triton, a real gateway before it, and a real Prometheus that watches both and knows our rules."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from manifest_parts import K8S
from services import free_ports, process, until

from danqing import files
from danqing.paint import box
from serving.gateway.run import command
from serving.gateway.settings import Settings
from serving.triton.repository import build
from serving.triton.server import Server

RULES = K8S / "monitoring" / "danqing.rules.yaml"
LABELS = {"namespace": "danqing", "pod": "a-pod"}
"""What a cluster's Prometheus adds to what it scrapes from pods."""


def prometheus(name: str = "prometheus") -> str:
    """Where the program is (Debian's package prometheus). Skips where there is none, never in CI."""
    found = shutil.which(name)
    if found is None and not os.environ.get("CI"):
        pytest.skip(f"queries cannot be tried here: there is no {name} (Debian's package prometheus)")
    assert found is not None, f"CI must try the queries: install {name}"
    return found


class Watch:
    """Asks the Prometheus at `url`."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def api(self, path: str, **query: str) -> Any:
        answer = self._http.get(f"/api/v1/{path}?{urllib.parse.urlencode(query)}").json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, text: str) -> list[Any]:
        found: list[Any] = self.api("query", query=text)["result"]
        return found

    def series(self) -> dict[str, set[str]]:
        """Metric → its labels, of all that was seen."""
        seen: dict[str, set[str]] = {}
        for one in self.api("series", **{"match[]": '{__name__!=""}'}):
            seen.setdefault(one["__name__"], set()).update(one)
        return seen


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Watch]:
    """Pictures are painted, prompts refused, votes given, the model in the box is served, a drift report is shown."""
    (http, watch), key = free_ports(2), secrets.token_hex(12)  # Prometheus has no key
    files.write_json(folder / "drift.json", {"drifted": True, "made": "2026-11-24T00:00:00+00:00",
                                             "attributes": {"element": {"value": 0.31}}})  # fmt: skip
    with Server(build(box(), folder / "repository")) as triton:
        (folder / "keys").write_text(f"first {key}\n")
        settings = Settings(port=http, triton=triton.url, keys_file=str(folder / "keys"))
        arguments, environment = command(settings)
        environment["DANQING_WORKSPACE"] = str(folder)
        environment["DANQING_GATEWAY_DRIFT"] = str(folder / "drift.json")
        with process(arguments, folder / "gateway.log", env=environment) as gateway:
            client = httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=60, trust_env=False,
                                  headers={"authorization": f"Bearer {key}"})  # fmt: skip
            until(lambda: client.get("/readyz").status_code == 200, gateway, folder / "gateway.log")
            _settings(folder / "prometheus.yml", triton.metrics_url, http)
            options = ["--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "data",
                       "--web.listen-address", f"127.0.0.1:{watch}"]  # fmt: skip
            with process([prometheus(), *map(str, options)], folder / "prometheus.log") as running:
                asked = Watch(f"http://127.0.0.1:{watch}")
                until(lambda: bool(asked.query("danqing_gateway_in_flight")), running, folder / "prometheus.log")
                for seed in range(6):
                    _traffic(client, seed)
                    time.sleep(1)
                until(lambda: bool(asked.query("danqing:failed_share")), running, folder / "prometheus.log")
                yield asked


def _settings(path: Path, triton: str, gateway: int) -> None:
    targets = (urllib.parse.urlsplit(triton).netloc, f"127.0.0.1:{gateway}")
    files.write_json(path, {  # JSON is YAML
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "pods", "static_configs": [{"targets": list(targets), "labels": LABELS}]}],
    })  # fmt: skip


def _traffic(client: httpx.Client, seed: int) -> None:
    painted = client.post("/paint", json={"prompt": "bamboo in the rain", "seed": seed, "scale": 1})
    assert painted.status_code == 200, painted.text
    client.post("/feedback", json={"picture": painted.headers["x-danqing-picture"], "good": True})
    client.post("/paint", json={"prompt": "墨竹", "seed": 7, "scale": 1})  # from Triton's cache, but for the first
    client.post("/paint", json={"prompt": ""})


def main() -> None:
    """All that is seen, for who writes a query."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, watched(Path(folder)) as asked:
        json.dump({name: sorted(labels) for name, labels in sorted(asked.series().items())}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
