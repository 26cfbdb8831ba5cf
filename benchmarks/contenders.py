"""What benchmarks.peers times: what all contenders share, how weights are matched, and danqing itself.

All weights are random: how long something takes does not depend on them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.gpu import Words
from danqing import config, presets
from danqing.errors import DanqingError
from danqing.export.graph import example
from danqing.export.package import write
from danqing.models import families
from danqing.models.clip import Clip, read_config
from danqing.models.generate import Generator
from danqing.models.painter import StackedDecoder
from danqing.models.pixels import to_float
from danqing.models.quantise import Codebook
from danqing.models.text import TextEncoder
from danqing.package import GENERATE, Package
from danqing.train.painter import PainterJob, encode
from danqing.train.tokenizer import TokenizerJob, perceptual_network

TOLERANCE = 0.15
"""How far the number of a peer's weights may be from danqing's."""
Run = Callable[[], object]
Paint = Callable[[int], object]
"""Paints a batch of so many pictures."""
Model = TypeVar("Model", bound=nn.Module)
Shape = TypeVar("Shape")


class Step(NamedTuple):
    run: Run
    steps: int = 1
    """Optimiser steps in one run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """What is timed of one system; the keys say in words what each run is."""

    name: str
    tokenizer: nn.Module
    painter: nn.Module
    tokenizer_steps: Mapping[str, Step]
    whole_steps: Mapping[str, Step] = field(default_factory=dict)
    """The tokenizer's steps with discriminator and perceptual network."""
    painter_steps: Mapping[str, Step]
    paints: Mapping[str, Paint]


def weights(model: nn.Module) -> int:
    """Parameters, and danqing's codebooks, which are running means."""
    books = (m.vectors.numel() for m in model.modules() if isinstance(m, Codebook))
    return sum(p.numel() for p in model.parameters()) + sum(books)


def nearest(build: Callable[[Shape], Model], shapes: Iterable[Shape], wanted: int) -> Model:
    """Of the models that `build` makes of `shapes`, the one with nearest to `wanted` weights; DanqingError if far."""
    found = min(map(build, shapes), key=lambda model: abs(weights(model) - wanted))
    if abs(weights(found) / wanted - 1) > TOLERANCE:
        raise DanqingError(
            f"benchmarks: the nearest {type(found).__name__} has {weights(found):,} weights and danqing {wanted:,}, "
            f"which is more than {100 * TOLERANCE:.0f} % apart; give it other shapes to choose from"
        )
    return found


def stepper(parameters: Iterable[nn.Parameter], loss: Callable[[], Tensor]) -> Run:
    """The least that trains: no average of the weights, no clipping, no schedule, no logging."""
    optimizer = torch.optim.AdamW(list(parameters), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


class Setting:
    """What all contenders are given: sizes, pictures, codes, text."""

    def __init__(self, line: config.Line) -> None:
        torch.manual_seed(0)
        t, p = line.tokenizer, line.painter
        # From nothing, because the model in the box may have another shape than the profile.
        self.line = presets.override(line, {"tokenizer.init": "scratch", "painter.init": "scratch"})
        self.shape, self.count = t.model, max(t.batch, p.batch)
        size = t.model.size
        self.bytes = torch.randint(0, 256, (self.count, size, size, 3), dtype=torch.uint8)
        self.words = Words(self.count)
        self.text = self.words.features[: p.batch]
        self.codes = torch.randint(0, t.model.detail_codes, (p.batch, t.model.grid**2))
        self.generator = Generator(
            TextEncoder(p.model.text_length), families.build(t.model), StackedDecoder(p.model, t.model),
            line.evaluate.decoding,
        )  # fmt: skip
        self.wanted = {
            "tokenizer": weights(families.build(t.model)),
            "painter": weights(self.generator.painter),
        }
        self.decoding_steps = len(self.generator.scales)

    def pictures(self) -> Tensor:
        """A batch (B, 3, S, S) in [-1, 1], anew at each step."""
        return to_float(self.bytes[: self.line.tokenizer.batch])

    def read(self, batch: int) -> tuple[Tensor, Tensor]:
        """Word pieces → features (B, L, 384), mask (B, L), by danqing's encoder: a part of everyone's picture."""
        asked = example(GENERATE, self.generator, batch)
        return self.generator.text(asked["ids"], asked["mask"]), asked["mask"]


def danqing(s: Setting) -> Contender:
    t, p, last = s.line.tokenizer, s.line.painter, s.line.tokenizer.steps - 1
    bare = presets.override(s.line, {"tokenizer.gan_start": 10**9, "tokenizer.extractor": "none", "painter.clip": 0.0})
    guide = Clip(read_config(s.line.clip.guide), []).requires_grad_(False).eval()
    sentences, guide_text = torch.randn(s.count, t.model.text_dim), torch.randn(s.count, guide.embed_dim)
    plain = TokenizerJob(bare.tokenizer, s.bytes, sentences, None)
    whole = TokenizerJob(t, s.bytes, sentences, perceptual_network(t, Path()))
    reader = families.build(t.model)  # not one that trains: the painter's job freezes it
    codes = encode(reader, s.bytes)
    unguided = PainterJob(bare.painter, codes, s.words, reader, s.bytes, None, None)  # type: ignore[arg-type]
    guided = PainterJob(p, codes, s.words, reader, s.bytes, guide, guide_text)  # type: ignore[arg-type]
    first = -(-p.clip_start // p.clip_every) * p.clip_every

    def guided_steps() -> None:
        """As many steps as hold one with guidance."""
        for step in range(first, first + p.clip_every):
            guided.step(step, np.arange(p.batch))

    return Contender(
        name="danqing", tokenizer=plain.model, painter=unguided.model,
        tokenizer_steps={"improved VQGAN": Step(lambda: plain.step(last, np.arange(t.batch)))},
        whole_steps={"improved VQGAN": Step(lambda: whole.step(last, np.arange(t.batch)))},
        painter_steps={
            "stacked decoder": Step(lambda: unguided.step(p.steps - 1, np.arange(p.batch))),
            "with CLIP guidance": Step(guided_steps, p.clip_every),
        },
        paints={
            f"PyTorch, {s.decoding_steps} steps": in_torch(s.generator),
            f"ONNX, {s.decoding_steps} steps": served(s.generator),
        },
    )  # fmt: skip


def in_torch(generator: Generator) -> Paint:
    """From word pieces to pictures, eager."""

    def paint(batch: int) -> object:
        with torch.inference_mode():
            return generator(*example(GENERATE, generator, batch).values())

    return paint


def served(generator: Generator) -> Paint:
    """The same as it is served: exported, by onnxruntime on as many threads as PyTorch has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        families.build(generator.tokenizer.config).save(folder)
        generator.painter.save(folder)
        # Untrained logits are nearly equal, so rounding decides codes: agreement with PyTorch is not asked for.
        asked = config.Export(decoding=generator.decoding, batches=(1,), min_agreement=0.0,
                              graphs=(GENERATE,))  # fmt: skip
        write(folder, folder, out=folder / "package", config=asked, lineage={})
        session = Package.read(folder / "package").session(threads=torch.get_num_threads())

    def paint(batch: int) -> object:
        inputs = example(GENERATE, generator, batch)
        return session.run(["picture"], {name: tensor.numpy() for name, tensor in inputs.items()})

    return paint
