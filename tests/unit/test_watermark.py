"""The invisible mark: what it survives, what it leaves alone, and when it is not there."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from danqing.data import brush
from danqing.paint import enlarge
from danqing.provenance import convolution, watermark

PAYLOAD = bytes.fromhex("0123456789ab")


def painting(seed: int, side: int = 512) -> Image.Image:
    return enlarge(Image.fromarray(brush.paint(brush.compose(seed), 128)), side // 128)


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def scaled(picture: Image.Image, scale: float) -> Image.Image:
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def marked() -> list[Image.Image]:
    return [watermark.embed(painting(seed), PAYLOAD) for seed in range(4)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p, id="nothing"),
        pytest.param(lambda p: jpeg(p, 90), id="jpeg-90"),
        pytest.param(lambda p: jpeg(p, 50), id="jpeg-50"),
        pytest.param(lambda p: scaled(p, 0.5), id="half"),
        pytest.param(lambda p: scaled(p, 2), id="double"),
        pytest.param(lambda p: scaled(scaled(p, 0.75), 4 / 3), id="there-and-back"),
        pytest.param(lambda p: jpeg(scaled(p, 0.75), 75), id="smaller-and-jpeg"),
        pytest.param(lambda p: p.resize((400, 512)), id="narrower"),
        pytest.param(lambda p: p.point(lambda v: min(255, int(1.1 * v + 5))), id="brighter"),
        pytest.param(lambda p: p.convert("L"), id="grey"),
    ],
)
def test_the_mark_is_read_back_after(change, marked):
    assert [watermark.extract(change(picture)) for picture in marked] == [PAYLOAD] * len(marked)


def test_a_picture_without_the_mark_has_none():
    pictures = [painting(seed) for seed in range(100, 120)]
    pictures += [Image.new("RGB", (300, 200), shade) for shade in ("white", "black", "grey")]
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert {watermark.extract(picture) for picture in [*pictures, Image.fromarray(noise)]} == {None}


def test_only_the_key_that_made_the_mark_reads_it():
    picture = watermark.embed(painting(7), PAYLOAD, b"secret")
    assert watermark.extract(picture, b"secret") == PAYLOAD
    assert watermark.extract(picture, b"other") is None
    assert watermark.extract(picture) is None


def test_the_last_of_two_marks_is_read(marked):
    assert watermark.extract(watermark.embed(marked[0], PAYLOAD[::-1])) == PAYLOAD[::-1]


@pytest.mark.parametrize("seed", range(4))
def test_the_picture_is_hardly_changed(seed, marked):
    before, after = np.asarray(painting(seed), float), np.asarray(marked[seed], float)
    assert 10 * np.log10(255**2 / np.mean((before - after) ** 2)) >= 38


def test_blank_paper_shows_no_pattern(marked):
    before, after = np.asarray(painting(0).convert("L"), float), np.asarray(marked[0].convert("L"), float)
    blocks = before.reshape(32, 16, 32, 16).std((1, 3))
    change = (after - before).reshape(32, 16, 32, 16).std((1, 3))
    paper, ink = change[blocks < np.quantile(blocks, 0.25)], change[blocks > np.quantile(blocks, 0.9)]
    assert paper.mean() < 0.75 < ink.mean()


def test_a_picture_of_any_shape_can_be_marked():
    wide = Image.fromarray(np.hstack([np.asarray(painting(seed)) for seed in (1, 2)]))
    assert watermark.extract(jpeg(watermark.embed(wide, PAYLOAD), 75)) == PAYLOAD


def test_the_same_picture_gets_the_same_mark(marked):
    assert watermark.embed(painting(0), PAYLOAD).tobytes() == marked[0].tobytes()


def test_marks_of_earlier_versions_stay_readable():
    """Where the bits lie must not change, whatever numpy or this module become, or served pictures lose their mark."""
    places, weights = watermark._layout(b"")
    assert (places.shape, places[0, :4].tolist()) == ((258, 45), [62, 5584, 8800, 2522])
    layout = hashlib.sha256(places.astype("<i4").tobytes() + np.sign(weights).astype("i1").tobytes())
    assert layout.hexdigest() == "acea083bdbeec599667c62ac094fc0d91dcab6bab31aad78929dea2407d61a6a"


def test_a_payload_of_another_length_is_refused():
    with pytest.raises(ValueError, match="6"):
        watermark.embed(painting(0), b"short")


def test_the_code_corrects_what_is_doubtful_and_some_of_what_is_wrong():
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, 80)
    sent = convolution.encode(bits)
    assert len(sent) == convolution.length(80) == 258
    received = sent + rng.normal(0, 0.9, len(sent))
    assert np.mean(np.sign(received) != sent) > 0.08
    assert convolution.decode(received).tolist() == bits.tolist()
