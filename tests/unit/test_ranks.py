"""Several ranks give what one process gives; when one is lost the others say so; a run goes on with another number."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from danqing import config, files, launch, presets, ranks, steps
from danqing.errors import ConfigError
from danqing.models import families
from danqing.models.painter import StackedDecoder
from danqing.monitor import Silent
from tests.unit import rank_jobs

ROOT = Path(__file__).resolve().parents[2]
NAMES = list(rank_jobs.JOBS)
PLANTED = [
    "tokenizer:gradients", "tokenizer:normalisers", "tokenizer:counts", "painter:gradients", "painter:draws",
    "guide:gradients", "guide:pairs", "judge:statistics", "flowmo:statistics",
]  # fmt: skip
SCALARS, GRADIENTS, WEIGHTS = 1e-5, 1e-4, 5e-4
"""Largest differences between two ranks and one process after four steps: of a logged scalar and of the first gradient,
relative; of a weight (a learning rate of 1e-3 moves it by up to 4e-3)."""


def environment(**values: object) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | {k: str(v) for k, v in values.items()}


def torchrun(processes: int, *arguments: object, **values: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [*command, *map(str, arguments)], env=environment(**values), capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the ranks: sums over other numbers of threads are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of what one process and two ranks trained; the second with the planted faults too."""
    folder = tmp_path_factory.mktemp("ranks")
    rank_jobs.run(folder / "one", folder / "scratch1", NAMES)
    done = torchrun(2, ROOT / "tests/unit/rank_jobs.py", folder / "two", folder / "scratch2", ",".join(NAMES), *PLANTED)
    assert done.returncode == 0, done.stderr
    return folder / "one", folder / "two"


def differences(one: Path, two: Path, name: str, fault: str = "") -> tuple[float, float, float]:
    """Largest relative difference of a scalar, relative difference of the gradients, largest difference of a weight."""
    a, b = (json.loads(path.read_text()) for path in (one / f"{name}.json", two / f"{name}{fault}.json"))
    assert len(a) == len(b) == rank_jobs.STEPS
    scalars = max(abs(x[k] - y[k]) / max(1e-3, abs(x[k])) for x, y in zip(a, b, strict=True) for k in x)
    s, t = load_file(one / f"{name}.safetensors"), load_file(two / f"{name}{fault}.safetensors")
    assert s.keys() == t.keys()
    gradients = max(float((s[k] - t[k]).norm() / s[k].norm()) for k in s if k.startswith("gradient/"))
    weights = max(float((s[k] - t[k]).abs().max()) for k in s if not k.startswith("gradient/"))
    return scalars, gradients, weights


@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_train_what_one_process_trains(name: str, trained: tuple[Path, Path]) -> None:
    scalars, gradients, weights = differences(*trained, name)
    assert scalars < SCALARS and gradients < GRADIENTS and weights < WEIGHTS


@pytest.mark.parametrize("planted", PLANTED)
def test_an_exchange_that_is_left_out_is_seen(planted: str, trained: tuple[Path, Path]) -> None:
    name, _, fault = planted.partition(":")
    scalars, gradients, weights = differences(*trained, name, fault)
    assert scalars > SCALARS or gradients > GRADIENTS or weights > WEIGHTS


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_world", 3)
    with pytest.raises(ConfigError, match="batch of 8 cannot be shared by 3 processes"):
        ranks.rows(8)


LOST = """
import os, sys, time
import torch
from danqing import collectives, ranks
from danqing.errors import DanqingError
try:
    with ranks.group():
        assert float(collectives.mean(torch.tensor(float(ranks.rank())))) == 0.5
        if ranks.rank() == 1:
            os._exit(9) if sys.argv[1] == "dies" else time.sleep(30)
        collectives.mean(torch.zeros(1))
except DanqingError as error:
    print(error, flush=True)
    os._exit(error.exit_code)
"""


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_whoever_loses_another_rank_says_so_and_ends(how: str) -> None:
    """Without torchrun's agent, as in another pod than the lost one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", LOST, how], stdout=subprocess.PIPE, text=True,
            env=environment(RANK=rank, WORLD_SIZE=2, MASTER_ADDR="127.0.0.1", MASTER_PORT=port, DANQING_RANK_TIMEOUT=3),
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        said, _ = both[0].communicate(timeout=60)
    finally:
        both[1].kill()
    both[1].communicate()
    assert both[0].returncode == 5 and "process 0 of 2 lost the others" in said, said


CLIP = config.ClipTraining(steps=6, batch=16, warmup=1, checkpoint=2, log=1)


class Recorder(Silent):
    """Keeps what it is told; kills rank 1 when step `at` of the second model is told, as a lost node would."""

    def __init__(self, at: int = 0, memo: Path = Path()) -> None:
        self.told: dict[str, list[float]] = {}
        self.at, self.memo, self.killed = at, memo, False

    def metrics(self, values: Any, step: int | None = None) -> None:
        for name, value in values.items():
            self.told.setdefault(name, []).append(value)
        if self.at and step is not None and step >= self.at and "judge_loss" in values and not self.killed:
            os.kill(rank_process(1, self.memo), signal.SIGKILL)
            self.killed = True


def rank_process(rank: int, memo: Path) -> int:
    """The process of a rank that works in `memo`."""
    for folder in Path("/proc").iterdir():
        try:
            variables = (folder / "environ").read_bytes().split(b"\0") if folder.name.isdecimal() else []
        except OSError:
            continue
        if f"RANK={rank}".encode() in variables and f"DANQING_MEMO={memo}".encode() in variables:
            return int(folder.name)
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.slow
def test_a_killed_rank_ends_the_step_and_it_goes_on_with_as_many_or_with_one(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole, cut, other = tmp_path / "whole", tmp_path / "cut", tmp_path / "other"

    def alone(memo: Path, out: str, monitor: Recorder) -> dict[str, Any]:
        monkeypatch.setenv("DANQING_MEMO", str(memo))
        return steps.run("train_clip", CLIP, {"corpus": tiny_corpus}, tmp_path / out, monitor=monitor).metrics

    def shared(memo: Path, out: str, monitor: Recorder) -> dict[str, Any]:
        monkeypatch.setenv("DANQING_MEMO", str(memo))
        inputs = {"corpus": tiny_corpus}
        return launch.run("train_clip", CLIP, inputs, tmp_path / out, processes=2, monitor=monitor).metrics

    heard, again = Recorder(), Recorder()
    expected = alone(whole, "whole-out", heard)
    with pytest.raises(launch.RanksFailed, match=r"process 1 of 2 was ended by SIGKILL; run again") as failure:
        shared(cut, "out", Recorder(at=3, memo=cut))
    assert failure.value.exit_code == 1
    assert sorted(cut.glob("train_clip/*/scratch/judge/checkpoints/step-*")), "killed before any checkpoint"
    shutil.copytree(cut, other)
    resumed = shared(cut, "out", again)
    assert resumed == pytest.approx(expected, rel=1e-4)
    assert alone(other, "other-out", Recorder()) == pytest.approx(expected, rel=1e-4)
    assert "guide_loss" not in again.told, "the model that was finished before the kill is not trained again"
    assert again.told["judge_loss"][-1] == pytest.approx(heard.told["judge_loss"][-1], rel=1e-4)
    curves = [(tmp_path / name / "curves.csv").read_text().splitlines() for name in ("whole-out", "out", "other-out")]
    assert len(curves[0]) == len(curves[1]) == len(curves[2]) == 1 + CLIP.steps  # those of before the kill too


TOKENIZER = {
    "tokenizer.init": "scratch", "tokenizer.steps": 3, "tokenizer.extractor": "none", "tokenizer.model.width": 8,
    "tokenizer.model.detail_codes": 64, "tokenizer.model.global_codes": 64,
}  # fmt: skip


@pytest.mark.slow
def test_the_command_works_unchanged_below_torchrun(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, given = tmp_path / "out", [part for k, v in TOKENIZER.items() for part in ("--set", f"{k}={v}")]
    command = ["-m", "danqing.cli", "train-tokenizer", "--corpus", tiny_corpus, "--screener", tiny_corpus, "--profile",
               "debug", *given, "--out"]  # fmt: skip
    done = torchrun(2, *command, out, DANQING_MEMO=tmp_path / "memo")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("val_psnr") == 1, "the first process speaks for both"
    one = subprocess.run(
        [sys.executable, *map(str, command), tmp_path / "one"], env=environment(DANQING_MEMO=tmp_path / "memo1"),
        capture_output=True, text=True,
    )  # fmt: skip
    assert one.returncode == 0, one.stderr
    expected, found = (files.read_json(folder / "metrics.json") for folder in (tmp_path / "one", out))
    assert found == pytest.approx(expected, rel=1e-3)
    assert {p.name for p in out.iterdir()} == {p.name for p in (tmp_path / "one").iterdir()}
    assert not list((tmp_path / "memo").glob("*/*/work")), "one process wrote, and it tidied up"


def untrained(folder: Path) -> dict[str, Path]:
    """A tokenizer, a painter and a judge that know nothing, in folders as the trainings leave them."""
    torch.manual_seed(0)
    line = presets.resolve("debug", {**TOKENIZER, "painter.model.width": 32, "painter.model.depth": 1})
    tokenizer = families.build(line.tokenizer.model)
    tokenizer.save(folder / "tokenizer")
    StackedDecoder(line.painter.model, line.tokenizer.model).save(folder / "painter")
    rank_jobs.clip_model("judge").save(folder / "clip" / "judge")
    return {name: folder / name for name in ("tokenizer", "painter", "clip")}


@pytest.mark.slow
def test_two_ranks_evaluate_what_one_process_evaluates(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    section = presets.resolve("debug", {"evaluate.pictures": 20, "evaluate.batch": 8}).evaluate
    inputs = {"corpus": tiny_corpus, **untrained(tmp_path)}
    heard = Recorder()
    found = {}
    for name, start in {"two": lambda *a: launch.run(*a, processes=2, monitor=heard), "one": steps.run}.items():
        monkeypatch.setenv("DANQING_MEMO", str(tmp_path / f"memo-{name}"))
        found[name] = start("evaluate", section, inputs, tmp_path / name)
    assert found["two"] == found["one"] and len(found["one"].metrics) > 20
    assert heard.told.keys() >= {"psnr", "match_p"}
    for file in ("samples.png", "strips/painted.png", "strips/reconstruction.png"):
        assert (tmp_path / "two" / file).read_bytes() == (tmp_path / "one" / file).read_bytes(), file
    with pytest.raises(ConfigError, match="step annotate runs in one process"):
        launch.run("annotate", section, {}, tmp_path / "none", processes=2)
