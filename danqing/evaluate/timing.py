"""How long variants take, measured by turns in one process: a busy moment of the machine then hits all alike."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from danqing import config
from danqing.evaluate.cost import Cost, cost
from danqing.models.clip import Clip, read_config
from danqing.models.generate import Generator
from danqing.models.painter import StackedDecoder
from danqing.models.text import TextEncoder
from danqing.monitor import Monitor
from danqing.train import loop
from danqing.train.painter import Captions, PainterJob, encode
from danqing.train.tokenizer import TokenizerJob, perceptual_network

PROMPT = "misty mountains, a lone boat, freehand"


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Medians, in seconds."""

    tokenizer_step: float
    painter_step: float
    """With CLIP guidance at its share, where it is on."""
    picture: float
    """One picture from its sentence, in PyTorch."""


def measure(
    lines: Mapping[str, config.Line], rounds: int, monitor: Monitor
) -> tuple[dict[str, Times], dict[str, Cost]]:
    """Times and costs of each variant. Weights are random: what is computed does not depend on them."""
    runs: dict[str, dict[str, Callable[[], object]]] = {}
    costs = {}
    for name, line in lines.items():
        runs[name], costs[name] = _prepare(line)
    seconds: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds + 1):  # the first warms up
        for name, parts in runs.items():
            for part, run in parts.items():
                began = time.perf_counter()
                run()
                if loop.device().type == "cuda":
                    torch.cuda.synchronize()
                if turn:
                    seconds.setdefault((name, part), []).append(time.perf_counter() - began)
        monitor.progress(turn, rounds, "timing all variants by turns")

    def median(name: str, part: str) -> float:
        return statistics.median(seconds[name, part])

    return {
        name: Times(
            tokenizer_step=median(name, "tokenizer_step"),
            painter_step=median(name, "painter_step") / lines[name].painter.clip_every,
            picture=median(name, "picture"),
        )
        for name in runs
    }, costs


def _prepare(line: config.Line) -> tuple[dict[str, Callable[[], object]], Cost]:
    t, p, device = line.tokenizer, line.painter, loop.device()
    count = max(t.batch, p.batch)
    noise = np.random.default_rng(0).integers(0, 256, (count, t.model.size, t.model.size, 3), dtype=np.uint8)
    images, captions = torch.from_numpy(noise), Captions([PROMPT] * count, p.model.text_length)
    tokenizer = TokenizerJob(t, images, torch.randn(count, t.model.text_dim), perceptual_network(t, Path()))
    codes = encode(tokenizer.model, images)
    guide = Clip(read_config(line.clip.guide), []).to(device).requires_grad_(False).eval() if p.clip > 0 else None
    guide_text = torch.randn(count, guide.embed_dim) if guide is not None else None
    painter = PainterJob(p, codes, captions, tokenizer.model, images, guide, guide_text)
    last = t.steps - 1  # with the discriminator, where there is one
    generator = _generator(line, tokenizer, painter.model).to(device)
    ids, mask = (torch.from_numpy(a).to(device) for a in generator.text.pieces([PROMPT]))
    seed, guidance = torch.tensor([7], device=device), torch.tensor([3.0], device=device)

    def paint() -> object:
        with torch.inference_mode():
            return generator(ids, mask, seed, guidance)

    first = -(-p.clip_start // p.clip_every) * p.clip_every

    def paint_steps() -> None:
        """As many steps as hold one with guidance."""
        for step in range(first, first + p.clip_every):
            painter.step(step, np.arange(p.batch))

    spent = cost(paint, [tokenizer.model, painter.model])
    return {
        "tokenizer_step": lambda: tokenizer.step(last, np.arange(t.batch)),
        "painter_step": paint_steps,
        "picture": paint,
    }, spent


def _generator(line: config.Line, job: TokenizerJob, painter: StackedDecoder) -> Generator:
    text = TextEncoder(line.painter.model.text_length)
    return Generator(text, copy.deepcopy(job.model), copy.deepcopy(painter), line.evaluate.decoding)
