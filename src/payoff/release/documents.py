"""What goes along with an image: its bill of materials (CycloneDX 1.5) and its provenance (SLSA 1.0). Both say the same for the same release."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import msgspec

from payoff.release.image import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.release.contents import Contents, Package

BUILD = "https://payoff.dev/build/image/v1"
_OURS = uuid.UUID("6c8c7a6e-1f0c-5b52-9c3c-6f0a8f1f9a41")


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """An installed package. `licence` is an SPDX expression or what the package says; empty when it says nothing."""

    name: str
    version: str
    licence: str = ""


class Named(NamedTuple):
    """An image: what it is called, and its manifest's digest."""

    name: str
    digest: str


def bill(
    run: str, made: Named, model: str, packages: Sequence[Distribution], system: Contents, *, version: str
) -> bytes:
    """The bill of materials of an image, as a CycloneDX document: the model (`sha256:...`), every Python package, and the packages that the base image
    lists as its own.
    """
    components: list[dict[str, Any]] = [
        {
            "type": "machine-learning-model",
            "bom-ref": f"model:{model}",
            "name": made.name,
            "version": run,
            "hashes": [{"alg": "SHA-256", "content": model.partition(":")[2]}],
        }
    ]
    # The environment and Payoff beside it may have the same package.
    for each in sorted(
        {(one.name, one.version): one for one in packages}.values(), key=lambda one: (one.name, one.version)
    ):
        purl = f"pkg:pypi/{each.name}@{quote(each.version, safe='')}"
        licence = {"licenses": [{"license": {"name": each.licence}}]} if each.licence else {}
        components.append(
            {"type": "library", "bom-ref": purl, "name": each.name, "version": each.version, "purl": purl} | licence
        )
    for package in system.packages:
        purl = _system(package, system)
        components.append(
            {"type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl}
        )
    if system.packages:
        components.append(
            {"type": "operating-system", "bom-ref": "system", "name": system.system, "version": system.release}
        )
    return canonical(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": f"urn:uuid:{uuid.uuid5(_OURS, made.digest)}",
            "version": 1,
            "metadata": {
                "tools": {"components": [{"type": "application", "name": "payoff", "version": version}]},
                "component": {"type": "container", "bom-ref": made.digest, "name": made.name, "version": made.digest},
            },
            "components": components,
            "dependencies": [{"ref": made.digest, "dependsOn": [each["bom-ref"] for each in components]}],
        }
    )


def _system(package: Package, system: Contents) -> str:
    """A package's URL (purl-spec, types deb and its like)."""
    arch = f"arch={package.architecture}&" if package.architecture else ""
    distro = f"distro={system.system}-{system.release}" if system.release else f"distro={system.system}"
    return f"pkg:deb/{system.system}/{quote(package.name, safe='')}@{quote(package.version, safe='')}?{arch}{distro}"


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
