"""A folder of immutable files named by their content."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base import hashing
from payoff.base.errors import OutsideError, UserError
from payoff.base.files import inside, write_atomically
from payoff.records.artifact import Artifact

if TYPE_CHECKING:
    from payoff.records.artifact import Identity

_END = b"ARROW1"
# How a file system says that it has no hard links (FAT, some network and FUSE mounts).
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
CAPABILITIES = {"local": True, "shared": False}


@dataclasses.dataclass(frozen=True)
class Options:
    """`folder`: relative to the project, or absolute."""

    folder: str = ".payoff/store"


def connect(root: Path, options: Options) -> LocalStore:
    """The store of the project at `root`; the folder is made when it is first written to."""
    return LocalStore(root / options.folder)


class LocalStore:
    """See `ports.store.Store`. Files are written in a scratch folder of this process and renamed into place, read-only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch: Path | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    def scratch(self, name: str) -> Path:
        """A path for something to be written, in a folder that belongs to this process."""
        with self._lock:
            if self._scratch is None:
                self._scratch = self._own_scratch()
        plain = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
        return self._scratch / f"{next(self._numbers)}-{plain[:80]}"

    def _own_scratch(self) -> Path:
        base = self._folder / "scratch"
        scratch = base / f"{os.getpid()}-{_started(os.getpid())}-{os.urandom(3).hex()}"
        try:
            base.mkdir(parents=True, exist_ok=True)
            _clean(base)
            scratch.mkdir()
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        return scratch

    def put_table(self, file: Path, identity: Identity) -> Artifact:
        """Take over a table; the same content again is dropped."""
        name = identity.name
        place, size = self._put(file, f"tables/{name[:2]}/{name}.arrow")
        return Artifact(id=name, kind="table", file=place, bytes=size, rows=identity.rows, fields=identity.fields)

    def put_object(self, file: Path, python_type: str) -> Artifact:
        """Take over a pickle, unopened."""
        name = hashing.of_file(file)
        place, size = self._put(file, f"objects/{name[:2]}/{name}.pickle")
        return Artifact(id=name, kind="object", file=place, bytes=size, python_type=python_type)

    def path(self, artifact: Artifact) -> Path:
        """Where an artifact is; damaged or lost ones are an error."""
        path = inside(self._folder, artifact.file)
        try:
            size = path.stat().st_size
        except OSError:
            size = -1
        if size < 0 and (why := self.gone(artifact)):
            raise UserError(
                f"{artifact.kind} {artifact.id[:12]} is no longer kept: it was {why}",
                code="PO-T011",
                expected="a version that may still be kept",
                remedy="payoff run makes a new one of what the sources have now",
            )
        if size != artifact.bytes:
            raise OutsideError(
                f"{artifact.kind} {artifact.id[:12]} is {'gone from' if size < 0 else 'damaged in'} the store",
                code="PO-T001",
                expected=f"{artifact.bytes:,} bytes in {artifact.file}",
                remedy="payoff run --force makes it again",
            )
        return path

    def has(self, artifact: Artifact) -> bool:
        """True when it is there in its full size."""
        try:
            return inside(self._folder, artifact.file).stat().st_size == artifact.bytes
        except (OSError, UserError):
            return False

    def erase(self, artifact: Artifact, why: str) -> int:
        """Remove its file, a note in its place; whoever has it open or mapped reads on."""
        path = inside(self._folder, artifact.file)
        try:
            size = path.stat().st_size
            write_atomically(_note(path), why)
            path.unlink()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        return size

    def gone(self, artifact: Artifact) -> str:
        """What the note says."""
        path = inside(self._folder, artifact.file)
        try:
            return "" if path.exists() else _note(path).read_text(encoding="utf-8")
        except OSError:
            return ""

    def _put(self, file: Path, relative: str) -> tuple[str, int]:
        target = self._folder / relative
        size = file.stat().st_size
        try:
            if not _whole(target, size):
                target.parent.mkdir(parents=True, exist_ok=True)
                file.chmod(0o444)
                _place(file, target, size)
            file.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self._folder, error) from error
        return relative, target.stat().st_size


def _note(path: Path) -> Path:
    """Where it is said why a file was erased."""
    return path.with_name(f"{path.name}.gone")


def _place(file: Path, target: Path, size: int) -> None:
    """Give the file its name, unless another process has just put the same content there: what that one has said of its size must stay
    true, and the same rows in other batches make a file of another size. A rename would silently replace it, a link does not.
    """
    try:
        target.hardlink_to(file)
    except FileExistsError:
        if not _whole(target, size):
            file.replace(target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        file.replace(target)


def _whole(target: Path, size: int) -> bool:
    """True when the content is there already. The same rows in other batches make a file of another size: the one that is there stays,
    for earlier records name it; an Arrow file without its end is one that something damaged.
    """
    try:
        with target.open("rb") as stream:
            found = stream.seek(0, os.SEEK_END)
            if target.suffix != ".arrow":
                return found == size
            stream.seek(max(0, found - len(_END)))
            return stream.read() == _END
    except OSError:
        return False


def _unwritable(folder: Path, error: OSError) -> OutsideError:
    """What to say when the store takes nothing more: which folder it is, how much is free there."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return OutsideError(
            f"the store at {folder} cannot be written: {os.strerror(error.errno or 0)}",
            code="PO-T003",
            expected="a folder that this user may write to",
            remedy=f"look at its owner and rights: ls -ld {folder}",
        )
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return OutsideError(
        f"the disk is full at {folder}: {shutil.disk_usage(there).free / 2**20:,.1f} MB free",
        code="PO-T002",
        expected="free space under .payoff/store",
        remedy="free some space (du -sh .payoff/*), then payoff run: finished steps are not repeated",
    )


def _started(pid: int) -> str:
    """When a process started (clock ticks since boot), so that a pid used again is not taken for it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _clean(base: Path) -> None:
    """Remove the scratch folders of processes that are gone."""
    for folder in base.iterdir():
        pid, _, rest = folder.name.partition("-")
        if pid.isdigit() and _started(int(pid)) != rest.partition("-")[0]:
            shutil.rmtree(folder, ignore_errors=True)
