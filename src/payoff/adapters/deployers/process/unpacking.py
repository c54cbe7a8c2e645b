"""The parts of an image that are ours, as files of a folder: each as its layer has it, and nothing else."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import stat
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from payoff.records.release.image import LAYER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from payoff.ports.releasing.registry import Registry
    from payoff.records.release.image import Blob

OURS = ("opt", "srv")  # folders of an image that a release fills
_PIECE = 1 << 18  # bytes: memory that is used again, where a library of 60 MB would be brought in anew
_HOME, _VERSION = (
    re.compile(rb"^home *=.*$", re.MULTILINE),
    re.compile(rb"^version(?:_info)? *= *(\d+\.\d+)", re.MULTILINE),
)


def unpack(layers: list[Blob], images: Registry, place: Path, python: Callable[[str], str]) -> None:
    """Every file of ours is as its layer, whose digest was checked, has it; nothing else is there, and no folder leads elsewhere. `python` answers what
    takes the place of an interpreter of the base.
    """
    tree = _Tree(place)
    try:
        for layer in layers:
            if layer.media_type == LAYER:  # ours are not compressed: what is, is of the base
                _unpack(images.read(layer), tree, python)
    except BaseException:
        tree.take_back()  # bytes that turned out to be others
        raise
    tree.remove_others()


def _unpack(pieces: Iterator[bytes], tree: _Tree, python: Callable[[str], str]) -> None:
    with tarfile.open(fileobj=cast("IO[bytes]", _Stream(pieces)), mode="r|", bufsize=1 << 16) as archive:
        for member in archive:
            parts = member.name.split("/")
            if parts[0] not in OURS or ".." in parts or member.isdir():
                continue
            if member.issym():
                # The one link of an environment leads to an interpreter of the base, whose place ours takes.
                tree.link(member.name, python(member.linkname))
            elif member.isfile():
                content, size = cast("IO[bytes]", archive.extractfile(member)), member.size
                if parts[-1] == "pyvenv.cfg":
                    said = content.read()
                    found = python(f"python{_VERSION.findall(said)[0].decode()}")
                    said = _HOME.sub(os.fsencode(f"home = {os.path.dirname(found)}"), said)
                    content, size = io.BytesIO(said), len(said)
                tree.put(member.name, content, size, member.mode & 0o755)
    # An archive may end before its blob does, and the digest is of the whole: only who reads to the end knows that it is right.
    for _ in pieces:
        pass


class _Stream:
    """An iterator of pieces, read like a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._piece, self._at = pieces, b"", 0

    def read(self, size: int) -> bytes:
        """What is left of a piece is not copied for each of the thousands of small reads that it is taken in."""
        found = self._piece[self._at : self._at + size]
        self._at += len(found)
        while len(found) < size:
            self._piece = next(self._pieces, b"")
            if not self._piece:
                break
            self._at = size - len(found)
            found += self._piece[: self._at]
        return found


class _Tree:
    """What is unpacked in a folder. Files that are right already stay as they are."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._beside = _newest(place)
        self._kept: set[str] = set()
        self._written: list[Path] = []
        self._folders: set[Path] = set()

    def link(self, name: str, to: str) -> None:
        """A link."""
        path = self._path(name)
        if path.is_symlink() and os.readlink(path) == to:
            return
        _remove(path)
        path.symlink_to(to)
        self._written.append(path)

    def put(self, name: str, content: IO[bytes], size: int, mode: int) -> None:
        """A file, piece by piece: of those that are the same already nothing is written."""
        path = self._path(name)
        with contextlib.ExitStack() as stack:
            before = _before(path, size, mode)
            if before is None and self._lent(name):
                before = _before(path, size, mode)
            if before is None:
                _remove(path)
                alike, piece = 0, content.read(_PIECE)
            else:
                alike, piece = _alike(content, stack.enter_context(before))
                if not piece:
                    return
                path.unlink()
            self._written.append(path)
            # Not forced to the disk: what a crash leaves half-written is found by the comparison above.
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            file = stack.enter_context(open(made, "wb"))
            os.fchmod(made, mode)
            if before is not None:
                before.seek(0)
                file.write(before.read(alike))
            while piece:
                file.write(piece)
                piece = content.read(_PIECE)

    def _lent(self, name: str) -> bool:
        """Let a file be that of another image, to be compared: most of a release is as it was in the one before. Nobody writes to one, it is only ever replaced."""
        path = self._path(name)
        with contextlib.suppress(OSError):  # no such file, or no such links here
            if self._beside is not None and not os.path.lexists(path):
                os.link(self._beside / name, path, follow_symlinks=False)
                self._written.append(path)
                return True
        return False

    def take_back(self) -> None:
        """Remove what was written."""
        for each in self._written:
            _remove(each)

    def remove_others(self) -> None:
        """Remove what was not put here."""
        above = len(os.fspath(self._place)) + 1
        for folder, folders, files in os.walk(self._place, topdown=False):
            for path in (f"{folder}/{each}" for each in files):  # thousands: as text, and not asked again what they are
                if path[above:] not in self._kept:
                    os.unlink(path)
            for path in (f"{folder}/{each}" for each in folders):
                if not os.path.islink(path):
                    with contextlib.suppress(OSError):  # one that is not empty stays
                        os.rmdir(path)
                elif path[above:] not in self._kept:
                    os.unlink(path)

    def _path(self, name: str) -> Path:
        """Where it goes; the folders above it are folders, and not links to others."""
        self._kept.add(name)
        path = self._place / name
        if path.parent not in self._folders:
            above = [self._place, *(self._place / each for each in reversed(Path(name).parents[:-1]))]
            for each in above:
                if each.is_symlink() or each.is_file():
                    each.unlink()
                each.mkdir(parents=True, exist_ok=True)
            self._folders.update(above)
        return path


def _newest(place: Path) -> Path | None:
    """The image that was unpacked last beside a place."""
    with contextlib.suppress(OSError):
        found = [
            each for each in os.scandir(place.parent) if each.name != place.name and each.is_dir(follow_symlinks=False)
        ]
        return Path(max(found, key=lambda each: each.stat().st_mtime_ns)) if found else None
    return None


def _before(path: Path, size: int, mode: int) -> IO[bytes] | None:
    """The file that is there, if it can be the same: of another size it is another; one that is no plain file is none."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        own = found.st_uid == os.geteuid()
        if own and (stat.S_IFMT(found.st_mode), found.st_mode & 0o777, found.st_size) == (stat.S_IFREG, mode, size):
            return open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
    return None


def _alike(content: IO[bytes], before: IO[bytes]) -> tuple[int, bytes]:
    """How many bytes are the same, in whole pieces, and the first piece that differs: none where all are."""
    alike = 0
    while piece := content.read(_PIECE):
        if before.read(len(piece)) != piece:
            break
        alike += len(piece)
    return alike, piece


def _remove(path: Path) -> None:
    """A file, a link, or a folder that is where a file should be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
