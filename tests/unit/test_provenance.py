"""A stamped picture: what it says, and what is found when somebody has been at it."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from png_surgery import chunks, only, png, with_notes, with_pixels, without

from danqing.data import brush
from danqing.errors import ConfigError
from danqing.paint import enlarge, save
from danqing.provenance import Origin, Stamping, Work, certificates, inspect, manifest, prompt_digest, stamp
from danqing.provenance.origin import picture_id, seal
from danqing.provenance.png import parse

PROMPT = "a lone boat under misty mountains"
ORIGIN = Origin(
    model="box-0123456789ab", seed=7, guidance=3.0, prompt_sha256=prompt_digest(PROMPT), lineage={"git": "abc"},
    policy="2026-11", nearest=(Work(id="met-36131", licence="CC0-1.0", similarity=0.71),),
)  # fmt: skip
OTHER = dataclasses.replace(ORIGIN, seed=8)
NO_C2PA = Stamping(c2pa=False)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory) -> Path:
    """The development certificate of these tests lies in a folder of their own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        for name in (certificates.CERTIFICATE, certificates.KEY, "DANQING_PROVENANCE_SECRET"):
            patch.delenv(name, raising=False)
        yield folder


def painting(seed: int) -> Image.Image:
    return enlarge(Image.fromarray(brush.paint(brush.compose(seed), 128)), 4)


@pytest.fixture(scope="module")
def stamped(cache) -> bytes:
    return stamp(painting(1), ORIGIN)


@pytest.fixture(scope="module")
def other(cache) -> bytes:
    return stamp(painting(2), OTHER)


@pytest.fixture(scope="module")
def secret(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("secret") / "key"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return path


def states(data: bytes, **options) -> dict[str, str]:
    return {layer.name: layer.state for layer in inspect(data, **options).layers}


def jpeg(data: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(file, "JPEG", quality=75)
    return file.getvalue()


def resealed(texts: dict[str, str], **changes: str) -> dict[str, str]:
    """Notes that were changed by somebody who knows this program."""
    facts = {k: v for k, v in texts.items() if k not in ("danqing:picture", "danqing:layers", "danqing:pixels-sha256",
                                                        "danqing:seal")} | changes  # fmt: skip
    new = texts | changes | {"danqing:picture": picture_id(facts)}
    del new["danqing:seal"]
    return new | {"danqing:seal": seal(new)}


def smear(pixels: np.ndarray) -> None:
    pixels[200:210, 200:210] = 255


INTACT = {"text": "intact", "aigc": "intact", "c2pa": "untrusted", "watermark": "intact"}
MODEL = "danqing:model"

TAMPERING = {
    "nothing": (lambda a, b: a, {}, "who wrote it is not proved"),
    "a pixel was changed": (
        lambda a, b: with_pixels(a, smear), dict.fromkeys(("text", "aigc", "c2pa"), "tampered"),
        "by its watermark it is the picture that was signed"),
    "a note was changed": (
        lambda a, b: with_notes(a, lambda t: t | {MODEL: "other"}), dict.fromkeys(("text", "c2pa"), "tampered"),
        "notes were changed after signing"),
    "a note was changed and sealed anew": (
        lambda a, b: with_notes(a, lambda t: resealed(t, **{MODEL: "other"})),
        dict.fromkeys(("text", "c2pa"), "tampered"), "not as it was signed: danqing:model"),
    "a note was added": (
        lambda a, b: with_notes(a, lambda t: t | {"danqing:artist": "me"}), dict.fromkeys(("text", "c2pa"), "tampered"),
        "a note was changed|not as it was signed"),
    "the notes were removed": (
        lambda a, b: png(without(a, b"tEXt")), dict.fromkeys(("text", "c2pa"), "tampered"), "has been removed"),
    "the signature was removed": (
        lambda a, b: png(without(a, b"caBX")), {"c2pa": "tampered"}, "has been removed"),
    "everything but the watermark was removed": (
        lambda a, b: png(without(a, b"caBX", b"tEXt", b"iTXt")),
        dict.fromkeys(("text", "aigc", "c2pa"), "absent"), "only the watermark is left"),
    "saved as JPEG": (
        lambda a, b: jpeg(a), dict.fromkeys(("text", "aigc", "c2pa"), "absent"), "only the watermark is left"),
    "the manifest of another picture": (
        lambda a, b: png([chunks(a)[0], *only(b, b"caBX"), *without(a, b"caBX")[1:]]), {"c2pa": "tampered"},
        "the manifest of another picture"),
    "the picture of another file": (
        lambda a, b: png([*without(a, b"IDAT", b"IEND"), *only(b, b"IDAT", b"IEND")]),
        dict.fromkeys(INTACT, "tampered"), "the mark of another picture"),
    "the manifest was edited": (
        lambda a, b: png([(k, v.replace(b"box-0123", b"box-9999") if k == b"caBX" else v) for k, v in chunks(a)]),
        {"c2pa": "tampered"}, "assertion.hashedURI.mismatch"),
    "the manifest was cut": (
        lambda a, b: png([(k, v[:900] if k == b"caBX" else v) for k, v in chunks(a)]), {"c2pa": "tampered"},
        "damaged"),
    "another program wrote into the file": (
        lambda a, b: png([chunks(a)[0], (b"gAMA", b"\0\0\xb1\x8f"), *chunks(a)[1:]]),
        dict.fromkeys(("text", "c2pa"), "tampered"), "another program"),
    "something was appended": (
        lambda a, b: a + b"more", dict.fromkeys(("text", "c2pa"), "tampered"), "data after IEND"),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERING)
def test_what_was_done_to_a_file_is_found(case, stamped, other):
    change, expected, said = TAMPERING[case]
    report = inspect(change(stamped, other))
    assert {layer.name: layer.state for layer in report.layers} == INTACT | expected
    everything = " ".join([report.summary, *(layer.why for layer in report.layers)])
    assert any(words in everything for words in said.split("|")), everything


def test_without_c2pa_a_changed_note_is_found_by_the_watermark(stamped):
    data = with_notes(stamp(painting(1), ORIGIN, NO_C2PA), lambda t: resealed(t, **{MODEL: "other"}))
    assert states(data) == INTACT | {"c2pa": "absent", "aigc": "tampered", "watermark": "tampered"}


def test_a_note_that_is_there_twice_is_found():
    data = stamp(painting(1), ORIGIN, NO_C2PA)
    twice = png([chunks(data)[0], (b"tEXt", b"danqing:model\0other"), *chunks(data)[1:]])
    assert "twice" in inspect(twice)["text"].why


def test_everything_that_was_said_is_read_back(stamped):
    report = inspect(stamped)
    for fields in (report["text"].fields, report["c2pa"].fields):
        assert fields.items() >= ORIGIN.facts().items()
    assert json.loads(report["text"].fields["danqing:nearest"]) == [["met-36131", "CC0-1.0", 0.71]]
    assert report["watermark"].fields["picture"] == report["text"].fields["danqing:picture"][:8]
    assert report["aigc"].fields["ProduceID"] == report["text"].fields["danqing:picture"]


def test_the_same_request_gives_the_same_bytes():
    assert stamp(painting(1), ORIGIN, NO_C2PA) == stamp(painting(1), ORIGIN, NO_C2PA)


def test_with_c2pa_only_the_manifest_differs(stamped):
    again = stamp(painting(1), ORIGIN)
    assert again != stamped
    assert without(again, b"caBX") == without(stamped, b"caBX")


@pytest.mark.parametrize("layer", INTACT)
def test_a_layer_can_be_switched_off_and_is_not_missed(layer):
    data = stamp(painting(1), ORIGIN, dataclasses.replace(Stamping(), **{layer: False}))
    assert states(data) == INTACT | {layer: "absent"}


def test_without_any_layer_it_is_a_plain_png():
    data = stamp(painting(1), ORIGIN, Stamping(text=False, aigc=False, c2pa=False, watermark=False))
    assert {kind for kind, _ in chunks(data)} == {b"IHDR", b"IDAT", b"IEND"}
    assert inspect(data).verdict == "absent"


def test_a_picture_that_cannot_hold_the_mark_does_not_claim_it():
    report = inspect(stamp(Image.new("RGB", (40, 40), "white"), ORIGIN, NO_C2PA))
    assert report.verdict == "intact"
    assert report["watermark"].state == "absent"


def test_the_prompt_is_not_in_the_file(stamped):
    assert PROMPT.encode() not in stamped


def test_with_a_secret_nobody_else_can_guess_the_prompt_read_the_mark_or_seal_notes(secret):
    key = secret.read_bytes().strip()
    origin = dataclasses.replace(ORIGIN, prompt_sha256=prompt_digest(PROMPT, key), prompt_keyed=True)
    assert origin.prompt_sha256 != ORIGIN.prompt_sha256
    data = stamp(painting(1), origin, Stamping(c2pa=False, secret=secret))
    assert "danqing:prompt-sha256" not in dict(parse(data).texts)
    intact = INTACT | {"c2pa": "absent"}
    assert states(data, secret=key) == intact
    assert states(data) == intact | {"watermark": "untrusted"}
    assert states(data, secret=b"another secret of some length")["text"] == "tampered"
    forged = with_notes(data, lambda t: resealed(t, **{MODEL: "other"}))
    assert states(forged, secret=key) == {
        "text": "untrusted",
        "aigc": "tampered",
        "c2pa": "absent",
        "watermark": "tampered",
    }


def test_what_danqing_paint_saves_says_who_painted_it_and_is_believed(tmp_path):
    save(painting(1), tmp_path / "p.png", prompt=PROMPT, seed=7, guidance=3.0, model="box-1")
    report = inspect(tmp_path / "p.png")
    assert (report["text"].state, report["text"].fields[MODEL]) == ("intact", "box-1")
    assert report["c2pa"].state == report["watermark"].state == "absent", "nothing claims what was not written"


def test_without_the_c2pa_package_it_says_what_to_install(stamped, monkeypatch):
    monkeypatch.setattr(manifest, "installed", lambda: False)
    with pytest.raises(ConfigError, match="provenance"):
        stamp(painting(1), ORIGIN)
    report = inspect(stamped)
    assert (report["c2pa"].state, "provenance" in report["c2pa"].why) == ("untrusted", True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": ""}, "model"),
        ({"prompt_sha256": PROMPT}, "prompt_digest"),
        ({"guidance": float("nan")}, "guidance"),
        ({"time": "yesterday"}, "ISO 8601"),
        ({"time": "2026-11-23T08:00:00"}, "zone"),
        ({"policy": "1\n2"}, "policy"),
        ({"lineage": {"a": "b" * 9000}}, "lineage"),
    ],
)
def test_an_origin_that_cannot_be_written_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(ORIGIN, **wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"label": "fr"}, "label"), ({"producer": ""}, "producer"), ({"certificate": Path("a")}, "belong together")],
)
def test_a_stamping_that_contradicts_itself_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Stamping(**wrong)


def test_a_secret_that_is_none_is_refused(tmp_path):
    (tmp_path / "secret").write_text("short")
    with pytest.raises(ConfigError, match="openssl"):
        stamp(painting(1), ORIGIN, Stamping(c2pa=False, secret=tmp_path / "secret"))


def test_a_labelled_picture_keeps_all_its_layers():
    assert states(stamp(painting(1), ORIGIN, Stamping(label="zh"))) == INTACT
