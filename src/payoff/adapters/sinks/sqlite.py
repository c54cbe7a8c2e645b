"""A table in an SQLite file: rows and the record of what they are in one transaction.

SQLite has few types. Dates and times are written as ISO text (instants in UTC, with `+00:00`), decimals as text with all their digits, truth as 0 and 1,
under the declared types DATE, TIMESTAMP, TEXT and BOOLEAN.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import sqlite3
from typing import TYPE_CHECKING, Any

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, UserError
from payoff.ports.sink import MODES, check_mode, taken, unfit
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
else:
    pa = lazy.Module("pyarrow")

CAPABILITIES = {"atomic": True, "modes": MODES}
_WRITES = """create table if not exists payoff_writes (
    number integer primary key, target text not null, mode text not null, identity text not null, row_count integer not null, digest text not null
)"""
_WAIT = 60.0  # seconds that a writer waits for the one before it


@dataclasses.dataclass(frozen=True)
class Options:
    """`path`: the file, relative to the project. `into`: the table's name there (the sink's own name unless said). `mode`: `replace` all rows, `append` each
    table once, or `merge` rows by the columns in `keys`. `adopt`: replace a table that Payoff did not write. `verify`: `content` looks on every run whether somebody
    changed the rows, `record` trusts the record of the last write.
    """

    path: str
    into: str = ""
    mode: str = "replace"
    keys: list[str] = dataclasses.field(default_factory=list)
    adopt: bool = False
    verify: str = "content"


def connect(name: str, options: Options, root: Path) -> SQLite:
    """A table in an SQLite file; nothing is opened yet."""
    check_mode(name, options.mode, options.keys)
    return SQLite(name, options, root)


class SQLite:
    """See `ports.sink.Sink`. Writers wait for each other."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._file = root / options.path
        self._into = options.into or name

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """One transaction, from the first look to the record."""
        types = {field.name: _type(self._name, field) for field in reader.schema}
        self._make_folder()
        with self._open("begin immediate") as connection:
            connection.execute(_WRITES)
            if self._there(connection) == artifact.id or self._appended(connection, artifact.id):
                return Written(identity=artifact.id, rows=artifact.rows or 0, already=True)
            self._make_room(connection, types)
            rows = self._fill(connection, reader)
            if self._options.mode == "replace":
                connection.execute("delete from payoff_writes where target = ?", [self._into])
            digest = self._digest(connection)
            connection.execute(
                "insert into payoff_writes (target, mode, identity, row_count, digest) values (?, ?, ?, ?, ?)",
                [self._into, self._options.mode, artifact.id, rows, digest],
            )
        return Written(identity=artifact.id, rows=rows)

    def written(self) -> str | None:
        """The id of the last write, when the rows are those that it left."""
        if not self._file.is_file():
            return None
        with self._open("begin") as connection:
            return self._there(connection)

    def describe(self) -> dict[str, Any]:
        """The file and the table."""
        return {
            "kind": "sqlite",
            "address": self._options.path,
            "table": self._into,
            "mode": self._options.mode,
            "watch": [str(self._file), f"{self._file}-wal"],
        }

    def _make_folder(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unreachable(error) from error

    def _there(self, connection: sqlite3.Connection) -> str | None:
        if not _has(connection, "payoff_writes") or not _has(connection, self._into):
            return None
        found = connection.execute(
            "select identity, digest from payoff_writes where target = ? order by number desc limit 1", [self._into]
        ).fetchone()
        if found is None or (self._options.verify == "content" and self._digest(connection) != found[1]):
            return None
        return str(found[0])

    def _appended(self, connection: sqlite3.Connection, identity: str) -> bool:
        if self._options.mode != "append":
            return False
        asked = "select 1 from payoff_writes where target = ? and identity = ?"
        return connection.execute(asked, [self._into, identity]).fetchone() is not None

    def _make_room(self, connection: sqlite3.Connection, types: dict[str, str]) -> None:
        """A table of these columns; in place of the old one when it is to be replaced."""
        listed = ", ".join(f"{_quoted(name)} {kind}" for name, kind in types.items())
        here = _has(connection, self._into)
        if self._options.mode == "replace" and here:
            ours = connection.execute("select 1 from payoff_writes where target = ?", [self._into]).fetchone()
            if ours is None and not self._options.adopt:
                raise taken(self._name, f"{self._options.path} {self._into}")
            columns = connection.execute(f"pragma table_info({_quoted(self._into)})").fetchall()
            if [(row[1], row[2]) for row in columns] == list(types.items()):
                connection.execute(f"delete from {_quoted(self._into)}")
                return
            connection.execute(f"drop table {_quoted(self._into)}")
            here = False
        if not here:
            connection.execute(f"create table {_quoted(self._into)} ({listed})")

    def _fill(self, connection: sqlite3.Connection, reader: pa.RecordBatchReader) -> int:
        names = reader.schema.names
        listed = ", ".join(_quoted(name) for name in names)
        insert = f"insert into {_quoted(self._into)} ({listed}) values ({', '.join('?' for _ in names)})"
        keys = [names.index(key) for key in self._options.keys if key in names]
        if self._options.mode == "merge":
            if len(keys) < len(self._options.keys):
                raise _no_key(self._name, self._options.keys, names)
            same = " and ".join(f"{_quoted(key)} is ?" for key in self._options.keys)
            remove = f"delete from {_quoted(self._into)} where {same}"
        rows = 0
        seen: set[tuple[Any, ...]] = set()
        for batch in reader:
            values = list(zip(*(_values(column) for column in batch.columns), strict=True))
            if keys:
                for row in values:
                    key = tuple(row[place] for place in keys)
                    if key in seen:
                        raise _twice(self._name, self._options.keys)
                    seen.add(key)
                    connection.execute(remove, key)
            connection.executemany(insert, values)
            rows += batch.num_rows
        return rows

    def _digest(self, connection: sqlite3.Connection) -> str:
        """Rows and columns as they are now, whatever their order; nothing where it is not asked for."""
        if self._options.verify != "content" or self._options.mode != "replace":
            return ""
        total, rows = 0, 0
        for row in connection.execute(f"select * from {_quoted(self._into)}"):
            total = (total + int(hashing.of_text(repr(row)), 16)) % (1 << 128)
            rows += 1
        columns = connection.execute(f"pragma table_info({_quoted(self._into)})").fetchall()
        return hashing.of_json([columns, rows, total])

    @contextlib.contextmanager
    def _open(self, begin: str) -> Iterator[sqlite3.Connection]:
        """A transaction that is taken back when anything goes wrong."""
        connection = sqlite3.connect(self._file, timeout=_WAIT, isolation_level=None)
        try:
            connection.execute(begin)
            yield connection
            connection.execute("commit")
        except (sqlite3.Error, OverflowError) as error:
            raise self._said(error) from error
        finally:
            connection.close()  # what was not committed is gone

    def _said(self, error: Exception) -> OutsideError | UserError:
        if isinstance(error, sqlite3.IntegrityError | OverflowError | sqlite3.InterfaceError):
            return UserError(
                f"sink {self._name}: a row does not fit into the table {self._into} ({type(error).__name__})",
                code="PO-N003",
                expected="values that the table's own rules and SQLite's 64-bit numbers admit",
                remedy=f"look at the table's constraints, or cast the column in a step, for [sinks.{self._name}]",
            )
        return self._unreachable(error)

    def _unreachable(self, error: Exception) -> OutsideError:
        return OutsideError(
            f"sink {self._name}: {self._options.path} cannot be written or read ({type(error).__name__})",
            code="PO-N010",
            expected="an SQLite file that is whole, not locked for long, and on a disk with space left",
            remedy=f"sqlite3 {self._options.path} 'pragma integrity_check', then payoff run",
            retryable=True,
        )


def _has(connection: sqlite3.Connection, table: str) -> bool:
    asked = "select 1 from sqlite_master where type in ('table', 'view') and lower(name) = lower(?)"
    return connection.execute(asked, [table]).fetchone() is not None


def _type(sink: str, field: pa.Field) -> str:
    of, kind = pa.types, field.type
    if of.is_dictionary(kind):
        kind = kind.value_type
    for test, name in (
        (of.is_boolean, "BOOLEAN"),
        (of.is_integer, "INTEGER"),
        (of.is_floating, "REAL"),
        (of.is_decimal, "TEXT"),
        (of.is_date, "DATE"),
        (of.is_timestamp, "TIMESTAMP"),
        (of.is_binary, "BLOB"),
        (of.is_large_binary, "BLOB"),
        (of.is_string, "TEXT"),
        (of.is_large_string, "TEXT"),
    ):
        if test(kind):
            return name
    raise unfit(
        sink, field.name, str(field.type), "numbers, text, truth, dates, timestamps or bytes: SQLite has no other"
    )


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz))
    values = column.to_pylist()
    of = pa.types
    if of.is_timestamp(column.type):
        zoned = column.type.tz is not None
        return [None if each is None else _iso(each.astimezone(dt.UTC) if zoned else each) for each in values]
    if of.is_date(column.type) or of.is_decimal(column.type):
        return [None if each is None else str(each) for each in values]
    plain: list[Any] = values
    return plain


def _iso(value: dt.datetime) -> str:
    return value.isoformat(sep=" ")


def _no_key(sink: str, keys: list[str], names: list[str]) -> UserError:
    return UserError(
        f"sink {sink}: the table lacks a column of keys ({', '.join(key for key in keys if key not in names)})",
        code="PO-N005",
        expected=f"keys out of {', '.join(names)}",
        remedy=f"correct keys in [sinks.{sink}] of payoff.toml",
    )


def _twice(sink: str, keys: list[str]) -> UserError:
    return UserError(
        f"sink {sink}: two rows have the same {', '.join(keys)}, so that neither of them can be merged",
        code="PO-N006",
        expected="each key once",
        remedy=f"make the rows one a key in a step, or name more columns in keys of [sinks.{sink}]",
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
