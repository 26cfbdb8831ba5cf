"""danqing's peers on the package index, as benchmarks.peers times them.

Each is run as its documentation says, and where that leaves something open, the cheaper way is taken: as many layers
as danqing's, one residual block a level, attention without the fallback for missing GPUs, perceptual networks frozen.
Text encoders of their own are replaced by danqing's, for all alike.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.contenders import Contender, Run, Setting, Step, nearest, stepper
from danqing.models.text import pooled


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    package: str
    requirement: str
    """What pip is to be asked for."""
    build: Callable[[Setting], Contender]
    """ImportError where the package is missing."""


def both(first: Run, second: Run) -> Run:
    return lambda: (first(), second())


@contextlib.contextmanager
def untrained_vgg() -> Iterator[None]:
    """torchvision's VGG-16 comes without the ImageNet weights, which would have to be fetched; its work is the same."""
    import torchvision

    make = torchvision.models.vgg16
    with mock.patch.object(torchvision.models, "vgg16", lambda **_: make(weights=None)):
        yield


def muse(s: Setting) -> Contender:
    """Muse (Chang et al. 2023) by lucidrains: a convolutional VQGAN without look-up, MaskGIT on the text's features."""
    from muse_maskgit_pytorch import MaskGit, MaskGitTransformer, VQGanVAE
    from muse_maskgit_pytorch.t5 import T5_CONFIGS
    from transformers import T5Config

    levels, codes = int(math.log2(s.shape.stride)), s.shape.detail_codes

    def tokenizer(width: int) -> nn.Module:
        return VQGanVAE(dim=width, layers=levels, codebook_size=codes, use_vgg_and_gan=False)

    plain: Any = nearest(tokenizer, range(16, 81, 16), s.wanted["tokenizer"])
    width = plain.enc_dec.decoders[-1].in_channels
    with untrained_vgg():
        whole = VQGanVAE(dim=width, layers=levels, codebook_size=codes)
        whole.vgg.requires_grad_(False)  # asking for it makes it
    critic = set(whole.discr.parameters())
    generator = [p for p in whole.parameters() if p not in critic and p.requires_grad]

    features = s.shape.text_dim
    T5_CONFIGS["danqing"] = {"config": T5Config(d_model=features)}  # else the sizes of a T5 would be fetched

    def transformer(width: int) -> nn.Module:
        heads = s.line.painter.model.heads
        made = MaskGitTransformer(
            num_tokens=codes, seq_len=s.shape.grid**2, dim=width, depth=s.line.painter.model.depth, heads=heads,
            dim_head=width // heads, flash=False, t5_name="danqing",
        )  # fmt: skip
        made.self_cond_to_init_embed = nn.Identity()  # only self-conditioning reads it, which is off
        return made

    painter: Any = nearest(transformer, range(16, 513, 16), s.wanted["painter"])
    painter.encode_text = lambda texts: _silenced(*s.read(len(texts)))
    masked = MaskGit(image_size=s.shape.size, transformer=painter, vae=plain)

    def paint(batch: int, **given: int) -> Tensor:
        with contextlib.redirect_stderr(io.StringIO()):  # a bar
            return masked.generate(texts=["as danqing's encoder reads it"] * batch, **given)

    return Contender(
        name="muse-maskgit-pytorch", tokenizer=plain, painter=painter,
        tokenizer_steps={f"VQGanVAE, dim {width}": Step(
            stepper(plain.parameters(), lambda: plain(s.pictures(), return_loss=True)))},
        whole_steps={"VGG-16, discriminator with gradient penalty": Step(both(
            stepper(generator, lambda: whole(s.pictures(), return_loss=True)),
            stepper(critic, lambda: whole(s.pictures(), return_discr_loss=True))))},
        painter_steps={"MaskGit": Step(
            stepper(painter.parameters(), lambda: masked(s.codes, text_embeds=s.text)))},
        paints={
            "MaskGit.generate, 18 steps (its default)": paint,
            f"MaskGit.generate, {s.decoding_steps} steps": lambda batch: paint(batch, timesteps=s.decoding_steps),
        },
    )  # fmt: skip


def _silenced(features_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """muse takes a place whose features are all 0 as padding."""
    return features_BLD * mask_BL[..., None]


class TamingVqgan(nn.Module):
    """VQGAN of the parts in taming-transformers; its own class for the whole wants a pytorch-lightning of 2021."""

    def __init__(self, s: Setting, multiples: tuple[int, ...]) -> None:
        super().__init__()
        from taming.modules.diffusionmodules.model import Decoder, Encoder
        from taming.modules.vqvae.quantize import VectorQuantizer

        dim = s.shape.code_dim
        shape = {
            "ch": 32, "out_ch": 3, "ch_mult": multiples, "num_res_blocks": 1, "attn_resolutions": [s.shape.grid],
            "in_channels": 3, "resolution": s.shape.size, "z_channels": dim, "double_z": False,
        }  # fmt: skip
        self.encoder, self.decoder = Encoder(**shape), Decoder(**shape)
        self.book = VectorQuantizer(s.shape.detail_codes, dim, beta=0.25)
        self.before, self.after = nn.Conv2d(dim, dim, 1), nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z, loss, _ = self.book(self.before(self.encoder(x)))
        return self.decoder(self.after(z)), loss

    def decode(self, codes_BN: Tensor) -> Tensor:
        side = math.isqrt(codes_BN.shape[1])
        shape = (len(codes_BN), side, side, self.book.e_dim)
        return self.decoder(self.after(self.book.get_codebook_entry(codes_BN.flatten(), shape)))


class TextGpt(nn.Module):
    """GPT-2 over the text's features, then the codes."""

    def __init__(self, s: Setting, width: int) -> None:
        super().__init__()
        from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel

        p = s.line.painter.model
        self.codes = s.shape.grid**2
        self.read = nn.Linear(p.text_dim, width)
        self.gpt = GPT2LMHeadModel(GPT2Config(
            vocab_size=s.shape.detail_codes, n_positions=p.text_length + self.codes, n_embd=width, n_layer=p.depth,
            n_head=p.heads, bos_token_id=None, eos_token_id=None, embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0,
        ))  # fmt: skip

    def loss(self, text_BLD: Tensor, codes_BN: Tensor) -> Tensor:
        known = self.gpt.transformer.wte(codes_BN[:, :-1])
        logits = self.gpt(inputs_embeds=torch.cat([self.read(text_BLD), known], 1)).logits
        return F.cross_entropy(logits[:, text_BLD.shape[1] - 1 :].flatten(0, 1), codes_BN.flatten())

    def sample(self, text_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """Code after code, with the keys and values kept; `generate` does the same in a sixth more time."""
        out = self.gpt(inputs_embeds=self.read(text_BLD), attention_mask=mask_BL, use_cache=True)
        codes: list[Tensor] = []
        while True:
            codes.append(torch.multinomial(out.logits[:, -1].softmax(-1), 1))
            if len(codes) == self.codes:
                return torch.cat(codes, 1)
            mask_BL = F.pad(mask_BL, (0, 1), value=1)
            out = self.gpt(codes[-1], attention_mask=mask_BL, past_key_values=out.past_key_values, use_cache=True)


def taming(s: Setting) -> Contender:
    """VQGAN and an autoregressive GPT (Esser et al. 2021). Their own GPT has no cache and no text; GPT-2 has both."""
    from taming.modules.losses.lpips import LPIPS
    from taming.modules.losses.vqperceptual import VQLPIPSWithDiscriminator

    def tokenizer(multiples: tuple[int, ...]) -> TamingVqgan:
        return TamingVqgan(s, multiples)

    octaves = int(math.log2(s.shape.stride))
    shapes = [(1,) * (octaves + 1 - wide) + (2,) * wide for wide in range(octaves + 1)]
    plain = nearest(tokenizer, shapes, s.wanted["tokenizer"])

    whole = nearest(tokenizer, shapes, s.wanted["tokenizer"])
    with untrained_vgg(), mock.patch.object(LPIPS, "load_from_pretrained"):
        judge = VQLPIPSWithDiscriminator(disc_start=0)

    def parts(turn: int) -> Tensor:
        """The loss of the generator (turn 0) or of the discriminator (turn 1)."""
        x = s.pictures()
        with torch.set_grad_enabled(turn == 0):
            again, book = whole(x)
        return judge(book, x, again, turn, 0, last_layer=whole.decoder.conv_out.weight)[0]

    def plain_loss() -> Tensor:
        x = s.pictures()
        again, book = plain(x)
        return F.l1_loss(again, x) + book

    gpt = nearest(lambda width: TextGpt(s, width), range(16, 513, 8), s.wanted["painter"])

    def paint(batch: int) -> Tensor:
        with torch.inference_mode():
            return plain.decode(gpt.sample(*s.read(batch)))

    return Contender(
        name="taming-transformers", tokenizer=plain, painter=gpt,
        tokenizer_steps={"VQGAN": Step(stepper(plain.parameters(), plain_loss))},
        whole_steps={"LPIPS on VGG-16, discriminator": Step(both(
            stepper(whole.parameters(), lambda: parts(0)),
            stepper(judge.discriminator.parameters(), lambda: parts(1))))},
        painter_steps={f"GPT-2 of transformers {version('transformers')}": Step(
            stepper(gpt.parameters(), lambda: gpt.loss(s.text, s.codes)))},
        paints={f"GPT-2 with KV cache, {gpt.codes} codes one by one, no guidance": paint},
    )  # fmt: skip


def amused(s: Setting) -> Contender:
    """aMUSEd (Patil et al. 2024) in diffusers: VQModel without attention, U-ViT."""
    from diffusers import AmusedPipeline, AmusedScheduler, UVit2DModel, VQModel

    codes, p = s.shape.detail_codes, s.line.painter.model
    levels = int(math.log2(s.shape.stride)) + 1

    def vqgan(width: int) -> nn.Module:
        """aMUSEd's own ratios of widths, for as many octaves as there are here."""
        return VQModel(
            down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=tuple(width * m for m in (1, 2, 2, 4, 6)[:levels]), latent_channels=s.shape.code_dim,
            num_vq_embeddings=codes, norm_num_groups=4, mid_block_add_attention=False, lookup_from_codebook=True,
        )  # fmt: skip

    tokenizer = nearest(vqgan, range(4, 65, 4), s.wanted["tokenizer"])

    def uvit(width: int) -> nn.Module:
        """aMUSEd's own ratios: convolutions of 3/4 of the width, a feed-forward part of 11/4."""
        return UVit2DModel(
            hidden_size=width, cond_embed_dim=p.text_dim, encoder_hidden_size=p.text_dim, vocab_size=codes + 64,
            codebook_size=codes, in_channels=width * 3 // 4, block_out_channels=width * 3 // 4, num_res_blocks=1,
            block_num_heads=3, num_hidden_layers=p.depth, num_attention_heads=4, intermediate_size=width * 11 // 4,
            sample_size=s.shape.grid,
        )  # fmt: skip

    painter: Any = nearest(uvit, range(16, 513, 16), s.wanted["painter"])
    mask_id = painter.config.vocab_size - 1
    sizes = torch.tensor([[s.shape.size, s.shape.size, 0, 0, 6.0]])  # of the original, its crop, an aesthetic score

    def vq_loss() -> Tensor:
        x = s.pictures()
        again, book = tokenizer(x, return_dict=False)
        return F.l1_loss(again, x) + book.mean()

    def masked_loss() -> Tensor:
        B, N = s.codes.shape
        share = torch.cos(torch.rand(B, 1) * math.pi / 2)
        hidden = torch.rand(B, N).argsort(1) < (share * N).round().clamp(min=1)
        seen = torch.where(hidden, mask_id, s.codes).view(B, s.shape.grid, s.shape.grid)
        logits = painter(seen, s.text, s.text.mean(1), sizes.expand(B, -1)).flatten(2)
        return F.cross_entropy(logits, torch.where(hidden, s.codes, -100))

    pipe = AmusedPipeline(
        vqvae=tokenizer, tokenizer=None, text_encoder=None, transformer=painter,
        scheduler=AmusedScheduler(mask_token_id=mask_id),
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)

    def paint(batch: int, **given: int) -> object:
        text, mask = s.read(batch)
        nothing = torch.zeros_like(text)
        return pipe(
            prompt_embeds=pooled(text, mask), encoder_hidden_states=text, negative_prompt_embeds=nothing[:, 0],
            negative_encoder_hidden_states=nothing, output_type="pt", **given,
        )  # fmt: skip

    return Contender(
        name="diffusers", tokenizer=tokenizer, painter=painter,
        tokenizer_steps={"aMUSEd's VQModel": Step(stepper(tokenizer.parameters(), vq_loss))},
        painter_steps={"aMUSEd's UVit2DModel": Step(stepper(painter.parameters(), masked_loss))},
        paints={
            "AmusedPipeline, 12 steps (its default)": paint,
            f"AmusedPipeline, {s.decoding_steps} steps": lambda b: paint(b, num_inference_steps=s.decoding_steps),
        },
    )  # fmt: skip


PEERS = (
    Peer(package="muse-maskgit-pytorch", requirement="muse-maskgit-pytorch>=0.3.5,<0.4", build=muse),
    Peer(package="taming-transformers", requirement="taming-transformers==0.0.1", build=taming),
    Peer(package="diffusers", requirement="diffusers>=0.42,<0.43", build=amused),
)
