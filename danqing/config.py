"""Every knob of the line, in one place: frozen, typed, checked once.

`Line` holds one section a step, and a step gets only its own section. Presets, and how a user changes single values of
one, stand in `danqing/presets.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from danqing.package import GENERATE, SIGNATURES
from danqing.values import at_least, require

LICENCES = ("CC0-1.0", "PDM-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "Apache-2.0")
"""Under which a picture may be learnt from and its copies shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingest:
    """Where pictures come from."""

    source: str = "brush"
    """`brush` (painted by this program), `museum` (Met and Art Institute of Chicago), `folder:PATH`, or `parts:PATH`: a
    folder with all shards of another source, each in a folder of its own."""
    shard: int = 0
    """Of `shards`: take this one's share of the source (from 0)."""
    shards: int = 1
    """More than 1: write a part only, which `parts:PATH` makes a corpus of. A museum's rate and count are shared."""
    count: int = 2400
    """Pictures to paint (`brush`) or to fetch at most (`museum`)."""
    size: int = 160
    """Side of a brush picture, pixels; the short side at which larger pictures from elsewhere are stored is `store`."""
    store: int = 512
    """Pictures with a longer short side are scaled down to this many pixels before they are stored."""
    max_pixels: int = 50_000_000
    """A picture of more pixels is set aside unread: a bomb, or a scan that wants tiling."""
    max_bytes: int = 50_000_000
    licences: tuple[str, ...] = LICENCES
    """A picture under any other licence is set aside."""
    museums: tuple[str, ...] = ("met", "artic")
    query: str = "Chinese painting"
    met_url: str = "https://collectionapi.metmuseum.org"
    artic_url: str = "https://api.artic.edu"
    rate: float = 2.0
    """Requests a second to a museum, at most."""
    timeout: float = 30.0
    """Seconds a museum may be silent before it is asked again."""
    tries: int = 5
    """How often one thing is asked for before it is left for another day."""
    backoff: float = 1.0
    """Seconds before the second try; doubles each time."""
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.rate > 0 and self.timeout > 0, "ingest.rate and ingest.timeout must be positive")
        at_least(self, "ingest", count=1, tries=1, backoff=0, seed=0, shards=1)
        require(
            0 <= self.shard < self.shards, f"ingest.shard is {self.shard}: from 0 to {self.shards - 1} (ingest.shards)"
        )
        known = self.source in ("brush", "museum") or self.source.startswith(("folder:", "parts:"))
        require(known, f"ingest.source is {self.source!r}: use brush, museum, folder:PATH or parts:PATH")
        merging = self.source.startswith("parts:") and self.shards > 1
        require(not merging, "ingest.source is parts:PATH, where shards are put together: leave ingest.shards at 1")
        require(32 <= self.size <= 2048, f"ingest.size is {self.size}: between 32 and 2048 pixels")


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """Eq. 1: a ResNet-50 that knows the themes and what is not a painting."""

    size: int = 48
    steps: int = 60
    batch: int = 32
    lr: float = 1e-3
    threshold: float = 0.9
    """A picture whose probability of being no painting is higher is set aside."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, "screen", steps=1, batch=2, seed=0)
        require(0 < self.threshold <= 1, f"screen.threshold is {self.threshold}: a probability in (0, 1]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Annotate:
    """Crops (Eq. 2-5), captions and the split."""

    size: int = 128
    """Side of a training picture, pixels."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, "annotate", seed=0)
        require(self.size in (32, 64, 128, 256, 512), f"annotate.size is {self.size}: use 32, 64, 128, 256 or 512")


@dataclass(frozen=True, kw_only=True, slots=True)
class Validate:
    """What the corpus must satisfy before anything is trained on it."""

    min_pictures: int = 64
    split_tolerance: float = 0.05
    """How far the shares of the splits may be from 8:1:1 over the whole corpus (a theme gets sampling error on top)."""
    near_duplicate_bits: int = 4
    """Two pictures whose perceptual hashes differ in at most so many of 64 bits may not stand in two splits."""
    min_kappa: float = 0.75
    """Fleiss' kappa asked for where human labels exist (the paper's bar)."""
    licences: tuple[str, ...] = LICENCES
    """What is allowed in the corpus, asked again after all steps that touched it."""
    max_words: int = 40
    """Longest English caption."""
    named: float = 0.7
    """Share of the captions that must name their category; the rest may be as short as what people type."""
    max_theme_share: float = 0.97
    """Largest share of the pictures that one theme may have; 1 accepts a corpus of a single theme."""

    def __post_init__(self) -> None:
        for name in ("split_tolerance", "min_kappa", "named", "max_theme_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"validate.{name} is {value}: a share between 0 and 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerModel:
    """Family and shape of the tokenizer."""

    family: Literal["improved", "vqgan", "vit_vqgan", "flowmo"] = "improved"
    """`improved` is the paper's and ours; the others are what it compares itself with."""
    size: int = 128
    """Side of the pictures, pixels."""
    stride: int = 8
    """Pixels a side that one detail code stands for; a global code stands for twice that."""
    width: int = 64
    growth: int = 32
    """Channels that each layer of a residual dense block adds."""
    layers: int = 3
    """Convolutions in a residual dense block."""
    code_dim: int = 24
    global_codes: int = 1024
    detail_codes: int = 1024
    detail_levels: int = 2
    """Codes a detail position: each further one says what the ones before it left over (`improved` only)."""
    text_dim: int = 384
    dual: bool = True
    """False: one codebook only (an ablation)."""
    rdb: bool = True
    """False: plain residual blocks (an ablation)."""
    text: bool = True
    """False: the generator's style normalisation does not see the text (an ablation)."""

    def __post_init__(self) -> None:
        require(self.stride in (4, 8, 16, 32), f"tokenizer.model.stride is {self.stride}: use 4, 8, 16 or 32")
        require(
            self.size % (2 * self.stride) == 0,
            f"tokenizer.model.size is {self.size}: a multiple of {2 * self.stride} (twice the stride) is needed",
        )
        at_least(self, "tokenizer.model", detail_levels=1)
        require(
            self.family == "improved" or self.detail_levels == 1,
            f"tokenizer.model.detail_levels is {self.detail_levels}: only the family 'improved' has more than one; "
            f"with {self.family!r} set it to 1",
        )
        require(
            self.family != "flowmo" or self.detail_codes & (self.detail_codes - 1) == 0,
            f"tokenizer.model.detail_codes is {self.detail_codes}: flowmo writes bits, so a power of two is needed",
        )

    @property
    def grid(self) -> int:
        """Side of the grid of detail codes."""
        return self.size // self.stride

    @property
    def global_grid(self) -> int:
        """Side of the grid of global codes; 0 where there is one codebook only."""
        return self.grid // 2 if self.family == "improved" and self.dual else 0

    @property
    def bits(self) -> float:
        """What a picture's codes hold, in bits."""
        detail = self.detail_levels * self.grid**2 * math.log2(self.detail_codes)
        return detail + self.global_grid**2 * math.log2(self.global_codes)


def _check_init(init: str, where: str) -> None:
    known = init in ("pretrained", "scratch") or init.startswith("folder:")
    require(known, f"{where} is {init!r}: use pretrained, scratch or folder:PATH")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerTraining:
    """Stage 1."""

    model: TokenizerModel = field(default_factory=TokenizerModel)
    init: str = "pretrained"
    """`pretrained` (the model in the box), `scratch`, or `folder:PATH` with a tokenizer to go on from."""
    steps: int = 100
    batch: int = 12
    lr: float = 3e-4
    warmup: int = 20
    continuous: int = 0
    """First steps without quantisation, from whose features k-means then starts the codebooks (scratch only)."""
    recon: float = 1.0
    """beta of Eq. 14."""
    vq: float = 0.25
    """tau of Eq. 14."""
    gan: float = 0.05
    gan_start: int = 0
    gan_ramp: int = 50
    lecam: float = 1e-3
    lines: float = 1.0
    """Weight of the multi-scale gradient loss, which keeps lines."""
    perceptual: float = 0.3
    perceptual_batch: int = 4
    """Pictures of a batch on which the perceptual loss is computed: its network costs more than the tokenizer."""
    extractor: Literal["efficientnet", "screener", "none"] = "efficientnet"
    ink: float = 3.0
    """How much more a fully inked pixel counts than blank ground."""
    chroma: float = 3.0
    """How much more an error of colour counts than one of lightness."""
    text_drop: float = 0.2
    ema: float = 0.995
    flip: bool = False
    watch: int = 0
    """Steps between looks at the validation split (PSNR, line fidelity); 0 looks at the end only."""
    checkpoint: int = 50
    log: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        _check_init(self.init, "tokenizer.init")
        at_least(self, "tokenizer", steps=1, batch=2, checkpoint=1, log=1, seed=0)
        require(0 < self.ema < 1, f"tokenizer.ema is {self.ema}: between 0 and 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipTraining:
    """Eq. 12: one open_clip model for guidance and a different one that only judges."""

    guide: str = "guide-64"
    """Name of a JSON model config in danqing/models/clip_configs."""
    judge: str = "judge-64"
    steps: int = 140
    batch: int = 64
    lr: float = 1e-3
    warmup: int = 20
    checkpoint: int = 40
    log: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, "clip", steps=1, batch=1, checkpoint=1, log=1, seed=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class PainterModel:
    """Shape of the stacked decoder."""

    width: int = 192
    depth: int = 4
    heads: int = 4
    mlp: int = 3
    """Hidden width of the feed-forward part, in multiples of `width`."""
    text_dim: int = 384
    text_length: int = 32
    """Word pieces that the painter reads, the two special ones included."""
    align: bool = True
    """False: image positions attend to the raw text, without Eq. 11 (an ablation)."""

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, "painter.model.width must be a multiple of painter.model.heads")


@dataclass(frozen=True, kw_only=True, slots=True)
class PainterTraining:
    """Stage 2."""

    model: PainterModel = field(default_factory=PainterModel)
    init: str = "pretrained"
    """`pretrained` (the model in the box), `scratch`, or `folder:PATH` with a painter to go on from."""
    steps: int = 100
    batch: int = 16
    lr: float = 3e-4
    warmup: int = 30
    smoothing: float = 0.1
    text_drop: float = 0.1
    clip: float = 0.1
    """lambda of Eq. 13 and 14; 0 trains without CLIP guidance (an ablation)."""
    clip_every: int = 4
    """CLIP guidance costs a decode: it is computed every so many steps..."""
    clip_batch: int = 4
    """... on so many pictures of the batch."""
    clip_start: int = 0
    recon: float = 0.1
    """Weight of the soft-decoded picture's distance to the original, on the same pictures."""
    window: int = 0
    """Side of the square of detail positions that a training step sees; 0: all. Makes large pictures cheaper."""
    ema: float = 0.995
    watch: int = 0
    """Steps between looks at the validation split (its loss, and some prompts painted); 0 looks at the end only."""
    checkpoint: int = 50
    log: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        _check_init(self.init, "painter.init")
        at_least(self, "painter", steps=1, batch=1, clip_every=1, clip_batch=1, checkpoint=1, log=1, seed=0)
        require(self.batch >= self.clip_batch, "painter.batch must be at least painter.clip_batch")
        windowed = self.window == 0 or self.clip == 0
        require(windowed, "painter.window leaves no whole picture for CLIP guidance: set painter.clip=0, or window=0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoding:
    """How a sentence becomes codes: 8 parallel steps with classifier-free guidance."""

    global_steps: int = 3
    detail_steps: int = 5
    guidance: float = 4.0
    temperature: float = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluate:
    """What is measured on the held-out split."""

    decoding: Decoding = field(default_factory=Decoding)
    pictures: int = 256
    """Held-out prompts that are painted, at most."""
    repeats: int = 1
    """Pictures of each prompt, of different seeds."""
    batch: int = 32
    permutations: int = 2000
    """Shuffles for the matched-versus-shuffled test."""
    grid: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, "evaluate", pictures=1, repeats=1, batch=1, permutations=1, grid=1, seed=0)
        at_least(self.decoding, "evaluate.decoding", global_steps=1, detail_steps=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """When a challenger becomes champion."""

    max_p: float = 0.01
    """p-value of the matched-versus-shuffled test."""
    min_psnr: float = 15.0
    kernel_slack: float = 0.10
    """How much worse (relative) the kernel distance may be than the champion's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    decoding: Decoding = field(default_factory=Decoding)
    graphs: tuple[str, ...] = tuple(SIGNATURES)
    """What the package can do; `generate` is needed."""
    batches: tuple[int, ...] = (1, 2, 4, 8)
    """Batch sizes at which ONNX is compared with PyTorch."""
    min_agreement: float = 0.8
    """Share of pictures that must be equal within one grey level. Now and then a code is tied so nearly that rounding
    decides it, and with it the rest of that picture."""

    def __post_init__(self) -> None:
        at_least(self.decoding, "export.decoding", global_steps=1, detail_steps=1)
        wrong = [graph for graph in self.graphs if graph not in SIGNATURES]
        require(not wrong, f"export.graphs has {', '.join(wrong)}: the graphs are {', '.join(SIGNATURES)}")
        require(GENERATE in self.graphs, "export.graphs is without `generate`, which every package needs")
        sizes = ", ".join(map(str, self.batches)) or "empty"
        require(min(self.batches, default=0) >= 1, f"export.batches is {sizes}: sizes of at least 1 are needed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Register:
    name: str = "danqing"
    """Name of the registered model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """The whole production line, one section a step."""

    ingest: Ingest = field(default_factory=Ingest)
    screen: Screen = field(default_factory=Screen)
    annotate: Annotate = field(default_factory=Annotate)
    validate: Validate = field(default_factory=Validate)
    tokenizer: TokenizerTraining = field(default_factory=TokenizerTraining)
    clip: ClipTraining = field(default_factory=ClipTraining)
    painter: PainterTraining = field(default_factory=PainterTraining)
    evaluate: Evaluate = field(default_factory=Evaluate)
    gate: Gate = field(default_factory=Gate)
    export: Export = field(default_factory=Export)
    register: Register = field(default_factory=Register)

    def __post_init__(self) -> None:
        require(
            self.annotate.size == self.tokenizer.model.size,
            f"annotate.size is {self.annotate.size} but tokenizer.model.size is {self.tokenizer.model.size}: "
            "pictures and tokenizer must have one size",
        )
        grid = self.tokenizer.model.grid
        require(0 <= self.painter.window <= grid, f"painter.window is {self.painter.window}: between 0 and {grid}")
        require(
            self.painter.clip == 0 or self.tokenizer.model.family == "improved",
            f"painter.clip is {self.painter.clip}: CLIP guidance needs the tokenizer family 'improved'; set it to 0",
        )
        require(
            self.evaluate.decoding == self.export.decoding,
            "evaluate.decoding and export.decoding differ: what is measured must be what is exported",
        )
