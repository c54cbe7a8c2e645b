"""Atomic writes, and paths that cannot leave their folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from payoff.base.errors import UserError


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a whole file or nothing: a temporary file beside it, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(temporary, "wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def secret(path: Path) -> bytes:
    """32 random bytes kept in a file that only its owner may read; made when it is not there."""
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = os.urandom(32)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(found)
        try:
            os.link(temporary, path)  # never over the one that another process has just made
        except FileExistsError:
            found = path.read_bytes()
        finally:
            temporary.unlink(missing_ok=True)
    return found


def place_durably(part: Path, target: Path) -> Path:
    """Give a finished file its name; when this returns, its bytes and its name are on the disk."""
    with open(part, "rb") as stream:
        os.fsync(stream.fileno())
    os.replace(part, target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return target


def place_folder(part: Path, target: Path) -> Path:
    """Give a finished folder its name, unless another process was faster: then that one's stays, and this one goes."""
    try:
        os.rename(part, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(part, ignore_errors=True)
    return target


def inside(root: Path, relative: str) -> Path:
    """The path of `relative` under `root`; refused when it would leave `root`."""
    path = os.path.normpath(os.path.join(root, relative))
    if not _under(path, os.path.normpath(root)) or not _under(os.path.realpath(path), os.path.realpath(root)):
        raise UserError(
            f"the path {relative!r} leaves its folder",
            code="PO-P001",
            expected=f"a path inside {root.name}/",
            remedy="write the path relative to the project folder, without '..' or a link that leads outside",
        )
    return Path(path)


def _under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))
