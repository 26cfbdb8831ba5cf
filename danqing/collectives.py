"""What the ranks of a group compute together. In a process that is alone each function does the plain thing.

One rule makes a group's training equal to one process's: *the mean over the ranks of what each computes is what one
process would compute*. Every rank has equally many rows of the global batch, so plain means obey it as they are.
What divides by something that depends on the batch takes the `mean` of the divisor first, gradients and scalars are
averaged at the end, and random numbers are drawn for the whole batch by every rank, from equal seeds, and each takes
its rows (`draw`).

Gradients are averaged by one all-reduce after the backward pass and not by DistributedDataParallel: a step here goes
through a model several times, by other ways than its `forward` (a codebook, an encoder, a critic that only passes
gradients on), which DDP's hooks take for unused or doubly used parameters; and a step of two optimisers is read from
top to bottom. The price is that the exchange does not overlap with the backward pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from danqing import ranks
from danqing.errors import TrainingError


class RankLost(TrainingError):
    """Another process of the group has ended: its error is the cause, this one the consequence."""


@contextlib.contextmanager
def _meeting() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # DistBackendError, and what gloo raises, are RuntimeErrors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
        raise RankLost(
            f"process {ranks.rank()} of {ranks.world()} lost the others ({reason}); what one of them says is the "
            "cause; start again to go on from the last checkpoint"
        ) from error


def _where() -> torch.device:
    """Where the backend wants its tensors."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")


@torch.no_grad()
def total(x: Tensor) -> Tensor:
    """The sum over the ranks, on all of them; without gradient."""
    if ranks.world() == 1:
        return x.detach()
    there = x.detach().clone(memory_format=torch.contiguous_format).to(_where())
    with _meeting():
        dist.all_reduce(there)
    return there.to(x.device)


def mean(x: Tensor) -> Tensor:
    """The mean over the ranks, on all of them; without gradient."""
    return total(x) / ranks.world()


def means(values: Mapping[str, float]) -> dict[str, float]:
    """Scalars that every rank has under the same names, averaged."""
    if ranks.world() == 1:
        return dict(values)
    numbers = mean(torch.tensor(list(values.values()), dtype=torch.float64))
    return dict(zip(values, numbers.tolist(), strict=True))


class _Mean(torch.autograd.Function):
    """Everybody's loss depends on everybody's x, and the losses are averaged: so are the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return mean(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return mean(gradient)


def mean_with_gradient(x: Tensor) -> Tensor:
    """The mean over the ranks, through which gradients flow to all of them."""
    return x if ranks.world() == 1 else _Mean.apply(x)


class _Gather(torch.autograd.Function):
    """Every rank computes the same loss of all rows, so each knows the gradient of its own: the mean over the ranks
    divides by their number, which is undone here."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        here = x.detach().contiguous().to(_where())
        parts = [torch.empty_like(here) for _ in range(ranks.world())]
        with _meeting():
            dist.all_gather(parts, here)
        ctx.rows, ctx.world = slice(ranks.rank() * len(x), (ranks.rank() + 1) * len(x)), ranks.world()
        return torch.cat(parts).to(x.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return gradient[ctx.rows] * ctx.world


def gather(x: Tensor) -> Tensor:
    """(n, …) of each rank → (world · n, …) on all, in the order of the batch. For a loss that all compute alike."""
    return x if ranks.world() == 1 else _Gather.apply(x)


@dataclass(frozen=True, slots=True)
class Some:
    """This rank's rows of some that were chosen from the batch."""

    here: Tensor
    """Their places in this rank's part of the batch; never empty: a rank that has none computes one for nothing."""
    start: int
    """Place of the first among all that were chosen."""
    all: int
    """Chosen on all ranks together."""
    share: float
    """What a mean over `here` counts, so that the mean over the ranks is the mean over all that were chosen."""


def some(count: int, rows: int) -> Some:
    """Choose `count` rows of the batch, of which this rank has `rows`, spread evenly, so that the ranks share them."""
    whole = rows * ranks.world()
    chosen = torch.arange(min(count, whole)) * whole // min(count, whole)
    low = ranks.rank() * rows
    mine = torch.nonzero((chosen >= low) & (chosen < low + rows)).flatten()
    share = len(mine) * ranks.world() / len(chosen)
    if not len(mine):
        return Some(torch.tensor([0]), 0, len(chosen), 0.0)
    return Some(chosen[mine] - low, int(mine[0]), len(chosen), share)


def draw(make: Callable[[int], Tensor], rows: int | Some) -> Tensor:
    """This rank's rows of what `make(count)` draws at random for all rows: every rank draws all, from equal seeds."""
    if isinstance(rows, Some):
        return make(rows.all)[rows.start : rows.start + len(rows.here)]
    start = ranks.rank() * rows
    return make(rows * ranks.world())[start : start + rows]


def pick(rows_NE: Tensor, index: Tensor) -> Tensor:
    """Rows of all ranks' (N, E) laid one below the other, on all ranks. index: (K,), the same on all."""
    if ranks.world() == 1:
        return rows_NE[index]
    place = index - ranks.rank() * len(rows_NE)
    mine = (place >= 0) & (place < len(rows_NE))
    found = rows_NE[place.clamp(0, len(rows_NE) - 1)] * mine[:, None]
    return total(found)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the ranks: one exchange for all of them, in the parameters' order."""
    if ranks.world() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    averaged = mean(torch.cat([g.flatten() for g in gradients]))
    for gradient, part in zip(gradients, averaged.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def same(modules: Iterable[nn.Module]) -> None:
    """Give every rank the first one's weights and buffers."""
    if ranks.world() == 1:
        return
    for module in modules:
        for tensor in module.state_dict().values():
            there = tensor.contiguous().to(_where())
            with _meeting():
                dist.broadcast(there, 0)
            tensor.copy_(there)


def from_first(data: bytes) -> bytes:
    """What the first rank gives, on all of them; what the others give is not looked at."""
    if ranks.world() == 1:
        return data
    size = torch.tensor([len(data)], device=_where())
    with _meeting():
        dist.broadcast(size, 0)
    block = torch.empty(int(size), dtype=torch.uint8, device=_where())
    if ranks.first() and data:
        block.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    if len(block):
        with _meeting():
            dist.broadcast(block, 0)
    return data if ranks.first() else block.cpu().numpy().tobytes()


def in_parts(count: int, size: int, work: Callable[[slice], Sequence[Tensor]]) -> list[Tensor]:
    """What `work` makes of rows 0 to `count`, `size` at a time: each part by one rank, all of them on every rank's CPU.

    work: rows → tensors with one row each. A part is the same however many ranks there are, so the result is too.
    """
    parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    world = ranks.world()
    if world == 1:
        return [torch.cat([t.cpu() for t in column]) for column in zip(*(work(p) for p in parts), strict=True)]
    mine = {n: list(work(part)) for n, part in enumerate(parts) if n % world == ranks.rank()}
    like = (
        next(iter(mine.values())) if mine else work(parts[0])
    )  # a rank without work must know the shapes all the same
    columns: list[list[Tensor]] = [[] for _ in like]
    for n, part in enumerate(parts):
        for k, column in enumerate(columns):
            own = mine[n][k] if n in mine else like[k].new_empty((part.stop - part.start, *like[k].shape[1:]))
            there = own.contiguous().to(_where())
            with _meeting():
                dist.broadcast(there, n % world)
            column.append(there.cpu())
    return [torch.cat(column) for column in columns]
