"""Whose signature is under a picture: the operator's certificate and key, or one that development makes for itself.

What C2PA wants of a certificate (https://spec.c2pa.org/specifications/specifications/2.2/specs/C2PA_Specification.html,
section 14.5.1): X.509 version 3, not a root of its own, no CA, key usage digitalSignature, an extended key usage for
signing (e-mail protection, document signing, or C2PA's own), authority key identifier; keys EC P-256, P-384 or P-521,
RSA of 2048 bits or more (signed as PSS), or Ed25519. An operator's certificate comes from a CA on C2PA's trust list.

The development certificate is made on first use, lies with its key in the user's cache folder, readable by the user
alone, and is trusted by nobody: its CA's key is thrown away as soon as it has signed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from danqing import files
from danqing.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509

CERTIFICATE, KEY = "DANQING_C2PA_CERTIFICATE", "DANQING_C2PA_KEY"
"""Environment variables that name the operator's PEM files."""
DEVELOPMENT = "danqing development, trusted by nobody"
"""Organisation in the development certificate."""
_YEARS = 2
_MARGIN = timedelta(days=30)
PURPOSES = {"1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.62558.2.1", "1.3.6.1.4.1.311.76.59.1.9"}
"""Extended key usages: e-mail protection, document signing, C2PA claim signing, and Microsoft's C2PA signing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    chain: bytes
    """PEM, the signing certificate first."""
    key: bytes
    """PEM, PKCS #8, not encrypted."""
    algorithm: str
    """As C2PA names it: es256, es384, es512, ps256 or ed25519."""
    development: bool

    def __repr__(self) -> str:
        return f"Credentials({self.algorithm}, {'development' if self.development else 'operator'})"


def credentials(certificate: Path | None = None, key: Path | None = None) -> Credentials:
    """From the two PEM files, else from those that the environment names, else the development certificate.

    Raises ConfigError on a certificate that C2PA would refuse or that the key does not belong to.
    """
    if certificate is None and key is None:
        named = [os.environ.get(name) for name in (CERTIFICATE, KEY)]
        if all(named):
            certificate, key = (Path(str(path)) for path in named)
        elif any(named):
            raise ConfigError(f"set both {CERTIFICATE} and {KEY}, or neither")
    if certificate is None or key is None:
        return _development()
    with files.storage(certificate):
        chain = certificate.read_bytes()
    with files.storage(key):
        secret = key.read_bytes()
    return _checked(chain, secret, f"{certificate}", development=False)


def _checked(chain: bytes, key: bytes, where: str, *, development: bool) -> Credentials:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        certificates = x509.load_pem_x509_certificates(chain)
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{where}: certificate or key is not plain PEM ({reason})") from None
    leaf, public = certificates[0], private.public_key()

    def spki(of: Any) -> bytes:
        encoded: bytes = of.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return encoded

    if spki(leaf.public_key()) != spki(public):
        raise ConfigError(f"{where}: the key does not belong to the first certificate")
    if wrong := _refusal(leaf):
        raise ConfigError(f"{where}: {wrong}; C2PA would refuse the signature")
    algorithm = _algorithm(public)
    if algorithm is None:
        raise ConfigError(f"{where}: keys are EC P-256, P-384 or P-521, RSA of 2048 bits or more, or Ed25519")
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Credentials(chain=chain, key=pem, algorithm=algorithm, development=development)


def _refusal(leaf: x509.Certificate) -> str:
    """Why C2PA would refuse a signing certificate; empty where it would not."""
    from cryptography import x509

    now = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        return (
            f"the certificate is valid from {leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d}"
        )
    if leaf.subject == leaf.issuer:
        return "the first certificate is signed by itself: a CA must have signed it"
    extensions = leaf.extensions
    with contextlib.suppress(x509.ExtensionNotFound):
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "the first certificate is that of a CA"
    try:
        if not extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return "the certificate is not for digital signatures"
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return "the certificate has no key usage or extended key usage"
    if not {purpose.dotted_string for purpose in purposes} & PURPOSES:
        return "the certificate's extended key usage is none for signing"
    return ""


def check_anchors(pem: bytes) -> None:
    """Raises ConfigError where `pem` holds no certificates of CAs."""
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigError("who is to be trusted: no certificates in PEM; give the CAs' certificates") from None


def _algorithm(public: Any) -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(public, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(public, rsa.RSAPublicKey):
        return "ps256" if public.key_size >= 2048 else None
    if isinstance(public, ec.EllipticCurvePublicKey):
        return {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}.get(public.curve.name)
    return None


def cache() -> Path:
    """Where the development certificate lies: $XDG_CACHE_HOME/danqing, ~/.cache/danqing where that is not set."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "danqing"
    except RuntimeError:
        raise ConfigError(f"there is no home folder: set XDG_CACHE_HOME, or {CERTIFICATE} and {KEY}") from None


def _development() -> Credentials:
    """The certificate in the cache, made anew where it is missing, damaged or soon to expire."""
    path = cache() / "c2pa-development.pem"
    with contextlib.suppress(OSError, ConfigError):
        return _stored(path)
    with files.storage(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".c2pa-", dir=path.parent)  # mkstemp's files are 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_make())
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    # Of several processes that make one at once the last one wins, and all of them read that.
    return _stored(path)


def _stored(path: Path) -> Credentials:
    """Key and chain lie in one file, so that no reader meets the key of one and the chain of another."""
    from cryptography import x509

    pem = path.read_bytes()
    key, mark, chain = pem.partition(b"-----END PRIVATE KEY-----\n")
    found = _checked(chain, key + mark, str(path), development=True)
    if x509.load_pem_x509_certificate(chain).not_valid_after_utc < datetime.now(UTC) + _MARGIN:
        raise ConfigError(f"{path}: expires soon")
    return found


def _make() -> bytes:
    """PEM: an Ed25519 key, its certificate, and the CA's, whose own key exists in this function only."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    start = datetime.now(UTC) - timedelta(hours=1)
    ca_key, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()

    def name(common: str) -> x509.Name:
        return x509.Name([
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, DEVELOPMENT),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ])  # fmt: skip

    def certificate(common: str, of: Ed25519PrivateKey, *, ca: bool) -> x509.CertificateBuilder:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False
        )  # fmt: skip
        return (
            x509.CertificateBuilder(name("danqing development CA"), name(common), of.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=365 * _YEARS))
            .add_extension(x509.BasicConstraints(ca, 0 if ca else None), critical=True)
            .add_extension(x509.KeyUsage(not ca, key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(of.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        )

    ca = certificate("danqing development CA", ca_key, ca=True).sign(ca_key, None)
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    leaf = certificate("danqing development", key, ca=False).add_extension(purpose, critical=False).sign(ca_key, None)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + leaf.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM)
