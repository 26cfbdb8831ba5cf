"""The second layer: the metadata label for generated content that China asks for since September 2025.

The Measures for Labeling AI-Generated and Synthetic Content (art. 5) want in the file's metadata that the content is
generated, by whom, and a number of it; GB 45438-2025, annex E, gives the seven fields, the practice guide
TC260-PG-20259A their place in a picture: an XMP packet (in PNG the text chunk XML:com.adobe.xmp) with the property AIGC
in the namespace http://www.tc260.org.cn/ns/AIGC/1.0/, and in its annex B a PNG text chunk AIGC that wraps the same in
{"AIGC": …}. Readers look for either, so both are written. The standard's text was not at hand: fields and places follow
what implementations and guides to it say (https://cloud.tencent.com/document/product/460/122024,
https://github.com/OPN48/cntc260).

    Label               "1": generated for certain (2: possibly, 3: suspected)
    ContentProducer     who generated it: a name, or the code that the authority gives; `Stamping.producer`
    ProduceID           the producer's number of it: the picture's name, see `origin.picture_id`
    ReservedCode1       the producer's own guard: a seal over the three fields above and the pixels' digest
    ContentPropagator   who spreads it; a platform fills it in
    PropagateID         the platform's number of it
    ReservedCode2       the platform's guard
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from danqing.provenance.layers import Layer
from danqing.provenance.origin import seal

KEYWORD, XMP = "AIGC", "XML:com.adobe.xmp"
FIELDS = ("Label", "ContentProducer", "ProduceID", "ReservedCode1", "ContentPropagator", "PropagateID", "ReservedCode2")
_NAMESPACE = "http://www.tc260.org.cn/ns/AIGC/1.0/"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:TC260="{namespace}"><TC260:AIGC>{label}</TC260:AIGC></rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


def write(producer: str, picture: str, pixels: str, secret: bytes = b"") -> dict[str, str]:
    """The two text chunks, keyword → text. picture: its name; pixels: the digest of the finished picture."""
    fields = dict.fromkeys(FIELDS, "") | {"Label": "1", "ContentProducer": producer, "ProduceID": picture}
    fields["ReservedCode1"] = _guard(fields, pixels, secret)
    label = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return {XMP: _PACKET.format(namespace=_NAMESPACE, label=escape(label)), KEYWORD: f'{{"AIGC":{label}}}'}


def check(texts: Sequence[tuple[str, str]], pixels: str, secret: bytes = b"", picture: str = "") -> Layer:
    """This layer's report. picture: the name that other layers give the picture, where they give one."""
    try:
        labels = [_from_xmp(text) for key, text in texts if key == XMP]
        labels += [json.loads(text) for key, text in texts if key == KEYWORD]
        found = [_fields(label) for label in labels if label is not None]
    except (ValueError, ElementTree.ParseError, RecursionError):
        return Layer("aigc", "tampered", "a label is there that cannot be read")
    if not found:
        return Layer("aigc", "absent", "no label as GB 45438-2025 asks for")
    fields = found[0]
    if any(other != fields for other in found):
        return Layer("aigc", "tampered", "the label is there twice, and the two contradict each other", fields)
    if any(not fields[name] for name in FIELDS[:3]):
        return Layer("aigc", "tampered", "the label lacks Label, ContentProducer or ProduceID", fields)
    if picture and fields["ProduceID"] != picture:
        return Layer("aigc", "tampered", "the label is of another picture: ProduceID is not the picture's name", fields)
    guard = fields["ReservedCode1"]
    keyed = guard.startswith("hmac-sha256:")
    if not keyed and not guard.startswith("sha256:"):
        return Layer("aigc", "untrusted", "a label without a guard that this program knows", fields)
    if keyed and not secret:
        return Layer("aigc", "intact", "complete; its guard can be checked with the secret only", fields)
    if not hmac.compare_digest(guard.encode(), _guard(fields, pixels, secret if keyed else b"").encode()):
        return Layer("aigc", "tampered", "label or pixels were changed: ReservedCode1 does not fit", fields)
    if secret and not keyed:
        return Layer("aigc", "untrusted", "complete, but guarded without the secret", fields)
    return Layer("aigc", "intact", "complete, and its guard fits the pixels", fields)


def _guard(fields: dict[str, str], pixels: str, secret: bytes) -> str:
    return seal([*(fields[name] for name in FIELDS[:3]), pixels], secret)


def _fields(label: object) -> dict[str, str]:
    """The seven fields as text. Raises ValueError on anything that is no label."""
    if isinstance(label, dict) and isinstance(label.get(KEYWORD), dict):
        label = label[KEYWORD]
    if not isinstance(label, dict):
        raise ValueError("no label")
    values = {name: label.get(name, "") for name in FIELDS}
    if not all(isinstance(value, str) for value in values.values()):
        raise ValueError("a field of the label is no text")
    return values


def _from_xmp(packet: str) -> object | None:
    """The label in an XMP packet, None where it has none. Raises ValueError or ParseError on a broken one."""
    if _NAMESPACE not in packet:
        return None
    if "<!" in packet:  # no XMP has a document type, and entities are how XML grows in memory
        raise ValueError("a document type in an XMP packet")
    name = f"{{{_NAMESPACE}}}{KEYWORD}"
    for element in ElementTree.fromstring(packet.lstrip("\ufeff").encode()).iter():  # noqa: S314 - see above
        text = element.text if element.tag == name else element.get(name)
        if text:
            return json.loads(text)  # type: ignore[no-any-return]
    return None
