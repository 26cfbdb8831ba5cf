"""The processes that train one model together: which of them this one is, and what the first alone does.

`torchrun` (or `danqing.launch`, or Kubeflow's TrainJob) starts the ranks and tells each by its environment which one it
is. Nothing here imports torch before a group is joined: most processes are alone.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from danqing.errors import ConfigError

T = TypeVar("T")
TIMEOUT = "DANQING_RANK_TIMEOUT"
"""Variable: seconds after which a rank that does not come to a meeting counts as lost (1800 if not set)."""

_rank, _world = 0, 1  # of the group that this process is in


def rank() -> int:
    """Number of this process in its group, from 0."""
    return _rank


def world() -> int:
    """Processes in the group; 1 outside one."""
    return _world


def first() -> bool:
    """Whether this process writes files and speaks for its group."""
    return _rank == 0


def launched() -> int:
    """How many processes torchrun started with this one; 1 where it was started by itself."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def quiet() -> bool:
    """Whether another of the processes that torchrun started speaks for this one."""
    return launched() > 1 and os.environ["RANK"] != "0"


def rows(batch: int) -> slice:
    """This rank's rows of a batch of `batch`, the same number on every rank. Raises ConfigError."""
    if batch % _world:
        raise ConfigError(
            f"a batch of {batch} cannot be shared by {_world} processes: set it to a multiple of {_world}, "
            "or start another number of them"
        )
    share = batch // _world
    return slice(_rank * share, (_rank + 1) * share)


@contextlib.contextmanager
def group() -> Iterator[None]:
    """Join the processes that torchrun started beside this one; does nothing where there is none.

    NCCL where each process of a machine has a GPU of its own, else gloo. When the block fails, the group is not taken
    apart in order: the others learn it from the closed connections.
    """
    if launched() == 1 or _world > 1:
        yield
        return
    import torch
    import torch.distributed as dist

    local, here = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    gpus = torch.cuda.device_count()
    if gpus:
        torch.cuda.set_device(local % gpus)
    timeout = datetime.timedelta(seconds=float(os.environ.get(TIMEOUT, "1800")))
    dist.init_process_group("nccl" if gpus >= here else "gloo", timeout=timeout)
    _enter(dist.get_rank(), dist.get_world_size())
    try:
        yield
        dist.destroy_process_group()
    finally:
        _enter(0, 1)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Inside, this process is alone: it looks at the model in its own time, and nobody waits for it to share that."""
    before = _rank, _world
    _enter(0, 1)
    try:
        yield
    finally:
        _enter(*before)


def by_first(work: Callable[[], T]) -> T | None:
    """What `work` returns, done by the first rank and apart; None on the others, who do not wait for it."""
    if not first():
        return None
    with apart():
        return work()


def _enter(rank: int, world: int) -> None:
    global _rank, _world
    _rank, _world = rank, world
