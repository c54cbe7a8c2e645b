"""Where runs are executed again: `.payoff/laboratory`, with a ledger of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from typing import TYPE_CHECKING, Self

from payoff.base.errors import UserError
from payoff.base.ids import new_run_id
from payoff.flows.show import find
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payoff.flows.opening import Past
    from payoff.ports.ledger import Ledger
    from payoff.ports.store import Store
    from payoff.records.run import RunRecord

FOLDER = os.path.join(".payoff", "laboratory")


def find_anywhere(past: Past, run: str) -> RunRecord:
    """The record of a run of the project, or of one that was executed again in its laboratory."""
    try:
        return find(past, run)[0]
    except UserError as unknown:
        if run.startswith("latest") or not (past.root / FOLDER).is_dir():
            raise
        try:
            entries = assemble.ledger(past.root / FOLDER).read(past.id, run).entries
        except UserError:
            raise unknown from None
        if not entries:
            raise
        return entries[-1].record


class Place:
    """A project's laboratory: folders for the projects that are executed, gone when it is closed (those of a killed one, when the next opens)."""

    def __init__(self, past: Past) -> None:
        self.past = past
        self.root: Path = past.root
        self.store: Store = past.kit.store
        self.ledger: Ledger = assemble.ledger(past.root / FOLDER)
        self._base = past.root / FOLDER / "work"
        self._work = self._base / f"{os.getpid()}-{new_run_id()}"
        self._number = 0
        self._door = -1
        self._clean()

    def folder(self, name: str) -> Path:
        """A new folder's path; nothing is there yet."""
        self._number += 1
        self._hold()
        return self._work / f"{self._number}-{re.sub(r'[^A-Za-z0-9-]', '_', name)[:40]}"

    def close(self) -> None:
        """Remove what was written for this process."""
        shutil.rmtree(self._work, ignore_errors=True)
        if self._door >= 0:
            os.close(self._door)
            self._door = -1

    def _hold(self) -> None:
        """Make the folder for this process, and lock it as long as the process lives, wherever its id is another's (in a container, say)."""
        if self._door >= 0:
            return
        with _locked(self._base):
            self._work.mkdir(parents=True, exist_ok=True)
            self._door = os.open(self._work, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._door, fcntl.LOCK_EX)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _clean(self) -> None:
        """Remove the folders that nobody holds."""
        if not self._base.is_dir():
            return
        with _locked(self._base):
            for name in os.listdir(self._base):
                with contextlib.suppress(OSError):  # somebody holds it, or it is gone
                    door = os.open(self._base / name, os.O_RDONLY | os.O_DIRECTORY)
                    try:
                        fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(self._base / name, ignore_errors=True)
                    finally:
                        os.close(door)


@contextlib.contextmanager
def _locked(base: Path) -> Iterator[None]:
    """Nobody else makes or removes folders there meanwhile: between the making of one and its lock it is nobody's."""
    base.mkdir(parents=True, exist_ok=True)
    door = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(door, fcntl.LOCK_EX)
        yield
    finally:
        os.close(door)
