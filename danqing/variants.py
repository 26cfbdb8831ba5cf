"""What the paper compares: the full model, its ablations and its rivals, as values of the one configuration.

A variant is a set of overrides, nothing more: all train with the same loop, data, steps and painter. Rivals keep
their own papers' objectives (no ink weight, no line loss); they have so many codes that a picture takes about as many
bits as with ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from danqing import presets
from danqing.errors import ConfigError
from danqing.values import closest, require

_OWN_LOSS = {
    "tokenizer.ink": 1.0, "tokenizer.chroma": 1.0, "tokenizer.lines": 0.0, "tokenizer.perceptual": 1.0,
    "tokenizer.continuous": 0, "painter.clip": 0.0, "tokenizer.vq": 1.0,
}  # fmt: skip
_BITS = {"tokenizer.model.detail_codes": 4096, "tokenizer.model.detail_levels": 1}
_VQGAN = {
    **_OWN_LOSS, **_BITS, "tokenizer.model.family": "vqgan", "tokenizer.model.width": 36,
    "tokenizer.model.code_dim": 64,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A row of the paper's Table 1. Its figures are its own: other data, extractor, size and budget."""

    epochs: int
    inception: float
    frechet: float
    psnr: float
    cosine: float
    parameters: str
    milliseconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    title: str
    tables: tuple[str, ...]
    """Where the paper has it: "1" (ablation), "3" (rivals)."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    trap: str = ""
    """What must be known beside its figures."""
    claim: Claim | None = None


VARIANTS: dict[str, Variant] = {
    "full": Variant(
        title="full model", tables=("1", "3"),
        claim=Claim(epochs=60, inception=5.8, frechet=10.3, psnr=28.6, cosine=0.82, parameters="89M", milliseconds=23),
    ),
    "no_clip": Variant(
        title="no CLIP", tables=("1",), overrides={"painter.clip": 0.0},
        trap="The tokenizer is the full model's: PSNR cannot differ. Without guidance nothing is decoded in training: "
             "painter.recon is out too.",
        claim=Claim(epochs=75, inception=4.6, frechet=15.8, psnr=26.1, cosine=0.61, parameters="72M", milliseconds=19),
    ),
    "no_align": Variant(
        title="no Transformer alignment", tables=("1",), overrides={"painter.model.align": False},
        trap="Image positions still attend to the text; without Eq. 11 the text has not seen the image. "
             "The tokenizer is the full model's: PSNR cannot differ.",
        claim=Claim(epochs=80, inception=4.3, frechet=18.7, psnr=25.3, cosine=0.52, parameters="65M", milliseconds=21),
    ),
    "no_rdb": Variant(
        title="no RDB (VQGAN + CLIP)", tables=("1",), overrides={"tokenizer.model.rdb": False},
        trap="Plain residual blocks of about as many weights in place of the residual dense ones.",
        claim=Claim(epochs=90, inception=3.9, frechet=21.5, psnr=23.8, cosine=0.58, parameters="58M", milliseconds=25),
    ),
    "plain": Variant(
        title="VQGAN, neither alignment nor CLIP", tables=("1",), overrides={**_VQGAN, "painter.model.align": False},
        trap="As the rival VQGAN, and its painter goes without Eq. 11.",
        claim=Claim(epochs=100, inception=3.2, frechet=29.1, psnr=21.5, cosine=0.56, parameters="52M", milliseconds=27),
    ),
    "vqgan": Variant(
        title="VQGAN", tables=("3",), overrides=_VQGAN,
        trap="One codebook, no RDB, no text in the generator; β on the commitment, where its paper puts it and "
             "its code did not; a fixed weight of the discriminator in place of the adaptive one, which can blow up.",
    ),
    "vit_vqgan": Variant(
        title="ViT-VQGAN", tables=("3",),
        overrides={**_OWN_LOSS, **_BITS, "tokenizer.model.family": "vit_vqgan", "tokenizer.model.width": 116,
                   "tokenizer.model.layers": 3, "tokenizer.model.code_dim": 32},
        trap="Transformers without built-in locality want more data than this; the common discriminator stands for "
             "StyleGAN's, which is weak on little data; L1 stands for its logit-Laplace loss.",
    ),
    "flowmo": Variant(
        title="FlowMo", tables=("3",),
        overrides={**_OWN_LOSS, **_BITS, "tokenizer.model.family": "flowmo", "tokenizer.model.width": 112,
                   "tokenizer.model.layers": 3, "tokenizer.recon": 0.0, "tokenizer.gan": 0.0},
        trap="Decodes in 25 passes, and is charged for all of them; its second training stage, on integrated samples, "
             "is left out.",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One variant with one seed."""

    variant: str
    seed: int
    overrides: str
    """JSON: all overrides of the line."""


SEEDS = {"debug": (0,)}
"""Seeds of a preset where none are given; three elsewhere."""

_SMALL = {"ingest.size": 96, "annotate.size": 64, "tokenizer.model.size": 64, "tokenizer.model.detail_levels": 1}

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    # The machinery in minutes: what it measures means nothing.
    "debug": ("debug", {
        **_SMALL, "ingest.size": 64, "ingest.count": 96, "tokenizer.init": "scratch", "painter.init": "scratch",
        "tokenizer.continuous": 1, "tokenizer.watch": 2, "painter.watch": 2, "evaluate.pictures": 8,
        "evaluate.repeats": 2, "evaluate.grid": 4,
    }),
    # From scratch at 64 pixels: hours on two cores.
    "small": ("default", {
        **_SMALL, "tokenizer.init": "scratch", "tokenizer.steps": 1200, "tokenizer.batch": 16, "tokenizer.lr": 8e-4,
        "tokenizer.warmup": 50, "tokenizer.continuous": 100, "tokenizer.gan_start": 600, "tokenizer.gan_ramp": 300,
        "tokenizer.watch": 100, "tokenizer.checkpoint": 200,
        "painter.init": "scratch", "painter.steps": 600, "painter.batch": 32, "painter.clip_batch": 8,
        "painter.lr": 8e-4, "painter.warmup": 50, "painter.ema": 0.99, "painter.watch": 100, "painter.checkpoint": 100,
        "clip.steps": 300, "clip.checkpoint": 100, "evaluate.repeats": 4,
    }),
    # The same at 128 pixels on a GPU.
    "gpu": ("gpu", {
        "tokenizer.model.detail_levels": 1, "tokenizer.watch": 2000, "painter.watch": 4000, "evaluate.repeats": 4,
    }),
}  # fmt: skip
"""Name → (profile, overrides of it that all variants share)."""


def shared(preset: str, overrides: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """(profile, overrides) that all trials of `preset` share."""
    if preset not in PRESETS:
        raise ConfigError(f"there is no ablation preset {preset!r}: {closest(preset, list(PRESETS))}")
    profile, values = PRESETS[preset]
    return profile, {**values, **(overrides or {})}


def trials(
    preset: str, names: Sequence[str], seeds: Iterable[int], overrides: Mapping[str, Any] | None = None
) -> list[Trial]:
    """Every variant in `names` (all if empty) with every seed (the preset's if empty), all checked before one runs."""
    profile, common = shared(preset, overrides)
    chosen = list(names) or list(VARIANTS)
    for name in chosen:
        if name not in VARIANTS:
            raise ConfigError(f"there is no variant {name!r}: {closest(name, list(VARIANTS))}")
    seeds = list(seeds) or list(SEEDS.get(preset, (0, 1, 2)))
    require(min(seeds) >= 0, f"seeds are {seeds}: whole numbers from 0 on, with commas between them, are needed")
    found = []
    for seed in seeds:
        for name in chosen:
            values = {**common, **VARIANTS[name].overrides, **{f"{s}.seed": seed for s in ("tokenizer", "painter")}}
            presets.resolve(profile, values)
            found.append(Trial(variant=name, seed=seed, overrides=json.dumps(values, sort_keys=True)))
    return found
