"""Certificates for tests: a CA of its own each time, and one that it signed, good or bad as asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

_KEYS = {
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "k256": lambda: ec.generate_private_key(ec.SECP256K1()),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa1024": lambda: rsa.generate_private_key(65537, 1024),
}


def make(
    kind: str = "p256",
    *,
    purpose: str = "1.3.6.1.5.5.7.3.4",
    days: int = 90,
    self_signed: bool = False,
    ca: bool = False,
) -> tuple[bytes, bytes, bytes]:
    """PEM of the chain, of its key, and of the CA. purpose: extended key usage, none if empty. days: still valid."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), _KEYS[kind]()
    signer = key if self_signed else ca_key
    root = _certificate("CA", "CA", ca_key, ca_key, days=days, ca=True, purpose="")
    leaf = _certificate("leaf", "leaf" if self_signed else "CA", key, signer, days=days, ca=ca, purpose=purpose)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem = [one.public_bytes(Encoding.PEM) for one in (leaf, root)]
    return b"".join(pem), private, pem[1]


def _certificate(name, issuer, key, signer, *, days, ca, purpose):
    def called(common):
        return x509.Name([
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A museum"), x509.NameAttribute(NameOID.COMMON_NAME, common)
        ])  # fmt: skip

    now = datetime.now(UTC)
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
              "decipher_only")  # fmt: skip
    built = (
        x509.CertificateBuilder(called(issuer), called(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    usage = x509.KeyUsage(True, key_cert_sign=ca, crl_sign=ca, **dict.fromkeys(others, False))
    built = built.add_extension(usage, critical=True)
    if purpose:
        built = built.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(purpose)]), critical=False)
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return built.sign(signer, digest)
