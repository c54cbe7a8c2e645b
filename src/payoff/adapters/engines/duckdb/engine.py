"""The engine: queries, identities and files, each call with a cursor of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from payoff.adapters.engines.duckdb.files import ipc, open_table, parquet, write
from payoff.adapters.engines.duckdb.memory import Budget, Watch
from payoff.adapters.engines.duckdb.shapes import cast, decoded, distinct, exact, hashed, in_utc, plain, readable
from payoff.adapters.engines.duckdb.sql import Said, one
from payoff.base import hashing
from payoff.base.errors import UserError
from payoff.records.artifact import Field, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CAPABILITIES = {"dialect": "duckdb", "arrow": True, "pushdown": True}
ROWS = 1 << 17  # rows of a batch
_HASH = "duckdb-hash/1"


@dataclasses.dataclass(frozen=True)
class Options:
    """`memory_limit` as DuckDB writes it (`4GB`): what queries may take, of which DuckDB's own account is given four fifths; a query that
    needs more spills to `.payoff/tmp`, and one that cannot spill stops. Empty: four fifths of the machine's memory. `threads`: 0 means all processors this process may use.
    """

    memory_limit: str = ""
    threads: int = 0


def connect(root: Path, options: Options) -> DuckEngine:
    """An engine with its own in-memory database, closed to files and network: it sees the tables it is given and nothing else."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": str(options.threads or len(os.sched_getaffinity(0))),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    if options.memory_limit:
        config["memory_limit"] = options.memory_limit
    try:
        connection = duckdb.connect(":memory:", config=config)
    except duckdb.Error as error:
        raise UserError(
            f"the engine does not take its options: memory_limit = {options.memory_limit!r}, threads = {options.threads}",
            code="PO-E006",
            expected="memory_limit like '4GB' (or empty), threads a whole number (0: all processors)",
            remedy="correct [engine] in payoff.toml",
        ) from error
    spill = root / ".payoff" / "tmp"
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET temp_directory = '{_quoted(str(spill))}'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    budget = Budget(connection, declared=bool(options.memory_limit))
    connection.execute("SET lock_configuration = true")
    return DuckEngine(connection, spill, budget)


class DuckEngine:
    """See `ports.engine.Engine`. Every call has a cursor of its own, so calls may run side by side."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection, spill: Path, budget: Budget) -> None:
        self._connection = connection
        self._spill = spill
        self._budget = budget
        self._lock = threading.Lock()

    def identify(self, file: Path) -> Identity:
        """Count, sum and exclusive-or of every row's 64-bit hash: independent of row order, batches and encodings, blind to no duplicate.

        Columns are told by their place, so that names which differ only in case are two columns. Not a defence against someone who
        builds collisions. Tagged with the hash's version, as DuckDB may change its hash.
        """
        table = open_table(file)
        fields = tuple(Field(field.name, str(plain(field.type))) for field in table.schema)
        rows, total, mixed = table.num_rows, None, None
        if fields:
            parts = ", ".join(hashed(f"c{place}", field.type) for place, field in enumerate(table.schema))
            columns = {
                f"c{place}": exact(column) for place, column in enumerate(readable("a step's answer", table).columns)
            }
            sql = f"select count(*), sum(h)::varchar, bit_xor(h)::varchar from (select hash({parts}) as h from t)"
            with self._cursor({}) as cursor, Said(sql, self._spill, self._budget):
                cursor.register("t", pa.table(columns))
                rows, total, mixed = cursor.execute(sql).fetchall()[0]
        seen = hashing.of_json([_HASH, [[f.name, f.type] for f in fields], int(rows), total, mixed])
        return Identity(hash=seen, rows=int(rows), fields=fields)

    def transform(self, sql: str, tables: Mapping[str, Path], output: Path) -> None:
        """Stream a query's rows into a file."""
        self._may_spill()
        with Said(sql, self._spill, self._budget), self._cursor(tables) as cursor, Watch(self._budget, cursor):
            reader = in_utc(cursor.execute(one(sql, cursor)).to_arrow_reader(ROWS))
            distinct(reader.schema)
            if output.suffix == ".parquet":
                write(reader, output, parquet)
            else:
                self.write(reader, output)

    def query(self, sql: str, tables: Mapping[str, Path | pa.Table]) -> pa.Table:
        """A query's answer in memory."""
        with Said(sql, self._spill, self._budget), self._cursor(tables) as cursor, Watch(self._budget, cursor):
            reader = in_utc(cursor.execute(one(sql, cursor)).to_arrow_reader(ROWS))
            distinct(reader.schema)
            return reader.read_all()

    def write(self, reader: pa.RecordBatchReader, output: Path) -> None:
        """Stream batches into an Arrow IPC file; the name appears when it is whole. Dictionaries become plain values: such a file
        can hold only one dictionary per column, and batches come with one each.
        """
        distinct(reader.schema)
        write(cast(reader, pa.schema([field.with_type(decoded(field.type)) for field in reader.schema])), output, ipc)

    def columns(self, sql: str, tables: Mapping[str, pa.Schema], options: Sequence[str] = ()) -> pa.Schema:
        """The schema of a query over empty tables of these schemas."""
        with Said(sql, self._spill, self._budget), self._cursor({}) as cursor:
            for name, schema in tables.items():
                cursor.register(name, readable(name, pa.Table.from_batches([], schema)))
            schema = in_utc(cursor.execute(one(sql, cursor)).to_arrow_reader(ROWS)).schema
            distinct(schema)
            return schema

    def _may_spill(self) -> None:
        # DuckDB makes its temporary folder when it needs it, but no folder above it.
        with contextlib.suppress(OSError):
            self._spill.parent.mkdir(parents=True, exist_ok=True)

    def _cursor(self, tables: Mapping[str, Path | pa.Table]) -> _Cursor:
        with self._lock:
            return _Cursor(self._connection.cursor(), tables)


class _Cursor:
    """A cursor that sees some files as tables, for the length of a `with`."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, tables: Mapping[str, Path | pa.Table]) -> None:
        self.cursor = cursor
        self.tables = tables

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        try:
            for name, given in self.tables.items():
                table = given if isinstance(given, pa.Table) else open_table(given)
                self.cursor.register(name, readable(name, table))
        except BaseException:
            self.cursor.close()
            raise
        return self.cursor

    def __exit__(self, *error: object) -> None:
        self.cursor.close()


def _quoted(text: str) -> str:
    return text.replace("'", "''")
