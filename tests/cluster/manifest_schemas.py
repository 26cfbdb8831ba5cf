"""Strict schemas: Kubernetes' own kinds by kubernetes-validate, custom ones by the CRDs beside the checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import pytest
import yaml
from manifest_parts import ROOT, Doc

VERSION = "1.37"
CRDS = ROOT.parent / "shared" / "k8s-crds"
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)


def schema(docs: list[Doc]) -> list[str]:
    """What is not as the schemas say; a kind without a schema counts."""
    wrong = []
    for doc in docs:
        where = f"{doc.get('kind')}/{doc.get('metadata', {}).get('name')}"
        try:
            if "." in doc["apiVersion"].partition("/")[0] and not doc["apiVersion"].partition("/")[0].endswith(
                ".k8s.io"
            ):
                _custom(doc["apiVersion"], doc["kind"]).validate(doc)
            else:
                kubernetes_validate.validate(doc, VERSION, strict=True)
        except jsonschema.ValidationError as error:
            wrong.append(f"{where}: {'.'.join(map(str, error.path))}: {error.message[:300]}")
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
            wrong.append(f"{where}: {error.message}")
    return wrong


@cache
def _custom(api_version: str, kind: str) -> Any:
    if not CRDS.is_dir():
        pytest.skip(f"{kind} cannot be checked: there are no CRDs at {CRDS}")
    group, _, version = api_version.partition("/")
    for path in CRDS.glob(f"{group}_*.yaml"):
        crd = read(path)
        if crd["spec"]["names"]["kind"] != kind:
            continue
        for one in crd["spec"]["versions"]:
            if one["name"] == version:
                return jsonschema.Draft202012Validator(strict(one["schema"]["openAPIV3Schema"], top=True))
    raise kubernetes_validate.SchemaNotFoundError(kind, VERSION, api_version)


def read(path: Path) -> Doc:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def strict(node: Doc, *, top: bool = False) -> Doc:
    """An OpenAPI schema of a CRD as JSON Schema that refuses unknown fields. CEL rules (x-kubernetes-validations) are
    not evaluated."""
    made = {k: v for k, v in node.items() if not k.startswith("x-kubernetes-") and k not in ("nullable", "format")}
    if node.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in node:
        made["properties"] = {name: strict(child) for name, child in node["properties"].items()}
    if isinstance(node.get("items"), dict):
        made["items"] = strict(node["items"])
    open_ended = node.get("x-kubernetes-preserve-unknown-fields") or node.get("x-kubernetes-embedded-resource")
    if isinstance(node.get("additionalProperties"), dict):
        made["additionalProperties"] = strict(node["additionalProperties"])
    elif node.get("type") == "object" and "additionalProperties" not in node and not open_ended:
        made["additionalProperties"] = False
    if top:  # the API server's own
        made["properties"]["metadata"] = {"type": "object"}
        made["required"] = sorted({*made.get("required", []), "apiVersion", "kind", "metadata", "spec"})
    if node.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    return made
