"""What `danqing paint` leaves on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_package
from PIL import Image

from danqing.commands.paint import paint_command
from danqing.errors import DanqingError

PROMPT = "a lone boat under misty mountains"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_package.make(tmp_path_factory.mktemp("package") / "whole").folder


@pytest.fixture
def paint(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *prompts, **options: paint_command(
        prompts or (PROMPT,), **{"model": model, "say": lambda line: None, **options}
    )


def test_a_picture_is_saved_large_enough_to_look_at(paint):
    (path,) = paint(out=Path("boat.png"))
    assert path == Path("boat.png")
    assert min(Image.open(path).size) >= 512


def test_scale_one_saves_the_picture_as_it_was_painted(paint, model):
    from danqing.paint import Painter

    (path,) = paint(seed=3, scale=1)
    painted = Painter.load(model).paint(PROMPT, seed=3)[0]
    assert Image.open(path).tobytes() == painted.tobytes()


def test_the_file_says_seed_guidance_and_model_and_keeps_the_words_to_itself(paint, model):
    import hashlib

    from danqing.package import Package

    (path,) = paint(seed=3)
    with Image.open(path) as picture:
        text = picture.text
    assert text["danqing:seed"] == "3"
    assert text["danqing:guidance"] == "3"
    assert text["danqing:model"] == Package.read(model).version
    assert text["danqing:prompt-sha256"] == hashlib.sha256(PROMPT.encode()).hexdigest()
    assert PROMPT.encode() not in path.read_bytes()


def test_a_chosen_seed_is_said_so_that_the_picture_can_be_painted_again(paint):
    lines: list[str] = []
    (first,) = paint(say=lines.append, scale=1)
    seed = int(lines[0].split("seed ")[1].split(",")[0])
    (second,) = paint(seed=seed, scale=1, out=Path("again.png"))
    assert Image.open(first).tobytes() == Image.open(second).tobytes()


def test_new_names_never_overwrite(paint):
    names = [paint(seed=3, scale=1)[0].name for _ in range(3)]
    assert names == ["danqing-3.png", "danqing-3-2.png", "danqing-3-3.png"]


def test_a_named_file_is_replaced(paint):
    (path,) = paint(seed=1, scale=1, out=Path("boat.png"))
    before = path.read_bytes()
    paint(seed=2, scale=1, out=Path("boat.png"))
    assert path.read_bytes() != before


def test_several_pictures_get_numbered_names_from_their_seeds(paint):
    paths = paint("bamboo", "a crane", seed=5, count=2, scale=1, out=Path("made/boat.png"))
    assert [str(p) for p in paths] == ["made/boat-5.png", "made/boat-6.png", "made/boat-5-2.png", "made/boat-6-2.png"]
    assert len({p.read_bytes() for p in paths}) == 4


def test_a_folder_is_filled(paint):
    (path,) = paint(seed=5, scale=1, out=Path("pictures"))
    assert path == Path("pictures/danqing-5.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": Path("boat.jpg")}, "ends in .png"),
        ({"count": 0}, "count"),
        ({"scale": 0}, "scale"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63 - 1, "count": 2}, "seed"),
        ({"guidance": -1.0}, "guidance"),
        ({"url": "grpc://localhost:8001"}, "contradict"),
    ],
)
def test_a_wrong_request_is_refused_and_leaves_nothing(paint, tmp_path, options, message):
    with pytest.raises(DanqingError, match=message):
        paint(**options)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(paint, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DanqingError, match="file"):
        paint(out=Path("file/boat.png"))


def test_it_says_as_what_a_chinese_prompt_was_read(paint):
    lines: list[str] = []
    paint("写意山水，孤舟", say=lines.append, out=Path("boat.png"))
    assert lines[0] == "写意山水，孤舟: read as “freehand landscape, a lone boat”"


def test_a_server_may_read_what_this_client_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    from danqing import meaning
    from danqing.commands import paint

    monkeypatch.setattr(meaning, "installed", lambda: False)
    assert "the server reads it" in paint._explain("饕餮")
    assert "a lone boat" in paint._explain("孤舟")
