"""Painting from a package, without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_package

from danqing import files
from danqing.errors import DanqingError, StorageError
from danqing.package import GRAPH, MANIFEST, Package, champion, point_to_champion
from danqing.paint import Painter, box

PROMPT = "a lone boat under misty mountains, freehand"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package.make(tmp_path_factory.mktemp("package") / "whole").folder


@pytest.fixture(scope="module")
def painter(whole: Path) -> Painter:
    return Painter.load(whole)


def pixels(pictures: list) -> np.ndarray:
    return np.stack([np.asarray(picture) for picture in pictures])


def edited(package: Path, change, target: Path) -> Path:
    """A copy of `package` whose manifest went through `change`."""
    files.copy_tree(package, target)
    values = files.read_json(target / MANIFEST)
    change(values)
    (target / MANIFEST).unlink()  # copies are hard links
    files.write_json(target / MANIFEST, values)
    return target


def test_a_prompt_becomes_one_rgb_picture_of_the_models_size(painter):
    (picture,) = painter.paint(PROMPT)
    assert (picture.mode, picture.size) == ("RGB", (tiny_package.SIZE, tiny_package.SIZE))


def test_the_same_request_paints_the_same_picture_and_another_one_another(painter, whole):
    first = pixels(painter.paint(PROMPT, seed=7))
    assert np.array_equal(first, pixels(Painter.load(whole).paint(PROMPT, seed=7)))
    assert not np.array_equal(first, pixels(painter.paint(PROMPT, seed=8)))
    assert not np.array_equal(first, pixels(painter.paint("bamboo in the rain", seed=7)))
    assert not np.array_equal(first, pixels(painter.paint(PROMPT, seed=7, guidance=1.0)))


def test_without_guidance_the_packages_own_is_used(painter):
    own = tiny_package.DECODING["guidance"]
    assert np.array_equal(pixels(painter.paint(PROMPT)), pixels(painter.paint(PROMPT, guidance=own)))


def test_a_picture_does_not_depend_on_what_is_painted_beside_it(painter):
    together = pixels(painter.paint([PROMPT, "bamboo", "a crane"], seed=[3, 4, 5]))
    assert np.array_equal(together[1:2], pixels(painter.paint("bamboo", seed=4)))


def test_a_chinese_prompt_paints_what_its_english_words_paint(painter):
    from danqing.taxonomy import to_english

    prompt = "山水，孤舟"
    assert np.array_equal(pixels(painter.paint(prompt)), pixels(painter.paint(to_english(prompt))))


def test_weights_outside_the_graph_paint_as_weights_inside(painter, tmp_path):
    outside = tiny_package.make_box(tmp_path / "box").folder
    assert (outside / GRAPH).stat().st_size < 10_000
    assert np.array_equal(pixels(Painter.load(outside).paint(PROMPT, seed=5)), pixels(painter.paint(PROMPT, seed=5)))


@pytest.mark.parametrize("prompt", ["", "  \n", []])
def test_an_empty_prompt_is_refused(painter, prompt):
    with pytest.raises(DanqingError, match="say what to paint"):
        painter.paint(prompt)


def test_a_prompt_longer_than_the_model_reads_is_refused_with_both_lengths(painter):
    with pytest.raises(DanqingError, match="40 word pieces, the model reads 30"):
        painter.paint("boat " * 40)
    painter.paint("boat " * 30)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "7", None])
def test_a_wrong_seed_is_refused(painter, seed):
    with pytest.raises(DanqingError, match="seed"):
        painter.paint(PROMPT, seed=seed)


def test_the_largest_seed_paints(painter):
    painter.paint(PROMPT, seed=2**63 - 1)


@pytest.mark.parametrize("guidance", [float("nan"), -1, 1000, "much"])
def test_a_wrong_guidance_is_refused(painter, guidance):
    with pytest.raises(DanqingError, match="guidance"):
        painter.paint(PROMPT, guidance=guidance)


def test_there_must_be_one_seed_a_prompt(painter):
    with pytest.raises(DanqingError, match="2 prompts but 3 seeds"):
        painter.paint([PROMPT, PROMPT], seed=[1, 2, 3])


def test_a_changed_file_is_refused_by_name(whole, tmp_path):
    broken = edited(whole, lambda values: None, tmp_path / "broken")
    (broken / "card.md").unlink()
    (broken / "card.md").write_text("Another card.\n")
    with pytest.raises(StorageError, match=r"card\.md: damaged or changed"):
        Painter.load(broken)


def test_a_missing_file_is_named(whole, tmp_path):
    broken = edited(whole, lambda values: None, tmp_path / "broken")
    (broken / GRAPH).unlink()
    with pytest.raises(StorageError, match=f"{GRAPH} is missing"):
        Painter.load(broken)


def test_another_text_encoder_than_the_models_is_refused(tmp_path):
    outside = tiny_package.make_box(tmp_path / "box").folder
    wrong = edited(outside, lambda values: values["weights"].update(text_encoder_sha256="0" * 64), tmp_path / "wrong")
    with pytest.raises(StorageError, match="not the text encoder"):
        Painter.load(wrong)


def test_a_weight_that_no_file_holds_is_named(tmp_path):
    outside = tiny_package.make_box(tmp_path / "box").folder

    def lose(values):
        values["weights"]["initializers"]["generate"]["painter.lost"] = 0

    wrong = edited(outside, lose, tmp_path / "wrong")
    with pytest.raises(StorageError, match="lost"):
        Painter.load(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.update(format=99), "package format 99"),
        (lambda values: values.pop("size"), "'size' is missing"),
        (lambda values: values["files"].update({"../card.md": "0"}), "not a plain file name"),
        (lambda values: values.update(name="../../elsewhere"), "not a plain word"),
        (lambda values: values.update(name='x" backend: "y'), "not a plain word"),
        (lambda values: values["files"].pop(GRAPH), "is not among its files"),
        (lambda values: values.update(decoding={}), "'guidance' is missing"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(whole, tmp_path, change, message):
    with pytest.raises(DanqingError, match=message):
        Painter.load(edited(whole, change, tmp_path / "wrong"))


def test_a_folder_that_is_no_package_is_refused(tmp_path):
    with pytest.raises(DanqingError, match="no package"):
        Painter.load(tmp_path)
    with pytest.raises(DanqingError, match="there is no such package"):
        Painter.load(tmp_path / "nowhere")


def test_before_any_promotion_the_model_in_the_box_is_champion(tmp_path):
    assert champion(tmp_path) == box()


def test_the_pointer_of_the_last_promotion_is_followed(whole, tmp_path, monkeypatch):
    point_to_champion(whole, "3", tmp_path)
    assert champion(tmp_path) == whole
    monkeypatch.setenv("DANQING_WORKSPACE", str(tmp_path))
    assert Painter.load().package.digest == Package.read(whole).digest


def test_a_pointer_to_a_package_that_is_gone_says_which(tmp_path):
    point_to_champion(tmp_path / "gone", "3", tmp_path)
    with pytest.raises(DanqingError, match="gone"):
        Package.read(champion(tmp_path))


def test_painting_imports_onnxruntime_and_no_training_or_serving_library(whole):
    heavy = ["torch", "transformers", "mlflow", "kfp", "tritonclient", "onnx", "pandas", "scipy", "great_expectations"]
    program = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from danqing.paint import Painter\n"
        f"Painter.load(Path({str(whole)!r})).paint('山水，孤舟')\n"
        f"print(json.dumps([m for m in {heavy!r} + ['onnxruntime'] if m in sys.modules]))\n"
    )
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert json.loads(done.stdout.splitlines()[-1]) == ["onnxruntime"]
