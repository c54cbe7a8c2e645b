"""A table in MariaDB or MySQL.

A table that replaces another is written beside it and takes its name in one `rename table`, which these servers do whole or not at all (MariaDB from 10.6 on, MySQL from 8
on, through a crash too). What it is stands in the table's own comment, so that rows and record cannot come apart. Instants are written in UTC as DATETIME(6).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, UserError
from payoff.ports.sink import MODES, check_mode, taken, unfit
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    import pymysql
else:
    pa, pymysql = lazy.Module("pyarrow"), lazy.Module("pymysql")

CAPABILITIES = {"atomic": True, "modes": MODES}
_WAIT = 600  # seconds that a writer waits for the one before it
_ROWS = 5000  # of an insert
_REFUSED = {1044, 1045, 1142, 1227}  # no right to the database, to the table, to what is asked
_UNFIT = {
    1062,
    1048,
    1264,
    1366,
    1406,
    1451,
    1452,
    3819,
    4025,
}  # duplicate, NULL, range, text, length, foreign keys, checks


@dataclasses.dataclass(frozen=True)
class Options:
    """`dsn`: `mysql://user:password@host:3306/database`, best as a `${ENV_VAR}` reference; `?unix_socket=/path` leads to a socket. `into`: the table's name there (the sink's
    own name unless said). `mode`: `replace` all rows, `append` each table once, or `merge` rows by the columns in `keys`. `adopt`: replace a table that Payoff did not write.
    `verify`: `content` looks on every run whether somebody changed the rows (the server's CHECKSUM TABLE), `record` trusts the record of the last write.
    """

    dsn: str
    into: str = ""
    mode: str = "replace"
    keys: list[str] = dataclasses.field(default_factory=list)
    adopt: bool = False
    verify: str = "content"


def connect(name: str, options: Options, root: Path) -> MariaDB:
    """A table in MariaDB or MySQL; no connection is made yet."""
    check_mode(name, options.mode, options.keys)
    return MariaDB(name, options)


class MariaDB:
    """See `ports.sink.Sink`. Writers of one table wait for each other, by a lock of that name."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options
        self._into = options.into or name
        self._new = f"payoff_new_{hashing.of_text(self._into)[:12]}"

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """The new rows beside the table, then all at once in it."""
        types = {field.name: _type(self._name, field) for field in reader.schema}
        with self._session() as session:
            lock = f"payoff:{self._new}"
            session.value("select get_lock(%s, %s)", [lock, _WAIT])
            session.run(
                "create table if not exists payoff_writes (number bigint auto_increment primary key, target varchar(200) not null, mode varchar(20) not null,"
                " identity varchar(100) not null, row_count bigint not null, key (target)) character set utf8mb4"
            )
            if self._there(session) == artifact.id or self._appended(session, artifact.id):
                return Written(identity=artifact.id, rows=artifact.rows or 0, already=True)
            comment = session.comment(self._into)
            if (
                self._options.mode == "replace"
                and comment is not None
                and not comment.startswith("{")
                and not self._options.adopt
            ):
                raise taken(self._name, self._into)
            session.run(f"drop table if exists {_quoted(self._new)}")
            listed = ", ".join(f"{_quoted(name)} {kind}" for name, kind in types.items())
            session.run(f"create table {_quoted(self._new)} ({listed}) character set utf8mb4 collate utf8mb4_bin")
            rows = self._fill(session, reader)
            if self._options.mode == "replace":
                self._swap(session, artifact.id, there=comment is not None)
            else:
                self._add(session, reader.schema.names, artifact.id, rows)
        return Written(identity=artifact.id, rows=rows)

    def written(self) -> str | None:
        """The id of the last write, when the rows are those that it left."""
        with self._session() as session:
            return self._there(session)

    def describe(self) -> dict[str, Any]:
        """Host, database and table, without user and password."""
        parts = urlsplit(self._options.dsn)
        port = f":{parts.port}" if parts.port else ""
        shown = f"mysql://{parts.hostname or 'localhost'}{port}{parts.path}"
        return {"kind": "mysql", "address": shown, "table": self._into, "mode": self._options.mode}

    def _there(self, session: _Session) -> str | None:
        if self._options.mode != "replace":
            if session.comment(self._into) is None or session.comment("payoff_writes") is None:
                return None
            asked = "select identity from payoff_writes where target = %s order by number desc limit 1"
            found = session.value(asked, [self._into])
            return None if found is None else str(found)
        comment = session.comment(self._into)
        if comment is None or not comment.startswith("{"):
            return None
        mark = json.loads(comment)
        if self._options.verify == "content" and session.checksum(self._into) != mark["checksum"]:
            return None
        return str(mark["payoff"])

    def _appended(self, session: _Session, identity: str) -> bool:
        asked = "select count(*) from payoff_writes where target = %s and identity = %s"
        return self._options.mode == "append" and bool(session.value(asked, [self._into, identity]))

    def _fill(self, session: _Session, reader: pa.RecordBatchReader) -> int:
        places = ", ".join("%s" for _ in reader.schema.names)
        rows = 0
        for batch in reader:
            values = list(zip(*(_values(column) for column in batch.columns), strict=True))
            for start in range(0, len(values), _ROWS):
                session.many(f"insert into {_quoted(self._new)} values ({places})", values[start : start + _ROWS])
            session.connection.commit()
            rows += batch.num_rows
        return rows

    def _swap(self, session: _Session, identity: str, *, there: bool) -> None:
        mark = json.dumps({"payoff": identity, "checksum": session.checksum(self._new)})
        session.run(f"alter table {_quoted(self._new)} comment = %s", [mark])
        if not there:
            session.run(f"rename table {_quoted(self._new)} to {_quoted(self._into)}")
            return
        old = f"{self._new}_old"
        session.run(f"drop table if exists {_quoted(old)}")
        moves = ((self._into, old), (self._new, self._into))
        session.run("rename table " + ", ".join(f"{_quoted(one)} to {_quoted(two)}" for one, two in moves))
        session.run(f"drop table {_quoted(old)}")

    def _add(self, session: _Session, names: list[str], identity: str, rows: int) -> None:
        """Rows and record in one transaction."""
        new, into = _quoted(self._new), _quoted(self._into)
        if session.comment(self._into) is None:
            session.run(f"create table {into} like {new}")
        listed = ", ".join(_quoted(name) for name in names)
        if self._options.mode == "merge":
            self._make_room(session, names)
        session.run(f"insert into {into} ({listed}) select {listed} from {new}")
        session.run(
            "insert into payoff_writes (target, mode, identity, row_count) values (%s, %s, %s, %s)",
            [self._into, self._options.mode, identity, rows],
        )
        session.connection.commit()
        session.run(f"drop table {new}")

    def _make_room(self, session: _Session, names: list[str]) -> None:
        missing = [key for key in self._options.keys if key not in names]
        if missing:
            raise UserError(
                f"sink {self._name}: the table lacks a column of keys ({', '.join(missing)})",
                code="PO-N005",
                expected=f"keys out of {', '.join(names)}",
                remedy=f"correct keys in [sinks.{self._name}] of payoff.toml",
            )
        listed = ", ".join(_quoted(key) for key in self._options.keys)
        new = _quoted(self._new)
        if session.value(f"select count(*) from (select 1 from {new} group by {listed} having count(*) > 1) as twice"):
            raise UserError(
                f"sink {self._name}: two rows have the same {', '.join(self._options.keys)}, so that neither of them can be merged",
                code="PO-N006",
                expected="each key once",
                remedy=f"make the rows one a key in a step, or name more columns in keys of [sinks.{self._name}]",
            )
        same = " and ".join(f"t.{_quoted(key)} <=> n.{_quoted(key)}" for key in self._options.keys)
        session.run(f"delete t from {_quoted(self._into)} as t join {new} as n on {same}")

    @contextlib.contextmanager
    def _session(self) -> Iterator[_Session]:
        """A connection whose lock and open transaction end with it."""
        parts = urlsplit(self._options.dsn)
        socket = parse_qs(parts.query).get("unix_socket", [""])[0]
        try:
            connection = pymysql.connect(
                host=parts.hostname or "localhost",
                port=parts.port or 3306,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                database=unquote(parts.path.lstrip("/")),
                unix_socket=socket or None,
                charset="utf8mb4",
                init_command="set session time_zone = '+00:00', session sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES'",
                connect_timeout=20,
            )
        except pymysql.Error as error:
            raise self._said(error) from None
        try:
            yield _Session(connection)
        except pymysql.Error as error:
            raise self._said(error) from None
        finally:
            connection.close()

    def _said(self, error: Exception) -> OutsideError | UserError:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if number in _REFUSED:
            return UserError(
                f"sink {self._name}: the server refused the user, the password, or the right to write there",
                code="PO-N011",
                expected="a user who may create, alter, drop and write tables in the database",
                remedy=f"check the environment variable that dsn of [sinks.{self._name}] refers to, or have the right granted",
            )
        if number in _UNFIT:
            return UserError(
                f"sink {self._name}: a row does not fit into the table {self._into} (the server's error {number})",
                code="PO-N003",
                expected="values that the table's own rules admit",
                remedy=f"look at the table's columns and constraints, or cast in a step, for [sinks.{self._name}]",
            )
        return OutsideError(
            f"sink {self._name}: the server cannot be reached, or stopped in the middle (its error {number})",
            code="PO-N010",
            expected="a server that answers at the address of dsn",
            remedy=f"check dsn of [sinks.{self._name}] and that the server runs, then payoff run: finished steps are not repeated",
            retryable=True,
        )


class _Session:
    """Statements on one connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def run(self, sql: str, values: Sequence[Any] = ()) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)

    def many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(sql, rows)

    def value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            found = cursor.fetchone()
            return found[0] if found else None

    def comment(self, table: str) -> str | None:
        """The table's comment; None when there is no such table."""
        asked = (
            "select table_comment from information_schema.tables where table_schema = database() and table_name = %s"
        )
        found = self.value(asked, [table])
        return None if found is None else str(found)

    def checksum(self, table: str) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute(f"checksum table {_quoted(table)} extended")
            return str(cursor.fetchone()[1])


def _type(sink: str, field: pa.Field) -> str:
    of, kind = pa.types, field.type
    if of.is_dictionary(kind):
        kind = kind.value_type
    if of.is_decimal(kind) and kind.precision <= 65 and 0 <= kind.scale <= 38:
        return f"decimal({kind.precision}, {kind.scale})"
    for test, name in (
        (of.is_boolean, "boolean"),
        (of.is_uint64, "bigint unsigned"),
        (of.is_integer, "bigint"),
        (of.is_float64, "double"),
        (of.is_floating, "double"),
        (of.is_date, "date"),
        (of.is_timestamp, "datetime(6)"),
        (of.is_binary, "longblob"),
        (of.is_large_binary, "longblob"),
        (of.is_string, "longtext"),
        (of.is_large_string, "longtext"),
    ):
        if test(kind):
            return name + (" null" if name.startswith("date") else "")
    raise unfit(sink, field.name, str(field.type), "numbers, text, truth, dates, timestamps or bytes")


def _values(column: pa.Array) -> list[Any]:
    of = pa.types
    if of.is_timestamp(column.type):
        zone = column.type.tz
        values = column.cast(pa.timestamp("us", zone)).to_pylist()
        return [None if v is None else (v.astimezone(dt.UTC).replace(tzinfo=None) if zone else v) for v in values]
    plain: list[Any] = column.to_pylist()
    return plain


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"
