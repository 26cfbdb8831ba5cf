"""Writes Grafana's dashboards from the tables below: python k8s/monitoring/dashboards.py"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("dashboards")
N = 'namespace=~"$namespace"'
MODEL = f'{N},model=~"(generate|restore).*"'


def per_second(metric: str, by: str, matchers: str = N) -> str:
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


def quantile(q: float) -> str:
    inner = per_second("danqing_gateway_request_seconds_bucket", "le", f'{N},route="/paint"')
    return f"histogram_quantile({q}, {inner})"


def milliseconds(metric: str) -> str:
    """Per request that Triton has answered."""
    done = per_second("nv_inference_request_success", "namespace", MODEL)
    return f"{per_second(metric, 'namespace', MODEL)} / 1000 / ({done} > 0)"


def share(metric: str, matchers: str) -> str:
    whole = per_second(metric, "namespace")
    return f"({per_second(metric, 'namespace', matchers)} or 0 * {whole}) / ({whole} > 0)"  # none yet is 0


SERVING = [  # title, unit, (legend, query) …
    ("Requests", "reqps", [("{{route}} {{status}}", per_second("danqing_gateway_requests_total", "route, status"))]),
    ("Failures", "percentunit", [
        ("gateway", share("danqing_gateway_requests_total", f'{N},status=~"5.."')),
        ("turned away", share("danqing_gateway_requests_total", f'{N},status="429"')),
        ("Triton, {{model}} {{reason}}",
         f"{per_second('nv_inference_request_failure', 'model, reason')} "
         f"/ on (model) group_left () ({per_second('nv_inference_request_success', 'model')} > 0)")]),
    ("Seconds of /paint", "s", [("p50", quantile(0.5)), ("p95", quantile(0.95)), ("p99", quantile(0.99))]),
    ("Where they go", "s", [
        ("{{stage}}", f"{per_second('danqing_gateway_stage_seconds_sum', 'stage')} "
                      f"/ {per_second('danqing_gateway_stage_seconds_count', 'stage')}")]),
    ("Queue against compute, per request", "ms", [
        ("queue", milliseconds("nv_inference_queue_duration_us")),
        ("compute", milliseconds("nv_inference_compute_infer_duration_us")),
        ("input and output", f"{milliseconds('nv_inference_compute_input_duration_us')} + "
                             f"{milliseconds('nv_inference_compute_output_duration_us')}")]),
    ("Batch efficiency: pictures per execution", "none", [
        ("{{model}}", f"{per_second('nv_inference_count', 'model', MODEL)} "
                      f"/ ({per_second('nv_inference_exec_count', 'model', MODEL)} > 0)")]),
    ("In flight", "none", [
        ("gateway", f"sum(danqing_gateway_in_flight{{{N}}})"),
        ("Triton, {{model}}", f"sum by (model) (nv_inference_pending_request_count{{{MODEL}}})")]),
    ("Cache", "percentunit", [
        ("hits", f"sum(rate(nv_cache_num_hits{{{N}}}[$__rate_interval])) "
                 f"/ (sum(rate(nv_cache_num_lookups{{{N}}}[$__rate_interval])) > 0)"),
        ("full", f"max(nv_cache_util{{{N}}})")]),
    ("GPU", "percentunit", [
        ("{{pod}} busy", f"nv_gpu_utilization{{{N}}}"),
        ("{{pod}} memory", f"nv_gpu_memory_used_bytes{{{N}}} / nv_gpu_memory_total_bytes{{{N}}}")]),
    ("GPU power", "watt", [("{{pod}}", f"nv_gpu_power_usage{{{N}}}")]),
    ("Triton's CPU and memory", "percentunit", [
        ("{{pod}} CPU", f"nv_cpu_utilization{{{N}}}"),
        ("{{pod}} memory", f"nv_cpu_memory_used_bytes{{{N}}} / nv_cpu_memory_total_bytes{{{N}}}")]),
    ("Pictures by model", "reqps", [("{{model}}", per_second("danqing_gateway_pictures_total", "model"))]),
]  # fmt: skip
PROMPTS = [
    ("Prompts by outcome", "reqps", [("{{outcome}}", per_second("danqing_gateway_prompts_total", "outcome"))]),
    ("Prompts by language", "reqps", [("{{language}}", per_second("danqing_gateway_prompts_total", "language"))]),
    ("Refusals by reason", "reqps", [("{{reason}}", per_second("danqing_gateway_refusals_total", "reason"))]),
    ("Votes", "reqps", [
        ("{{model}} {{verdict}}", per_second("danqing_gateway_feedback_total", "model, verdict"))]),
    ("Drift: distance from the training set", "percentunit", [
        ("{{attribute}}", f"max by (attribute) (danqing_drift{{{N}}})")]),
    ("Drift that calls for a training", "bool", [("drifted", f"max(danqing_drifted{{{N}}})")]),
    ("Age of the drift report", "s", [("age", f"time() - max(danqing_drift_report_timestamp_seconds{{{N}}})")]),
    ("Not compared with the training's works, not counted", "reqps", [
        ("untraced", f"sum(rate(danqing_gateway_untraced_total{{{N}}}[$__rate_interval]))"),
        ("unrecorded", f"sum(rate(danqing_gateway_unrecorded_total{{{N}}}[$__rate_interval]))")]),
]  # fmt: skip


def dashboard(name: str, title: str, panels: list[Any]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    made = []
    for number, (heading, unit, queries) in enumerate(panels):
        made.append({
            "id": number + 1, "type": "timeseries", "title": heading, "datasource": source,
            "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [{"refId": chr(65 + i), "expr": query, "legendFormat": legend, "datasource": source}
                        for i, (legend, query) in enumerate(queries)],
        })  # fmt: skip
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {"name": "namespace", "type": "query", "datasource": source, "refresh": 2, "multi": True, "includeAll": True,
         "query": {"query": "label_values(danqing_gateway_in_flight, namespace)", "refId": "namespace"}},
    ]  # fmt: skip
    return {
        "uid": f"danqing-{name}", "title": title, "tags": ["danqing"], "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-6h", "to": "now"}, "timezone": "",
        "templating": {"list": variables}, "panels": made, "annotations": {"list": []},
    }  # fmt: skip


def write(folder: Path = FOLDER) -> None:
    """serving.json and prompts.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, title, panels in (("serving", "丹青: serving", SERVING), ("prompts", "丹青: prompts and drift", PROMPTS)):
        text = json.dumps(dashboard(name, title, panels), indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
