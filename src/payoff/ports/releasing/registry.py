"""Where images are kept: blobs by their digest, manifests by digest or tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from payoff.records.release.image import Blob


class Registry(Protocol):
    """One repository of an OCI registry, or a folder in OCI layout. Not thread-safe: one caller.

    What is answered was checked against its digest; what is written is there whole or not at all. All methods raise `UserError` when the
    registry says that we may not, and `OutsideError` when it cannot be reached or fails.

    `address` is what others find it by: `docker://host/name`, or `oci:FOLDER` (absolute), as skopeo and podman write them, without digest or tag.
    """

    address: str

    def has(self, blob: Blob) -> bool:
        """Whether the blob is there already."""
        ...

    def read(self, blob: Blob) -> Iterator[bytes]:
        """The blob in pieces. Raises `UserError` when there is none, `OutsideError` at its end when it is not what its digest says."""
        ...

    def write(self, blob: Blob, pieces: Iterable[bytes]) -> None:
        """Keep a blob. Raises `OutsideError` when the pieces are not what its digest says: then nothing is kept."""
        ...

    def manifest(self, reference: str) -> tuple[bytes, str] | None:
        """The bytes and the media type of a manifest or an index, by digest (`sha256:...`) or tag; None when there is none.

        By digest, the bytes are those of that digest.
        """
        ...

    def put(self, content: bytes, media_type: str, tag: str = "") -> None:
        """Keep a manifest or an index under its digest, and let a tag name it. What it lists must be there before."""
        ...
