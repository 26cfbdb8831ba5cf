"""Painting into a picture changes what is marked, and nothing else."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from danqing.cli import app
from danqing.config import Decoding, PainterModel, TokenizerModel
from danqing.editing import Editor, Manner, patches, window
from danqing.errors import DanqingError
from danqing.evaluate import restoring
from danqing.models import families
from danqing.models.painter import StackedDecoder
from danqing.models.restore import Restorer, fill, squares
from danqing.models.text import TextEncoder

SHAPE = TokenizerModel(
    size=64, width=16, growth=8, layers=1, code_dim=8, global_codes=16, detail_codes=32, detail_levels=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    torch.manual_seed(0)
    painter = StackedDecoder(PainterModel(width=32, depth=1, heads=2), SHAPE)
    return Restorer(TextEncoder(32), families.build(SHAPE), painter, Decoding(global_steps=1, detail_steps=2))


@pytest.fixture(scope="module")
def editor(restorer: Restorer) -> Editor:
    return Editor(squares(restorer), SHAPE.size, Manner(guidance=2.0, temperature=1.0))


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def boxed(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[box[0] : box[1], box[2] : box[3]] = True
    return hole


@pytest.mark.parametrize("size", [(64, 64), (150, 200)])
def test_only_what_is_marked_changes(editor: Editor, size: tuple[int, int]) -> None:
    original, hole = picture(*size), boxed(*size, (10, 40, 20, 60))
    made = editor.restore(original, hole, "plum", seed=3)
    assert np.array_equal(made[~hole], original[~hole])
    assert (made[hole] != original[hole]).mean() > 0.5
    assert np.array_equal(made, editor.restore(original, hole, "plum", seed=3)), "a seed is a picture"
    assert not np.array_equal(made, editor.restore(original, hole, "plum", seed=4))


@pytest.mark.parametrize("side", [48, 64, 80])
def test_what_lies_under_the_mask_is_never_looked_at(editor: Editor, side: int) -> None:
    original, hole = picture(side, side), boxed(side, side, (8, 37, 8, 40))
    white = np.where(hole[..., None], 255, original).astype(np.uint8)
    assert np.array_equal(editor.restore(original, hole, "plum"), editor.restore(white, hole, "plum"))


def test_known_codes_are_kept(restorer: Restorer) -> None:
    original, hole = picture(64, 64), boxed(64, 64, (0, 16, 0, 64))
    known = restorer.known(torch.from_numpy(original)[None], torch.from_numpy(hole)[None])
    kept = known.keep_detail.view(8, 8)
    assert not kept[:2].any() and kept[2:].all(), "two rows of patches lie in the hole"
    assert not known.keep_glob.view(4, 4)[0].any() and known.keep_glob.view(4, 4)[1:].all()
    features, mask = restorer.generator.text.read(["plum"])
    codes = restorer.generator.codes(features, mask, torch.tensor([1]), torch.tensor([2.0]), known)
    kept = known.keep_detail[0]
    assert torch.equal(codes.detail[0, :, kept], known.detail[0, :, kept])
    assert torch.equal(codes.glob[known.keep_glob], known.glob[known.keep_glob])


def test_a_hole_is_filled_from_around_it() -> None:
    x = torch.full((1, 3, 64, 64), 0.5)
    hole = torch.zeros(1, 1, 64, 64)
    hole[..., 10:50, 10:50] = 1
    filled = fill(torch.where(hole > 0, -1.0, x), hole)
    assert torch.allclose(filled, x, atol=1e-4)


def test_a_scene_goes_on_beyond_its_side(editor: Editor) -> None:
    original = picture(64, 64)
    made = editor.extend(original, "plum", side="left", share=0.5)
    assert made.shape == (64, 96, 3) and np.array_equal(made[:, 32:], original)
    assert editor.extend(original, "plum", side="down", share=0.25).shape == (80, 64, 3)
    with pytest.raises(DanqingError, match="the side is 'around'"):
        editor.extend(original, "plum", side="around")


def test_a_stronger_revision_changes_more(editor: Editor) -> None:
    original = picture(64, 64)
    changed = [(editor.revise(original, "plum", strength=s) != original).mean() for s in (0.25, 0.75)]
    assert 0 < changed[0] < changed[1]
    assert patches(64, 64, 8, 0.5, 0).mean() == 0.5
    with pytest.raises(DanqingError, match="the strength is 0"):
        editor.revise(original, "plum", strength=0)


def test_a_window_holds_the_hole_and_stays_inside() -> None:
    hole = boxed(300, 200, (280, 300, 150, 199))
    top, left, side = window(hole, 64)
    assert side == 98 and top + side <= 300 and left + side <= 200
    assert hole[top : top + side, left : left + side].sum() == hole.sum()
    with pytest.raises(DanqingError, match="longer than the picture's short side"):
        window(boxed(300, 100, (0, 200, 0, 10)), 64)


def test_holes_have_their_share_and_a_better_filling_measures_better() -> None:
    where = restoring.holes(20, 64, 0.25, seed=1)
    assert abs(where.mean() - 0.25) < 0.025 and np.array_equal(where, restoring.holes(20, 64, 0.25, seed=1))
    y, x = np.mgrid[:64, :64]
    stripes = np.repeat((127 + 100 * np.sin(x / 3 + y / 5))[None, ..., None], 3, 3).astype(np.uint8).repeat(4, 0)
    methods = {
        "truth": lambda pictures, holes: stripes, "telea": restoring.by_opencv(cv2.INPAINT_TELEA),
        "grey": lambda pictures, holes: np.where(holes[..., None], 127, pictures).astype(np.uint8),
    }  # fmt: skip
    found = restoring.compare(methods, stripes, where[:4])
    assert found["truth"]["distance"].max() < 1e-6 < found["telea"]["distance"].min()
    assert found["truth"]["psnr"].min() > 70 > found["grey"]["psnr"].max()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    Image.fromarray(picture(100, 80)).save(tmp_path / "old.png")
    mask = np.zeros((100, 80), np.uint8)
    mask[20:50, 20:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


@pytest.mark.slow
def test_the_model_in_the_box_restores_and_edits_from_the_command_line(files: Path) -> None:
    run, old, out = CliRunner().invoke, str(files / "old.png"), files / "new.png"
    made = run(app, ["restore", old, "--mask", str(files / "mask.png"), "-o", str(out), "--seed", "1"])
    assert made.exit_code == 0, made.output
    before, after = np.asarray(Image.open(old)), np.asarray(Image.open(out))
    assert np.array_equal(before[:20], after[:20]) and not np.array_equal(before, after)
    assert Image.open(out).text["danqing:seed"] == "1"
    for way in (["--box", "0.2,0.2,0.8,0.6"], ["--extend", "right"], ["--strength", "0.5"]):
        assert run(app, ["edit", old, "墨竹", "-o", str(out), *way]).exit_code == 0, way


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edit", "old.png", "plum"], "nothing given: say where"),
        (["edit", "old.png", "plum", "--box", "0,0,1,1", "--strength", "1"], "--box and --strength given"),
        (["edit", "old.png", "plum", "--box", "0.5,0,0.2,1"], "x0 < x1"),
        (["edit", "old.png", "plum", "--box", "left"], "four numbers"),
        (["restore", "none.png", "--mask", "mask.png"], "none.png"),
        (["restore", "mask.txt", "--mask", "mask.png"], "not a picture"),
        (["restore", "old.png", "--mask", "mask.png", "-o", "x.jpg"], "saved as PNG"),
        (["restore", "old.png", "--mask", "mask.png", "--seed", "-3"], "the seed is -3"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    files: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    (files / "mask.txt").write_text("no picture")
    monkeypatch.chdir(files)
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code not in (0, None) and message in found.output.replace("\n", " "), found.output
    assert sorted(p.name for p in files.iterdir()) == ["mask.png", "mask.txt", "old.png"]
