"""What deployers that run releases on this machine have in common: whose a deployment is, and that one at a time changes it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from payoff.base.errors import OutsideError, UserError
from payoff.base.hashing import sha256
from payoff.base.locking import Taken, locked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LEAST = 16  # characters of a token, as the server asks for


def owner(root: Path) -> str:
    """What tells the deployments of one clone of a project from those of another on the same machine: made of the folder's real path, so that it is
    the same when everything else that is known of them is gone.
    """
    return sha256(os.fsencode(os.path.realpath(root)))[7:23]


def refuse_short(token: str) -> None:
    """The server would not start with it, and say so where few look."""
    if 0 < len(token) < _LEAST:
        raise UserError(
            f"the token is shorter than {_LEAST} characters",
            code="PO-A183",
            expected="a long random text in the variable that token in the deployment's section names",
            remedy="export VARIABLE=$(openssl rand -hex 32), then payoff deploy again",
        )


@contextlib.contextmanager
def alone(folder: Path, name: str, seconds: float, *, shared: bool = False) -> Iterator[None]:
    """Nobody else changes that deployment meanwhile (`shared`: but for those who share it). Raises `OutsideError` when somebody does for longer than `seconds`."""
    file = folder / f"{name}.lock"
    try:
        # Around the lock alone: what is raised while it is held is none of its own.
        with contextlib.ExitStack() as held:
            held.enter_context(locked(file, seconds, shared=shared))
            kept = held.pop_all()
    except Taken as taken:
        by = f"process {taken.holder}" if taken.holder else "another process"
        raise OutsideError(
            f"{by} has been changing {name} for more than {seconds:.0f} s",
            code="PO-A155",
            expected="one payoff deploy of a deployment at a time",
            remedy=f"the same command again when it is through; ps -p {taken.holder or 'PID'} shows what it is, and {file} is free as soon as it ends",
        ) from None
    with kept:
        yield
