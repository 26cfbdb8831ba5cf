"""What is installed here, as CycloneDX JSON: Python's distributions and Debian's packages.

    python sbom.py NAME > sbom.cdx.json

Runs inside an image while that is built, with nothing but the standard library. The list is sorted and has no clock and
no random number in it: the same packages give the same bytes.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

DPKG = Path("/var/lib/dpkg/status")


def python_packages() -> Iterator[dict[str, Any]]:
    """One component a distribution that this interpreter can import."""
    for found in importlib.metadata.distributions():
        meta = found.metadata
        name, version = meta["Name"].lower().replace("_", "-"), meta["Version"]
        component: dict[str, Any] = {
            "type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{quote(version, safe='')}",
        }  # fmt: skip
        # Some write their whole licence into the field that is for its name.
        licence = meta.get("License-Expression") or meta.get("License") or ""
        if licence and "\n" not in licence and len(licence) <= 100:
            component["licenses"] = [{"license": {"name": licence}}]
        yield component


def debian_packages(status: Path = DPKG) -> Iterator[dict[str, Any]]:
    """One component a package that dpkg has installed; none where there is no dpkg."""
    if not status.is_file():
        return
    for block in status.read_text(encoding="utf-8", errors="replace").split("\n\n"):
        field = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(" ") and ": " in line)
        if field.get("Status", "").endswith(" installed"):
            name, version, arch = field["Package"], field["Version"], field["Architecture"]
            purl = f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}?arch={arch}"
            yield {"type": "library", "name": name, "version": version, "purl": purl}


def sbom(name: str) -> dict[str, Any]:
    """The document for the image `name`."""
    found = {component["purl"]: component for component in (*python_packages(), *debian_packages())}
    components = [{"bom-ref": purl, **found[purl]} for purl in sorted(found)]
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name}}, "components": components,
    }  # fmt: skip


if __name__ == "__main__":
    json.dump(sbom(sys.argv[1]), sys.stdout, indent=1)
    print()
