"""DuckDB over memory-mapped Arrow IPC files."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from payoff.base import hashing
from payoff.base.errors import OutsideError, UserError
from payoff.records.artifact import Field, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CAPABILITIES = {"dialect": "duckdb", "arrow": True, "pushdown": True}
ROWS = 1 << 17  # rows of a batch
_HASH = "duckdb-hash/1"
_STREAMED = re.compile(r"^[A-Z][A-Za-z ]+ Error: ")


@dataclasses.dataclass(frozen=True)
class Options:
    """`memory_limit` as DuckDB writes it (`4GB`); `threads`: 0 means all processors this process may use."""

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
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET temp_directory = '{_quoted(str(root / '.payoff' / 'tmp'))}'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET lock_configuration = true")
    return DuckEngine(connection)


class DuckEngine:
    """See `ports.engine.Engine`. Every call has a cursor of its own, so calls may run side by side."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def identify(self, file: Path) -> Identity:
        """Count, sum and exclusive-or of every row's 64-bit hash: independent of row order, blind to no duplicate.

        Not a defence against someone who builds collisions. Tagged with the hash's version, as DuckDB may change its hash.
        """
        table = _open(file)
        schema = table.schema
        names = ", ".join(_name(name) for name in schema.names)
        sql = f"select count(*), sum(hash({names}))::varchar, bit_xor(hash({names}))::varchar from t" if names else ""
        if names:
            rows, total, mixed = self._rows(sql, {"t": file})[0]
        else:
            rows, total, mixed = table.num_rows, None, None
        fields = tuple(Field(field.name, _plain(field.type)) for field in schema)
        seen = hashing.of_json([_HASH, [[f.name, f.type] for f in fields], int(rows), total, mixed])
        return Identity(hash=seen, rows=int(rows), fields=tuple(Field(field.name, str(field.type)) for field in schema))

    def transform(self, sql: str, tables: Mapping[str, Path], output: Path) -> None:
        """Stream a query's rows into a file."""
        with self._cursor(tables) as cursor, _Said(sql):
            reader = cursor.execute(_one(sql)).to_arrow_reader(ROWS)
            if output.suffix == ".parquet":
                _write_parquet(reader, output)
            else:
                self.write(reader, output)

    def query(self, sql: str, tables: Mapping[str, Path]) -> pa.Table:
        """A query's answer in memory."""
        with self._cursor(tables) as cursor, _Said(sql):
            return cursor.execute(_one(sql)).to_arrow_table()

    def write(self, reader: pa.RecordBatchReader, output: Path) -> None:
        """Stream batches into an Arrow IPC file; the name appears when it is whole."""
        part = output.with_name(output.name + ".part")
        schema = reader.schema.remove_metadata()
        try:
            with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for batch in reader:
                    writer.write_batch(batch.replace_schema_metadata(None))
            part.replace(output)
        except BaseException as error:
            part.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            if error.errno == errno.ENOSPC or "No space left" in str(error) or "errno 28" in str(error):
                raise _full(output) from error
            raise

    def columns(self, sql: str, tables: Mapping[str, pa.Schema], options: Sequence[str] = ()) -> pa.Schema:
        """The schema of a query over empty tables of these schemas."""
        with self._lock:
            cursor = self._connection.cursor()
        try:
            for name, schema in tables.items():
                cursor.register(name, schema.empty_table())
            with _Said(sql):
                return cursor.execute(_one(sql)).to_arrow_table().schema
        finally:
            cursor.close()

    def _rows(self, sql: str, tables: Mapping[str, Path]) -> list[tuple[int, str | None, str | None]]:
        with self._cursor(tables) as cursor:
            return cursor.execute(sql).fetchall()

    def _cursor(self, tables: Mapping[str, Path]) -> _Cursor:
        with self._lock:
            return _Cursor(self._connection.cursor(), tables)


class _Cursor:
    """A cursor that sees some files as tables, for the length of a `with`."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, tables: Mapping[str, Path]) -> None:
        self.cursor = cursor
        self.tables = tables

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        for name, file in self.tables.items():
            self.cursor.register(name, _open(file))
        return self.cursor

    def __exit__(self, *error: object) -> None:
        self.cursor.close()


def _open(file: Path) -> pa.Table:
    """A memory-mapped table: pages come from the file as they are needed."""
    try:
        with pa.memory_map(str(file)) as source:
            return pa.ipc.open_file(source).read_all()
    except FileNotFoundError as error:
        raise OutsideError(
            "a table is no longer in the store",
            code="PO-E003",
            expected="the files under .payoff/store as Payoff left them",
            remedy="payoff run --force makes it again",
        ) from error


def _plain(kind: pa.DataType) -> str:
    """A type's name for the identity: text is text, however long its offsets are, and encoded in a dictionary or not."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    return str(kind)


def _write_parquet(reader: pa.RecordBatchReader, output: Path) -> None:
    import pyarrow.parquet as pq

    part = output.with_name(output.name + ".part")
    with pq.ParquetWriter(str(part), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    part.replace(output)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _one(sql: str) -> str:
    """Exactly one statement, and one that only reads."""
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise UserError(
            f"the SQL holds {len(statements)} statements" if len(statements) != 1 else "the SQL is not a query",
            code="PO-E001",
            expected="one SELECT (or WITH ... SELECT)",
            remedy="keep one query per step; other statements belong in steps of their own",
        )
    return sql


class _Said:
    """What DuckDB says of wrong SQL, without the values of the data."""

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, duckdb.OutOfMemoryException):
            raise OutsideError(
                "the engine ran out of memory",
                code="PO-E004",
                expected="a query that fits into memory and the temporary folder",
                remedy="take fewer columns or rows in the query, or give the engine more memory",
            ) from error
        if isinstance(error, duckdb.IOException) and "space" in str(error):
            raise _full(Path(".payoff")) from error
        # An error in the middle of a stream comes through Arrow as an OSError with DuckDB's words in it.
        streamed = isinstance(error, OSError) and _STREAMED.match(str(error))
        if isinstance(error, duckdb.Error) or streamed:
            raise UserError(
                f"the query cannot be run: {_without_values(str(error))}",
                code="PO-E002",
                expected="SQL in DuckDB's dialect over the tables named in it",
                remedy="correct the query; payoff check names the file and line of every step",
            ) from None


def _without_values(text: str) -> str:
    """A DuckDB message with quoted values left out; names of columns and functions stay."""
    first = text.split("\nLINE", 1)[0].split("\n\n", 1)[0]
    if text.startswith(("Conversion Error", "Invalid Input Error", "Out of Range Error")):
        first = re.sub(r"\"[^\"]*\"|'[^']*'|-?\d[\d.,:e+-]*", "…", first)
    return " ".join(first.split())[:500]


def _full(path: Path) -> OutsideError:
    folder = path if path.is_dir() else path.parent
    stat = os.statvfs(folder) if folder.exists() else None
    free = f" ({stat.f_bavail * stat.f_frsize // 2**20:,} MB free)" if stat else ""
    return OutsideError(
        f"the disk is full{free}",
        code="PO-E005",
        expected="free space under .payoff/",
        remedy="free some space (du -sh .payoff/*), then payoff run: finished steps are not repeated",
    )
