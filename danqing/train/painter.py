"""Stage 2: train the stacked decoder on the codes of a corpus, with CLIP guidance through a differentiable decode.

danqing train-painter --corpus data/annotated --tokenizer out/tokenizer --clip out/clip --out out/painter
"""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from danqing import collectives, files, ranks
from danqing.config import Decoding, PainterTraining
from danqing.data import corpus as corpora
from danqing.errors import TrainingError
from danqing.models import families
from danqing.models.generate import Generator
from danqing.models.improved import ImprovedVqgan
from danqing.models.painter import StackedDecoder
from danqing.models.pixels import to_float
from danqing.models.text import TextEncoder, pooled
from danqing.models.tokenizer import Codes, Tokenizer
from danqing.monitor import Monitor
from danqing.pretrained import start_folder
from danqing.train import loop, losses

_SHOWN = 8
"""Prompts whose pictures are followed through a training."""


class ImageJudge(Protocol):
    """What CLIP guidance needs of a CLIP."""

    def image(self, x: Tensor) -> Tensor: ...


class Captions:
    """Text features of captions, each different caption once, in half precision."""

    def __init__(self, captions: list[str], length: int) -> None:
        unique = sorted(set(captions))
        rows = {caption: i for i, caption in enumerate(unique)}
        encoder = TextEncoder(length).to(loop.device())

        def part(rows: slice) -> tuple[Tensor, Tensor]:
            features, mask = encoder.read(unique[rows])
            return features.half(), mask

        self.features, self.masks = collectives.in_parts(len(unique), 256, part)
        longest = int(self.masks.sum(1).max())  # what every caption pads needs no attention
        self.features, self.masks = self.features[:, :longest].contiguous(), self.masks[:, :longest].contiguous()
        self.rows = torch.tensor([rows[caption] for caption in captions])

    def of(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = self.rows[indices]
        return self.features[rows].float(), self.masks[rows]


def masked(shape: tuple[int, int], device: torch.device) -> Tensor:
    """Random masks (B, N), at least one position each; the share masked follows a cosine (Chang et al. 2022)."""
    B, N = shape
    share = torch.cos(collectives.draw(lambda n: torch.rand(n, 1, device=device), B) * math.pi / 2)
    count = (share * N).ceil().clamp(1, N)
    order = collectives.draw(lambda n: torch.rand(n, N, device=device), B).argsort(1).argsort(1)
    return order < count


def sampled(logits_BMK: Tensor, rows: collectives.Some) -> Tensor:
    """One-hot codes drawn with Gumbel noise; the gradient is that of the soft choice (Jang et al. 2017)."""

    def noise(count: int) -> Tensor:
        return -torch.empty(count, *logits_BMK.shape[1:], device=logits_BMK.device).exponential_().log()

    soft = (logits_BMK + collectives.draw(noise, rows)).softmax(-1)
    hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
    return hard - soft.detach() + soft


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
        start = start_folder(c.init)
        if start is not None:
            continue_from(self.model, StackedDecoder.load(start), c.init)
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
        silent = collectives.draw(lambda n: torch.rand(n, 1, device=self.device), len(text)) < self.c.text_drop
        return torch.where(silent[:, :, None], quiet, text), torch.where(silent, quiet_mask, mask)

    def step(self, step: int, indices: np.ndarray) -> dict[str, float]:
        c, model = self.c, self.model
        loop.set_lr(self.optimizers["model"], c.lr * loop.warmup_cosine(step, c.steps, c.warmup))
        glob = self.codes.glob[indices].flatten(1).to(self.device)
        detail = self.codes.detail[indices].flatten(2).to(self.device)
        text, mask = self.texts(indices)
        loss_g, loss_d, logits, hide_d = guess(model, glob, detail, text, mask, c.smoothing, c.window)
        loss = loss_g + loss_d
        values = {"loss": float(loss.detach()), "global": float(loss_g.detach()), "detail": float(loss_d.detach())}
        if self.clip is not None and c.clip > 0 and step >= c.clip_start and step % c.clip_every == 0:
            some = collectives.some(c.clip_batch, len(indices))
            guided, more = self.guidance(indices, logits, glob, detail, hide_d, some)
            loss, values = loss + guided, values | more
        self.optimizers["model"].zero_grad(set_to_none=True)
        loss.backward()
        collectives.average_gradients(model.parameters())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        self.optimizers["model"].step()
        loop.update_ema(self.average, model, c.ema, step)
        return values

    def guidance(
        self, indices: np.ndarray, logits: list[Tensor], glob: Tensor, detail: Tensor, hidden: Tensor,
        some: collectives.Some,
    ) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
        """Eq. 13 on pictures decoded from sampled codes; the gradient passes the sampling straight through.

        some: the rows of the batch for which it is done.
        """
        here = some.here.to(self.device)
        indices, glob, detail, hidden = indices[some.here.numpy()], glob[here], detail[here], hidden[here]
        assert self.clip is not None and self.clip_text is not None and isinstance(self.tokenizer, ImprovedVqgan)
        books = self.tokenizer.detail_books
        guesses = [sampled(level[here], some) @ book.vectors for level, book in zip(logits, books, strict=True)]
        side = self.tokenizer.config.grid
        vectors = torch.stack(guesses).sum(0).transpose(1, 2).reshape(len(glob), -1, side, side)
        known = self.tokenizer.detail_vectors(detail.view(*detail.shape[:2], side, side))
        vectors = torch.where(hidden.view(-1, 1, side, side), vectors, known)
        if half := self.tokenizer.config.global_grid:
            glob = glob.view(-1, half, half)
        text, mask = (t.to(self.device) for t in self.captions.of(indices))
        x = self.tokenizer.generator(self.tokenizer.z_final(glob, vectors), pooled(text, mask))
        y = to_float(self.images[indices].to(self.device))
        clip = some.share * losses.clip_loss(self.clip_text[indices].to(self.device), self.clip.image(x))
        recon = losses.reconstruction(x, y, 3.0, share=some.share)
        nothing = recon.new_zeros(())
        weights = losses.Weights(recon=self.c.recon, vq=0.0, gan=0.0, clip=self.c.clip)
        total = losses.total(weights, recon, nothing, nothing, clip)
        return total, {"clip": float(clip.detach()), "soft_recon": float(recon.detach())}


def continue_from(model: StackedDecoder, start: StackedDecoder, init: str) -> None:
    """Take the weights of `start`, which may paint smaller pictures, of fewer detail levels."""
    wanted, had = model.tokenizer_config, start.tokenizer_config
    same = dataclasses.replace(had, size=wanted.size, detail_levels=wanted.detail_levels) == wanted
    if not same or start.config != model.config or had.detail_levels > wanted.detail_levels:
        raise TrainingError(
            f"painter.init is {init!r}, but the painter there has another shape, or paints with another tokenizer's; "
            "set painter.init=scratch, or leave painter.model and tokenizer.model as they are"
        )
    state = start.state_dict()
    parts = state["places"].split([start.n_global, start.n_detail])
    state["places"] = torch.cat([_resized(p, n) for p, n in zip(parts, (model.n_global, model.n_detail), strict=True)])
    table = model.detail_codes.weight.detach().clone()  # rows of new levels stay as they begin
    table[: had.detail_levels * had.detail_codes] = state["detail_codes.weight"][:-1]
    table[-1] = state["detail_codes.weight"][-1]
    state["detail_codes.weight"] = table
    model.load_state_dict(state, strict=False)


def _resized(places_ND: Tensor, count: int) -> Tensor:
    """Embeddings of the places of a square grid, for a grid of `count` places."""
    if len(places_ND) == count:
        return places_ND
    old, new = math.isqrt(len(places_ND)), math.isqrt(count)
    grid = places_ND.T.reshape(1, -1, old, old)
    return F.interpolate(grid, size=(new, new), mode="bilinear").flatten(2)[0].T


def guess(
    model: StackedDecoder, glob_BN: Tensor, detail_BLM: Tensor, text: Tensor, mask: Tensor, smoothing: float,
    window: int = 0,
) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:  # fmt: skip
    """Hide some codes, guess them: loss of the global and of the detail codes, logits (B, M, K) of each detail level,
    and which detail positions were hidden (B, M). A finer level is told the true coarser codes.

    window: the side of a square of detail positions, at a random place, that are all the detail pass sees.
    """
    B, device = len(detail_BLM), detail_BLM.device
    loss_g = text.new_zeros(())
    if model.n_global:
        hide_g = masked((B, model.n_global), device)
        state = model(glob_BN.masked_fill(hide_g, model.global_mask), None, text, mask)
        loss_g = losses.masked_cross_entropy(model.global_logits(state), glob_BN, hide_g, smoothing)
    part = square(model.tokenizer_config.grid, window, device) if window else None
    if part is not None:
        detail_BLM = detail_BLM[:, :, part]
    hide_d = masked((B, detail_BLM.shape[2]), device)
    state = model(glob_BN, model.detail_tokens(detail_BLM, hide_d), text, mask, part)[:, model.n_global :]
    logits = [model.detail_logits(state, detail_BLM[:, :level]) for level in range(model.levels)]
    each = [losses.masked_cross_entropy(logits[i], detail_BLM[:, i], hide_d, smoothing) for i in range(model.levels)]
    return loss_g, torch.stack(each).mean(), logits, hide_d


def square(grid: int, side: int, device: torch.device) -> Tensor:
    """The positions (side²,) of a square in a grid x grid map, its corner at random."""
    top, left = (int(torch.randint(grid - side + 1, ())) for _ in range(2))
    index = torch.arange(side, device=device)
    return ((top + index)[:, None] * grid + left + index).flatten()


@torch.no_grad()
def encode(tokenizer: Tokenizer, images: Tensor) -> Codes:
    device = next(tokenizer.parameters()).device
    return Codes(
        *collectives.in_parts(len(images), 128, lambda rows: tokenizer.encode(to_float(images[rows].to(device))))
    )


@torch.no_grad()
def validation_loss(model: StackedDecoder, codes: Codes, captions: Captions, seed: int) -> dict[str, float]:
    """Cross-entropy per masked code (no smoothing), on one fixed draw of masks."""
    torch.manual_seed(seed)
    device = model.places.device
    sums = {"val_global": 0.0, "val_detail": 0.0}
    total = len(codes.glob)
    for start in range(0, total, 128):
        index = np.arange(start, min(start + 128, total))
        glob, detail = codes.glob[index].flatten(1).to(device), codes.detail[index].flatten(2).to(device)
        text, mask = (t.to(device) for t in captions.of(index))
        loss_g, loss_d, _, _ = guess(model, glob, detail, text, mask, 0.0)
        sums["val_global"] += float(loss_g) * len(index)
        sums["val_detail"] += float(loss_d) * len(index)
    return {name: value / total for name, value in sums.items()}


class Validation:
    """Looks at how the averaged painter does: its loss on the validation split, and the same prompts painted again."""

    def __init__(self, corpus: Path, job: PainterJob, scratch: Path) -> None:
        held_out = corpora.load(corpus, "val", job.tokenizer.config.size)
        self.job, self.folder = job, Path(scratch) / "progress"
        self.codes = encode(job.tokenizer, torch.from_numpy(held_out.images))
        self.captions = Captions(held_out.captions, job.c.model.text_length)
        self.prompts = list(dict.fromkeys(held_out.captions))[:_SHOWN]

    @property
    def every(self) -> int:
        return self.job.c.watch

    def look(self) -> dict[str, float]:
        return validation_loss(self.job.average.eval(), self.codes, self.captions, self.job.c.seed)

    def __call__(self, done: int) -> dict[str, float]:
        files.write_bytes(self.folder / f"step-{done:08d}.png", corpora.encode(self.paint()))
        return self.look()

    @torch.inference_mode()
    def paint(self) -> np.ndarray:
        """The prompts, painted from seeds 0, 1, …: one row, uint8 (S, n·S, 3)."""
        text = TextEncoder(self.job.c.model.text_length).to(self.job.device)
        tokenizer = copy.deepcopy(self.job.tokenizer)  # a generator drops the encoder
        generator = Generator(text, tokenizer, copy.deepcopy(self.job.average), Decoding())
        ids, mask = (torch.from_numpy(a).to(self.job.device) for a in text.pieces(self.prompts))
        seeds = torch.arange(len(ids), device=self.job.device)
        guidance = torch.full((len(ids),), Decoding().guidance, device=self.job.device)
        return np.concatenate(list(generator(ids, mask, seeds, guidance).cpu().numpy()), 1)

    def rows(self) -> dict[int, np.ndarray]:
        """Step → what was painted there."""
        found = sorted(self.folder.glob("step-*.png"))
        return {int(p.stem.removeprefix("step-")): corpora.decode(p.read_bytes()) for p in found}


def train_painter(
    corpus: Path, tokenizer: Path, clip: Path, *, out: Path, config: PainterTraining, monitor: Monitor, scratch: Path
) -> dict[str, float]:
    """Train on the train split's codes, measure on val; writes painter.{safetensors,json}, curves.csv, metrics.json.

    Of several ranks (`danqing.ranks`) only the first measures, writes and returns metrics.
    """
    model = families.load(tokenizer).to(loop.device())
    train = corpora.load(corpus, "train", model.config.size)
    monitor.progress(0, config.steps, "encoding pictures and captions")
    images = torch.from_numpy(train.images)
    guide, guide_text = None, None
    if config.clip > 0:
        from danqing.models.clip import Clip

        guide = Clip.load(clip / "guide").to(loop.device()).requires_grad_(False).eval()
        with torch.no_grad():
            text = guide.text
            guide_text = collectives.in_parts(len(train), 128, lambda rows: [text(train.captions[rows])])[0]
    captions = Captions(train.captions, config.model.text_length)
    job = PainterJob(config, encode(model, images), captions, model, images, guide, guide_text)
    validation = ranks.by_first(lambda: Validation(corpus, job, scratch))
    history = loop.train(
        job, items=len(images), batch=config.batch, steps=config.steps, seed=config.seed, scratch=scratch,
        checkpoint=config.checkpoint, log=config.log, monitor=monitor, watch=validation,
    )  # fmt: skip
    if validation is None:
        return {}
    with ranks.apart():
        metrics = {"loss": history[-1]["loss"], **validation.look()}
    job.average.save(out)
    for step, row in validation.rows().items():
        files.write_bytes(out / f"progress/step-{step:08d}.png", corpora.encode(row))
    loop.write_curves(out / "curves.csv", history)
    files.write_json(out / "metrics.json", metrics)
    return metrics
