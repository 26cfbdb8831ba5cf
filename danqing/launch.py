"""Start the ranks of a step on this machine, follow them and take their outcome: `danqing train-painter --processes 4`.

The ranks are processes of torchrun's agent that run this module with a *job*, a JSON file of step, configuration and
folders. The first of them writes what happens (events.jsonl) and what came of it (outcome.json) beside the job; each
writes why it failed (error-RANK.json). Whoever started them, this process or Kubeflow's TrainJob across pods
(`danqing.platform.trainjob`), reads these files, so that metrics and errors reach the same monitor as from one process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import sys
import tempfile
import threading
import time
import typing
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from danqing import config, files, ranks, steps, values
from danqing.errors import ConfigError, DanqingError, TrainingError
from danqing.monitor import Events, Monitor, Silent

JOB = "job.json"
_CONSEQUENCE = "consequence"


class RanksFailed(TrainingError):
    """A rank failed; the exit code is that of its error."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def gpus() -> int:
    """Visible GPUs, without importing torch where there is no driver."""
    if not Path("/proc/driver/nvidia/version").exists() and "CUDA_VISIBLE_DEVICES" not in os.environ:
        return 0
    import torch

    return torch.cuda.device_count()


def run(
    name: str,
    section: Any,
    inputs: Mapping[str, Path],
    out: Path,
    *,
    processes: int,
    monitor: Monitor | None = None,
    rerun: str = "",
) -> steps.Outcome:
    """Run step `name` as `danqing.steps.run` does, with `processes` ranks on this machine.

    Raises ConfigError if the step is not for several processes, RanksFailed with one line that says what ended it.
    """
    if not steps.STEPS[name].parallel:
        able = ", ".join(step.name for step in steps.STEPS.values() if step.parallel)
        raise ConfigError(f"step {name} runs in one process; several can share {able}")
    if ranks.launched() > 1:
        raise ConfigError("torchrun started this process already: leave --processes out")
    with tempfile.TemporaryDirectory(prefix="danqing-ranks-") as temporary:
        folder = Path(temporary)
        write_job(folder, name, section, inputs, out, rerun)
        with following(folder, monitor or Silent()):
            ended = _start(folder / JOB, processes)
        return outcome(folder, ended)


def write_job(folder: Path, name: str, section: Any, inputs: Mapping[str, Path], out: Path, rerun: str = "") -> Path:
    """Write the job into `folder`, where the ranks will write too; returns its file."""
    job = {
        "step": name, "section": values.as_dict(section), "inputs": {k: str(v.resolve()) for k, v in inputs.items()},
        "out": str(out.resolve()), "rerun": rerun,
    }  # fmt: skip
    files.write_json(folder / JOB, job)
    return folder / JOB


def _start(job: Path, processes: int) -> str:
    """Run the ranks to their end; returns "" or how the first that failed ended."""
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the ranks' own lines say more
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    threads = str(max(1, (os.cpu_count() or 1) // processes))
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", threads)
    given = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1", max_restarts=0,
    )  # fmt: skip
    try:
        elastic_launch(given, sys.executable)("-m", "danqing.launch", str(job))
    except ChildFailedError as error:
        # Whoever was killed, before whoever then lost it; torchrun itself ends the rest by SIGTERM.
        order = sorted(error.failures.items(), key=lambda item: (item[1].exitcode >= 0, item[1].exitcode == -15))
        rank, failure = order[0]
        how = f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with {failure.exitcode}"
        return f"process {rank} of {processes} {how}"
    finally:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
    return ""


def outcome(folder: Path, ended: str) -> steps.Outcome:
    """What the ranks left in `folder`. ended: "" or how they ended, if not well. Raises RanksFailed."""
    errors = [files.read_json(path) for path in sorted(folder.glob("error-*.json"))]
    causes = [error for error in errors if not error[_CONSEQUENCE]]
    if causes:
        raise RanksFailed(causes[0]["message"], int(causes[0]["exit_code"]))
    if ended:
        raise RanksFailed(f"{ended}; run again to go on from the last checkpoint", 1)
    left = files.read_json(folder / "outcome.json")
    return steps.Outcome(metrics=left["metrics"], reused=left["reused"])


@contextlib.contextmanager
def following(folder: Path, monitor: Monitor) -> Iterator[None]:
    """Tell `monitor` what the first rank writes into `folder`/events.jsonl, while inside."""
    stop = threading.Event()
    thread = threading.Thread(target=_follow, args=(folder / "events.jsonl", monitor, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(path: Path, monitor: Monitor, stop: threading.Event) -> None:
    place, last = 0, False
    while not last:
        last = stop.wait(0.2)  # once more after the end
        if not path.is_file():
            continue
        with open(path, "rb") as file:
            file.seek(place)
            block = file.read()
        whole = block[: block.rfind(b"\n") + 1]  # the rest of a line that is being written comes next time
        place += len(whole)
        for line in whole.splitlines():
            event = json.loads(line)
            if "metrics" in event:
                monitor.metrics(event["metrics"], event["step"])
            else:
                done, total = event["progress"]
                monitor.progress(done, total, event["note"])


def main(job: Path) -> None:
    """What a rank does. Ends the process with the error's exit code on a DanqingError."""
    _end_with_parent()
    folder, given = job.parent, files.read_json(job)
    step = steps.STEPS[given["step"]]
    section = values.build(typing.get_type_hints(config.Line)[step.section], given["section"])
    inputs = {name: Path(path) for name, path in given["inputs"].items()}
    speaks = os.environ.get("RANK", "0") == "0"
    monitor: Monitor = Events(folder / "events.jsonl", step.name) if speaks else Silent()
    try:
        came = steps.run(step.name, section, inputs, Path(given["out"]), monitor=monitor, rerun=given["rerun"])
    except DanqingError as error:
        _failed(folder, str(error), error.exit_code, consequence=type(error).__name__ == "RankLost")
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        _failed(folder, f"{type(error).__name__}: {error}", 1, consequence=False)
        raise
    if speaks:
        files.write_json(folder / "outcome.json", dataclasses.asdict(came))


def _failed(folder: Path, message: str, exit_code: int, *, consequence: bool) -> None:
    rank = os.environ.get("RANK", "0")
    error = {"message": message, "exit_code": exit_code, _CONSEQUENCE: consequence}
    files.write_json(folder / f"error-{rank}.json", error)
    if not consequence:
        print(f"process {rank}: {message}", file=sys.stderr, flush=True)


def _end_with_parent() -> None:
    """torchrun's agent ends its ranks; if it is killed itself, it cannot: two runs must never write one checkpoint."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
