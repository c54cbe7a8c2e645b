"""What goes along with an image: its bill of materials (CycloneDX 1.5) and its provenance (SLSA 1.0). Both say the same for the same release."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.release.image import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUILD = "https://payoff.dev/build/image/v1"
_OURS = uuid.UUID("6c8c7a6e-1f0c-5b52-9c3c-6f0a8f1f9a41")


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """An installed package. `licence` is an SPDX expression or what the package says; empty when it says nothing."""

    name: str
    version: str
    licence: str = ""


def bill(
    name: str, run: str, image: str, model: Mapping[str, str], packages: Sequence[Distribution], *, version: str
) -> bytes:
    """The bill of materials of an image, as a CycloneDX document: the model and every Python package. What is in the base image is the base's to say."""
    components: list[dict[str, Any]] = [
        {
            "type": "machine-learning-model",
            "bom-ref": f"model:{model['sha256']}",
            "name": name,
            "version": run,
            "hashes": [{"alg": "SHA-256", "content": model["sha256"].partition(":")[2]}],
        }
    ]
    for each in sorted(packages, key=lambda one: one.name):
        purl = f"pkg:pypi/{each.name}@{each.version}"
        licence = {"licenses": [{"license": {"name": each.licence}}]} if each.licence else {}
        components.append(
            {"type": "library", "bom-ref": purl, "name": each.name, "version": each.version, "purl": purl} | licence
        )
    return canonical(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": f"urn:uuid:{uuid.uuid5(_OURS, image)}",
            "version": 1,
            "metadata": {
                "tools": {"components": [{"type": "application", "name": "payoff", "version": version}]},
                "component": {"type": "container", "bom-ref": image, "name": name, "version": image},
            },
            "components": components,
            "dependencies": [{"ref": image, "dependsOn": [each["bom-ref"] for each in components]}],
        }
    )


def provenance(run: str, commit: str, materials: Mapping[str, str], *, version: str) -> dict[str, Any]:
    """The predicate of an SLSA provenance statement: from which commit, lock, model and base the image was built, and by what."""
    resolved = [{"uri": "git", "digest": {"gitCommit": commit}}]
    for uri, digest in sorted(materials.items()):
        algorithm, _, value = digest.partition(":")
        resolved.append({"uri": uri, "digest": {algorithm: value}})
    return {
        "buildDefinition": {
            "buildType": BUILD,
            "externalParameters": {"run": run},
            "resolvedDependencies": resolved,
        },
        "runDetails": {"builder": {"id": "https://payoff.dev/release", "version": {"payoff": version}}},
    }
