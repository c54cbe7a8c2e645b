"""A layer: a tar archive whose bytes hang on nothing but its members' paths, contents and whether they may be executed.

No times, owners or order of a file system get in, and nothing is compressed: what a compressor writes changes with its version, and a
registry keeps and sends blobs compressed if it likes. So whoever packs the same lock, code and model gets the same digest
(https://reproducible-builds.org/docs/archives/).
"""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

from payoff.base.errors import Bug, OutsideError
from payoff.base.hashing import Sha256
from payoff.records.release.image import LAYER, Blob, Layer, Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BLOCK = tarfile.BLOCKSIZE
_RECORD = tarfile.RECORDSIZE


def pack(members: Iterable[Member], read: Callable[[Member], Iterable[bytes]]) -> Iterator[bytes]:
    """The archive in pieces. Folders that members need are added; members are sorted; of two with one path the first is taken.

    `read` answers the content of a member that is on disk, in pieces that make up exactly its `size`.
    """
    written = 0
    for member in arrange(members):
        header = _header(member)
        written += len(header)
        yield header
        if member.kind != "file":
            continue
        size = 0
        for piece in [member.data] if not member.source else read(member):
            size += len(piece)
            yield piece
        wanted = _size(member)
        if size != wanted:
            raise OutsideError(
                f"{member.path} has {size} bytes, and had {wanted} when it was listed",
                code="PO-A010",
                expected="files that nobody writes to while they are packed",
                remedy="payoff release again: it changed while it was read",
            )
        rest = -size % _BLOCK
        written += size + rest
        if rest:
            yield bytes(rest)
    # Two empty blocks end an archive, and it fills whole records, as every tar writes it.
    yield bytes(2 * _BLOCK + (-(written + 2 * _BLOCK) % _RECORD))


def layer(
    members: Iterable[Member],
    read: Callable[[Member], Iterable[bytes]],
    write: Callable[[bytes], object],
    says: str = "",
) -> Layer:
    """Pack, hand each piece to `write`, and answer what came of it."""
    digest = Sha256()
    for piece in pack(members, read):
        digest.update(piece)
        write(piece)
    return Layer(blob=Blob(media_type=LAYER, digest=digest.digest, size=digest.size), diff_id=digest.digest, says=says)


def arrange(members: Iterable[Member]) -> list[Member]:
    """Sorted by path, each once, with the folders above them."""
    found: dict[str, Member] = {}
    for member in members:
        path = member.path
        parts = path.split("/")
        if not path or path.startswith("/") or any(part in {"", ".", ".."} for part in parts):
            raise Bug(
                f"{path!r} is no path inside a layer",
                code="PO-A011",
                remedy="report it, with the names of the project's folders",
            )
        if path not in found:
            found[path] = member
    for path in list(found):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if found.setdefault(above, Member(path=above, kind="folder")).kind != "folder":
                raise Bug(
                    f"{above} is a {found[above].kind}, and {path} would lie in it",
                    code="PO-A011",
                    remedy="report it, with the names of the project's folders",
                )
    return [found[path] for path in sorted(found, key=lambda each: each.split("/"))]


def _size(member: Member) -> int:
    return member.size if member.source else len(member.data)


def _header(member: Member) -> bytes:
    info = tarfile.TarInfo(member.path)
    info.type = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}[member.kind]
    info.mode = 0o755 if member.kind != "file" or member.executable else 0o644
    info.mtime = 0
    if member.kind == "file":
        info.size = _size(member)
    if member.kind == "link":
        info.linkname = member.target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def bytes_of(members: Iterable[Member]) -> bytes:
    """The archive of members that bring their data along, as a whole: for small ones."""
    out = io.BytesIO()
    for piece in pack(members, lambda _member: ()):
        out.write(piece)
    return out.getvalue()
