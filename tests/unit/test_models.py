"""The networks keep their shapes and do what their equations say."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from danqing.config import Decoding, PainterModel, TokenizerModel
from danqing.models import families
from danqing.models.align import align
from danqing.models.decoding import halton_order, sample, schedule, uniforms
from danqing.models.encoder import AttentionHead
from danqing.models.generate import Generator
from danqing.models.generator import StyleNorm
from danqing.models.painter import StackedDecoder
from danqing.models.quantise import Codebook, usage
from danqing.models.rdb import PlainBlock, ResidualDenseBlock
from danqing.models.text import TextEncoder, pooled

SMALL = TokenizerModel(size=64, width=16, growth=8, code_dim=8, global_codes=16, detail_codes=32, detail_levels=1)
SMALL_PAINTER = PainterModel(width=32, depth=2, heads=2)


@pytest.fixture(scope="module")
def text() -> TextEncoder:
    return TextEncoder(16)


def test_text_features_are_those_of_the_reference_bert(text: TextEncoder) -> None:
    from transformers.models.bert.modeling_bert import BertModel

    from danqing.wordpieces import minilm

    reference = BertModel.from_pretrained(minilm(), add_pooling_layer=False).eval()
    ids, mask = (torch.from_numpy(a) for a in text.pieces(["a lone boat under misty mountains", "plum"]))
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask).last_hidden_state
    real = mask.bool()
    assert torch.allclose(text(ids, mask)[real], expected[real], atol=2e-5)


def test_padding_does_not_change_what_is_read(text: TextEncoder) -> None:
    alone, with_longer = text.read(["plum"]), text.read(["plum", "a lone boat under misty mountains in autumn"])
    assert torch.allclose(pooled(*alone), pooled(*with_longer)[:1], atol=1e-5)


@pytest.mark.parametrize("block", [ResidualDenseBlock, PlainBlock])
def test_a_block_keeps_the_shape_and_starts_near_the_identity(block: type) -> None:
    x = torch.randn(2, 12, 8, 8)
    y = block(12, 6, 3)(x)
    assert y.shape == x.shape
    assert (y - x).abs().mean() < 0.5 * x.abs().mean()


def test_attention_starts_switched_off() -> None:
    """Eq. 6 with γ = 0 is Conv_f(LayerNorm(φ)): a change far away must not be felt yet."""
    head = AttentionHead(8, 4)
    x = torch.randn(1, 8, 4, 4)
    y = x.clone()
    y[..., -1, -1] += 10
    assert torch.allclose(head(x)[..., 0, 0], head(y)[..., 0, 0])
    with torch.no_grad():
        head.gamma.fill_(1)
    assert not torch.allclose(head(x)[..., 0, 0], head(y)[..., 0, 0])


def test_quantisation_takes_the_nearest_code() -> None:
    book = Codebook(16, 4)
    z = torch.randn(2, 4, 3, 3)
    flat = z.permute(0, 2, 3, 1).reshape(-1, 4)
    expected = torch.cdist(flat, book.vectors).argmin(1).view(2, 3, 3)
    assert torch.equal(book(z).codes, expected)


def test_the_commitment_loss_pulls_the_features_and_not_the_codes() -> None:
    book = Codebook(16, 4)
    z = torch.randn(2, 4, 3, 3, requires_grad=True)
    book(z).loss.backward()
    assert z.grad is not None and z.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in book.parameters())


def test_the_gradient_passes_straight_through() -> None:
    z = torch.randn(1, 4, 2, 2, requires_grad=True)
    Codebook(16, 4)(z).z.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


def test_codes_move_to_what_uses_them_and_dead_ones_come_back() -> None:
    torch.manual_seed(0)
    book = Codebook(64, 2, decay=0.8)
    book.vectors.add_(100)  # all far away: one code takes everything, the others die
    book.sums.copy_(book.vectors)
    data = torch.randn(1, 2, 32, 32)
    for _ in range(40):
        book(data, learn=True)
    used, perplexity = usage(book(data).codes, 64)
    assert used > 0.9
    assert perplexity > 30


def test_k_means_finds_separate_clusters() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    data = centres.repeat(100, 1) + 0.1 * torch.randn(400, 2)
    book = Codebook(4, 2)
    book.start(data)
    assert (torch.cdist(centres, book.vectors).min(1).values < 0.1).all()


def test_a_codebook_larger_than_its_data_starts_on_all_of_them() -> None:
    data = torch.randn(5, 3)
    book = Codebook(16, 3)
    book.start(data)
    assert torch.equal(book.nearest(data).unique(), book.nearest(data).sort().values)
    assert torch.cdist(data, book.vectors).min(1).values.max() < 0.01


def test_style_norm_starts_without_the_text_and_can_use_it() -> None:
    norm = StyleNorm(8, 6)
    h, a, b = torch.randn(2, 8, 4, 4), torch.randn(2, 6), torch.randn(2, 6)
    assert torch.equal(norm(h, a), norm(h, b))
    torch.nn.init.normal_(norm.modulation.weight)
    assert not torch.allclose(norm(h, a), norm(h, b))


def test_align_is_equation_11() -> None:
    text, image = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    rows = []
    for b in range(2):
        scores = text[b] @ image[b].T / 8**0.5
        rows.append(torch.softmax(scores, -1) @ image[b] + text[b])
    assert torch.allclose(align(text, image), torch.stack(rows), atol=1e-6)


def test_the_words_reach_the_codes_and_masked_words_do_not() -> None:
    torch.manual_seed(0)
    model = StackedDecoder(SMALL_PAINTER, SMALL).eval()
    glob, text = torch.zeros(1, 16, dtype=torch.long), torch.randn(1, 6, 384)
    mask = torch.tensor([[1, 1, 1, 0, 0, 0]])
    hidden = model(glob, None, text, mask)
    other = text.clone()
    other[:, 1] += 1
    assert not torch.allclose(hidden, model(glob, None, other, mask))
    other = text.clone()
    other[:, 4] += 1
    assert torch.allclose(hidden, model(glob, None, other, mask), atol=1e-5)


@pytest.mark.parametrize("side", [4, 8, 16])
def test_the_halton_order_visits_every_place_once(side: int) -> None:
    assert sorted(halton_order(side)) == list(range(side * side))


def test_halton_prefixes_are_spread_out() -> None:
    first = halton_order(8)[:16]
    assert len({(p // 8 // 4, p % 8 // 4) for p in first}) == 4  # every quarter of the picture
    assert max(sum((p // 8 // 4, p % 8 // 4) == q for p in first) for q in [(0, 0), (0, 1), (1, 0), (1, 1)]) <= 5


@pytest.mark.parametrize(("side", "steps"), [(4, 3), (8, 5), (8, 1), (4, 99)])
def test_a_schedule_fills_everything_and_more_later(side: int, steps: int) -> None:
    parts = schedule(side, steps)
    assert sorted(p for part in parts for p in part) == list(range(side * side))
    assert len(parts[0]) <= len(parts[-1])
    assert all(parts)


def test_uniforms_are_uniform_and_differ_between_seeds() -> None:
    u = uniforms(torch.arange(200), 80)
    assert u.shape == (200, 80)
    assert float(u.min()) > 0 and float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.01
    assert abs(float(u.std()) - 12**-0.5) < 0.01
    between = torch.corrcoef(u.T)
    assert float((between - torch.eye(80)).abs().max()) < 0.35
    assert len(torch.unique(u[:, 0])) == 200
    assert torch.equal(u, uniforms(torch.arange(200), 80))


def test_large_seeds_are_as_good_as_small_ones() -> None:
    u = uniforms(torch.tensor([0, 2**31 - 1, 2**31, 2**62, 2**63 - 1]), 80)
    assert len({tuple(row.tolist()) for row in u}) >= 4
    assert abs(float(u.mean()) - 0.5) < 0.05


def test_sampling_follows_the_distribution() -> None:
    p = torch.tensor([0.5, 0.3, 0.2, 0.0])
    logits = p.clamp(min=1e-9).log().expand(1, 10_000, 4)
    counts = torch.bincount(sample(logits, torch.rand(1, 10_000), 1.0).flatten(), minlength=4) / 10_000
    assert torch.allclose(counts, p, atol=0.03)


@pytest.fixture(scope="module", params=[{}, {"detail_levels": 2}, {"family": "vqgan"}], ids=["one", "two", "single"])
def generator(request: pytest.FixtureRequest) -> Generator:
    """Of one detail level, of two, and of a tokenizer without global codes."""
    torch.manual_seed(0)
    shape = dataclasses.replace(SMALL, **request.param)
    painter = StackedDecoder(SMALL_PAINTER, shape)
    return Generator(TextEncoder(16), families.build(shape), painter, Decoding()).requires_grad_(False)


def paint(generator: Generator, prompts: list[str], seeds: list[int]) -> torch.Tensor:
    ids, mask = generator.text.pieces(prompts)
    seed = torch.tensor(seeds)
    return generator(torch.from_numpy(ids), torch.from_numpy(mask), seed, torch.full((len(seeds),), 3.0))


def test_a_seed_is_a_picture(generator: Generator) -> None:
    first = paint(generator, ["plum", "plum"], [1, 2])
    assert first.shape == (2, 64, 64, 3) and first.dtype == torch.uint8
    assert torch.equal(first, paint(generator, ["plum", "plum"], [1, 2]))
    assert not torch.equal(first[0], first[1])


def test_a_picture_does_not_depend_on_its_batch(generator: Generator) -> None:
    together = paint(generator, ["plum", "a lone boat", "bamboo"], [1, 2, 3])
    alone = paint(generator, ["a lone boat"], [2])
    assert (together[1].int() - alone[0].int()).abs().max() <= 1


def test_all_codes_are_filled(generator: Generator) -> None:
    features, mask = generator.text.read(["plum"])
    glob, detail = generator.codes(features, mask, torch.tensor([5]), torch.tensor([2.0]))
    shape = generator.tokenizer.config
    assert glob.shape == (1, shape.global_grid**2)
    assert detail.shape == (1, shape.detail_levels, shape.grid**2)
    assert glob.numel() == 0 or int(glob.max()) < SMALL.global_codes, "no mask is left"
    assert int(detail.max()) < SMALL.detail_codes
