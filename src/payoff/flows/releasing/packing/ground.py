"""The base image that [release.base] names, and what it has: read from its layers once."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.base.files import write_atomically
from payoff.flows.releasing.packing.installed import Interpreter
from payoff.records.release.image import Base
from payoff.release import contents, foundation

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.releasing.registry import Registry
    from payoff.records.release.settings import ReleaseSpec

# What a machine calls its processors, and what images do.
_PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64"}


class Ground(NamedTuple):
    """The image that ours stands on."""

    base: Base
    contents: contents.Contents

    @property
    def interpreter(self) -> Interpreter:
        """Its Python."""
        return Interpreter(self.contents.python, self.contents.version)


def ground(settings: ReleaseSpec, registry: Registry, folder: Path) -> Ground:
    """The base image; what was read of it is kept in `folder`. Raises `UserError` when none of ours can stand on it."""
    digest = settings.digest
    found = registry.manifest(digest)
    if found is None:
        raise foundation.unfit(f"there is none with the digest {digest[:19]}... where [release.base] says")
    manifest, _ = found
    config = b"".join(registry.read(foundation.config_of(manifest)))
    base = foundation.base(digest, manifest, config)
    here = _PLATFORMS.get(platform.machine(), platform.machine())
    if base.os != "linux" or base.architecture != here:
        raise foundation.unfit(f"it is for {base.os}/{base.architecture}, and the environment for linux/{here}")
    known = folder / f"{hashing.of_json([digest, settings.python])}.json"
    try:
        has = msgspec.json.decode(known.read_bytes(), type=contents.Contents)
    except (FileNotFoundError, msgspec.DecodeError):
        layers = (registry.read(each.blob) for each in base.layers)
        has = contents.contents(layers, base.environment, settings.python)
        write_atomically(known, msgspec.json.encode(has))
    if not has.version:
        shown = has.python or f"no {settings.python} on its PATH"
        raise foundation.unfit(
            f"it has {shown}, and no interpreter that says its version",
            expected="an image with Python 3, as /usr/bin/python3 -> python3.11",
            remedy="mmdebstrap --include=python3 makes one (docs/releases.md); python in [release] names another place",
        )
    if has.libc != "linux":
        raise foundation.unfit(
            "it has no glibc, which the environment's packages were built for",
            expected="Debian, Ubuntu, Fedora or their like",
            remedy="name another image in [release.base] (docs/releases.md)",
        )
    return Ground(base, has)
