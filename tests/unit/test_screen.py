"""Screening: judges every picture, sets aside what is no painting, and knows when it is not to be trusted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from danqing import files, presets
from danqing.data import corpus
from danqing.data import screen as module
from danqing.data.brush import MAINS, compose, paint
from danqing.data.corpus import Rejected
from danqing.data.negatives import negative
from danqing.data.screen import ScreenerFeatures, screen
from danqing.errors import DataError
from danqing.monitor import Silent


def _source(folder: Path, count: int = 48, foreign: int = 0, theme: bool = True) -> Path:
    """Brush scenes, and `foreign` records of a folder, the last of which is a page of text."""
    records = []
    for i in range(count + foreign):
        scene = compose(i, main=MAINS[i % 13])
        picture = paint(scene, 48)
        if foreign and i == count + foreign - 1:
            picture = negative(99, 2, 48)
        records.append(
            corpus.record(id=f"r{i}", group=f"r{i}", image=corpus.encode(picture), width=48, height=48,
                          source="brush" if i < count else "folder", licence="CC0-1.0",
                          theme=scene.theme if theme and i < count else "")
        )  # fmt: skip
    corpus.write(folder, records, [Rejected(id="gone", reason="broken")])
    return folder


def _screen(source: Path, out: Path, **overrides: Any) -> dict[str, Any]:
    values = {"steps": 2, "batch": 8, "size": 32, **overrides}
    section = presets.override(presets.default(), {f"screen.{k}": v for k, v in values.items()}).screen
    out.mkdir(parents=True, exist_ok=True)
    scratch = out.parent / f"{out.name}-scratch"
    scratch.mkdir(exist_ok=True)
    return screen(source, out=out, config=section, monitor=Silent(), scratch=scratch)


def test_every_picture_is_judged_and_the_network_lies_beside_the_corpus(tmp_path: Path) -> None:
    source = _source(tmp_path / "in")
    metrics = _screen(source, tmp_path / "out")
    records = list(corpus.read(tmp_path / "out"))
    themes = {r["theme"] for r in records}
    assert len(records) == metrics["pictures"] == 48
    assert all(r["screen_theme"] in themes and 0 <= r["screen_painting"] <= 1 for r in records)
    facts = files.read_json(tmp_path / "out" / "screener.json")
    assert facts["classes"][-1] == module.NOT_PAINTING and set(facts["classes"][:-1]) == themes
    assert facts["size"] == 32 and len(facts["mean"]) == len(facts["std"]) == 3
    assert files.read_json(tmp_path / "out" / "metrics.json") == metrics
    assert corpus.rejected(tmp_path / "out") == [Rejected(id="gone", reason="broken")]


def test_the_network_can_be_loaded_and_gives_features_with_gradients(tmp_path: Path) -> None:
    _screen(_source(tmp_path / "in"), tmp_path / "out")
    features = ScreenerFeatures.load(tmp_path / "out")
    assert sum(p.numel() for p in features.net.parameters()) > 23_000_000, "a ResNet-50"
    x = torch.zeros(2, 3, 64, 64, requires_grad=True)
    maps = features.train().maps(x)
    assert [m.shape[1] for m in maps] == [256, 512, 1024]
    sum(m.square().mean() for m in maps).backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()
    assert not any(p.requires_grad for p in features.parameters())


@pytest.mark.slow
def test_screening_twice_gives_the_same_files(tmp_path: Path) -> None:
    source = _source(tmp_path / "in", 26)
    for name in ("a", "b"):
        _screen(source, tmp_path / name)
    assert files.fingerprint(tmp_path / "a") == files.fingerprint(tmp_path / "b")


def test_a_corpus_without_any_theme_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"theme column of metadata\.csv"):
        _screen(_source(tmp_path / "in", theme=False), tmp_path / "out")


def _pretend(monkeypatch: pytest.MonkeyPatch, judge: Any) -> None:
    """Replace the network's verdict: `judge(number of pictures, whether they are negatives)` → P(not a painting)."""
    calls: list[int] = []

    def fake(net: Any, pictures: np.ndarray, monitor: Any = None) -> np.ndarray:
        calls.append(1)
        wrong = np.asarray(judge(len(pictures), len(calls) == 2), dtype=float)
        p = np.full((len(pictures), 5), 0.0)
        p[:, -1] = wrong
        p[:, 0] = 1 - wrong
        return p

    monkeypatch.setattr(module, "probabilities", fake)


def test_what_is_surely_no_painting_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source(tmp_path / "in", 26, foreign=10)
    _pretend(monkeypatch, lambda n, negatives: [0.99] * n if negatives else [0.05] * (n - 1) + [0.97])
    metrics = _screen(source, tmp_path / "out")
    assert metrics["trusted"] and metrics["set_aside"] == 1
    assert "r35" not in {r["id"] for r in corpus.read(tmp_path / "out")}
    reason = {r.id: r.reason for r in corpus.rejected(tmp_path / "out")}["r35"]
    assert "no painting" in reason and "0.970" in reason


def test_a_brush_picture_is_never_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source(tmp_path / "in", 26)
    _pretend(monkeypatch, lambda n, negatives: [0.99] * n if negatives else [0.97] + [0.05] * (n - 1))
    metrics = _screen(source, tmp_path / "out")
    assert metrics["set_aside"] == 0 and metrics["pictures"] == 26


def test_a_screener_that_would_throw_out_much_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source(tmp_path / "in", 26, foreign=10)
    _pretend(monkeypatch, lambda n, negatives: [0.99] * n if negatives else [0.05] * (n - 3) + [0.97] * 3)
    metrics = _screen(source, tmp_path / "out")
    assert metrics["suspects"] == 3 and metrics["suspect_share"] == pytest.approx(0.3)
    assert metrics["trusted"] is False and metrics["set_aside"] == 0 and metrics["pictures"] == 36


def test_a_screener_that_misses_the_held_out_negatives_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(tmp_path / "in", 26, foreign=10)
    _pretend(monkeypatch, lambda n, negatives: [0.1] * n if negatives else [0.05] * (n - 1) + [0.97])
    metrics = _screen(source, tmp_path / "out")
    assert metrics["negatives_caught"] == 0 and metrics["trusted"] is False and metrics["set_aside"] == 0


@pytest.mark.slow
def test_a_short_training_learns_to_tell_paintings_from_other_pictures(tmp_path: Path) -> None:
    metrics = _screen(_source(tmp_path / "in", 130), tmp_path / "out", steps=24, batch=32)
    assert metrics["painting_accuracy"] > 0.6
    assert metrics["held_out"] > 10


_SCRIPT = """
import os, signal, sys
from pathlib import Path
from danqing import presets
from danqing.data.screen import screen
from danqing.monitor import Silent

class Killer(Silent):
    def metrics(self, values, step=None):
        if step == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)

section = presets.override(presets.default(), {"screen.steps": 4, "screen.batch": 8, "screen.size": 32}).screen
source, out, scratch = (Path(p) for p in sys.argv[1:4])
print(screen(source, out=out, config=section, monitor=Killer(), scratch=scratch)["loss"])
"""


@pytest.mark.slow
def test_a_killed_screening_resumes_and_ends_the_same(tmp_path: Path) -> None:
    source = _source(tmp_path / "in", 26)

    def attempt(name: str, scratch: str, kill_at: int) -> subprocess.CompletedProcess[str]:
        for folder in (name, scratch):
            (tmp_path / folder).mkdir(exist_ok=True)
        script = [
            sys.executable,
            "-c",
            _SCRIPT,
            str(source),
            str(tmp_path / name),
            str(tmp_path / scratch),
            str(kill_at),
        ]
        return subprocess.run(script, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})

    whole = attempt("whole", "scratch-a", -1)
    assert whole.returncode == 0, whole.stderr
    killed = attempt("killed", "scratch-b", 3)
    assert killed.returncode == -signal.SIGKILL
    assert list((tmp_path / "scratch-b").rglob("state.safetensors")), "no checkpoint was written"
    resumed = attempt("killed", "scratch-b", -1)
    assert resumed.stdout == whole.stdout
    assert files.fingerprint(tmp_path / "killed") == files.fingerprint(tmp_path / "whole")


def test_negatives_are_seeded_and_of_many_kinds() -> None:
    pictures = [negative(0, i, 32) for i in range(20)]
    assert all(p.shape == (32, 32, 3) and p.dtype == np.uint8 for p in pictures)
    np.testing.assert_array_equal(pictures[7], negative(0, 7, 32))
    assert len({p.tobytes() for p in pictures}) == 20
