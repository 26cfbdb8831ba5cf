"""Counted, not timed: the floating-point operations of one training step, by PyTorch's own counter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

BATCH = 4


def counted(run: Callable[[], object]) -> float:
    """FLOPs of `run`, backward passes included; 2 a multiply-accumulate."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
        run()
    return float(flops.get_total_flops())


def count(preset: str) -> dict[str, float]:
    """For `scale_model.Measured.flops`. Batches of four: what a step does whatever its batch is told apart."""
    from benchmarks.gpu import Words
    from danqing import presets
    from danqing.models import families
    from danqing.models.clip import Clip, read_config
    from danqing.train.painter import PainterJob, encode
    from danqing.train.tokenizer import TokenizerJob, perceptual_network

    line = presets.override(presets.preset(preset), {
        "tokenizer.batch": BATCH, "painter.batch": BATCH, "tokenizer.perceptual_batch": BATCH,
        "painter.clip_batch": BATCH, "tokenizer.continuous": 0,
    })  # fmt: skip
    t, p = line.tokenizer, line.painter
    size = t.model.size
    pictures = torch.randint(0, 256, (BATCH, size, size, 3), dtype=torch.uint8)
    every, rows = torch.randn(BATCH, t.model.text_dim), np.arange(BATCH)
    last = t.steps - 1
    plain = counted(lambda: TokenizerJob(t, pictures, every, None).step(last, rows))
    job = TokenizerJob(t, pictures, every, perceptual_network(t, Path()))
    whole = counted(lambda: job.step(last, rows))
    reader = families.build(t.model)
    codes = encode(reader, pictures)
    words = Words(BATCH)
    guide = Clip(read_config(line.clip.guide), []).requires_grad_(False).eval()
    painter = PainterJob(p, codes, words, reader, pictures, guide, torch.randn(BATCH, guide.embed_dim))  # type: ignore[arg-type]
    first = -(-p.clip_start // p.clip_every) * p.clip_every
    guided = counted(lambda: painter.step(first, rows))
    unguided = counted(lambda: painter.step(first + 1, rows))
    return {
        "tokenizer": plain / BATCH, "tokenizer_more": whole - plain,
        "tokenizer_weights": float(sum(w.numel() for w in job.model.parameters())),
        "painter": unguided / BATCH, "painter_more": (guided - unguided) / p.clip_every,
        "painter_weights": float(sum(w.numel() for w in painter.model.parameters())),
        **_clip(line.clip.guide, line.clip.judge, size),
    }  # fmt: skip


def _clip(guide: str, judge: str, size: int) -> dict[str, float]:
    """Both models, one after the other, a picture with its caption."""
    from danqing.models.clip import Clip, read_config

    flops, weights = 0.0, 0.0
    for name in (guide, judge):
        clip = Clip(read_config(name), []).train()
        length = int(read_config(name)["text_cfg"]["context_length"])
        x, tokens = torch.randn(BATCH, 3, size, size), torch.zeros(BATCH, length, dtype=torch.long)

        def step(clip: Clip = clip, x: torch.Tensor = x, tokens: torch.Tensor = tokens) -> None:
            (clip.image(x) @ clip.encode_tokens(tokens).T).mean().backward()

        flops += counted(step) / BATCH
        weights += float(sum(w.numel() for w in clip.parameters()))
    return {"clip": flops, "clip_weights": weights}
