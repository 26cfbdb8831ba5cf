"""A picture's origin, in up to four layers, and its way back out.

    from danqing.provenance import Origin, Stamping, inspect, prompt_digest, stamp

    origin = Origin(model=painter.package.version, seed=7, guidance=3.0, prompt_sha256=prompt_digest(prompt))
    data = stamp(picture, origin, Stamping(label="zh"))       # the bytes of a PNG file
    inspect(data).verdict                                     # intact, untrusted, tampered or absent

| layer | module | survives | proves |
|---|---|---|---|
| PNG text | `notes` | copying | that nobody was clumsy; with a secret, that the operator wrote it |
| AIGC label | `aigc` | copying | the same; it is what GB 45438-2025 asks for |
| C2PA | `manifest` | copying | who signed, and that not a byte has changed since |
| watermark | `watermark` | JPEG, resizing, screenshots of the whole | where an honest picture comes from |
"""

from danqing.provenance.layers import Layer
from danqing.provenance.origin import Origin, Stamping, Work, prompt_digest, read_secret
from danqing.provenance.report import Report, inspect
from danqing.provenance.stamping import stamp

__all__ = ["Layer", "Origin", "Report", "Stamping", "Work", "inspect", "prompt_digest", "read_secret", "stamp"]
