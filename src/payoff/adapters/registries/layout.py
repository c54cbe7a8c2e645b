"""A folder in OCI image layout (image-layout.md, 1.1): what skopeo, podman and others read as `oci:FOLDER:TAG`."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from payoff.base.errors import OutsideError, UserError
from payoff.base.files import write_atomically
from payoff.base.hashing import Sha256, sha256
from payoff.records.release.image import INDEX, MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from payoff.records.release.image import Blob

CAPABILITIES: dict[str, Any] = {"remote": False}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = "org.opencontainers.image.ref.name"
_PIECE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Options:
    """`path`: the folder, relative to the project."""

    path: str = ".payoff/images"


def connect(root: Path, options: Options) -> Layout:
    """The folder, made when something is first written there."""
    return Layout(root / options.path)


class Layout:
    """Blobs are files named by their digest; a tag is an annotation in `index.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = f"oci:{os.path.abspath(folder)}"

    def has(self, blob: Blob) -> bool:
        """Whether a file of that digest and size is there."""
        with contextlib.suppress(OSError):
            return self._file(blob.digest).stat().st_size == blob.size
        return False

    def read(self, blob: Blob) -> Iterator[bytes]:
        """The file in pieces, checked at its end."""
        digest = Sha256()
        try:
            with self._file(blob.digest).open("rb") as stream:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
                    yield piece
        except FileNotFoundError:
            raise UserError(
                f"{self._folder} has no blob {blob.digest}",
                code="PO-A050",
                expected="a layout with all that its manifests list",
                remedy="skopeo copy the image there again",
            ) from None
        if digest.digest != blob.digest:
            raise _broken(self._folder, blob.digest)

    def write(self, blob: Blob, pieces: Iterable[bytes]) -> None:
        """Keep a blob: beside its place first, then renamed."""
        file = self._file(blob.digest)
        digest = Sha256()
        with self._failing():
            file.parent.mkdir(parents=True, exist_ok=True)
            beside = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
            try:
                with beside.open("wb") as stream:
                    for piece in pieces:
                        digest.update(piece)
                        stream.write(piece)
                    stream.flush()
                    os.fsync(stream.fileno())
                if digest.digest != blob.digest:
                    raise _broken(self._folder, blob.digest)
                beside.replace(file)
            finally:
                beside.unlink(missing_ok=True)

    def manifest(self, reference: str) -> tuple[bytes, str] | None:
        """By digest the file, by tag what `index.json` says."""
        if _DIGEST.fullmatch(reference):
            digest = reference
        else:
            found = [each for each in self._index()["manifests"] if each.get("annotations", {}).get(_TAG) == reference]
            if not found:
                return None
            digest = str(found[-1]["digest"])
        try:
            content = self._file(digest).read_bytes()
        except FileNotFoundError:
            return None
        if sha256(content) != digest:
            raise _broken(self._folder, digest)
        return content, str(json.loads(content).get("mediaType", MANIFEST))

    def put(self, content: bytes, media_type: str, tag: str = "") -> None:
        """Keep it, and enter it in `index.json`."""
        digest = sha256(content)
        with self._failing():
            file = self._file(digest)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, content)
            with self._alone():
                index = self._index()
                entry: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": len(content)}
                kept = [
                    each
                    for each in index["manifests"]
                    if each.get("annotations", {}).get(_TAG, "") != tag or (not tag and each["digest"] != digest)
                ]
                index["manifests"] = [*kept, entry | ({"annotations": {_TAG: tag}} if tag else {})]
                write_atomically(self._folder / "index.json", json.dumps(index, indent=1).encode())

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else of ours enters anything in `index.json` meanwhile: of two at once, one would be lost."""
        marker = self._folder / "oci-layout"
        if not marker.exists():
            with contextlib.suppress(FileExistsError), marker.open("xb") as stream:
                stream.write(b'{"imageLayoutVersion":"1.0.0"}')
        with marker.open("rb") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            yield

    def _index(self) -> dict[str, Any]:
        try:
            found = json.loads((self._folder / "index.json").read_bytes())
            if isinstance(found["manifests"], list):
                return dict(found)
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        except (ValueError, KeyError, TypeError):
            pass
        raise UserError(
            f"{self._folder}/index.json is no index of an OCI layout",
            code="PO-A051",
            expected="a folder in OCI image layout, or an empty one",
            remedy="name another folder in [release] registry",
        )

    def _file(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise UserError(
                f"{digest[:80]!r} is no digest of a kind that a layout is read by",
                code="PO-A052",
                expected="sha256: and 64 hexadecimal digits",
                remedy="take an image whose manifest names its blobs by SHA-256",
            )
        return self._folder / "blobs" / "sha256" / digest.partition(":")[2]

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutsideError(
                f"{self._folder} cannot be written: {error.strerror}",
                code="PO-A053",
                expected="a folder that may be written, with room",
                remedy=f"df -h {self._folder}",
            ) from None


def _broken(folder: Path, digest: str) -> OutsideError:
    return OutsideError(
        f"what {folder} has as {digest} is something else",
        code="PO-A054",
        expected="bytes of that digest",
        remedy="remove that file, and release or copy the image again",
    )
