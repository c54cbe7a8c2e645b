"""A table in a DuckDB file: rows and the record of what they are in one transaction. All types that DuckDB has are held as they are."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError
from payoff.ports.sink import MODES, check_mode, taken, unfit
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb
    import pyarrow as pa

CAPABILITIES = {"atomic": True, "modes": MODES}
_WRITES = """create table if not exists payoff_writes (
    number bigint not null, target varchar not null, mode varchar not null, identity varchar not null, row_count bigint not null, digest varchar not null
)"""
_LOCK = threading.Lock()  # writers in one process share what DuckDB has open, and would run into each other
_WAIT = 60.0  # seconds that a writer waits for the one before it: one process at a time may open the file


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


def connect(name: str, options: Options, root: Path) -> DuckDB:
    """A table in a DuckDB file; nothing is opened yet."""
    check_mode(name, options.mode, options.keys)
    return DuckDB(name, options, root)


class DuckDB:
    """See `ports.sink.Sink`. Writers wait for each other."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._file = root / options.path
        self._into = options.into or name

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """One transaction, from the first look to the record."""
        import pyarrow as pa

        for field in reader.schema:
            if pa.types.is_union(field.type) or pa.types.is_decimal256(field.type):
                raise unfit(self._name, field.name, str(field.type), "types that DuckDB has")
        self._make_folder()
        with _LOCK, self._open(read_only=False) as connection:
            connection.execute(_WRITES)
            if self._there(connection) == artifact.id or self._appended(connection, artifact.id):
                return Written(identity=artifact.id, rows=artifact.rows or 0, already=True)
            connection.register("payoff_new", reader)
            rows = self._fill(connection, reader.schema.names)
            if self._options.mode == "replace":
                connection.execute("delete from payoff_writes where target = ?", [self._into])
            connection.execute(
                "insert into payoff_writes select coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5 from payoff_writes",
                [self._into, self._options.mode, artifact.id, rows, self._digest(connection)],
            )
        return Written(identity=artifact.id, rows=rows)

    def written(self) -> str | None:
        """The id of the last write, when the rows are those that it left."""
        if not self._file.is_file():
            return None
        with self._open(read_only=True) as connection:
            return self._there(connection)

    def describe(self) -> dict[str, Any]:
        """The file and the table."""
        return {
            "kind": "duckdb",
            "address": self._options.path,
            "table": self._into,
            "mode": self._options.mode,
            "watch": [str(self._file), f"{self._file}.wal"],
        }

    def _make_folder(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unreachable(error) from error

    def _there(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        if not _has(connection, "payoff_writes") or not _has(connection, self._into):
            return None
        asked = "select identity, digest from payoff_writes where target = ? order by number desc limit 1"
        found = connection.execute(asked, [self._into]).fetchone()
        if found is None or (self._options.verify == "content" and self._digest(connection) != found[1]):
            return None
        return str(found[0])

    def _appended(self, connection: duckdb.DuckDBPyConnection, identity: str) -> bool:
        asked = "select 1 from payoff_writes where target = ? and identity = ?"
        return (
            self._options.mode == "append" and connection.execute(asked, [self._into, identity]).fetchone() is not None
        )

    def _fill(self, connection: duckdb.DuckDBPyConnection, names: list[str]) -> int:
        into, here = _quoted(self._into), _has(connection, self._into)
        if self._options.mode == "replace":
            ours = connection.execute("select 1 from payoff_writes where target = ?", [self._into]).fetchone()
            if here and ours is None and not self._options.adopt:
                raise taken(self._name, f"{self._options.path} {self._into}")
            connection.execute(f"create or replace table {into} as select * from payoff_new")
            return _number(connection, f"select count(*) from {into}")
        connection.execute("create temp table payoff_rows as select * from payoff_new")
        if not here:
            connection.execute(f"create table {into} as select * from payoff_rows limit 0")
        if self._options.mode == "merge":
            self._make_room(connection, names)
        connection.execute(f"insert into {into} by name select * from payoff_rows")
        return _number(connection, "select count(*) from payoff_rows")

    def _make_room(self, connection: duckdb.DuckDBPyConnection, names: list[str]) -> None:
        missing = [key for key in self._options.keys if key not in names]
        if missing:
            raise UserError(
                f"sink {self._name}: the table lacks a column of keys ({', '.join(missing)})",
                code="PO-N005",
                expected=f"keys out of {', '.join(names)}",
                remedy=f"correct keys in [sinks.{self._name}] of payoff.toml",
            )
        listed = ", ".join(_quoted(key) for key in self._options.keys)
        if _number(connection, f"select count(*) - count(distinct row({listed})) from payoff_rows"):
            raise UserError(
                f"sink {self._name}: two rows have the same {', '.join(self._options.keys)}, so that neither of them can be merged",
                code="PO-N006",
                expected="each key once",
                remedy=f"make the rows one a key in a step, or name more columns in keys of [sinks.{self._name}]",
            )
        same = " and ".join(f"t.{_quoted(key)} is not distinct from n.{_quoted(key)}" for key in self._options.keys)
        connection.execute(f"delete from {_quoted(self._into)} as t using payoff_rows as n where {same}")

    def _digest(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Rows and columns as they are now, whatever their order; nothing where it is not asked for."""
        if self._options.verify != "content" or self._options.mode != "replace":
            return ""
        asked = f"select count(*) || ' ' || coalesce(sum(hash(t)), 0) || ' ' || coalesce(bit_xor(hash(t)), 0) from {_quoted(self._into)} as t"
        rows = connection.execute(asked).fetchone()
        shape = connection.execute(f"describe {_quoted(self._into)}").fetchall()
        return f"{rows[0] if rows else ''} {[(each[0], each[1]) for each in shape]}"

    @contextlib.contextmanager
    def _open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction that is taken back when anything goes wrong."""
        import duckdb

        connection = self._connection(read_only=read_only)
        try:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute("begin")
            yield connection
            connection.execute("commit")
        except duckdb.ConstraintException as error:
            raise UserError(
                f"sink {self._name}: a row does not fit into the table {self._into}",
                code="PO-N003",
                expected="rows that the table's own constraints admit",
                remedy=f"look at the constraints of the table that [sinks.{self._name}] names",
            ) from error
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.ConversionException) as error:
            raise UserError(
                f"sink {self._name}: the table {self._into} has other columns than those that are written",
                code="PO-N007",
                expected="a table with the same columns",
                remedy=f"let [sinks.{self._name}] replace the table, or write to one that has these columns",
            ) from error
        except duckdb.Error as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()  # what was not committed is gone

    def _connection(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        import duckdb

        started = stopwatch()
        while True:
            try:
                return duckdb.connect(str(self._file), read_only=read_only)
            except duckdb.Error as error:
                # Another process has it, or this one in the other way.
                busy = "lock" in str(error).lower() or "different configuration" in str(error)
                if not busy or stopwatch() - started > _WAIT:
                    raise self._unreachable(error) from error
                time.sleep(0.05)

    def _unreachable(self, error: Exception) -> OutsideError:
        return OutsideError(
            f"sink {self._name}: {self._options.path} cannot be written or read ({type(error).__name__})",
            code="PO-N010",
            expected="a DuckDB file that is whole, that no other program holds open for long, and on a disk with space left",
            remedy=f"close what else uses {self._options.path}, then payoff run",
            retryable=True,
        )


def _has(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    asked = "select 1 from information_schema.tables where table_schema = 'main' and table_catalog = current_database() and lower(table_name) = lower(?)"
    return connection.execute(asked, [table]).fetchone() is not None


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    found = connection.execute(sql).fetchone()
    return int(found[0]) if found else 0


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
