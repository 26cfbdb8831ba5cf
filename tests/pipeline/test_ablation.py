"""`danqing ablate --preset debug`: every variant trains, paints and is measured, and one report compares them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from danqing import files
from danqing.errors import ConfigError
from danqing.platform import tracking
from danqing.variants import VARIANTS
from pipelines.ablate import run_ablation

pytestmark = pytest.mark.slow


def test_all_variants_are_compared_and_a_second_run_reuses_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    seen = io.StringIO()
    report = run_ablation("debug", rounds=1, workspace=tmp_path, stream=seen)
    found = files.read_json(report.with_name("comparison.json"))
    assert [t["variant"] for t in found["trials"]] == list(VARIANTS)
    for name in VARIANTS:
        assert found["figures"][f"{name}/psnr"] > 0 and found["costs"][name]["macs"] > 0
    metrics = {t["variant"]: t["metrics"] for t in found["trials"]}
    assert metrics["full"]["psnr"] == metrics["no_align"]["psnr"], "the very same tokenizer"
    assert len({round(m["psnr"], 6) for m in metrics.values()}) == 5, "and five different ones in all"
    assert "nobody can be called ahead" in seen.getvalue() and str(report) in seen.getvalue()
    page = report.read_text(encoding="utf-8")
    assert all(v.title in page for v in VARIANTS.values()) and "successive epochs" in page

    tracker = tracking.client(tracking.default_uri(tmp_path))
    runs = tracker.search_runs([e.experiment_id for e in tracker.search_experiments()])
    (compared,) = [r for r in runs if r.info.run_name == "compare"]
    assert "report.html" in [a.path for a in tracker.list_artifacts(compared.info.run_id)]
    assert {"train_tokenizer flowmo/0", "evaluate no_rdb/0"} <= {r.info.run_name for r in runs}

    again = io.StringIO()
    run_ablation("debug", variants=["full", "vqgan"], rounds=1, workspace=tmp_path, stream=again)
    assert "train_painter vqgan/0 reused" in again.getvalue() and "compare done" in again.getvalue()


def test_a_variant_that_is_none_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'flowmo'"):
        run_ablation("debug", variants=["flomo"], workspace=tmp_path)
    assert not (tmp_path / "runs").exists()
