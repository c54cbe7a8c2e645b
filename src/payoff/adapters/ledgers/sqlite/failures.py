"""SQLite's and the file system's failures, in Payoff's words."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from payoff.base.errors import OutsideError, Where

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class translated:  # noqa: N801 - reads as a verb in `with translated(path)`; a class costs no import of contextlib
    """Turns what goes wrong inside the block into an `OutsideError`. The ledger file is never deleted or replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise _of_sqlite(self.path, error) from error
        if isinstance(error, OSError):
            raise _unwritable(self.path, error.strerror or type(error).__name__) from error


def _of_sqlite(path: Path, error: sqlite3.Error) -> OutsideError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    said = getattr(error, "sqlite_errorname", type(error).__name__)
    if code in _DAMAGED:
        return damaged(path, said)
    if code in _FULL:
        return OutsideError(
            f"the ledger was not written: the disk is full or failing ({said}); what was recorded is intact",
            code="PO-L004",
            expected="free space on the disk that holds the ledger",
            where=Where(path),
            remedy=f"df -h {_quoted(path.parent)}   # free some space, then run again: finished steps are not repeated",
            retryable=True,
        )
    if code in _BUSY:
        return OutsideError(
            "the ledger stayed locked by another process",
            code="PO-L006",
            expected="other runs to hold it for milliseconds only",
            where=Where(path),
            remedy=f"fuser {_quoted(path)}   # shows who holds it; end that process, then run again",
            retryable=True,
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return _unwritable(path, said)
    return OutsideError(
        f"SQLite failed on the ledger ({said})",
        code="PO-L011",
        where=Where(path),
        remedy=f"sqlite3 {_quoted(path)} 'pragma integrity_check'   # says whether the file is sound",
    )


def damaged(path: Path, said: str) -> OutsideError:
    """The file is not a sound database."""
    aside = path.with_suffix(".damaged.db")
    return OutsideError(
        f"the ledger file is damaged ({said}); it was left as it is",
        code="PO-L003",
        expected="a sound SQLite database",
        where=Where(path),
        remedy=f"mv {_quoted(path)} {_quoted(aside)} && sqlite3 {_quoted(aside)} .recover | sqlite3 {_quoted(path)}",
    )


def _unwritable(path: Path, said: str) -> OutsideError:
    return OutsideError(
        f"the ledger's folder or file cannot be written ({said})",
        code="PO-L005",
        expected="a folder in which files can be made",
        where=Where(path),
        remedy=f"chmod -R u+w {_quoted(path.parent)}   # or name another place: [ledger] path in payoff.toml",
    )


def _quoted(path: Path) -> str:
    text = str(path)
    return text if text.replace("/", "").replace(".", "").replace("-", "").replace("_", "").isalnum() else f"'{text}'"
