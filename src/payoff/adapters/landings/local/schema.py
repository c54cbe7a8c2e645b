"""The database of one landing: which files are its rows, and where each stream goes on."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING

from payoff.base.errors import OutsideError, UserError, Where

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "landing.db"
VERSION = 1
_BUSY_SECONDS = 30.0
# A segment takes the place of the first transaction whose rows it holds. `place` of a part is its record batch in the file.
_TABLES = """
create table if not exists commits (
  number integer primary key, at text not null, positions text not null, rows integer not null, set_aside integer not null) strict;
create table if not exists segments (
  first integer primary key, file text not null unique, rows integer not null, bytes integer not null, digest text not null,
  oldest integer, newest integer) strict;
create table if not exists parts (
  segment integer not null references segments(first) on delete cascade, place integer not null, partition text not null, rows integer not null,
  primary key (segment, place)) strict, without rowid;
create table if not exists set_aside (
  number integer primary key, in_commit integer not null, partition text not null, "offset" text not null, time integer, key text,
  reason text not null, payload blob) strict;
create table if not exists lost (
  in_commit integer not null, partition text not null, since text not null, until text not null, why text not null, messages integer) strict;
create table if not exists meta (name text primary key, value text not null) strict, without rowid;
"""


class Database:
    """The database of one table. Its connection is kept, as ending one costs more than a transaction; a forked child makes its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    @contextlib.contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """The connection for one call, its tables there; every commit is on the disk when it returns. SQLite's failures come in our words."""
        path = self._folder / FILE
        with self._lock:
            try:
                if self._connection is None or self._process != os.getpid() or not path.exists():
                    self._connection, self._process = _connected(path), os.getpid()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                self._connection = None
                raise _failed(path, error) from error
            finally:
                if self._connection is not None and self._connection.in_transaction:  # something stopped it midway
                    self._connection.execute("rollback")


def _connected(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")
    _prepare(connection, path)
    return connection


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that nobody else writes beside; undone by an error."""
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    found = connection.execute("pragma user_version").fetchone()[0]
    if found == VERSION:
        return
    if found > VERSION:
        raise UserError(
            "a newer Payoff wrote this landing",
            code="PO-M013",
            expected=f"a landing of version {VERSION}, found version {found}",
            where=Where(path),
            remedy="use the newer Payoff, or name another table in payoff.toml",
        )
    connection.execute("pragma journal_mode = wal")
    with writing(connection):
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"pragma user_version = {VERSION}")


def _failed(path: Path, error: sqlite3.Error | OSError) -> OutsideError:
    said = getattr(error, "sqlite_errorname", "") or getattr(error, "strerror", "") or type(error).__name__
    return OutsideError(
        f"the landing cannot be read or written ({said})",
        code="PO-M010",
        expected="free space, a folder that this user may write to, and a whole database",
        where=Where(path),
        remedy=f"look at its folder (ls -l {path.parent}; df -h {path.parent}), then run again: what landed is kept",
        retryable=True,
    )
