"""`danqing inspect`: its answer, its exit code, and what it does with files that mean harm."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import certificate_maker
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from danqing.cli import app
from danqing.errors import DataError
from danqing.provenance import Origin, Stamping, inspect, png, prompt_digest, stamp

ORIGIN = Origin(model="tiny-1", seed=1, guidance=None, prompt_sha256=prompt_digest("bamboo"))


def chunk(kind: bytes, body: bytes, *, claim: int | None = None) -> bytes:
    length = len(body) if claim is None else claim
    return struct.pack(">I", length) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int = 8, height: int = 8) -> bytes:
    return png.SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def body(width: int = 8, height: int = 8) -> bytes:
    return chunk(b"IDAT", zlib.compress((b"\0" + b"\x80" * 3 * width) * height)) + chunk(b"IEND", b"")


def itxt(text: bytes) -> bytes:
    return chunk(b"iTXt", b"danqing:model\0\1\0\0\0" + text)


BOMB = zlib.compress(bytes(200 << 20), 9)
HOSTILE = {
    "empty": (b"", "not a picture"),
    "no picture": (b"hello" * 100, "not a picture"),
    "only a signature": (png.SIGNATURE, "ends too early"),
    "cut in a chunk": ((header() + body())[:-20], "claims|ends too early"),
    "cut pixels": (header() + chunk(b"IDAT", zlib.compress(bytes(200))[:-8]) + chunk(b"IEND", b""), "truncated"),
    "a chunk that claims 100 MB": (header() + chunk(b"tEXt", b"a\0b", claim=100 << 20), "claims 104857600 bytes"),
    "a wrong checksum": (header()[:-1] + b"?" + body(), "checksum"),
    "a zip bomb in a note": (header() + itxt(BOMB) + body(), "256 kB"),
    "many notes": (header() + itxt(zlib.compress(bytes(250 << 10))) * 9 + body(), "1 MB"),
    "a note that is no zlib": (header() + itxt(b"no zlib") + body(), "cannot be unpacked"),
    "a note without keyword": (header() + chunk(b"tEXt", b"abc") + body(), "keyword"),
    "a large manifest": (header() + chunk(b"caBX", bytes(9 << 20)) + body(), "manifest"),
    "too many pixels": (header(50_000, 50_000) + body(), "50000 x 50000"),
    "no pixels": (header(0, 8) + body(), "0 x 8"),
    "a zip bomb as pixels": (header(1000, 1000) + chunk(b"IDAT", BOMB[:1000]) + chunk(b"IEND", b""), "."),
    "two headers": (header() + header()[8:] + body(), "damaged"),
    "no header": (png.SIGNATURE + body(), "damaged"),
    "twenty thousand chunks": (header() + chunk(b"spAm", b"") * 20_001 + body(), "damaged"),
    "a GIF": (b"GIF89a" + bytes(100), "not a picture"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "a cut JPEG": (b"\xff\xd8\xff\xe0" + bytes(30), "."),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_and_in_little_memory(case):
    data, message = HOSTILE[case]
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as refused:
            inspect(data)
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)


def test_a_file_beyond_the_limit_is_not_even_read(tmp_path):
    path = tmp_path / "large.png"
    with open(path, "wb") as file:
        file.write(header())
        file.truncate(200 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"large\.png.*64 MB"):
            inspect(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "nothing"):
        with pytest.raises(DataError, match=path.name):
            inspect(path)


@pytest.fixture(scope="module")
def stamped(tmp_path_factory) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        noise = np.random.default_rng(0).integers(100, 200, (160, 160, 3), dtype=np.uint8)
        return stamp(Image.fromarray(noise), ORIGIN)


def test_any_damage_is_an_error_or_a_report(stamped):
    dice = random.Random(5)
    for _ in range(150):
        data = bytearray(stamped)
        at = dice.choice((dice.randrange(len(data)), dice.randrange(6000)))
        data[at : at + dice.randrange(1, 40)] = dice.randbytes(dice.randrange(40))
        try:
            report = inspect(bytes(data))
        except DataError:
            continue
        assert report.verdict == "tampered" or bytes(data) == stamped


def repaired(data: bytes, kind: bytes, change) -> bytes:
    """`data` with the body of the chunk `kind` changed, and its checksum right."""
    at = data.index(kind) - 4
    (length,) = struct.unpack_from(">I", data, at)
    return data[:at] + chunk(kind, change(data[at + 8 : at + 8 + length])) + data[at + 12 + length :]


def test_a_broken_manifest_in_a_whole_file_says_nothing_new(stamped):
    dice, said = random.Random(6), dict(inspect(stamped)["c2pa"].fields)
    for _ in range(60):
        place, value = dice.randrange(2500), dice.randbytes(3)
        change = lambda old, p=place, v=value: old[:p] + v + old[p + 3 :]  # noqa: E731
        report = inspect(repaired(stamped, b"caBX", change))
        # Lengths that nobody reads and padding are not signed.
        assert report.verdict == "tampered" or dict(report["c2pa"].fields) == said


run = CliRunner()


@pytest.fixture
def folder(tmp_path, monkeypatch, stamped) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DANQING_PROVENANCE_SECRET", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.png").write_bytes(stamped)
    (tmp_path / "bad.png").write_bytes(stamped.replace(b"danqing:seed\x001", b"danqing:seed\x002"))
    with Image.open(io.BytesIO(stamped)) as picture:
        edited = picture.convert("RGB")
        info = picture.text
    edited.paste((255, 0, 0), (10, 10, 40, 40))
    from PIL.PngImagePlugin import PngInfo

    kept = PngInfo()
    for key, value in info.items():
        kept.add_text(key, value)
    edited.save(tmp_path / "edited.png", pnginfo=kept)
    Image.new("RGB", (64, 64)).save(tmp_path / "plain.png")
    (tmp_path / "no.png").write_text("hello")
    (tmp_path / "empty").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["good.png"], 0, "nothing was changed"),
        (["edited.png"], 1, "tampered with: text, aigc, c2pa"),
        (["bad.png"], 3, "checksum"),
        (["plain.png"], 2, "nothing of an origin"),
        (["no.png"], 3, "no.png: not a picture"),
        (["missing.png"], 3, "missing.png: there is no such file"),
        (["good.png", "--secret", "missing"], 4, "missing"),
        (["good.png", "--trust", "no.png"], 3, "no certificates"),
        (["good.png", "--secret", "empty"], 3, "no secret"),
        (["good.png", "--trust", "empty"], 3, "no certificates"),
    ],
)
def test_the_exit_code_says_it_too(folder, arguments, code, words):
    result = run.invoke(app, ["inspect", *arguments])
    assert (result.exit_code, words in result.output) == (code, True), result.output


def test_with_a_list_of_whom_to_trust_another_signer_fails(folder):
    chain, key, ca = certificate_maker.make()
    for name, pem in (
        ("chain.pem", chain),
        ("key.pem", key),
        ("ca.pem", ca),
        ("other.pem", certificate_maker.make()[2]),
    ):
        (folder / name).write_bytes(pem)
    how = Stamping(certificate=folder / "chain.pem", key=folder / "key.pem", watermark=False)
    (folder / "signed.png").write_bytes(stamp(Image.new("RGB", (64, 64), "white"), ORIGIN, how))
    for name, code in (("ca.pem", 0), ("other.pem", 1)):
        assert run.invoke(app, ["inspect", "signed.png", "--trust", name]).exit_code == code


def test_json_has_all_of_it(folder):
    result = run.invoke(app, ["inspect", "edited.png", "--json"])
    report = json.loads(result.output)
    assert report["verdict"] == "tampered"
    assert [layer["name"] for layer in report["layers"]] == ["text", "aigc", "c2pa", "watermark"]
    assert report["layers"][0]["fields"]["danqing:model"] == "tiny-1"


def test_a_strangers_note_cannot_steer_the_terminal(tmp_path):
    evil = header() + chunk(b"tEXt", b"danqing:model\0\x1b]0;owned\x07\x1b[2J\nnothing was changed") + body()
    (tmp_path / "evil.png").write_bytes(evil)
    output = run.invoke(app, ["inspect", str(tmp_path / "evil.png")]).output
    assert "\x1b" not in output and "\x07" not in output
    assert not any(line.startswith("nothing was changed") for line in output.splitlines()[:-1])


def test_nothing_is_fetched():
    elsewhere = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    elsewhere += b'<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" '
    elsewhere += b'dcterms:provenance="http://127.0.0.1:9/manifest.c2pa"/></rdf:RDF></x:xmpmeta>'
    report = inspect(header() + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + elsewhere) + body())
    assert (report["c2pa"].state, "nothing is fetched" in report["c2pa"].why) == ("untrusted", True)
