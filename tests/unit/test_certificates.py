"""With whose signature a picture is signed, and who believes it."""

from __future__ import annotations

import stat
from pathlib import Path

import certificate_maker
import pytest
from PIL import Image
from png_surgery import with_notes

from danqing.errors import ConfigError
from danqing.provenance import Origin, Stamping, certificates, inspect, prompt_digest, stamp

ORIGIN = Origin(model="tiny-1", seed=1, guidance=None, prompt_sha256=prompt_digest("bamboo"))
PICTURE = Image.new("RGB", (64, 64), "white")
ONLY = Stamping(watermark=False)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    for name in (certificates.CERTIFICATE, certificates.KEY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_development_certificate_is_the_users_alone_and_made_once(cache):
    data = stamp(PICTURE, ORIGIN, ONLY)
    path = cache / "danqing" / "c2pa-development.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert certificates.credentials().development
    assert path.read_bytes() == before
    assert "development certificate" in inspect(data)["c2pa"].why


@pytest.mark.parametrize("damage", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_damaged_development_certificate_is_made_anew(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "danqing" / "c2pa-development.pem"
    path.parent.mkdir()
    path.write_bytes(damage)
    assert certificates.credentials().algorithm == "ed25519"
    assert list(path.parent.iterdir()) == [path]


def test_an_expired_development_certificate_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chain, key, _ = certificate_maker.make(days=10)
    path = tmp_path / "danqing" / "c2pa-development.pem"
    path.parent.mkdir()
    path.write_bytes(key + chain)
    assert certificates.credentials().chain != chain


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa", "ed25519"])
def test_who_trusts_the_operators_ca_finds_the_signature_trusted(tmp_path, kind):
    chain, key, ca = certificate_maker.make(kind)
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    how = Stamping(watermark=False, certificate=tmp_path / "chain.pem", key=tmp_path / "key.pem")
    data = stamp(PICTURE, ORIGIN, how)
    assert inspect(data, trust=ca)["c2pa"].state == "intact"
    assert inspect(data)["c2pa"].state == "untrusted"
    assert inspect(data, trust=certificate_maker.make()[2])["c2pa"].state == "untrusted"
    tampered = with_notes(data, lambda t: t | {"danqing:model": "other"})
    assert inspect(tampered, trust=ca)["c2pa"].state == "tampered"


def test_the_environment_names_the_operators_files(tmp_path, monkeypatch):
    chain, key, _ = certificate_maker.make()
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    monkeypatch.setenv(certificates.CERTIFICATE, str(tmp_path / "chain.pem"))
    with pytest.raises(ConfigError, match="both"):
        certificates.credentials()
    monkeypatch.setenv(certificates.KEY, str(tmp_path / "key.pem"))
    found = certificates.credentials()
    assert (found.chain, found.development) == (chain, False)
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"self_signed": True}, "signed by itself"),
        ({"purpose": "1.3.6.1.5.5.7.3.1"}, "extended key usage"),
        ({"purpose": ""}, "no key usage or extended key usage"),
        ({"days": -1}, "valid from"),
        ({"ca": True}, "CA"),
        ({"kind": "rsa1024"}, "2048"),
        ({"kind": "k256"}, "P-256"),
        (None, "does not belong"),
        (b"-----BEGIN NOTHING-----", "PEM"),
    ],
)
def test_a_certificate_that_c2pa_would_refuse_is_refused_at_once(tmp_path, made, message):
    if isinstance(made, bytes):
        chain = key = made
    elif made is None:
        chain, key = certificate_maker.make()[0], certificate_maker.make()[1]
    else:
        chain, key, _ = certificate_maker.make(**made)
    (tmp_path / "chain.pem").write_bytes(chain)
    (tmp_path / "key.pem").write_bytes(key)
    with pytest.raises(ConfigError, match=message):
        certificates.credentials(tmp_path / "chain.pem", tmp_path / "key.pem")
