"""CLIP: real open_clip towers, a compact vocabulary, gradients to pixels, and a training that can be killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from danqing import files
from danqing.config import ClipTraining
from danqing.data.corpus import Pictures
from danqing.errors import ConfigError, DanqingError, TrainingError
from danqing.models.clip import CONFIGS, Clip, compact_vocabulary, open_clip_classes, read_config
from danqing.monitor import Silent
from danqing.train import clip as training
from danqing.train.loop import batch_indices
from danqing.wordpieces import WordPieces

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (30, 50, 200), "black": (10, 10, 10)}


def _tiny(kind: str) -> dict[str, object]:
    config = read_config(f"{kind}-64")
    small = {"layers": 2, "width": 64} if kind == "guide" else {"width": 8}
    return {
        "embed_dim": 32,
        "vision_cfg": {**config["vision_cfg"], **small, "image_size": 32 if kind == "guide" else 64},
        "text_cfg": {"context_length": 16, "width": 32, "heads": 2, "layers": 1},
    }


def _coloured(count: int, size: int = 32) -> Pictures:
    """Pictures of one blot on paper; the caption says its colour."""
    import pandas as pd

    random, names = np.random.default_rng(0), list(COLOURS)
    images = np.full((count, size, size, 3), 240, np.uint8)
    captions = []
    for i in range(count):
        name, (y, x) = names[i % 4], random.integers(4, size // 2, 2)
        images[i, y : y + size // 2 - 4, x : x + size // 2 - 4] = COLOURS[name]
        captions.append(f"a {name} blot")
    return Pictures(images=images, captions=captions, frame=pd.DataFrame({"caption_en": captions}))


@pytest.fixture(params=["guide", "judge"])
def clip(request: pytest.FixtureRequest) -> Clip:
    torch.manual_seed(0)
    words = compact_vocabulary(WordPieces()(["a red green blue black blot"])[0])
    return Clip(_tiny(request.param), words, (0.5, 0.4, 0.3), (0.5, 0.5, 0.5)).eval()


def test_guide_and_judge_see_differently() -> None:
    guide, judge = (type(Clip(_tiny(kind), [2000]).net.visual).__name__ for kind in ("guide", "judge"))
    assert (guide, judge) == ("VisionTransformer", "ModifiedResNet")


def test_the_towers_are_open_clips_own_without_its_heavy_companions() -> None:
    """In a fresh process: no transformers, timm or torchvision; and the whole package still imports afterwards."""
    code = (
        "import sys, inspect; from danqing.models.clip import open_clip_classes; lean, loss = open_clip_classes(); "
        "heavy = {'transformers', 'timm', 'torchvision', 'open_clip'} & set(sys.modules); assert not heavy, heavy; "
        "import open_clip; assert inspect.getsourcefile(open_clip.CLIP) == lean.__init__.__code__.co_filename; "
        "assert open_clip.create_model and open_clip_classes() == (open_clip.CLIP, open_clip.ClipLoss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.json")))
def test_every_config_builds_and_is_named_by_its_size(name: str) -> None:
    config = read_config(name)
    assert config["vision_cfg"]["image_size"] == int(name.rpartition("-")[2])
    with torch.device("meta"):
        model, _ = open_clip_classes()
        text = {**config["text_cfg"], "vocab_size": 300}
        assert sum(p.numel() for p in model(config["embed_dim"], config["vision_cfg"], text).parameters()) > 1e6


def test_an_unknown_config_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="guide-64"):
        read_config("guide-63")


def test_embeddings_are_unit_vectors_of_one_space(clip: Clip) -> None:
    image, text = clip.image(torch.rand(3, 3, 64, 64) * 2 - 1), clip.text(["a red blot", "a blue blot"])
    assert image.shape == (3, 32) and text.shape == (2, 32)
    assert torch.allclose(image.norm(dim=1), torch.ones(3)) and torch.allclose(text.norm(dim=1), torch.ones(2))


def test_the_end_of_text_has_the_highest_id_and_unknown_words_are_one(clip: Clip) -> None:
    tokens = clip.tokens(["a red blot", "a zebra blot", "a yacht blot"])
    lengths = (tokens != 0).sum(1)
    assert (tokens.argmax(1) == lengths - 1).all(), "open_clip reads a text at its largest id"
    assert int(tokens.max()) == len(clip.vocabulary) + 3 < clip.net.vocab_size
    assert torch.equal(tokens[1], tokens[2]) and not torch.equal(tokens[0], tokens[1])


def test_an_endless_prompt_is_cut_and_still_ends(clip: Clip) -> None:
    tokens = clip.tokens(["red blot " * 50])
    assert tokens.shape == (1, 16) and int(tokens[0, -1]) == len(clip.vocabulary) + 3


def test_the_gradient_reaches_every_part_of_the_picture(clip: Clip) -> None:
    x = (torch.rand(2, 3, 64, 64) * 2 - 1).requires_grad_()
    (1 - (clip.image(x) * clip.text(["a red blot", "a blue blot"])).sum(1)).mean().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax(dim=(0, 1)) > 0).float().mean() > 0.99


def test_saving_and_loading_keeps_embeddings_bit_for_bit(clip: Clip, tmp_path: Path) -> None:
    clip.save(tmp_path)
    again = Clip.load(tmp_path)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    assert torch.equal(again.image(x), clip.image(x))
    assert torch.equal(again.text(["a red blot", "a zebra"]), clip.text(["a red blot", "a zebra"]))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.json", "clip.safetensors", "vocabulary.json"]


def test_a_damaged_file_is_named(clip: Clip, tmp_path: Path) -> None:
    clip.save(tmp_path)
    (tmp_path / "clip.safetensors").write_bytes(b"broken")
    with pytest.raises(DanqingError, match=r"clip\.safetensors"):
        Clip.load(tmp_path)


@pytest.mark.parametrize("kind", ["guide", "judge"])
def test_training_learns_to_tell_pictures_by_their_captions(kind: str) -> None:
    pictures = _coloured(64)
    torch.manual_seed(0)
    mean, std = training.channel_statistics(pictures.images)
    clip = Clip(_tiny(kind), compact_vocabulary(WordPieces()(pictures.captions)[0]), mean, std).train()
    job = training.Contrastive(clip, pictures, ClipTraining(steps=40, batch=16, lr=3e-3, warmup=5))
    losses = [job.step(step, batch_indices(0, step, 64, 16))["loss"] for step in range(40)]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    _, top1, chance = training.retrieval(clip.eval(), pictures.images, pictures.captions)
    assert top1 > 0.9 > chance == pytest.approx(0.25)


def test_a_picture_is_mirrored_only_where_its_caption_stays_true() -> None:
    assert training.can_flip("two birds above a rock")
    assert not training.can_flip("A boat on the Left, mist")
    assert not training.can_flip("a hut on the right.")
    images = torch.zeros(64, 16, 16, 3, dtype=torch.uint8)
    images[:, :, 8:] = 255
    torch.manual_seed(0)
    right = training.augment(images, torch.zeros(64, dtype=torch.bool))
    assert (right[..., -1] > right[..., 0]).all()
    torch.manual_seed(0)
    either = training.augment(images, torch.ones(64, dtype=torch.bool))
    mirrored = (either[:, 0, 0, -1] < either[:, 0, 0, 0]).float().mean()
    assert 0.25 < mirrored < 0.75


def test_augmentation_keeps_the_tones(clip: Clip) -> None:
    images = torch.from_numpy(_coloured(8).images)
    x = training.augment(images, torch.ones(8, dtype=torch.bool))
    tones = set(((x + 1) * 127.5).round().to(torch.uint8).unique().tolist())
    assert tones <= set(images.unique().tolist())


def test_one_flat_colour_cannot_be_trained_on() -> None:
    with pytest.raises(TrainingError, match="flat colour"):
        training.channel_statistics(np.full((4, 8, 8, 3), 255, np.uint8))


class _Killed(Exception):
    pass


class _KillAt(Silent):
    """Ends the run as a kill would, between two steps."""

    def __init__(self, done: int) -> None:
        self.at = done

    def progress(self, done: int, total: int, note: str = "") -> None:
        if done == self.at:
            raise _Killed


@pytest.mark.parametrize("killed_at", [3, 7])
def test_a_killed_step_ends_with_the_same_weights(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    """Killed in the guide's training (3 of 4 steps) or the judge's (the seventh of all eight), then run again."""
    monkeypatch.setattr(training, "read_config", lambda name: _tiny(name.partition("-")[0]))
    config = ClipTraining(steps=4, batch=16, warmup=1, checkpoint=2, log=1)
    for name in ("straight", "killed"):
        (tmp_path / name / "scratch").mkdir(parents=True)
    straight, killed = tmp_path / "straight", tmp_path / "killed"

    def run(folder: Path, monitor: Silent) -> dict[str, float | str | bool]:
        return training.train_clip(tiny_corpus, out=folder, config=config, monitor=monitor, scratch=folder / "scratch")

    expected = run(straight, Silent())
    with pytest.raises(_Killed):
        run(killed, _KillAt(killed_at))
    again = run(killed, Silent())
    assert again == expected
    for name in ("guide/clip.safetensors", "judge/clip.safetensors", "curves.csv", "metrics.json"):
        assert (straight / name).read_bytes() == (killed / name).read_bytes(), name
    assert files.read_json(straight / "metrics.json") == expected
    assert {"guide_val_loss", "guide_top1", "judge_val_loss", "judge_top1", "top1_chance"} == set(expected)
