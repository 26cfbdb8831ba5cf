"""The trainings that tests/unit/test_ranks.py runs alone and in ranks: tiny, but with everything a step can do.

torchrun … tests/unit/rank_jobs.py OUT SCRATCH NAME[,NAME…] [FAULT]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import nn

from danqing import collectives, config, ranks
from danqing.data.corpus import Pictures
from danqing.models import families
from danqing.models.clip import Clip, compact_vocabulary, read_config
from danqing.monitor import Silent
from danqing.train import clip, loop, painter, tokenizer
from danqing.wordpieces import WordPieces

ITEMS, BATCH, STEPS = 40, 8, 4
SHAPE: dict[str, Any] = {
    "size": 32, "stride": 4, "width": 8, "growth": 4, "code_dim": 8, "global_codes": 16, "detail_codes": 16,
}  # fmt: skip


def pictures() -> torch.Tensor:
    """(40, 32, 32, 3): blots, no two alike."""
    random = np.random.default_rng(1)
    images = np.full((ITEMS, 32, 32, 3), 235, np.uint8)
    for image in images:
        for _ in range(3):
            y, x = random.integers(0, 24, 2)
            image[y : y + 8, x : x + 8] = random.integers(0, 200, (1, 1, 3)) + random.integers(0, 40, (8, 8, 1))
    return torch.from_numpy(images)


CAPTIONS = [f"a {colour} blot {place}" for colour in ("red", "green", "black", "blue") for place in "abcdefghij"]


class Slopes(nn.Module):
    """A perceptual network of one layer."""

    def maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [x[..., 1:] - x[..., :-1]]


def tokenizer_job(**model: Any) -> loop.Job:
    c = config.TokenizerTraining(
        model=config.TokenizerModel(**{**SHAPE, **model}), init="scratch", batch=BATCH, steps=STEPS, warmup=1, lr=1e-3,
        continuous=0 if model else 2, gan_start=0, gan_ramp=1, perceptual_batch=3, flip=True,
    )  # fmt: skip
    sentences = torch.randn(ITEMS, 384, generator=torch.Generator().manual_seed(0))
    return tokenizer.TokenizerJob(c, pictures(), sentences, Slopes())


def painter_job() -> loop.Job:
    torch.manual_seed(0)
    model = families.build(config.TokenizerModel(**SHAPE))
    c = config.PainterTraining(
        model=config.PainterModel(width=16, depth=1, heads=2), init="scratch", batch=BATCH, steps=STEPS, warmup=1,
        lr=1e-3, clip_every=2, clip_batch=3,
    )  # fmt: skip
    images, guide = pictures(), clip_model("guide").eval().requires_grad_(False)
    text = guide.text(CAPTIONS)
    captions = painter.Captions(CAPTIONS, 16)
    return painter.PainterJob(c, painter.encode(model, images), captions, model, images, guide, text)


def clip_model(kind: str) -> Clip:
    whole = read_config(f"{kind}-64")
    small = {"layers": 2, "width": 64} if kind == "guide" else {"width": 8}
    tiny = {
        "embed_dim": 16, "vision_cfg": {**whole["vision_cfg"], **small, "image_size": 32 if kind == "guide" else 64},
        "text_cfg": {"context_length": 16, "width": 32, "heads": 2, "layers": 1},
    }  # fmt: skip
    return Clip(tiny, compact_vocabulary(WordPieces()(CAPTIONS)[0]))


def clip_job(kind: str) -> loop.Job:
    torch.manual_seed(0)
    whole = Pictures(images=pictures().numpy(), captions=CAPTIONS, frame=pd.DataFrame())
    c = config.ClipTraining(batch=BATCH, steps=STEPS, warmup=1)
    return clip.Contrastive(clip_model(kind).train(), whole, c)


JOBS: dict[str, Callable[[], loop.Job]] = {
    "tokenizer": tokenizer_job,
    "flowmo": lambda: tokenizer_job(family="flowmo", detail_levels=1, width=32, layers=1),
    "painter": painter_job,
    "guide": lambda: clip_job("guide"),
    "judge": lambda: clip_job("judge"),
}


def remember_gradients(job: loop.Job) -> dict[str, torch.Tensor]:
    """Filled with the first gradients, one tensor an optimiser."""
    kept: dict[str, torch.Tensor] = {}
    step = job.step

    def first(number: int, indices: np.ndarray) -> dict[str, float]:
        values = step(number, indices)
        for name, optimizer in job.optimizers.items():
            gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            if gradients and f"gradient/{name}" not in kept:  # a critic begins to learn later
                kept[f"gradient/{name}"] = torch.cat([g.flatten().clone() for g in gradients])
        return values

    job.step = first  # type: ignore[method-assign]
    return kept


def plain(x: torch.Tensor) -> torch.Tensor:
    return x.detach()


FAULTS: dict[str, tuple[str, Any]] = {
    "gradients": ("average_gradients", lambda parameters: None),
    "normalisers": ("mean", plain),
    "counts": ("total", plain),
    "pairs": ("gather", lambda x: x),
    "draws": ("draw", lambda make, rows: make(rows if isinstance(rows, int) else len(rows.here))),
    "statistics": ("mean_with_gradient", lambda x: x),
}
"""What a forgotten exchange would be: a function of danqing.collectives → what it is then."""


def run(out: Path, scratch: Path, names: list[str], fault: str = "") -> None:
    """Train each job; writes NAME.json (history) and NAME.safetensors (weights, and the first step's gradients)."""
    if fault:
        setattr(collectives, *FAULTS[fault])
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        job = JOBS[name]()
        first = remember_gradients(job)
        history = loop.train(
            job, items=ITEMS, batch=BATCH, steps=STEPS, seed=3, scratch=scratch / name, checkpoint=2, log=1,
            monitor=Silent(),
        )  # fmt: skip
        if ranks.first():
            weights = {
                f"{m}/{k}": v.clone() for m, module in job.modules.items() for k, v in module.state_dict().items()
            }
            save_file(weights | first, out / f"{name}{fault}.safetensors")
            (out / f"{name}{fault}.json").write_text(json.dumps(history))


if __name__ == "__main__":
    into, temporary, asked, faults = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split(","), sys.argv[4:]
    with ranks.group():
        run(into, temporary, asked)
        for pair in faults:
            which, _, planted = pair.partition(":")
            real = {name: getattr(collectives, name) for name, _ in FAULTS.values()}
            run(into, temporary / planted, [which], planted)
            for name, function in real.items():
                setattr(collectives, name, function)
