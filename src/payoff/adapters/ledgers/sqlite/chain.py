"""The hash chains: each row names the hash of the one before it, so that a change anywhere shows.

The bytes that were written are the canonical ones: they are hashed and kept as they are, never encoded again.
A hash covers the one before it, so cutting rows out of the middle shows too; cutting off the end shows only when a
later hash is known elsewhere (a signature, a release).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base import hashing
from payoff.base.errors import OutsideError, Where

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

START = "0" * (2 * hashing.SIZE)


class Event(NamedTuple):
    """The columns of an event that its hash covers besides its body."""

    project: str
    run: str
    event: str
    subject: str
    model: str
    at: str

    def columns(self) -> dict[str, str]:
        """The row of the table, by column."""
        return self._asdict()

    def hash(self, previous: str, body: bytes) -> str:
        """The digest of the event, its body and the event before it."""
        head = msgspec.json.encode([previous, *self])
        return hashing.of_bytes(head + b"\n" + body)


def of_entry(previous: str, body: bytes) -> str:
    """The hash of a record's row."""
    return hashing.of_bytes(previous.encode() + b"\n" + body)


class _Names(msgspec.Struct):
    run: str = ""
    project: str = ""


def walk(connection: sqlite3.Connection, path: Path) -> int:
    """The number of records, when both chains hold from first to last row; raises at the first row that does not."""
    records = 0
    previous = START
    for number, run, project, before, digest, body in connection.execute(
        "select number, run, project, previous, hash, cast(body as blob) from entries order by number"
    ):
        records += 1
        good = number == records and before == previous and digest == of_entry(before, body)
        if not good or _names(body) != (run, project):
            raise broken(path, f"record {number} (run {run})")
        previous = digest
    previous = START
    rows = connection.execute(
        "select seq, project, run, event, subject, model, at, previous, hash, cast(body as blob) "
        "from journal order by seq"
    )
    for expected, (seq, *columns, before, digest, body) in enumerate(rows, start=1):
        if seq != expected or before != previous or digest != Event(*columns).hash(before, body):
            raise broken(path, f"event {seq} ({columns[2]} of run {columns[1]})")
        previous = digest
    return records


def _names(body: bytes) -> tuple[str, str]:
    try:
        names = msgspec.json.decode(body, type=_Names)
    except msgspec.MsgspecError:
        return ("", "")
    return (names.run, names.project)


def broken(path: Path, what: str) -> OutsideError:
    """The error that names the first row that is not what was written."""
    return OutsideError(
        f"the ledger was changed by something else than Payoff: {what} is not what was written",
        code="PO-L008",
        expected="each row to carry the hash of its content and of the row before it",
        where=Where(path),
        remedy="restore the ledger from a backup; results from this row on are not evidence",
    )
