"""The ledger in one SQLite file: the standard library and nothing else.

Durability: a write-ahead log, so that a kill at any moment leaves every committed write readable. Run records and looks
at the holdout are also flushed to the disk before the call returns (`synchronous=full`); the small events between them
are flushed with the next of those: a power cut costs at most finished steps, which run again, never a record.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from payoff.adapters.ledgers.sqlite import chain, reading, schema
from payoff.adapters.ledgers.sqlite.failures import translated
from payoff.base.clock import now, stopwatch
from payoff.records import wire
from payoff.records.run import Entry, RunRecord
from payoff.records.state import Remembered, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from payoff.adapters.ledgers.sqlite.reading import Readout

CAPABILITIES: dict[str, Any] = {"remote": False, "concurrent": True, "append_only": True, "hash_chained": True}
BUSY_SECONDS = 30.0
_CHUNK = 500  # SQLite's oldest limit of parameters in a statement is 999
_DURABLE = ("look", "access", "epsilon", "expired")  # what must be known of even after the power failed
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Options:
    """`[ledger]` in payoff.toml. `path` is relative to the project's folder."""

    path: str = ".payoff/ledger.db"


def connect(root: Path, options: Options | None = None) -> SqliteLedger:
    """Open the ledger of the project in `root`, made when it is not there.

    Raises `OutsideError` when the file is damaged or its folder cannot be written, `UserError` when a newer Payoff
    wrote it.
    """
    return SqliteLedger(root / (options or Options()).path)


def verify(ledger: SqliteLedger) -> int:
    """Walk both hash chains (records and events); the number of records that are as they were written.

    Raises `OutsideError` (PO-L008) that names the first broken entry.
    """
    return ledger.verify()


class SqliteLedger:
    """See `payoff.ports.ledger.Ledger`. One object may be used from several threads; each write is one transaction."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = RLock()
        self._connection = _open(path)

    def state(self, project: str) -> State:
        """What is known before a run: the newest outcome of each step, and the last recorded run."""
        with self._lock, translated(self.path):
            return reading.state(self._connection, project)

    def recall(self, keys: Iterable[str]) -> dict[str, Remembered]:
        """Finished outcomes by key, the newest for each; keys nobody finished are left out."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Remembered] = {}
        with self._lock, translated(self.path):
            for start in range(0, len(wanted), _CHUNK):
                found |= reading.remembered(self._connection, wanted[start : start + _CHUNK])
        return found

    def journal(self, project: str, run: str, event: str, body: dict[str, Any]) -> int:
        """Write down an event; the number of events of its kind with its subject in the project.

        The subject is `body["subject"]`, else `body["key"]`, else the run. A `look` that is there already (same
        subject and `body["model"]`, in whichever run) is not written twice and is counted once: the same model says nothing new.
        """
        step: Remembered | None = None
        if event == "step":
            step = msgspec.convert(msgspec.to_builtins(body), Remembered)
        plain: dict[str, Any] = msgspec.to_builtins(body)
        subject = str(plain.get("subject") or plain.get("key") or run)
        model = str(plain.get("model") or "")
        content = wire.encode(plain, Remembered if step else None)

        def write() -> int:
            known = event == "look" and reading.has_look(self._connection, (project, subject, model))
            if not known:
                link = chain.Event(project, run, event, subject, model, now())
                seq = self._link("journal", link.columns(), lambda previous: link.hash(previous, content), content)
                if step:
                    self._connection.execute(
                        "insert into remembered values (?,?,?,?)", (seq, project, step.step, step.key)
                    )
            return reading.count(self._connection, project, event, subject)

        return self._write(write, durable=event in _DURABLE)

    def append(self, record: RunRecord) -> Entry:
        """Add a record to the chain, flushed to the disk; a run that has one keeps it, and that one is answered."""
        content = wire.encode(record, RunRecord)

        def write() -> None:
            if reading.number_of(self._connection, record.run) is None:
                columns = {"run": record.run, "project": record.project}
                self._link("entries", columns, lambda previous: chain.of_entry(previous, content), content)

        self._write(write, durable=True)
        with self._lock, translated(self.path):
            return reading.entry(self._connection, self.path, record.run)

    def read(self, project: str, run: str | None = None, limit: int = 50, event: str | None = None) -> Readout:
        """The newest summaries (newest first), or one run's entry, checked against its hash, and events; with `event` those of that kind.

        Raises `UserError` when no run, or more than one, goes by that name.
        """
        with self._lock, translated(self.path):
            if event is not None:
                return reading.Readout(events=reading.events(self._connection, project, event, limit))
            if run is None:
                return reading.Readout(summaries=reading.summaries(self._connection, project, limit))
            return reading.one(self._connection, self.path, project, run)

    def verify(self) -> int:
        """See the function `verify`."""
        with self._lock, translated(self.path):
            return chain.walk(self._connection, self.path)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._connection.close()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()

    def _link(self, table: str, columns: dict[str, str], digest: Callable[[str], str], body: bytes) -> int:
        """Insert a row that names the hash of the one before it; its number."""
        order = "number" if table == "entries" else "seq"
        last = self._connection.execute(f"select hash from {table} order by {order} desc limit 1").fetchone()
        previous = last[0] if last else chain.START
        row = {**columns, "previous": previous, "hash": digest(previous), "body": body}
        marks = ",".join("?" * len(row))
        cursor = self._connection.execute(f"insert into {table}({','.join(row)}) values ({marks})", tuple(row.values()))
        return int(cursor.lastrowid or 0)

    def _write(self, action: Callable[[], _T], *, durable: bool) -> _T:
        with self._lock, translated(self.path):
            self._connection.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
            self._connection.execute("begin immediate")
            try:
                answer = action()
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise
            return answer


def _open(path: Path) -> sqlite3.Connection:
    with translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _use_log(connection)
            schema.prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _use_log(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. SQLite does not wait for other processes here, so the waiting is ours.

    A file system without shared memory (some network mounts) keeps the rollback journal: as safe, only slower.
    """
    end = stopwatch() + BUSY_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode = wal").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or stopwatch() > end:
                raise
        else:
            return
