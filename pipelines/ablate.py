"""Run the ablation pipeline on this machine and say what came of it: `danqing ablate`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from danqing import files
from danqing.platform.component import ablation_trials
from pipelines.local import execute, root_of

AT_ONCE = 2
"""Trials that KFP runs side by side on one machine."""


def run_ablation(
    preset: str = "small",
    *,
    variants: Sequence[str] = (),
    seeds: str = "",
    source: str = "",
    overrides: Mapping[str, Any] | None = None,
    rounds: int = 5,
    workspace: Path | None = None,
    stream: IO[str] | None = None,
) -> Path:
    """Run every variant with every seed; returns the report, <workspace>/latest/ablation.html.

    What has been trained in this workspace is reused, so a stopped ablation goes on. Raises ConfigError before
    anything starts, RunFailed with one line.
    """
    plan = {
        "preset": preset, "variants": ",".join(variants), "seeds": seeds, "source": source,
        "overrides": json.dumps(dict(overrides or {}), sort_keys=True),
    }  # fmt: skip
    trials = ablation_trials(**plan)
    root, console = root_of(workspace), Console(file=stream or sys.stdout)

    def pipeline() -> Any:
        from pipelines.ablation import ablation

        return ablation.pipeline_spec

    steps = ["plan", "ingest", "screen", "annotate", "validate", "train_clip", "compare"]
    title = f"ablation {preset}, {len(trials)} trials"
    # Two processes with half of the cores each get more done than two that fight for all.
    threads = max(1, (os.cpu_count() or 1) // AT_ONCE)
    ran = execute(pipeline, {**plan, "rounds": rounds}, steps, root, console, title, threads=threads)
    folder, latest = Path(ran.done["compare"]["out"]), root / "latest"
    for name, copy in (("report.html", "ablation.html"), ("report.md", "ablation.md"), ("comparison.json",) * 2):
        with files.atomic(latest / copy) as temporary:
            shutil.copyfile(folder / name, temporary)
    found = files.read_json(latest / "comparison.json")
    console.print(f"\nfinished in {ran.seconds / 60:.1f} min", highlight=False)
    console.print(f"  {found['verdict']}", highlight=False, markup=False)
    console.print(f"  report    {latest / 'ablation.html'}", highlight=False, markup=False, soft_wrap=True)
    if ran.tracking_error:
        console.print(f"  MLflow did not get everything: {ran.tracking_error}", highlight=False, markup=False)
    return latest / "ablation.html"
