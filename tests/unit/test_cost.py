"""Both counters count right, and agree on every model that is compared."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from danqing.config import Decoding, PainterModel, TokenizerModel
from danqing.evaluate.cost import FLOAT, agree, cost
from danqing.models import families
from danqing.models.align import Attention
from danqing.models.generate import Generator
from danqing.models.painter import StackedDecoder
from danqing.models.text import TextEncoder


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Linear(8, 16), (3, 8), 3 * 8 * 16),
        (nn.Conv2d(4, 6, 3, padding=1), (1, 4, 10, 10), 100 * 6 * 4 * 9),
        (nn.Conv2d(4, 8, 3, padding=1, groups=4), (1, 4, 10, 10), 100 * 8 * 1 * 9),
        (nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (1, 4, 5, 5), 25 * 4 * 6 * 16),
    ],
)
def test_a_layer_costs_what_its_formula_says(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    x = torch.randn(shape)
    found = cost(lambda: layer(x), [layer])
    assert found.macs == found.macs_by_calls == macs
    assert found.parameters == sum(p.numel() for p in layer.parameters())
    assert found.bitops == macs * FLOAT**2


def test_attention_is_counted_too() -> None:
    attention, x = Attention(16, 4), torch.randn(2, 10, 16)
    found = cost(lambda: attention(x, x), [attention])
    assert found.macs == found.macs_by_calls == 2 * (4 * 10 * 16 * 16 + 2 * 10 * 10 * 16)


@pytest.mark.parametrize("family", ["improved", "vqgan", "vit_vqgan", "flowmo"])
def test_the_counters_agree_on_whole_models(family: str) -> None:
    small = TokenizerModel(
        size=64, width=16, growth=8, layers=1, code_dim=8, global_codes=16, detail_codes=32, detail_levels=1,
    )  # fmt: skip
    shape = dataclasses.replace(small, family=family)
    tokenizer, painter = families.build(shape), StackedDecoder(PainterModel(width=32, depth=2, heads=2), shape)
    x, sentence = torch.randn(1, 3, 64, 64), torch.randn(1, 384)
    assert agree(cost(lambda: tokenizer.encode(x), [tokenizer]))
    assert agree(cost(lambda: tokenizer.decode(tokenizer.encode(x), sentence), [tokenizer]))
    text = TextEncoder(16)
    generator = Generator(text, tokenizer, painter, Decoding())
    ids, mask = (torch.from_numpy(a) for a in text.pieces(["plum"]))
    found = cost(lambda: generator(ids, mask, torch.tensor([1]), torch.tensor([3.0])), [tokenizer, painter])
    assert agree(found) and found.macs > 0
