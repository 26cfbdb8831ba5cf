"""Every tokenizer gives pictures back, and each does what its paper says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from danqing import presets
from danqing.config import PainterModel, TokenizerModel
from danqing.errors import ConfigError, StorageError, TrainingError
from danqing.models import families
from danqing.models.flowmo import FlowMo
from danqing.models.improved import ImprovedVqgan
from danqing.models.painter import StackedDecoder
from danqing.models.tokenizer import Tokenizer
from danqing.models.vit_vqgan import SphereCodebook
from danqing.models.vqgan import BETA, GradientCodebook
from danqing.train.painter import continue_from, guess, square
from danqing.train.tokenizer import TokenizerJob

SMALL = TokenizerModel(
    size=64, width=16, growth=8, layers=2, code_dim=8, global_codes=16, detail_codes=32, detail_levels=1,
)  # fmt: skip
SHAPES = {
    "improved": SMALL,
    "two levels": dataclasses.replace(SMALL, detail_levels=2),
    "one codebook": dataclasses.replace(SMALL, dual=False),
    "no rdb": dataclasses.replace(SMALL, rdb=False),
    "no text": dataclasses.replace(SMALL, text=False),
    "128 px": dataclasses.replace(SMALL, size=128, stride=16),
    "vqgan": dataclasses.replace(SMALL, family="vqgan"),
    "vit_vqgan": dataclasses.replace(SMALL, family="vit_vqgan"),
    "flowmo": dataclasses.replace(SMALL, family="flowmo"),
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest) -> Tokenizer:
    return families.build(SHAPES[request.param])


def pictures(c: TokenizerModel, count: int = 2) -> Tensor:
    return torch.rand(count, 3, c.size, c.size) * 2 - 1


def test_pictures_come_back_in_their_shape(model: Tokenizer) -> None:
    c = model.config
    x, sentence = pictures(c), torch.randn(2, 384)
    out = model(x, sentence, learn=True)
    assert out.x.shape == x.shape and out.loss.ndim == 0
    assert out.codes.glob.shape == ((2, c.global_grid, c.global_grid) if c.global_grid else (2, 0))
    assert out.codes.detail.shape == (2, c.detail_levels, c.grid, c.grid)
    assert int(out.codes.detail.min()) >= 0 and int(out.codes.detail.max()) < c.detail_codes
    model.eval()
    with torch.no_grad():
        assert torch.allclose(model.decode(model.encode(x), sentence), model(x, sentence).x, atol=1e-4)


def test_every_part_learns(model: Tokenizer) -> None:
    with torch.no_grad():  # what starts at zero keeps what lies behind it still at the very first step
        for name, parameter in model.named_parameters():
            if parameter.abs().sum() == 0 and not name.endswith("bias"):
                parameter.normal_(std=0.1)
    out = model(pictures(model.config), torch.randn(2, 384), learn=True)
    (out.x.square().mean() + out.loss).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    # A bias on the keys shifts all scores of a softmax alike: it cannot matter.
    switched_off = ["key.bias"]
    if model.config.family == "improved" and not model.config.dual:
        switched_off += ["global_head", "spread"]
    if model.config.family == "improved" and not model.config.text:
        switched_off += ["sentence.weight", "modulation.weight"]
    assert [n for n in still if not any(part in n for part in switched_off)] == []


def test_saved_models_come_back_bit_for_bit(model: Tokenizer, tmp_path: Path) -> None:
    painter = StackedDecoder(PainterModel(width=32, depth=2, heads=2), model.config)
    model.save(tmp_path)
    painter.save(tmp_path)
    for ours, again in ((model, families.load(tmp_path)), (painter, StackedDecoder.load(tmp_path))):
        assert type(ours) is type(again)
        assert all(torch.equal(a, again.state_dict()[name]) for name, a in ours.state_dict().items())


def test_a_damaged_model_is_one_clear_error(tmp_path: Path) -> None:
    families.build(SMALL).save(tmp_path)
    path = tmp_path / "tokenizer.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StorageError, match=r"tokenizer\.safetensors: not a whole safetensors file"):
        families.load(tmp_path)
    with pytest.raises(StorageError, match="no such model; train it first"):
        families.load(tmp_path / "elsewhere")


def improved(c: TokenizerModel = SMALL) -> ImprovedVqgan:
    model = families.build(c)
    assert isinstance(model, ImprovedVqgan)
    return model


def test_a_finer_level_comes_nearer_to_the_features() -> None:
    model = improved(SHAPES["two levels"])
    model.start([pictures(SMALL, 8)])
    residual = model.encoder(pictures(SMALL, 4))[1]
    codes = model.details(residual, learn=False)[2]
    both = (model.detail_vectors(codes) - residual).square().mean()
    first = (model.detail_book.look_up(codes[:, 0]) - residual).square().mean()
    assert both < first


def test_the_gradient_of_the_details_passes_straight_to_the_features() -> None:
    model = improved(SHAPES["two levels"])
    residual = torch.randn(1, 8, 4, 4, requires_grad=True)
    weight = torch.randn(1, 8, 4, 4)
    z, _, codes = model.details(residual, learn=False)
    assert torch.allclose(z, model.detail_vectors(codes), atol=1e-5)
    (z * weight).sum().backward()
    assert residual.grad is not None and torch.allclose(residual.grad, weight)


def job(c: TokenizerModel, **values: object) -> TokenizerJob:
    line = presets.override(presets.default(), {f"tokenizer.{k}": v for k, v in values.items()})
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, c.size, c.size, 3), dtype=np.uint8))
    return TokenizerJob(dataclasses.replace(line.tokenizer, model=c), images, torch.randn(6, 384), None)


def test_a_training_goes_on_from_a_smaller_tokenizer_with_fewer_levels(tmp_path: Path) -> None:
    start = improved()
    start.save(tmp_path)
    larger = dataclasses.replace(SMALL, size=128, detail_levels=2)
    grown = job(larger, init=f"folder:{tmp_path}").model
    assert isinstance(grown, ImprovedVqgan)
    for name, value in start.state_dict().items():
        assert torch.equal(grown.state_dict()[name], value), name
    assert int((grown.finer_books[0].counts != 1).sum()) == 0 and grown.config.size == 128  # type: ignore[union-attr, operator]
    with pytest.raises(TrainingError, match="another shape"):
        job(dataclasses.replace(SMALL, width=24), init=f"folder:{tmp_path}")


def test_a_painter_goes_on_from_one_of_smaller_pictures() -> None:
    shape = PainterModel(width=32, depth=2, heads=2)
    start = StackedDecoder(shape, SMALL)
    grown = StackedDecoder(shape, dataclasses.replace(SMALL, size=128, detail_levels=2))
    continue_from(grown, start, "folder:x")
    assert torch.equal(grown.detail_codes.weight[: SMALL.detail_codes], start.detail_codes.weight[:-1])
    assert torch.equal(grown.detail_codes.weight[-1], start.detail_codes.weight[-1]), "the mask stays the last"
    assert torch.equal(grown.layers[0].state_dict()["cross.query.weight"], start.layers[0].cross.query.weight)  # type: ignore[union-attr]
    small, large = start.places[: start.n_global], grown.places[: grown.n_global]
    assert torch.allclose(large.view(8, 8, -1).mean((0, 1)), small.view(4, 4, -1).mean((0, 1)), atol=1e-2)
    other = StackedDecoder(shape, dataclasses.replace(SMALL, detail_codes=64))
    with pytest.raises(TrainingError, match="another shape"):
        continue_from(other, start, "folder:x")


def test_a_window_of_detail_positions_is_guessed_as_if_it_stood_alone() -> None:
    """What the painter is told of a window is where its positions lie."""
    shape = PainterModel(width=32, depth=2, heads=2)
    model = StackedDecoder(shape, SMALL).eval()
    glob, detail = torch.randint(0, 16, (2, 16)), torch.randint(0, 32, (2, 1, 64))
    text, mask = torch.randn(2, 5, 384), torch.ones(2, 5, dtype=torch.long)
    part = square(8, 8, torch.device("cpu"))
    assert torch.equal(part, torch.arange(64)), "the whole map is one window"
    whole = model(glob, model.detail_tokens(detail), text, mask)
    assert torch.equal(whole, model(glob, model.detail_tokens(detail), text, mask, part))
    part = square(8, 3, torch.device("cpu"))
    assert len(part.unique()) == 9 and int(part.max()) < 64 and int(part[4] - part[0]) == 9
    loss_g, loss_d, logits, hidden = guess(model, glob, detail, text, mask, 0.0, window=3)
    assert logits[0].shape == (2, 9, 32) and hidden.shape == (2, 9) and float(loss_d) > 0 and float(loss_g) > 0


def test_beta_weighs_the_side_of_the_features() -> None:
    """The VQGAN code put it on the codebook's side, which its paper does not say."""
    book = GradientCodebook(4, 2)
    z = torch.randn(1, 2, 3, 3, requires_grad=True)
    chosen = book.look_up(book(z)[0])
    book(z)[2].backward()
    assert z.grad is not None and book.vectors.weight.grad is not None
    assert torch.allclose(z.grad, BETA * 2 * (z - chosen).detach() / z.numel(), atol=1e-7)
    sums = (2 * (chosen - z).detach() / z.numel()).sum((0, 2, 3))
    assert torch.allclose(book.vectors.weight.grad.sum(0), sums, atol=1e-6)


def test_on_the_sphere_only_the_direction_counts() -> None:
    book = SphereCodebook(16, 4)
    z = torch.randn(1, 4, 3, 3)
    assert torch.equal(book(z)[0], book(7 * z)[0])
    assert torch.allclose(book.look_up(book(z)[0]).norm(dim=1), torch.ones(1, 3, 3))


def flowmo() -> FlowMo:
    model = families.build(SHAPES["flowmo"])
    assert isinstance(model, FlowMo)
    return model


def test_a_flow_code_is_its_bits() -> None:
    model = flowmo()
    codes = torch.randint(0, 32, (2, 8, 8))
    assert torch.equal(model.read(model.codes[codes.flatten(1)]), codes)


def test_the_flow_follows_a_true_velocity_to_the_picture() -> None:
    model = flowmo()
    x = pictures(SMALL, 1)

    class True_(nn.Module):
        def forward(self, x_t: Tensor, t: Tensor, bits: Tensor) -> Tensor:
            return x - model.noise

    model.generator = True_()  # type: ignore[assignment]
    assert torch.allclose(model.integrate(torch.ones(1, 64, 5)), x, atol=1e-4)


RIVAL = {"tokenizer.model.family": "vqgan", "tokenizer.model.detail_levels": 1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokenizer.model.family": "vqgan", "tokenizer.model.detail_levels": 2}, "only the family 'improved'"),
        ({**RIVAL, "tokenizer.model.family": "flowmo", "tokenizer.model.detail_codes": 1000}, "power of two"),
        ({"tokenizer.init": "elsewhere"}, "use pretrained, scratch or folder:PATH"),
        (RIVAL, "CLIP guidance"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        presets.override(presets.default(), values)
