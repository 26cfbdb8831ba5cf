"""Rules, dashboards and the autoscaler's number name what real servers show, and say something when asked."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from manifest_parts import K8S, find, render
from watched import LABELS, RULES, Watch, prometheus, watched

FOLDER = K8S / "monitoring"
UNSEEN = {
    "nv_gpu_utilization": "Triton shows it where there is a GPU, which no machine of these tests has",
    "nv_gpu_memory_used_bytes": "the same",
    "nv_gpu_memory_total_bytes": "the same",
    "nv_gpu_power_usage": "the same",
}
"""Metrics by the names that Triton's user guide gives them (docs/user_guide/metrics.md), never seen here."""


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def filled(query: str) -> str:
    """A dashboard's query as Grafana sends it."""
    return query.replace("$__rate_interval", "1m").replace("$namespace", "danqing")


def panels() -> Iterator[tuple[str, str]]:
    for path in sorted((FOLDER / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{panel['title']}: {target['legendFormat']}", filled(target["expr"])


def adapter() -> dict[str, Any]:
    (rule,) = yaml.safe_load((FOLDER / "adapter.yaml").read_text())["rules"]["custom"]
    return dict(rule)


def autoscaled() -> str:
    """The query that prometheus-adapter makes of its template."""
    matchers = ",".join(f'{name}="{value}"' for name, value in LABELS.items())
    return str(adapter()["metricsQuery"]).replace("<<.LabelMatchers>>", matchers).replace("<<.GroupBy>>", "pod")


def queries() -> list[tuple[str, str]]:
    named = [(str(rule.get("alert") or rule["record"]), str(rule["expr"])) for rule in rules()]
    return [*named, *panels(), ("autoscaler", autoscaled()), ("autoscaler's series", adapter()["seriesQuery"])]


def selectors(query: str) -> list[tuple[str, set[str]]]:
    """(metric, labels that are matched) of all that a query selects."""
    found: list[tuple[str, set[str]]] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append((str(node.name), {m.name for m in node.matchers.matchers}))
        for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
            child = getattr(node, name, None)
            if child is not None:
                visit(child)
        for child in getattr(node, "args", None) or []:
            visit(child)

    visit(promql.parse(query))
    return found


def grouped(query: str) -> set[str]:
    return {label.strip() for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query) for label in group.split(",")}


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    prometheus()
    with watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


def invented(queries: list[tuple[str, str]], seen: dict[str, set[str]]) -> list[str]:
    """Metrics and labels in queries that are not among those that were seen."""
    wrong = []
    for name, query in queries:
        chosen = [(metric, labels) for metric, labels in selectors(query) if metric not in UNSEEN]
        wrong += [f"{name}: nobody shows {metric}" for metric, _ in chosen if metric not in seen]
        wrong += [f"{name}: {metric} has no label {label}" for metric, labels in chosen if metric in seen
                  for label in labels - seen[metric]]  # fmt: skip
        known = set().union(LABELS, *(seen.get(metric, set()) for metric, _ in chosen))
        wrong += [f"{name}: nothing in it has the label {label}" for label in grouped(query) - known]
    return wrong


@pytest.mark.slow
def test_queries_name_only_what_real_servers_show(watch: Watch) -> None:
    seen = watch.series()
    assert invented(queries(), seen) == []
    assert not set(UNSEEN) & set(seen), "it can be seen: take it out of the list"
    planted = [("a", 'rate(danqing_gateway_request_total{status="500"}[5m])'),
               ("b", 'sum by (rute) (danqing_gateway_requests_total{code="500"})')]  # fmt: skip
    assert invented(planted, seen) == [
        "a: nobody shows danqing_gateway_request_total", "b: danqing_gateway_requests_total has no label code",
        "b: nothing in it has the label rute",
    ]  # fmt: skip


@pytest.mark.slow
def test_every_query_has_an_answer(watch: Watch) -> None:
    """But for alerts, which have none while all is well, and for GPUs."""
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    asked = [(name, q) for name, q in queries() if name not in alerts and not any(m in q for m in UNSEEN)]
    assert len(asked) > 25
    assert [name for name, query in asked if not watch.query(query)] == []


@pytest.mark.slow
def test_prometheus_takes_the_rules(watch: Watch) -> None:
    found = [rule for group in watch.api("rules")["groups"] for rule in group["rules"]]
    assert len(found) == len(rules()) and {rule["health"] for rule in found} == {"ok"}


@pytest.mark.slow
def test_the_autoscaler_gets_the_milliseconds_that_a_pod_lets_wait(watch: Watch) -> None:
    (found,) = watch.query(autoscaled())
    assert found["metric"] == {"pod": LABELS["pod"]} and 0 <= float(found["value"][1]) < 60_000


def test_the_autoscaler_asks_for_the_number_that_is_handed_to_it() -> None:
    scaler = find(render(K8S / "overlays/gpu"), "HorizontalPodAutoscaler", "triton")
    assert scaler["spec"]["metrics"][0]["pods"]["metric"]["name"] == adapter()["name"]["as"]


def test_alerts_come_when_they_should_and_not_otherwise() -> None:
    tests = sorted(FOLDER.glob("*.test.yaml"))
    done = subprocess.run([prometheus("promtool"), "test", "rules", *tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = [one for path in tests for test in yaml.safe_load(path.read_text())["tests"]
             for one in test["alert_rule_test"]]  # fmt: skip
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {one["alertname"] for one in cases if one["exp_alerts"]} == alerts
    assert {one["alertname"] for one in cases if not one["exp_alerts"]} == alerts


def test_a_metric_that_nobody_shows_is_found() -> None:
    found = selectors('sum(rate(danqing_x_total{route="/a"}[5m])) / on (b) y')
    assert found == [("danqing_x_total", {"route"}), ("y", set())]
    assert grouped("sum by (a, le) (x) / on (b) y") == {"a", "le", "b"}
    with pytest.raises(ValueError, match=r"."):
        promql.parse("sum(rate(x[5m])")


def test_each_alert_has_its_runbook() -> None:
    headings = set(re.findall(r"^#+ (\S+)$", (K8S / "README.md").read_text(), re.MULTILINE))
    for rule in rules():
        if "alert" in rule:
            assert rule["alert"] in headings, f"k8s/README.md has no section {rule['alert']}"
            assert rule["annotations"]["runbook_url"] == f"k8s/README.md#{rule['alert'].lower()}"


def test_dashboards_are_what_their_tables_say(tmp_path: Path) -> None:
    known = importlib.util.spec_from_file_location("dashboards", FOLDER / "dashboards.py")
    assert known is not None and known.loader is not None
    module = importlib.util.module_from_spec(known)
    known.loader.exec_module(module)
    module.write(tmp_path)
    for path in tmp_path.iterdir():
        committed = (FOLDER / "dashboards" / path.name).read_text(encoding="utf-8")
        assert path.read_text(encoding="utf-8") == committed, "run python k8s/monitoring/dashboards.py"
