"""Layers over a base make an image: its configuration and its manifest, as canonical JSON (OCI image specification 1.1)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.hashing import sha256
from payoff.records.release.image import CONFIG, EMPTY, MANIFEST, Blob, Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.records.release.image import Base, Start

# The same for every image: a time would make equal images different, and says nothing that the release record does not.
_CREATED = "1970-01-01T00:00:00Z"
EMPTY_JSON = b"{}"


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """`digest` names the image: that of its manifest's bytes."""

    manifest: bytes
    config: bytes
    digest: str
    layers: tuple[Layer, ...]

    @property
    def blob(self) -> Blob:
        """The descriptor of the manifest."""
        return Blob(media_type=MANIFEST, digest=self.digest, size=len(self.manifest))


def image(base: Base, layers: Sequence[Layer], start: Start) -> Image:
    """The image of layers over a base. Layers that change least come first, so that those below a changed one stay the same."""
    every = (*base.layers, *layers)
    variables = dict(each.split("=", 1) for each in base.environment if "=" in each) | start.environment
    platform = {"architecture": base.architecture, "os": base.os} | ({"variant": base.variant} if base.variant else {})
    config = canonical(
        platform
        | {
            "created": _CREATED,
            "config": {
                "User": start.user,
                "WorkingDir": start.folder,
                "Entrypoint": list(start.command),
                "Env": [f"{name}={value}" for name, value in sorted(variables.items())],
                "ExposedPorts": {f"{port}/tcp": {} for port in start.ports},
                "Labels": start.labels,
                "StopSignal": "SIGTERM",
            },
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in every]},
            "history": [{"created": _CREATED, "created_by": each.says or "the base image"} for each in every],
        }
    )
    described = Blob(media_type=CONFIG, digest=sha256(config), size=len(config))
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": msgspec.to_builtins(described),
            "layers": [msgspec.to_builtins(each.blob) for each in every],
            "annotations": {"org.opencontainers.image.base.digest": base.digest} | start.labels,
        }
    )
    return Image(manifest=manifest, config=config, digest=sha256(manifest), layers=tuple(every))


def config_blob(made: Image) -> Blob:
    """The descriptor of an image's configuration."""
    return Blob(media_type=CONFIG, digest=sha256(made.config), size=len(made.config))


def attached(
    subject: Blob, kind: str, content: bytes, media_type: str, annotations: dict[str, str]
) -> tuple[bytes, Blob]:
    """A manifest that attaches a document to an image (OCI 1.1 `subject`): found again by a registry's referrers, and the document's blob.

    `kind` is its artifact type: a registry that lists an image's referrers can be asked for those of one kind.
    """
    document = Blob(media_type=media_type, digest=sha256(content), size=len(content))
    manifest = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": {"mediaType": EMPTY, "digest": sha256(EMPTY_JSON), "size": len(EMPTY_JSON)},
            "layers": [msgspec.to_builtins(document)],
            "subject": msgspec.to_builtins(subject),
            "annotations": annotations,
        }
    )
    return manifest, document


def canonical(value: Any) -> bytes:
    """JSON in one form only: keys sorted, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
