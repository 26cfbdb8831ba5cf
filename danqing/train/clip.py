"""Step `train_clip`: trains the guide and the judge with open_clip's contrastive loss on the corpus (Eq. 12).

danqing train-clip --corpus annotated/ --out clip/
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from danqing import collectives, files, ranks
from danqing.config import ClipTraining
from danqing.data import corpus as corpora
from danqing.errors import TrainingError
from danqing.models.batch_wide import batch_wide
from danqing.models.clip import Clip, Statistics, compact_vocabulary, open_clip_classes, read_config
from danqing.monitor import Monitor
from danqing.train.loop import device, set_lr, train, warmup_cosine, write_curves
from danqing.wordpieces import WordPieces

ROLES = ("guide", "judge")
RETRIEVAL = 64
"""Captions among which a picture must find its own."""


def train_clip(
    corpus: Path, *, out: Path, config: ClipTraining, monitor: Monitor, scratch: Path
) -> dict[str, float | str | bool]:
    """Train both models on the train split; writes `guide/`, `judge/`, `curves.csv` and `metrics.json` into `out`.

    Returns `<role>_val_loss` (contrastive, nats) and `<role>_top1` (share of validation pictures that find their own
    caption among 64), for guide and judge, and `top1_chance`. A validation split of one picture gives no metrics. Of
    several ranks (`danqing.ranks`) only the first measures, writes and returns metrics; a checkpoint and a model that
    was finished before a kill are read by all of them from `scratch`.
    """
    pictures = corpora.load(corpus, "train")
    try:
        held_out: corpora.Pictures | None = corpora.load(corpus, "val")
    except corpora.DataError:
        held_out = None
    metrics: dict[str, float | str | bool] = {}
    curves: dict[float, dict[str, float]] = {}
    for number, role in enumerate(ROLES):
        clip, history = _train_one(role, number, pictures, config, monitor, scratch)
        if not ranks.first():
            continue
        clip.save(out / role)
        for row in history:
            named = {f"{role}_{name}": value for name, value in row.items() if name != "step"}
            curves.setdefault(row["step"], {"step": row["step"]}).update(named)
        if held_out is not None and len(held_out) > 1:
            loss, top1, chance = retrieval(clip, held_out.images, held_out.captions)
            metrics |= {f"{role}_val_loss": loss, f"{role}_top1": top1, "top1_chance": chance}
    if not ranks.first():
        return {}
    write_curves(out / "curves.csv", [curves[step] for step in sorted(curves)])
    files.write_json(out / "metrics.json", metrics)
    monitor.metrics({k: v for k, v in metrics.items() if isinstance(v, float)})
    return metrics


def _train_one(
    role: str, number: int, pictures: corpora.Pictures, config: ClipTraining, monitor: Monitor, scratch: Path
) -> tuple[Clip, list[dict[str, float]]]:
    """One model and its history. A model that was finished before a kill is taken from `scratch`, not trained again."""
    finished = scratch / f"{role}-finished"
    if collectives.from_first(b"yes" if finished.is_dir() else b""):
        return Clip.load(finished).to(device()), files.read_json(finished / "history.json")
    seed = 2 * config.seed + number
    torch.manual_seed(seed)
    name = getattr(config, role)
    words = WordPieces(length=int(read_config(name)["text_cfg"]["context_length"]))
    vocabulary = compact_vocabulary(words(pictures.captions)[0])
    mean, std = channel_statistics(pictures.images)
    clip = Clip(read_config(name), vocabulary, mean, std).to(device()).train()
    job = Contrastive(clip, pictures, config)
    history = train(
        job, items=len(pictures), batch=config.batch, steps=config.steps, seed=seed, scratch=scratch / role,
        checkpoint=config.checkpoint, log=config.log, monitor=_Part(monitor, role, number),
    )  # fmt: skip
    clip.eval()
    if ranks.first():
        with files.atomic_folder(finished) as folder:
            clip.save(folder)
            files.write_json(folder / "history.json", history)
    return clip, history


class Contrastive:
    """The job of the training loop: pictures against captions, every other item of the batch a negative."""

    def __init__(self, clip: Clip, pictures: corpora.Pictures, config: ClipTraining) -> None:
        self.clip, self.config = batch_wide(clip), config
        self.images = torch.from_numpy(pictures.images)
        self.tokens = clip.tokens(pictures.captions)
        self.flippable = torch.tensor([can_flip(caption) for caption in pictures.captions])
        self.loss = open_clip_classes()[1]()
        decayed = [p for p in clip.parameters() if p.ndim >= 2]
        plain = [p for p in clip.parameters() if p.ndim < 2]
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        self.modules: dict[str, nn.Module] = {"clip": clip}
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))
        self.optimizers: dict[str, torch.optim.Optimizer] = {"adamw": optimizer}

    def step(self, step: int, indices: np.ndarray) -> dict[str, float]:
        optimizer = self.optimizers["adamw"]
        set_lr(optimizer, self.config.lr * warmup_cosine(step, self.config.steps, self.config.warmup))
        chosen = torch.tensor(indices)
        # All ranks see all pairs: a rank's pictures are negatives of the others' captions too.
        x = augment(self.images[chosen], self.flippable[chosen]).to(self.clip.device)
        image, text = self.clip.image(x), self.clip.encode_tokens(self.tokens[chosen.to(self.clip.device)])
        image, text = collectives.gather(image), collectives.gather(text)
        loss = self.loss(image, text, self.clip.scale)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        collectives.average_gradients(self.clip.parameters())
        nn.utils.clip_grad_norm_(self.clip.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.item()}


def can_flip(caption: str) -> bool:
    """Whether the mirrored picture still shows what the caption says."""
    words = caption.lower().replace(",", " ").replace(".", " ").split()
    return not {"left", "right"} & set(words)


def augment(images_BHWC: Tensor, flippable_B: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) → float (B, 3, H, W) in [-1, 1], shifted by up to 1/16 of the side, some mirrored.

    Colour is left alone: the tone of the ink is what a caption speaks of.
    """
    x = images_BHWC.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    count, _, height, width = x.shape
    reach = max(1, width // 16)
    padded = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    offsets = collectives.draw(lambda n: torch.randint(0, 2 * reach + 1, (n, 2)), count).tolist()
    x = torch.stack([p[:, dy : dy + height, dx : dx + width] for p, (dy, dx) in zip(padded, offsets, strict=True)])
    mirrored = (collectives.draw(torch.rand, count) < 0.5) & flippable_B
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)


def channel_statistics(images_NHWC: np.ndarray) -> tuple[Statistics, Statistics]:
    """Mean and standard deviation of each channel in [-1, 1], over at most 512 pictures spread evenly."""
    sample = images_NHWC[:: max(1, len(images_NHWC) // 512)].astype(np.float64) / 127.5 - 1
    mean, std = sample.mean(axis=(0, 1, 2)), sample.std(axis=(0, 1, 2))
    if not std.min() > 1e-3:
        raise TrainingError("the training pictures are all of one flat colour: look at the corpus before training")
    r, g, b = (round(float(v), 4) for v in mean)
    sr, sg, sb = (round(float(v), 4) for v in std)
    return (r, g, b), (sr, sg, sb)


@torch.inference_mode()
def retrieval(clip: Clip, images: np.ndarray, captions: list[str]) -> tuple[float, float, float]:
    """(contrastive loss, top-1 accuracy, chance) of picture → caption, in batches of 64; a short tail is left out.

    Equal captions count as one: a picture that finds its caption's twin has found it.
    """
    loss_of = open_clip_classes()[1]()
    size = min(RETRIEVAL, len(captions))
    losses, hits, luck = [], [], []
    for start in range(0, len(captions) - size + 1, size):
        block = captions[start : start + size]
        x = torch.from_numpy(images[start : start + size]).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        image, text = clip.image(x.to(clip.device)), clip.text(block)
        losses.append(loss_of(image, text, clip.scale).item())
        found = (image @ text.T).argmax(dim=1).tolist()
        hits += [block[j] == block[i] for i, j in enumerate(found)]
        luck += [block.count(caption) / size for caption in block]
    return float(np.mean(losses)), float(np.mean(hits)), float(np.mean(luck))


class _Part:
    """The monitor of one of several trainings: its metrics carry the role, its progress is a share of the whole."""

    def __init__(self, monitor: Monitor, role: str, number: int) -> None:
        self._monitor, self._role, self._number = monitor, role, number

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self._monitor.metrics({f"{self._role}_{name}": value for name, value in values.items()}, step)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self._monitor.progress(self._number * total + done, len(ROLES) * total, f"{self._role} {note}".strip())
