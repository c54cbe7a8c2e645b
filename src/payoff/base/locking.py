"""One at a time: a lock on a file, which the kernel takes back when its holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from payoff.base.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

_EVERY = 0.05  # seconds between two tries


class Taken(Exception):
    """Somebody else holds it; `holder` is the process id that he wrote down, where he did."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


@contextlib.contextmanager
def locked(path: Path, seconds: float, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock on a file, which is made where it is not there and stays. Raises `Taken` when another has it for longer than `seconds`.

    `shared`: beside others that share it. Programs that are started meanwhile do not hold it on. Raises `UserError` where the file is somebody else's.
    """
    until = time.monotonic() + seconds
    file = _opened(path)
    try:
        while True:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise Taken(os.pread(file, 20, 0).decode(errors="replace").strip()) from None
                time.sleep(_EVERY)
                continue
            if _same(file, path):
                break
            # Its file was removed meanwhile: who comes next would lock another one.
            os.close(file)
            file = _opened(path)
        if not shared:
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(file)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError as error:
        refused = Path(error.filename or path)
        raise UserError(
            f"{refused} cannot be {'opened' if refused.exists() else 'made'}: it, or a folder above it, is another user's",
            code="PO-A180",
            expected="one user who runs payoff in this folder: as root, as with sudo, it leaves files that are root's",
            remedy=f'ls -ld {path.parent} {path}, then sudo chown -R "$(id -un)" {path.parent}',
        ) from None


def _same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
