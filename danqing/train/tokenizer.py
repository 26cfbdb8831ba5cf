"""Stage 1: train the improved VQGAN on a corpus.

danqing train-tokenizer --corpus data/annotated --screener data/screened --out out/tokenizer --set tokenizer.steps=20
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from danqing import collectives, files, ranks
from danqing.config import TokenizerModel, TokenizerTraining
from danqing.data import corpus as corpora
from danqing.errors import TrainingError
from danqing.evaluate import fidelity, lines
from danqing.models import families
from danqing.models.discriminator import Discriminator, augment, hinge, lecam
from danqing.models.features import perceptual_distance
from danqing.models.improved import ImprovedVqgan
from danqing.models.pixels import to_float, to_uint8
from danqing.models.quantise import usage
from danqing.models.text import TextEncoder, pooled
from danqing.models.tokenizer import Codes, Tokenizer
from danqing.monitor import Monitor
from danqing.pretrained import start_folder
from danqing.train import loop, losses

_CHUNK = 128


class Perceptual(Protocol):
    """A network whose feature maps say how alike two pictures look."""

    def maps(self, x: Tensor) -> list[Tensor]: ...


class TokenizerJob:
    """One optimiser step of the generator's side, then one of the discriminator's."""

    def __init__(self, c: TokenizerTraining, images: Tensor, sentences: Tensor, perceptual: Perceptual | None) -> None:
        self.c, self.images, self.sentences, self.perceptual = c, images, sentences, perceptual
        self.device = loop.device()
        torch.manual_seed(c.seed)
        self.model = families.build(c.model).to(self.device)
        start = start_folder(c.init)
        self.from_scratch = start is None
        if start is not None:
            self.continue_from(families.load(start).to(self.device), start)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.critic = Discriminator().to(self.device)
        self.modules = {"model": self.model, "average": self.average, "critic": self.critic}
        self.optimizers = {
            "model": torch.optim.AdamW(self.model.parameters(), lr=c.lr, betas=(0.9, 0.99), weight_decay=1e-4),
            "critic": torch.optim.AdamW(self.critic.parameters(), lr=c.lr, betas=(0.5, 0.99), weight_decay=1e-4),
        }

    def batch(self, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        y = to_float(self.images[indices].to(self.device))
        text = self.sentences[indices].to(self.device)
        if self.c.flip:
            y = torch.where(self.chance(len(y)).view(-1, 1, 1, 1) < 0.5, y.flip(3), y)
        kept = self.chance(len(text)) >= self.c.text_drop
        return y, text * kept

    def chance(self, rows: int) -> Tensor:
        """A random number in [0, 1) for each row, (rows, 1)."""
        return collectives.draw(lambda n: torch.rand(n, 1, device=self.device), rows)

    def step(self, step: int, indices: np.ndarray) -> dict[str, float]:
        c = self.c
        y, text = self.batch(indices)
        quantise = not self.from_scratch or step >= c.continuous
        if self.from_scratch and step == c.continuous and c.continuous:
            self.start_books()
        for optimizer in self.optimizers.values():
            loop.set_lr(optimizer, c.lr * loop.warmup_cosine(step, c.steps, c.warmup))

        out = self.model(y, text, learn=True, quantise=quantise)
        ramp = min(1.0, max(0.0, (step - c.gan_start) / max(1, c.gan_ramp))) if quantise else 0.0
        recon = losses.reconstruction(out.x, y, c.ink, c.chroma) + c.lines * losses.line_distance(out.x, y)
        if self.perceptual is not None and c.perceptual > 0:
            some = collectives.some(c.perceptual_batch, len(y))
            with torch.no_grad():
                wanted = self.perceptual.maps(y[some.here])
            seen = perceptual_distance(self.perceptual.maps(out.x[some.here]), wanted)
            recon = recon + some.share * c.perceptual * seen
        gan = losses.adversarial(self.critic(augment(out.x))) if ramp > 0 else recon.new_zeros(())
        weights = losses.Weights(recon=c.recon, vq=c.vq, gan=c.gan * ramp, clip=0.0)
        loss = losses.total(weights, recon, torch.as_tensor(out.loss), gan, recon.new_zeros(()))
        self.optimizers["model"].zero_grad(set_to_none=True)
        loss.backward()
        collectives.average_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizers["model"].step()
        loop.update_ema(self.average, self.model, c.ema, step)

        values = {"loss": float(loss.detach()), "recon": float(recon.detach()), "vq": float(out.loss.detach())}
        if ramp > 0:
            values |= {"gan": float(gan.detach()), "critic": self.critic_step(y, out.x.detach())}
        if quantise:
            values |= codebook_metrics(out.codes, c.model)
        return values

    def critic_step(self, real: Tensor, fake: Tensor) -> float:
        real_logits, fake_logits = self.critic(augment(real)), self.critic(augment(fake))
        loss = hinge(real_logits, fake_logits)
        loss = loss + self.c.lecam * lecam(real_logits, fake_logits, self.critic.anchors)
        means = torch.stack([real_logits.mean(), fake_logits.mean()])
        self.critic.anchors.lerp_(collectives.mean(means), 0.01)
        self.optimizers["critic"].zero_grad(set_to_none=True)
        loss.backward()
        collectives.average_gradients(self.critic.parameters())
        self.optimizers["critic"].step()
        return float(loss.detach())

    def start_books(self) -> None:
        """k-means once, by the first rank: what it draws is not missed in the numbers that this step draws."""
        with torch.random.fork_rng(devices=[]):
            ranks.by_first(lambda: self.model.start(self.sample()))
        collectives.same([self.model])
        self.average.load_state_dict(self.model.state_dict())

    def sample(self) -> list[Tensor]:
        """Up to 1,024 pictures from which codebooks start."""
        some = self.images[torch.randperm(len(self.images))[:1024].numpy()]
        return [to_float(part.to(self.device)) for part in some.split(_CHUNK)]

    @torch.no_grad()
    def continue_from(self, start: Tokenizer, folder: Path) -> None:
        """Take the weights of `start`: it may have fewer levels, and another size, on which nothing in it depends."""
        wanted, had = self.c.model, start.config
        same = dataclasses.replace(had, size=wanted.size, detail_levels=wanted.detail_levels) == wanted
        if not same or wanted.family != "improved" or had.detail_levels > wanted.detail_levels:
            raise TrainingError(
                f"tokenizer.init is {self.c.init!r}, but the tokenizer in {folder} has another shape; "
                "set tokenizer.init=scratch, or leave tokenizer.model as it is"
            )
        assert isinstance(self.model, ImprovedVqgan)
        self.model.load_state_dict(start.state_dict(), strict=False)
        if fresh := self.model.detail_books[had.detail_levels :]:
            features = [self.model.encoder(x) for x in self.sample()]
            self.model.start_details(torch.cat([f[0] for f in features]), torch.cat([f[1] for f in features]), fresh)


def codebook_metrics(codes: Codes, c: TokenizerModel) -> dict[str, float]:
    """Share of each codebook that is used, and its perplexity; of the least used level where there are several."""
    books = {"global": [codes.glob]} if c.global_grid else {}
    books["detail"] = list(codes.detail.unbind(1))
    metrics: dict[str, float] = {}
    for name, levels in books.items():
        size = c.global_codes if name == "global" else c.detail_codes
        used, perplexity = min(usage(level, size) for level in levels)
        metrics |= {f"{name}_usage": used, f"{name}_perplexity": perplexity}
    return metrics


def perceptual_network(c: TokenizerTraining, screener: Path) -> Perceptual | None:
    if c.extractor == "none" or c.perceptual == 0:
        return None
    if c.extractor == "screener":
        from danqing.data.screen import ScreenerFeatures

        return ScreenerFeatures.load(screener).to(loop.device())
    from danqing.models.features import EfficientNetFeatures

    return EfficientNetFeatures(taps=(2, 4)).to(loop.device())


def sentences(captions: list[str], length: int = 32) -> Tensor:
    """Pooled text features (N, 384); equal captions are read once."""
    unique = sorted(set(captions))
    places = {caption: i for i, caption in enumerate(unique)}
    encoder = TextEncoder(length).to(loop.device())
    rows = collectives.in_parts(len(unique), _CHUNK, lambda part: [pooled(*encoder.read(unique[part]))])[0]
    return rows[[places[caption] for caption in captions]]


@torch.no_grad()
def reconstruct(model: Tokenizer, images: Tensor, text: Tensor) -> tuple[Tensor, Codes]:
    """uint8 pictures (N, S, S, 3) → (reconstructions, the same shape; codes)."""
    device = next(model.parameters()).device

    def part(rows: slice) -> tuple[Tensor, ...]:
        codes = model.encode(to_float(images[rows].to(device)))
        return to_uint8(model.decode(codes, text[rows].to(device))), codes.glob, codes.detail

    pictures, glob, detail = collectives.in_parts(len(images), _CHUNK, part)
    return pictures, Codes(glob, detail)


class Validation:
    """Looks at how the averaged tokenizer does on the validation split."""

    def __init__(self, corpus: Path, job: TokenizerJob) -> None:
        held_out = corpora.load(corpus, "val", job.c.model.size)
        self.job, self.originals = job, torch.from_numpy(held_out.images)
        self.text = sentences(held_out.captions)

    @property
    def every(self) -> int:
        return self.job.c.watch

    def look(self) -> tuple[dict[str, float], Tensor]:
        """(metrics, reconstructions uint8 (N, S, S, 3))."""
        again, codes = reconstruct(self.job.average.eval(), self.originals, self.text)
        kept = lines.compare(again.numpy(), self.originals.numpy())
        metrics = {"val_psnr": float(fidelity.psnr(again.numpy(), self.originals.numpy()).mean())}
        if kept.energy is not None and kept.correlation is not None:
            metrics |= {"val_line_energy": kept.energy, "val_line_correlation": kept.correlation}
        return metrics | {f"val_{k}": v for k, v in codebook_metrics(codes, self.job.c.model).items()}, again

    def __call__(self, done: int) -> dict[str, float]:
        metrics, _ = self.look()
        return {k: v for k, v in metrics.items() if k.startswith(("val_psnr", "val_line"))}


def train_tokenizer(
    corpus: Path, screener: Path, *, out: Path, config: TokenizerTraining, monitor: Monitor, scratch: Path
) -> dict[str, float]:
    """Train on the train split, measure on val; writes tokenizer.*, curves.csv, metrics.json, reconstructions.png.

    Of several ranks (`danqing.ranks`) only the first measures, writes and returns metrics.
    """
    pictures = corpora.load(corpus, "train", config.model.size)
    monitor.progress(0, config.steps, "reading captions")
    images = torch.from_numpy(pictures.images)
    job = TokenizerJob(config, images, sentences(pictures.captions), perceptual_network(config, screener))
    validation = ranks.by_first(lambda: Validation(corpus, job))
    history = loop.train(
        job, items=len(images), batch=config.batch, steps=config.steps, seed=config.seed, scratch=scratch,
        checkpoint=config.checkpoint, log=config.log, monitor=monitor, watch=validation,
    )  # fmt: skip
    if validation is None:
        return {}
    with ranks.apart():
        metrics, again = validation.look()
    metrics["loss"] = history[-1]["loss"]
    job.average.save(out)
    loop.write_curves(out / "curves.csv", history)
    files.write_json(out / "metrics.json", metrics)
    shown = pairs(validation.originals.numpy(), again.numpy())
    files.write_bytes(out / "reconstructions.png", corpora.encode(shown))
    return metrics


def pairs(originals: np.ndarray, again: np.ndarray, count: int = 12) -> np.ndarray:
    """Originals above their reconstructions, `count` columns, as one picture."""
    first, second = originals[:count], again[:count]
    return np.concatenate([np.concatenate(list(first), 1), np.concatenate(list(second), 1)], 0)
