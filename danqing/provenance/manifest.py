"""The third layer: a C2PA manifest, signed, over every byte of the file (https://c2pa.org).

It says that the picture was created (`c2pa.created`) by a trained model (IPTC's trainedAlgorithmicMedia), and holds the
facts once more in an assertion `danqing.origin`. Its hash binds it to the file: a changed note, a changed pixel, a
manifest moved to another picture are all found. A manifest has a random name and random salts, so that the same
request gives another manifest each time, over the same pixels and notes.

Nothing is fetched: no remote manifest, no revocation list, no time stamp. Without a time stamp a signature ends to be
valid with its certificate.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Mapping
from typing import Any

from danqing import __version__
from danqing.errors import ConfigError
from danqing.provenance import certificates
from danqing.provenance.certificates import Credentials
from danqing.provenance.layers import Layer

ASSERTION = "danqing.origin"
_SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_UNTRUSTED = ("signingCredential.untrusted", "signingCredential.expired", "signingCredential.ocsp",
              "signingCredential.invalid", "timeStamp.")  # fmt: skip
"""Codes that say something about the signer; all others say that something does not fit."""
_SETTINGS: dict[str, Any] = {
    "version": 1,
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": False},
    "builder": {"thumbnail": {"enabled": False}},
}


def installed() -> bool:
    return importlib.util.find_spec("c2pa") is not None


def sign(png: bytes, facts: Mapping[str, str], signer: Credentials) -> bytes:
    """`png` with a manifest. facts: what the assertion says, text by text."""
    if not installed():
        raise ConfigError("C2PA needs a package: pip install 'danqing[provenance]', or switch c2pa off")
    import c2pa

    agent = {"name": "danqing", "version": __version__}
    created = {"action": "c2pa.created", "digitalSourceType": _SOURCE, "softwareAgent": agent}
    if "danqing:time" in facts:
        created["when"] = facts["danqing:time"]
    definition = {
        "claim_generator_info": [agent],
        "title": facts.get("danqing:picture", "picture"),
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": ASSERTION, "data": dict(facts)},
        ],
    }
    out = io.BytesIO()
    try:
        info = c2pa.C2paSignerInfo(signer.algorithm, signer.chain, signer.key, None)
        with c2pa.Signer.from_info(info) as pen, c2pa.Builder(definition, context=_context()) as builder:
            builder.sign(pen, "image/png", io.BytesIO(png), out)
    except c2pa.C2paError as error:
        raise ConfigError(f"C2PA cannot sign with this certificate: {error}") from None
    return out.getvalue()


def check(data: bytes, mime: str, trust: bytes = b"") -> tuple[Layer, dict[str, str]]:
    """This layer's report, and the signed facts, empty where there are none that a valid signature holds.

    trust: certificates, PEM, of the CAs whose signers are trusted, besides those that the C2PA library knows. Raises
    ConfigError where they are none.
    """
    if not installed():
        there = b"caBX" in data[:4096] or b"jumb" in data[:65536]
        why = "a manifest is there; pip install 'danqing[provenance]' to check it" if there else "no manifest"
        return Layer("c2pa", "untrusted" if there else "absent", why), {}
    import c2pa

    if trust:
        certificates.check_anchors(trust)
    try:
        with c2pa.Reader(mime, io.BytesIO(data), context=_context(trust)) as reader:
            found = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return Layer("c2pa", "absent", "no manifest"), {}
    except c2pa.C2paError as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:120]
        if said.startswith("Remote"):
            return Layer("c2pa", "untrusted", "its manifest lies elsewhere, and nothing is fetched"), {}
        return Layer("c2pa", "tampered", f"the manifest is damaged ({said})"), {}
    manifest = found.get("manifests", {}).get(found.get("active_manifest"), {})
    codes = [str(status.get("code")) for status in found.get("validation_status", [])]
    broken = [code for code in codes if not code.startswith(_UNTRUSTED)]
    facts = _facts(manifest)
    signature = manifest.get("signature_info", {})
    fields = facts | {
        "signed by": f"{signature.get('issuer', 'somebody')}, {signature.get('common_name', '')}".rstrip(", "),
        "algorithm": str(signature.get("alg", "")),
    }
    # The hash over the file may be broken and the signature under the assertions still be good.
    signed = facts if set(broken) <= {"assertion.dataHash.mismatch"} else {}
    if broken:
        return Layer("c2pa", "tampered", f"does not fit the file ({', '.join(dict.fromkeys(broken))})", fields), signed
    if codes:
        return Layer("c2pa", "untrusted", f"the signature fits the file, but {_doubt(codes, fields)}", fields), signed
    return Layer("c2pa", "intact", f"signed by {fields['signed by']}, who is trusted", fields), signed


def _doubt(codes: list[str], fields: Mapping[str, str]) -> str:
    if certificates.DEVELOPMENT in fields["signed by"]:
        return "the signer is a development certificate that a machine made for itself"
    if "signingCredential.expired" in codes:
        return "the certificate has expired"
    if "signingCredential.invalid" in codes:
        return "the certificate is not one for C2PA"
    return f"nobody vouches for the signer, {fields['signed by']}"


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    for assertion in manifest.get("assertions", []):
        data = assertion.get("data")
        if assertion.get("label") == ASSERTION and isinstance(data, dict):
            return {str(key): str(value) for key, value in data.items()}
    return {}


def _context(trust: bytes = b"") -> Any:
    import c2pa

    anchors = {"trust_config": "\n".join(sorted(certificates.PURPOSES))}
    if trust:
        anchors["user_anchors"] = trust.decode("ascii", "replace")
    return c2pa.Context.from_dict({**_SETTINGS, "trust": anchors})
