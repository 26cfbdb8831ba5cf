"""The training loop: a run that is killed and resumed ends where an undisturbed one ends, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from danqing.errors import TrainingError
from danqing.monitor import Silent
from danqing.train import loop


class Regression:
    """A toy job that uses everything a checkpoint must carry: noise, momentum, an average."""

    def __init__(self, poison: int = -1) -> None:
        torch.manual_seed(3)
        self.model, self.average = nn.Linear(4, 1), nn.Linear(4, 1)
        self.average.load_state_dict(self.model.state_dict())
        self.modules = {"model": self.model, "average": self.average}
        self.optimizers = {"model": torch.optim.AdamW(self.model.parameters(), lr=0.05)}
        self.data = torch.randn(64, 4)
        self.poison = poison

    def step(self, step: int, indices: np.ndarray) -> dict[str, float]:
        x = self.data[indices] + 0.1 * torch.randn(len(indices), 4)
        loss = (self.model(x) - x.sum(1, keepdim=True)).square().mean()
        if step == self.poison:
            loss = loss * float("nan")
        self.optimizers["model"].zero_grad()
        loss.backward()
        self.optimizers["model"].step()
        loop.update_ema(self.average, self.model, 0.9, step)
        return {"loss": float(loss)}


def train(scratch: Path, job: Regression, steps: int = 40) -> list[dict[str, float]]:
    return loop.train(
        job, items=64, batch=8, steps=steps, seed=5, scratch=scratch, checkpoint=10, log=5, monitor=Silent()
    )


class Stop(Exception):
    pass


def test_a_run_stopped_anywhere_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    whole = Regression()
    history = train(tmp_path / "whole", whole)
    for stop in (3, 17, 39):
        job = Regression()
        plain = job.step

        def failing(step: int, indices: np.ndarray, stop: int = stop, plain=plain) -> dict[str, float]:  # type: ignore[no-untyped-def]
            if step == stop:
                raise Stop
            return plain(step, indices)

        job.step = failing  # type: ignore[method-assign]
        with pytest.raises(Stop):
            train(tmp_path / f"cut-{stop}", job)
        again = Regression()
        assert train(tmp_path / f"cut-{stop}", again) == history
        assert torch.equal(again.average.weight, whole.average.weight)


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    train(tmp_path, Regression())
    found = loop.checkpoints(tmp_path / "checkpoints")
    assert [p.name for p in found] == ["step-00000020", "step-00000030"]
    (found[-1] / "state.safetensors").write_bytes(b"torn")
    job = Regression()
    done, _, _ = loop.load_checkpoint(tmp_path / "checkpoints", job)
    assert done == 20


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train(tmp_path, Regression())
    job = Regression()
    job.modules["model"] = nn.Linear(5, 1)
    with pytest.raises(TrainingError, match="does not fit"):
        loop.load_checkpoint(tmp_path / "checkpoints", job)


def test_nan_stops_and_names_the_step_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"step 25: loss is not finite.*step-00000020"):
        train(tmp_path, Regression(poison=25))


def test_an_empty_training_set_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        loop.train(Regression(), items=0, batch=4, steps=2, seed=0, scratch=tmp_path, checkpoint=1, log=1,
                   monitor=Silent())  # fmt: skip


def test_an_epoch_sees_every_item_once() -> None:
    seen = np.concatenate([loop.batch_indices(0, step, 40, 8) for step in range(5)])
    assert sorted(seen) == list(range(40))
    assert not np.array_equal(loop.batch_indices(0, 0, 40, 8), loop.batch_indices(0, 5, 40, 8))


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [loop.warmup_cosine(s, 100, 10) for s in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.06


CHILD = """
import sys
from pathlib import Path
from danqing import presets
from danqing.monitor import Silent
from danqing.train.tokenizer import train_tokenizer
from danqing.train.painter import train_painter
what, corpus, out, scratch, tokenizer = sys.argv[1], *map(Path, sys.argv[2:])
out.mkdir(parents=True, exist_ok=True)
scratch.mkdir(parents=True, exist_ok=True)
class Slow(Silent):
    def progress(self, done, total, note=""):
        print(done, flush=True)
line = presets.resolve("debug", {
    "tokenizer.init": "scratch", "tokenizer.steps": 10, "tokenizer.extractor": "none", "tokenizer.gan_start": 2,
    "tokenizer.continuous": 2, "painter.init": "scratch", "painter.steps": 10, "painter.clip": 0.0,
    "tokenizer.model.width": 16, "painter.model.width": 32,
})
if what == "tokenizer":
    print(train_tokenizer(corpus, corpus, out=out, config=line.tokenizer, monitor=Slow(), scratch=scratch))
else:
    print(train_painter(corpus, tokenizer, corpus, out=out, config=line.painter, monitor=Slow(), scratch=scratch))
"""


def child(*arguments: object, kill_at: int | None = None) -> str:
    """Run a training in a process of its own; with kill_at, `kill -9` it when that step is reported."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if kill_at is not None and line.strip() == str(kill_at):
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == (-signal.SIGKILL if kill_at is not None else 0)
    return lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["tokenizer", "painter"])
def test_kill_9_in_a_real_training_then_resume_ends_at_the_same_loss(
    what: str, tiny_corpus: Path, tmp_path: Path
) -> None:
    tokenizer = tmp_path / "tok"
    if what == "painter":
        child("tokenizer", tiny_corpus, tokenizer, tmp_path / "s0", tokenizer)
    undisturbed = child(what, tiny_corpus, tmp_path / "a", tmp_path / "sa", tokenizer)
    child(what, tiny_corpus, tmp_path / "b", tmp_path / "sb", tokenizer, kill_at=5)
    assert loop.checkpoints(tmp_path / "sb" / "checkpoints"), "killed before any checkpoint"
    assert child(what, tiny_corpus, tmp_path / "b", tmp_path / "sb", tokenizer) == undisturbed
    for name in (f"{what}.safetensors", "curves.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
