"""The benchmark beside peers: equal weights, trained steps, and a peer that is missing is said to be."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import contenders, packages, peers, table
from danqing import presets
from danqing.errors import DanqingError

TINY = {
    "tokenizer.model.width": 16, "tokenizer.model.growth": 8, "tokenizer.model.layers": 1,
    "tokenizer.model.code_dim": 8, "tokenizer.model.global_codes": 16, "tokenizer.model.detail_codes": 32,
    "tokenizer.batch": 2, "tokenizer.perceptual_batch": 2, "painter.model.width": 32, "painter.model.depth": 1,
    "painter.model.heads": 2, "painter.batch": 2, "painter.clip_batch": 2, "painter.clip_every": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def setting() -> contenders.Setting:
    return contenders.Setting(presets.override(presets.default(), TINY))


@pytest.fixture(scope="module")
def ours(setting: contenders.Setting) -> contenders.Contender:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contenders, "served", contenders.in_torch)  # an export takes long
        return contenders.danqing(setting)


def row(width: int) -> nn.Module:
    return nn.Linear(width, 1, bias=False)


def test_the_nearest_number_of_weights_is_chosen() -> None:
    assert contenders.weights(contenders.nearest(row, (10, 26, 33, 60), 30)) == 33


def test_a_peer_of_another_size_is_refused() -> None:
    with pytest.raises(DanqingError, match="26 weights and danqing 31"):
        contenders.nearest(row, (10, 26), 31)


def test_codebooks_count_as_weights(setting: contenders.Setting, ours: contenders.Contender) -> None:
    parameters = sum(p.numel() for p in ours.tokenizer.parameters())
    books = (16 + setting.shape.detail_levels * 32) * 8
    assert contenders.weights(ours.tokenizer) == parameters + books == setting.wanted["tokenizer"]


@pytest.mark.parametrize("part", ["tokenizer", "painter"])
def test_what_is_timed_trains_what_is_counted(ours: contenders.Contender, part: str) -> None:
    model = getattr(ours, part)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    next(iter(getattr(ours, f"{part}_steps").values())).run()
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert len(moved) > len(before) / 2


def test_everything_is_in_the_report(setting: contenders.Setting, ours: contenders.Contender) -> None:
    peer = contenders.Contender(
        name="peer", tokenizer=row(5), painter=row(7), tokenizer_steps={"small": contenders.Step(lambda: None)},
        painter_steps={}, paints={"at once": lambda batch: None},
    )  # fmt: skip
    text = "\n".join(peers.report(setting, [ours, peer], rounds=1))
    assert text.count("## ") == 5
    assert text.count("| danqing |") == 1 + 1 + 2 + 2 * len(peers.BATCHES)
    assert text.count("| peer | small |") == 1 and text.count("| peer | at once |") == len(peers.BATCHES)
    assert "slower: 0.0" in text, "a peer that does nothing is faster, and the report says it"


def test_a_ratio_says_who_is_slower() -> None:
    assert peers.ratio([1.0, 1.0, 2.0], [2.0, 3.0, 8.0]) == "3.00 (2.00 to 4.00)"
    assert peers.ratio([2.0, 3.0, 8.0], [1.0, 1.0, 2.0]) == "slower: 0.33 (0.25 to 0.50)"


def test_time_is_per_optimiser_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "interleaved", lambda runs, rounds: {key: [2.0, 2.0] for key in runs})
    lines = peers.compare({("danqing", "four at once", 1_000_000): contenders.Step(lambda: None, 4)}, 2, rate=True)
    assert lines[-1] == "| danqing | four at once | 1.00 | 2.00 (2.00 to 2.00) |  |"


def test_a_missing_peer_is_left_out_and_named(
    setting: contenders.Setting, ours: contenders.Contender, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("muse_maskgit_pytorch", "taming", "diffusers"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(peers, "danqing", lambda _: ours)
    found, missing = peers.gather(setting)
    assert found == [ours] and len(missing) == len(packages.PEERS)
    for line, peer in zip(missing, packages.PEERS, strict=True):
        assert peer.package in line and f"pip install '{peer.requirement}'" in line


def test_the_extra_installs_what_a_missing_peer_asks_for() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["peers"]
    assert sorted(extra) == sorted(peer.requirement for peer in packages.PEERS)
