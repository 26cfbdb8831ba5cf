"""A network that learns to read brush pictures: EfficientNet-Lite0 trained on, with a head for each attribute.

Where a linear probe on frozen features is wrong too often to prove anything, this one looks closer. It learns from
real pictures as they are, blurred and noisy, so that a painted picture's softness alone does not confuse it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing.evaluate.features import side
from danqing.evaluate.following import Attribute
from danqing.evaluate.probe import usable
from danqing.models.features import EfficientNetFeatures
from danqing.monitor import Monitor, Silent
from danqing.train.loop import device

_EARLY, _LAST = (2, 4, 10), 15
_CHANNELS = (24, 40, 112)
"""Of the maps after the blocks `_EARLY`."""
_WIDTH = 1280
_BATCH = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    steps: int = 1200
    lr: float = 5e-4
    """At most, of the network; its heads learn four times as fast."""
    seed: int = 0


class Judge(nn.Module):
    """uint8 pictures (B, H, W, 3) → logits of each attribute, {name: (B, classes)}."""

    def __init__(self, classes: dict[str, list[str]]) -> None:
        super().__init__()
        self.classes = classes
        self.extractor = EfficientNetFeatures((*_EARLY, _LAST)).requires_grad_(True)
        width = 5 * _WIDTH + 3 * sum(_CHANNELS)  # the whole, its quarters, and how it is painted
        heads = [nn.Linear(width, len(names)) for names in classes.values()]
        for head in heads:
            nn.init.zeros_(head.weight)
        self.heads = nn.ModuleList(heads)

    def forward(self, x_BCHW: Tensor) -> dict[str, Tensor]:
        """x in [-1, 1]."""
        target = side(x_BCHW.shape[-1])
        if x_BCHW.shape[-1] != target:
            x_BCHW = F.interpolate(x_BCHW, size=(target, target), mode="bicubic", align_corners=False, antialias=True)
        *early, last = self.extractor.maps(x_BCHW)
        last = self.extractor.last(last)
        parts = [last.mean((2, 3)), F.adaptive_avg_pool2d(last, 2).flatten(1)]
        parts += [statistic for m in early for statistic in (m.mean((2, 3)), m.std((2, 3)), m.amax((2, 3)))]
        seen = torch.cat(parts, 1)
        return {name: head(seen) for name, head in zip(self.classes, self.heads, strict=True)}

    @torch.inference_mode()
    def read(self, images_NHWC: np.ndarray) -> dict[str, list[str]]:
        """Attribute → what it sees in each picture."""
        found: dict[str, list[str]] = {name: [] for name in self.classes}
        for start in range(0, len(images_NHWC), _BATCH):
            for name, logits in self(_pixels(images_NHWC[start : start + _BATCH])).items():
                found[name] += [self.classes[name][i] for i in logits.argmax(1).tolist()]
        return found


def train(
    images_NHWC: np.ndarray,
    attributes: Sequence[Attribute],
    lesson: Lesson | None = None,
    monitor: Monitor | None = None,
) -> Judge:
    """A judge of `attributes`, whose truth is that of the pictures; "" teaches nothing."""
    lesson, monitor = lesson or Lesson(), monitor or Silent()
    torch.manual_seed(lesson.seed)
    rng = np.random.default_rng(lesson.seed)
    classes = {a.name: names for a in attributes if len(names := usable(list(a.truth))) >= 2}
    truths = {
        a.name: torch.tensor([classes[a.name].index(t) if t in classes[a.name] else -1 for t in a.truth])
        for a in attributes if a.name in classes
    }  # fmt: skip
    judge = Judge(classes).to(device())
    groups = [{"params": judge.extractor.parameters()}, {"params": judge.heads.parameters()}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=[lesson.lr, 4 * lesson.lr], total_steps=lesson.steps, pct_start=0.1
    )
    order = np.empty(0, int)
    for step in range(lesson.steps):
        if len(order) < _BATCH:
            order = np.concatenate([order, rng.permutation(len(images_NHWC))])
        chosen, order = order[:_BATCH], order[_BATCH:]
        logits = judge(_worn(_pixels(images_NHWC[chosen]), rng))
        losses = []
        for name, truth in truths.items():
            asked = truth[chosen].to(device())
            if (asked >= 0).any():
                losses.append(F.cross_entropy(logits[name], asked, ignore_index=-1, label_smoothing=0.05))
        loss = torch.stack(losses).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        monitor.progress(step + 1, lesson.steps, f"loss {loss.item():.3f}")
    return judge.eval()


def _pixels(images_NHWC: np.ndarray) -> Tensor:
    x = torch.tensor(images_NHWC).to(device()).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return x.contiguous(memory_format=torch.channels_last)


def _worn(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the batch softened by up to a half of the pixels, and some grain on all of it."""
    small = int(x.shape[-1] * rng.uniform(0.5, 1.0))
    half = len(x) // 2
    soft = F.interpolate(x[:half], size=(small, small), mode="bilinear", antialias=True, align_corners=False)
    soft = F.interpolate(soft, size=x.shape[-2:], mode="bilinear", align_corners=False)
    x = torch.cat([soft, x[half:]])
    return x + float(rng.uniform(0, 0.06)) * torch.randn_like(x)
