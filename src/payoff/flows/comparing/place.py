"""Where runs are executed again: `.payoff/laboratory`, with a ledger of its own."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING, Self

from payoff.base.errors import UserError
from payoff.base.ids import new_run_id
from payoff.flows.show import find
from payoff.wiring import assemble

if TYPE_CHECKING:
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
        self._clean()

    def folder(self, name: str) -> Path:
        """A new folder's path; nothing is there yet."""
        self._number += 1
        self._work.mkdir(parents=True, exist_ok=True)
        return self._work / f"{self._number}-{re.sub(r'[^A-Za-z0-9-]', '_', name)[:40]}"

    def close(self) -> None:
        """Remove what was written for this process."""
        shutil.rmtree(self._work, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _clean(self) -> None:
        try:
            names = os.listdir(self._base)
        except OSError:
            return
        for name in names:
            pid = name.partition("-")[0]
            if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                shutil.rmtree(self._base / name, ignore_errors=True)
