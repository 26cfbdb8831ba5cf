"""The one training loop: batches, checkpoints, NaN watch, progress.

A training is a `Job`: modules, optimisers and a `step`. What a step does depends on nothing but the weights and
(seed, step): its batch is drawn and torch is reseeded from them. So a run that was killed at any moment and resumed
ends, bit for bit, where an undisturbed one ends; no generator state has to be saved.

Several ranks (`danqing.ranks`) share each batch: `batch` stays what it is on one, and so does the result, but for
rounding. The first of them reads and writes checkpoints, so a run may go on with another number of ranks.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from danqing import collectives, files, ranks
from danqing.errors import TrainingError
from danqing.monitor import Monitor


class Job(Protocol):
    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Whatever has weights or buffers that training changes (EMA copies too)."""

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]: ...

    def step(self, step: int, indices: np.ndarray) -> dict[str, float]:
        """One optimiser step on the items `indices`, this rank's rows of the batch; returns scalars to log.

        Their means over the ranks are logged. Gradients and what else depends on the whole batch go through
        `danqing.collectives`.
        """


class Watch(Protocol):
    """Looks at a training from time to time; what it finds joins the history. It changes nothing in the job."""

    @property
    def every(self) -> int:
        """Steps between two looks; 0: never."""

    def __call__(self, done: int) -> dict[str, float]: ...


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def batch_indices(seed: int, step: int, items: int, batch: int) -> np.ndarray:
    """Indices of batch `step` (from 0): epochs are shuffled runs through all items, the last short batch is skipped."""
    if items < batch:
        return np.random.default_rng((seed, step)).choice(items, batch, replace=True)
    per_epoch = items // batch
    epoch, place = divmod(step, per_epoch)
    return _order(seed, epoch, items)[place * batch : (place + 1) * batch].copy()


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, items: int) -> np.ndarray:
    """The items of one epoch, shuffled. Remembered: of 10 million items a shuffle takes as long as a step."""
    return np.random.default_rng((seed, epoch)).permutation(items)


def warmup_cosine(step: int, steps: int, warmup: int, floor: float = 0.05) -> float:
    """Factor on the learning rate: linear warm-up, then half a cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `model`; young averages forget faster, so that they are useful early."""
    decay = min(decay, (1 + step) / (10 + step))
    theirs = dict(model.named_parameters())
    for name, weight in average.named_parameters():
        weight.lerp_(theirs[name], 1 - decay)
    buffers = dict(model.named_buffers())
    for name, value in average.named_buffers():
        value.copy_(buffers[name])


def _state(job: Job) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors of a job by name, and what is no tensor as JSON-ready values."""
    tensors = {f"module/{m}/{k}": v for m, module in job.modules.items() for k, v in module.state_dict().items()}
    plain: dict[str, Any] = {}
    for name, optimizer in job.optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            for k, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{name}/{index}/{k}"] = value
                else:
                    plain[f"{name}/{index}/{k}"] = value
    return {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, plain


Rows = list[dict[str, float]]


def save_checkpoint(path: Path, job: Job, step: int, history: Rows, window: Rows) -> None:
    """Write everything to `path`/step-N; the last two checkpoints are kept, each is whole or not there.

    window: the steps since the last row of `history`, so that a resume logs what an undisturbed run logs.
    """
    tensors, plain = _state(job)
    with files.atomic_folder(path / f"step-{step:08d}") as folder:
        files.write_tensors(folder / "state.safetensors", tensors)
        meta = {"step": step, "optimizer": plain, "history": history, "window": window}
        (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    for old in checkpoints(path)[:-2]:
        files.shutil.rmtree(old, ignore_errors=True)


def checkpoints(path: Path) -> list[Path]:
    return sorted(p for p in Path(path).glob("step-*") if (p / "meta.json").is_file())


def load_checkpoint(path: Path, job: Job) -> tuple[int, Rows, Rows]:
    """Load the last checkpoint below `path` into `job`: (steps done, history, window), or (0, [], []) without one.

    The first rank reads it and hands it to the others, who need not see `path`.
    """
    folder, meta, state = (_last_whole(path) if ranks.first() else None) or (path, {}, b"")
    meta = json.loads(collectives.from_first(json.dumps(meta).encode()))
    state = collectives.from_first(state)
    if not meta:
        return 0, [], []
    _restore(job, load(state), meta["optimizer"], folder)
    return int(meta["step"]), list(meta["history"]), list(meta["window"])


def _last_whole(path: Path) -> tuple[Path, dict[str, Any], bytes] | None:
    """Folder, meta data and tensors' file of the last checkpoint whose tensors can be read."""
    for folder in reversed(checkpoints(path)):
        meta = files.read_json(folder / "meta.json")
        try:
            state = (folder / "state.safetensors").read_bytes()
            load(state)
        except (OSError, SafetensorError):
            continue
        return folder, meta, state
    return None


def _restore(job: Job, tensors: dict[str, Tensor], plain: Mapping[str, Any], folder: Path) -> None:
    for m, module in job.modules.items():
        prefix = f"module/{m}/"
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise TrainingError(
                f"{folder}: the checkpoint does not fit the model; delete {folder.parent} ({error})"
            ) from None
    for name, optimizer in job.optimizers.items():
        state: dict[int, dict[str, Any]] = {}
        prefix = f"optimizer/{name}/"
        for full, value in tensors.items():
            if full.startswith(prefix):
                index, k = full.removeprefix(prefix).split("/", 1)
                state.setdefault(int(index), {})[k] = value
        for full, value in plain.items():
            owner, index, k = full.split("/", 2)
            if owner == name:
                state.setdefault(int(index), {})[k] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def train(
    job: Job,
    *,
    items: int,
    batch: int,
    steps: int,
    seed: int,
    scratch: Path,
    checkpoint: int,
    log: int,
    monitor: Monitor,
    watch: Watch | None = None,
) -> list[dict[str, float]]:
    """Run `job` for `steps` steps over `items` items, from the last checkpoint in `scratch` if there is one.

    watch: looks on the first rank, while the others wait.
    Returns the history: one dict {"step", name: mean since the last one} every `log` steps.
    Raises TrainingError at the first scalar that is not finite, naming step, items and last good checkpoint;
    ConfigError if the batch cannot be shared by the ranks.
    """
    if items < 1:
        raise TrainingError("there is nothing to train on: the training split is empty")
    # A process's first square root over a tensor rounds otherwise about once in fifteen processes (MKL's vector
    # functions; measured in AdamW's first step). One that nobody reads makes equal runs equal to the last bit.
    torch.ones(4096).sqrt()
    mine = ranks.rows(batch)
    folder = Path(scratch) / "checkpoints"
    start, history, window = load_checkpoint(folder, job)
    collectives.same(job.modules.values())
    if start:
        monitor.progress(start, steps, f"resumed at step {start}")
    for step in range(start, steps):
        indices = batch_indices(seed, step, items, batch)
        torch.manual_seed((seed * 1_000_003 + step) % (1 << 62))
        values = collectives.means(job.step(step, indices[mine]))
        wrong = {k: v for k, v in values.items() if not math.isfinite(v)}
        if wrong:
            raise TrainingError(
                f"step {step}: {', '.join(wrong)} is not finite, with items {indices[:8].tolist()}…; the last good "
                f"checkpoint is {checkpoints(folder)[-1] if checkpoints(folder) else 'none'}; lower the learning rate"
            )
        window.append(values)
        done = step + 1
        if done % log == 0 or done == steps:
            means = {k: float(np.mean([v[k] for v in window if k in v])) for k in _names(window)}
            history.append({"step": float(done), **means})
            window = []
            monitor.metrics(means, done)
        if watch is not None and watch.every and (done % watch.every == 0 or done == steps):
            with ranks.apart():
                seen = watch(done)
            if history and history[-1]["step"] == done:
                history[-1].update(seen)
            else:
                history.append({"step": float(done), **seen})
            monitor.metrics(seen, done)
        monitor.progress(done, steps, " ".join(f"{k} {v:.3f}" for k, v in list(values.items())[:3]))
        if ranks.first() and done < steps and done % checkpoint == 0:
            save_checkpoint(folder, job, done, history, window)
    return history


def _names(window: list[dict[str, float]]) -> Iterator[str]:
    return iter(dict.fromkeys(k for values in window for k in values))


def write_curves(path: Path, history: list[dict[str, float]]) -> None:
    """History as CSV: step, then one column a scalar; a scalar not measured at a step is empty."""
    names = list(dict.fromkeys(k for row in history for k in row))
    lines = [",".join(names)]
    lines += [",".join(f"{row[k]:.6g}" if k in row else "" for k in names) for row in history]
    files.write_text(path, "\n".join(lines) + "\n")
