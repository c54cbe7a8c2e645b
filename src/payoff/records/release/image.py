"""An OCI image as its parts: blobs that are named by their SHA-256, a manifest that lists them."""

from __future__ import annotations

from typing import Literal

import msgspec

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"


class Blob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A descriptor (OCI image specification 1.1, descriptor.md): `digest` is `sha256:` and 64 hexadecimal digits, `size` in bytes."""

    media_type: str = msgspec.field(name="mediaType")
    digest: str
    size: int
    annotations: dict[str, str] = {}
    artifact_type: str = msgspec.field(name="artifactType", default="")


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of an image. `diff_id` is the digest of its tar archive uncompressed; of ours, which are not compressed, that of the blob.

    `says` goes into the image's history, which `podman history` shows.
    """

    blob: Blob
    diff_id: str
    says: str = ""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How a container of an image starts. `user` is numeric, so that a cluster can see that it is not root."""

    command: tuple[str, ...]
    user: str = "65532:65532"
    folder: str = "/srv"
    environment: dict[str, str] = {}
    ports: tuple[int, ...] = ()
    labels: dict[str, str] = {}


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """The image that ours stands on, as its registry has it: its manifest's digest, its platform, layers and environment."""

    digest: str
    architecture: str
    os: str
    layers: tuple[Layer, ...] = ()
    environment: tuple[str, ...] = ()
    variant: str = ""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A file, folder or symbolic link of a layer. `path` has `/` and no leading one; `source` is a file on disk, or else `data` its content.

    `target` is where a link leads.
    """

    path: str
    kind: Literal["file", "folder", "link"] = "file"
    executable: bool = False
    size: int = 0
    source: str = ""
    data: bytes = b""
    target: str = ""
