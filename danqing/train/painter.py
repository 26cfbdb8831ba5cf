"""Stage 2: train the stacked decoder on the codes of a corpus, with CLIP guidance through a differentiable decode.

danqing train-painter --corpus data/annotated --tokenizer out/tokenizer --clip out/clip --out out/painter
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from danqing import files
from danqing.config import PainterTraining
from danqing.data import corpus as corpora
from danqing.errors import TrainingError
from danqing.models.painter import StackedDecoder
from danqing.models.text import TextEncoder, pooled
from danqing.models.tokenizer import Codes, Tokenizer
from danqing.monitor import Monitor
from danqing.pretrained import box
from danqing.train import loop, losses


class ImageJudge(Protocol):
    """What CLIP guidance needs of a CLIP."""

    def image(self, x: Tensor) -> Tensor: ...


class Captions:
    """Text features of captions, each different caption once, in half precision."""

    def __init__(self, captions: list[str], length: int) -> None:
        unique = sorted(set(captions))
        rows = {caption: i for i, caption in enumerate(unique)}
        encoder = TextEncoder(length).to(loop.device())
        parts = [encoder.read(unique[i : i + 256]) for i in range(0, len(unique), 256)]
        self.features = torch.cat([f.half().cpu() for f, _ in parts])
        self.masks = torch.cat([m.cpu() for _, m in parts])
        longest = int(self.masks.sum(1).max())  # what every caption pads needs no attention
        self.features, self.masks = self.features[:, :longest].contiguous(), self.masks[:, :longest].contiguous()
        self.rows = torch.tensor([rows[caption] for caption in captions])

    def of(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = self.rows[indices]
        return self.features[rows].float(), self.masks[rows]


def masked(shape: tuple[int, int], device: torch.device) -> Tensor:
    """Random masks (B, N), at least one position each; the share masked follows a cosine (Chang et al. 2022)."""
    B, N = shape
    share = torch.cos(torch.rand(B, 1, device=device) * math.pi / 2)
    count = (share * N).ceil().clamp(1, N)
    ranks = torch.rand(B, N, device=device).argsort(1).argsort(1)
    return ranks < count


class PainterJob:
    def __init__(
        self, c: PainterTraining, codes: Codes, captions: Captions, tokenizer: Tokenizer,
        images: Tensor, clip: ImageJudge | None, clip_text: Tensor | None,
    ) -> None:  # fmt: skip
        self.c, self.codes, self.captions, self.images = c, codes, captions, images
        self.clip, self.clip_text = clip, clip_text
        self.device = loop.device()
        torch.manual_seed(c.seed)
        self.tokenizer = tokenizer.to(self.device).requires_grad_(False).eval()
        self.model = StackedDecoder(c.model, tokenizer.config).to(self.device)
        if c.init == "pretrained":
            load_box_painter(self.model)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.modules = {"model": self.model, "average": self.average}
        decay = [p for p in self.model.parameters() if p.ndim >= 2]
        rest = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": decay, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0.0}]
        self.optimizers = {"model": torch.optim.AdamW(groups, lr=c.lr, betas=(0.9, 0.96))}

    def texts(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """Text features and masks, some of them silenced for classifier-free guidance."""
        text, mask = (t.to(self.device) for t in self.captions.of(indices))
        quiet, quiet_mask = self.model.without_text(text, mask)
        silent = torch.rand(len(text), 1, device=self.device) < self.c.text_drop
        return torch.where(silent[:, :, None], quiet, text), torch.where(silent, quiet_mask, mask)

    def step(self, step: int, indices: np.ndarray) -> dict[str, float]:
        c, model = self.c, self.model
        loop.set_lr(self.optimizers["model"], c.lr * loop.warmup_cosine(step, c.steps, c.warmup))
        glob = self.codes.glob[indices].flatten(1).to(self.device)
        detail = self.codes.detail[indices].flatten(1).to(self.device)
        text, mask = self.texts(indices)

        hide_g = masked((len(glob), model.n_global), self.device)
        hidden = model(glob.masked_fill(hide_g, model.global_mask), None, text, mask)
        loss_g = losses.masked_cross_entropy(model.global_logits(hidden), glob, hide_g, c.smoothing)
        hide_d = masked((len(detail), model.n_detail), self.device)
        hidden = model(glob, detail.masked_fill(hide_d, model.detail_mask), text, mask)
        logits = model.detail_logits(hidden)
        loss_d = losses.masked_cross_entropy(logits, detail, hide_d, c.smoothing)
        loss = loss_g + loss_d
        values = {"loss": float(loss.detach()), "global": float(loss_g.detach()), "detail": float(loss_d.detach())}
        if self.clip is not None and c.clip > 0 and step >= c.clip_start and step % c.clip_every == 0:
            n = c.clip_batch
            guided, more = self.guidance(indices[:n], logits[:n], glob[:n], detail[:n], hide_d[:n])
            loss, values = loss + guided, values | more
        self.optimizers["model"].zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimizers["model"].step()
        loop.update_ema(self.average, model, c.ema, step)
        return values

    def guidance(
        self, indices: np.ndarray, logits: Tensor, glob: Tensor, detail: Tensor, hidden: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Eq. 13 on pictures decoded from sampled codes; the gradient passes the sampling straight through."""
        assert self.clip is not None and self.clip_text is not None
        g = self.tokenizer.grid
        book = self.tokenizer.detail_book.vectors
        guess = F.gumbel_softmax(logits, tau=1.0, hard=True) @ book
        vectors = torch.where(hidden[..., None], guess, F.embedding(detail, book))
        vectors = vectors.transpose(1, 2).reshape(len(glob), -1, g, g)
        base = self.tokenizer.global_book.look_up(glob.view(-1, g // 2, g // 2))
        text, mask = (t.to(self.device) for t in self.captions.of(indices))
        x = self.tokenizer.generator(self.tokenizer.z_final(base, vectors), pooled(text, mask))
        y = losses.to_float(self.images[indices].to(self.device))
        clip = losses.clip_loss(self.clip_text[indices].to(self.device), self.clip.image(x))
        recon = losses.reconstruction(x, y, 3.0)
        nothing = recon.new_zeros(())
        weights = losses.Weights(recon=self.c.recon, vq=0.0, gan=0.0, clip=self.c.clip)
        total = losses.total(weights, recon, nothing, nothing, clip)
        return total, {"clip": float(clip.detach()), "soft_recon": float(recon.detach())}


def load_box_painter(model: StackedDecoder) -> None:
    start = StackedDecoder.load(box())
    if (start.config, start.tokenizer_config) != (model.config, model.tokenizer_config):
        raise TrainingError(
            "painter.init is 'pretrained', but the model in the box has another shape; "
            "set painter.init=scratch, or leave painter.model and tokenizer.model as they are"
        )
    model.load_state_dict(start.state_dict())


@torch.no_grad()
def encode(tokenizer: Tokenizer, images: Tensor) -> Codes:
    device = next(tokenizer.parameters()).device
    parts = [tokenizer.encode(losses.to_float(part.to(device))) for part in images.split(128)]
    return Codes(torch.cat([p.glob.cpu() for p in parts]), torch.cat([p.detail.cpu() for p in parts]))


@torch.no_grad()
def validation_loss(model: StackedDecoder, codes: Codes, captions: Captions, seed: int) -> dict[str, float]:
    """Cross-entropy per masked code (no smoothing), on one fixed draw of masks."""
    torch.manual_seed(seed)
    device = model.places.device
    sums = {"val_global": 0.0, "val_detail": 0.0}
    total = len(codes.glob)
    for start in range(0, total, 128):
        index = np.arange(start, min(start + 128, total))
        glob, detail = codes.glob[index].flatten(1).to(device), codes.detail[index].flatten(1).to(device)
        text, mask = (t.to(device) for t in captions.of(index))
        hide_g, hide_d = masked((len(index), model.n_global), device), masked((len(index), model.n_detail), device)
        hidden = model(glob.masked_fill(hide_g, model.global_mask), None, text, mask)
        loss_g = losses.masked_cross_entropy(model.global_logits(hidden), glob, hide_g, 0.0)
        hidden = model(glob, detail.masked_fill(hide_d, model.detail_mask), text, mask)
        loss_d = losses.masked_cross_entropy(model.detail_logits(hidden), detail, hide_d, 0.0)
        sums["val_global"] += float(loss_g) * len(index)
        sums["val_detail"] += float(loss_d) * len(index)
    return {name: value / total for name, value in sums.items()}


def train_painter(
    corpus: Path, tokenizer: Path, clip: Path, *, out: Path, config: PainterTraining, monitor: Monitor, scratch: Path
) -> dict[str, float]:
    """Train on the train split's codes, measure on val; writes painter.{safetensors,json}, curves.csv, metrics.json."""
    model = Tokenizer.load(tokenizer).to(loop.device())
    train = corpora.load(corpus, "train", model.config.size)
    monitor.progress(0, config.steps, "encoding pictures and captions")
    images = torch.from_numpy(train.images)
    guide, guide_text = None, None
    if config.clip > 0:
        from danqing.models.clip import Clip

        guide = Clip.load(clip / "guide").to(loop.device()).requires_grad_(False).eval()
        with torch.no_grad():
            parts = [guide.text(train.captions[i : i + 128]).cpu() for i in range(0, len(train), 128)]
        guide_text = torch.cat(parts)
    length = config.model.text_length
    captions = Captions(train.captions, length)
    job = PainterJob(config, encode(model, images), captions, model, images, guide, guide_text)
    history = loop.train(
        job, items=len(images), batch=config.batch, steps=config.steps, seed=config.seed, scratch=scratch,
        checkpoint=config.checkpoint, log=config.log, monitor=monitor,
    )  # fmt: skip
    held_out = corpora.load(corpus, "val", model.config.size)
    val_codes = encode(model, torch.from_numpy(held_out.images))
    metrics = {"loss": history[-1]["loss"]}
    metrics |= validation_loss(job.average.eval(), val_codes, Captions(held_out.captions, length), config.seed)
    job.average.save(out)
    loop.write_curves(out / "curves.csv", history)
    files.write_json(out / "metrics.json", metrics)
    return metrics
