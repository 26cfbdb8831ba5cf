"""What the gateway counts; BentoML shows it at /metrics, over all its workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30)

requests = Counter("danqing_gateway_requests", "Requests by route and status.", ["route", "status"])
seconds = Histogram("danqing_gateway_request_seconds", "From the first byte to the last.", ["route"], buckets=_BUCKETS)
stages = Histogram("danqing_gateway_stage_seconds", "Time by stage: judge, paint, stamp.", ["stage"], buckets=_BUCKETS)
refusals = Counter("danqing_gateway_refusals", "Refused requests by reason, or by the rule that applied.", ["reason"])
pictures = Counter("danqing_gateway_pictures", "Pictures delivered, by the model that painted them.", ["model"])
untraced = Counter("danqing_gateway_untraced", "Pictures of a model whose training works are not known here.")
waiting = Gauge("danqing_gateway_in_flight", "Requests that are painted or wait for it.", multiprocess_mode="livesum")

prompts = Counter("danqing_gateway_prompts", "Prompts to paint, by language and outcome.", ["language", "outcome"])
feedback = Counter("danqing_gateway_feedback", "Votes of callers on pictures.", ["model", "verdict"])
unrecorded = Counter("danqing_gateway_unrecorded", "Times that counts for the drift report could not be kept.")
drift = Gauge("danqing_drift", "Distance of what is served from the training set, 0 to 1, as the drift report says.",
              ["attribute"], multiprocess_mode="mostrecent")  # fmt: skip
drifted = Gauge("danqing_drifted", "1 where the drift report calls for a new training.", multiprocess_mode="mostrecent")
drift_made = Gauge("danqing_drift_report_timestamp_seconds", "When the drift report was made, Unix time.",
                   multiprocess_mode="mostrecent")  # fmt: skip


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        stages.labels(stage=name).observe(time.perf_counter() - start)
