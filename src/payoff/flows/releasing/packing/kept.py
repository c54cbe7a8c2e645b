"""Layers whose digest is known from before: packed once, and taken for what they are while no file that they are made of has changed.

A file counts as unchanged while its place, size, times (that of its content and that of its inode, which nobody can set) and inode are as they were when its content
was compared with what its package says: what git trusts its index by. Where one differs (another environment that shares a file is enough), all are
compared with what their packages say again; the layer is packed again only when they are others. What is sent to a registry is read and its digest
compared all the same.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.base.files import write_atomically
from payoff.flows.releasing.packing import files
from payoff.flows.releasing.packing.compiled import compiled
from payoff.flows.releasing.packing.installed import Installed, Interpreter
from payoff.records.release.image import Layer, Member
from payoff.release import layer
from payoff.release.documents import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_FORMAT = 1


class Packed(NamedTuple):
    """A layer, what it has, and its files when somebody wants to read them."""

    layer: Layer
    members: Callable[[], list[Member]]
    distributions: tuple[Distribution, ...] = ()


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    seen: str
    content: str
    layer: Layer
    distributions: tuple[Distribution, ...]


class Place(NamedTuple):
    """Where layers are remembered: `folder` under .payoff; `python` runs here and has the version of the image's."""

    folder: Path
    python: Path
    interpreter: Interpreter


def packed(says: str, key: str, watched: Sequence[str], make: Callable[[], Installed], place: Place) -> Packed:
    """The layer of what is installed. `key` names it: another lock, another Payoff or another interpreter is another one; `watched` are its files."""
    known = place.folder / hashing.of_json([_FORMAT, says, key, *place.interpreter])
    remembered = known / "layer.json"
    seen = signature(watched)

    def members() -> list[Member]:
        found = make()
        return found.members + compiled(found.members, place.python, place.interpreter.version, known / "compiled")

    try:
        kept = msgspec.json.decode(remembered.read_bytes(), type=_Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        kept = None
    if kept is not None and kept.seen == seen:
        return Packed(kept.layer, members, kept.distributions)
    found = make()
    if kept is None or kept.content != found.content:
        shutil.rmtree(known / "compiled", ignore_errors=True)
        listed = found.members + compiled(found.members, place.python, place.interpreter.version, known / "compiled")
        made = layer.layer(listed, files.content, lambda _piece: None, says)
        kept = _Kept(seen=seen, content=found.content, layer=made, distributions=tuple(found.distributions))
    write_atomically(remembered, msgspec.json.encode(msgspec.structs.replace(kept, seen=seen)))
    return Packed(kept.layer, members, kept.distributions)


def plain(says: str, members: list[Member]) -> Packed:
    """The layer of files that are quickly read."""
    return Packed(layer.layer(members, files.content, lambda _piece: None, says), lambda: members)


def signature(listed: Iterable[str]) -> str:
    """The digest of where files lie, and of what their inodes say."""
    lines: list[str] = []
    for path in listed:
        try:
            state = os.stat(path)
        except FileNotFoundError:
            lines.append(f"{path}\0")
            continue
        lines.append(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ctime_ns}\0{state.st_ino}")
    return hashing.of_text("\n".join(sorted(lines)))
