"""A table or query of an SQLite file, read as Arrow batches with the declared types."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, UserError
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import adbc_driver_manager
    import adbc_driver_sqlite
    import pyarrow as pa

    from payoff.records.placement import Location, Relation
else:  # not the driver's dbapi, which imports pandas and polars where they are installed: a second
    pa, adbc_driver_manager = lazy.Module("pyarrow"), lazy.Module("adbc_driver_manager")
    adbc_driver_sqlite = lazy.Module("adbc_driver_sqlite")

CAPABILITIES = {"columns": True, "version": True, "sql": True, "pushdown": True}
_ROWS = 65_536


@dataclasses.dataclass(frozen=True)
class Options:
    """`path`: the file, relative to the project. `table`: the table's or view's name (the source's own name unless said), or `query`: SQL."""

    path: str
    table: str = ""
    query: str = ""


def connect(name: str, options: Options, root: Path) -> SQLite:
    """A table in an SQLite file; nothing is opened yet."""
    return SQLite(name, options, root)


class SQLite:
    """See `ports.source.Source`. The file is opened read-only; values that do not have their column's declared type are refused."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._file = root / options.path
        self._shown = options.path
        self._table = options.table or name
        self._query = options.query

    def schema(self) -> pa.Schema:
        """Types as declared (INTEGER, REAL, TEXT, BOOLEAN, DATE, TIMESTAMP, DECIMAL as double); text where nothing is declared."""
        with self._plain() as connection:
            if not self._query:
                listed = connection.execute(f"pragma table_info({_quoted(self._table)})").fetchall()
                if not listed:
                    raise self._no_table(connection)
                return pa.schema([(row[1], _type(row[2])) for row in listed])
            try:
                cursor = connection.execute(f"select * from ({self._query}) limit 1000")
            except sqlite3.Error as error:
                raise self._wrong_query(error) from None
            rows = cursor.fetchall()
            names = [each[0] for each in cursor.description]
            return pa.schema([(name, _seen([row[n] for row in rows])) for n, name in enumerate(names)])

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Arrow batches of the columns asked for."""
        schema = self.schema()
        for column in columns or ():
            if column not in schema.names:
                raise UserError(
                    f"{self._name} has no column {column}",
                    code="PO-S002",
                    expected=did_you_mean(column, schema.names),
                    remedy="correct the column's name where it is used",
                )
        chosen = schema if columns is None else pa.schema([schema.field(column) for column in columns])
        self._refuse_strays(chosen)
        return pa.RecordBatchReader.from_batches(chosen, self._batches(chosen))

    def version(self) -> str | None:
        """Size, time of change and inode of the file and its write-ahead log."""
        marks = []
        for path in self._parts():
            try:
                found = os.stat(path)
            except OSError:
                continue
            marks.append([os.path.basename(path), found.st_size, found.st_mtime_ns, found.st_ino])
        if not marks:
            raise self._no_file()
        return hashing.of_json(marks)

    def describe(self) -> dict[str, Any]:
        """The file and the table or query."""
        what = self._query or self._table
        return {"kind": "sqlite", "address": self._shown, "table": what, "watch": self._parts()}

    def place(self) -> Location | None:
        """The file; none for a source with a query of its own, the types of whose columns are only seen."""
        from payoff.records.placement import Dialect, Location

        if self._query:
            return None
        dialect = Dialect(
            name="sqlite",
            title="SQLite",
            functions=frozenset({"window", "full_join"}),
            dates_are_text=True,
            inlines=True,
        )
        seen = ["sqlite", os.path.realpath(self._file)]
        return Location(id=hashing.of_json(seen), address=self._shown, dialect=dialect)

    def relation(self) -> Relation:
        """Values as `read` gives them: a column of the wrong type makes a query fail that uses it. No texts where some compare otherwise than
        by their bytes.
        """
        from payoff.records.artifact import Field
        from payoff.records.placement import Relation

        schema = self.schema()
        with self._plain() as connection:
            (collated,) = connection.execute("select count(*) from sqlite_master where sql like '%collate%'").fetchone()
        kept = [f for f in schema if not (pa.types.is_string(f.type) and collated) and not pa.types.is_binary(f.type)]
        written = ", ".join(f"{_cast(field, strict=True)} as {_quoted(field.name.lower())}" for field in kept)
        fields = tuple(Field(field.name.lower(), str(field.type)) for field in kept)
        return Relation(sql=f"select {written or 'null as nothing'} from main.{_quoted(self._table)}", fields=fields)

    def prepare(self, sql: str) -> None:
        """Have the query compiled."""
        with self._plain() as connection:
            try:
                connection.execute(f"explain {sql}").fetchone()
            except sqlite3.Error as error:
                raise self._wrong_query(error) from None

    def run(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """The answer of a query over relations of this file."""
        return pa.RecordBatchReader.from_batches(schema, self._fitted(sql, schema))

    def _fitted(self, sql: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._plain() as connection:
            try:
                cursor = connection.execute(sql)
                while rows := cursor.fetchmany(_ROWS):
                    arrays = [
                        self._array(list(values), f) for values, f in zip(zip(*rows, strict=True), schema, strict=True)
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            except sqlite3.OperationalError as error:
                if "malformed JSON" in str(error):
                    self._refuse_strays(self.schema())
                raise OutsideError(
                    f"source {self._name}: the query stopped in {self._shown} ({type(error).__name__})",
                    code="PO-S024",
                    expected="values of their columns' declared types, and sums that fit into 64 bits",
                    remedy=f"sqlite3 {self._shown} 'pragma integrity_check', or set push = \"never\" in [sources.{self._name}]",
                ) from None

    def _array(self, values: list[Any], field: pa.Field) -> pa.Array:
        of = pa.types
        try:
            if of.is_boolean(field.type) or of.is_decimal(field.type):
                return pa.array(values, pa.int64()).cast(field.type)
            if of.is_date(field.type) or of.is_timestamp(field.type):
                plain = pa.array(values, pa.string())
                return (plain.cast(pa.timestamp("us")) if of.is_timestamp(field.type) else plain).cast(field.type)
            return pa.array(values, field.type)
        except (pa.ArrowException, TypeError, OverflowError):
            raise OutsideError(
                f"source {self._name}: a value of {field.name} does not fit into {field.type}",
                code="PO-S034",
                expected=f"{field.type} in every row of the query's answer",
                remedy=f'cast {field.name} to a larger type in the step, or set push = "never" in [sources.{self._name}]',
            ) from None

    def _parts(self) -> list[str]:
        return [str(self._file), f"{self._file}-wal"]

    def _from(self) -> str:
        return f"({self._query})" if self._query else _quoted(self._table)

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        listed = ", ".join(f"{_cast(field)} as {_quoted(field.name)}" for field in schema)
        try:
            with (
                adbc_driver_sqlite.connect(self._uri()) as database,
                adbc_driver_manager.AdbcConnection(database) as connection,
                adbc_driver_manager.AdbcStatement(connection) as statement,
            ):
                statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_ROWS)})
                statement.set_sql_query(f"select {listed} from {self._from()}")
                with pa.RecordBatchReader.from_stream(statement.execute_query()[0]) as reader:
                    for batch in reader:
                        yield _typed(batch, schema)
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            raise OutsideError(
                f"source {self._name}: {self._shown} cannot be read ({type(error).__name__})",
                code="PO-S021",
                expected="an SQLite file that is not locked or damaged",
                remedy=f"sqlite3 {self._shown} 'pragma integrity_check', then run again",
                retryable=True,
            ) from error

    def _refuse_strays(self, schema: pa.Schema) -> None:
        """SQLite lets any value into any column: say where one does not have its column's declared type."""
        if self._query or not len(schema):
            return
        tests = [test for field in schema if (test := _stray(field))]
        if not tests:
            return
        with self._plain() as connection:
            sums = ", ".join(f"coalesce(sum({test}), 0)" for test in tests)
            counts = connection.execute(f"select {sums} from {self._from()}").fetchone()
            for field, test, number in zip([f for f in schema if _stray(f)], tests, counts, strict=True):
                if number:
                    ids = [
                        row[0] for row in connection.execute(f"select rowid from {self._from()} where {test} limit 5")
                    ]
                    raise UserError(
                        f"source {self._name}: {number:,} values of column {field.name} are not of its declared type"
                        f" (rowid {', '.join(str(each) for each in ids)})",
                        code="PO-S022",
                        expected=f"{field.type} or nothing in every row",
                        remedy=f"correct these rows in {self._shown}, or read them with query = 'select cast(...)' in [sources.{self._name}]",
                    )

    def _uri(self) -> str:
        if not self._file.is_file():
            raise self._no_file()
        return f"file:{quote(str(self._file))}?mode=ro"

    def _plain(self) -> _Connection:
        return _Connection(self._uri(), self)

    def _no_file(self) -> UserError:
        return UserError(
            f"source {self._name}: there is no file {self._shown}",
            code="PO-S001",
            expected="an SQLite file",
            remedy=f"put the file there, or correct path in [sources.{self._name}] of payoff.toml",
        )

    def _no_table(self, connection: sqlite3.Connection) -> UserError:
        names = [row[0] for row in connection.execute("select name from sqlite_master where type in ('table', 'view')")]
        return UserError(
            f"source {self._name}: {self._shown} has no table {self._table}",
            code="PO-S020",
            expected=did_you_mean(self._table, names),
            remedy=f"correct table in [sources.{self._name}] of payoff.toml",
        )

    def _wrong_query(self, error: sqlite3.Error) -> UserError:
        return UserError(
            f"source {self._name}: its query cannot be run: {error}",
            code="PO-S023",
            expected="one SELECT in SQLite's dialect",
            remedy=f"correct query in [sources.{self._name}] of payoff.toml",
        )


class _Connection:
    """A read-only connection for the length of a `with`."""

    def __init__(self, uri: str, source: SQLite) -> None:
        self.connection = sqlite3.connect(uri, uri=True)
        self.source = source

    def __enter__(self) -> sqlite3.Connection:
        return self.connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.connection.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise OutsideError(
                f"source {self.source._name}: {self.source._shown} is no SQLite file, or is damaged",  # noqa: SLF001 - its own helper
                code="PO-S021",
                expected="an SQLite file that is not locked or damaged",
                remedy=f"sqlite3 {self.source._shown} 'pragma integrity_check'",  # noqa: SLF001
            ) from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _type(declared: str) -> pa.DataType:
    """SQLite's rules of affinity, and the names people use besides."""
    name = declared.upper()
    for words, kind in (
        (("BOOL",), pa.bool_()),
        (("TIMESTAMP", "DATETIME"), pa.timestamp("us", "UTC")),
        (("DATE",), pa.date32()),
        (("INT",), pa.int64()),
        (("CHAR", "CLOB", "TEXT"), pa.string()),
        (("BLOB",), pa.binary()),
        (("REAL", "FLOA", "DOUB", "DEC", "NUM"), pa.float64()),
    ):
        if any(word in name for word in words):
            return kind
    return pa.string()


def _seen(values: list[Any]) -> pa.DataType:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} and kinds:
        return pa.int64()
    if kinds <= {int, float} and kinds:
        return pa.float64()
    return pa.binary() if kinds == {bytes} else pa.string()


def _stray(field: pa.Field) -> str:
    name, kind = _quoted(field.name), field.type
    if pa.types.is_int64(kind) or pa.types.is_boolean(kind):
        return f"typeof({name}) not in ('integer', 'null')"
    if pa.types.is_float64(kind):
        return f"typeof({name}) not in ('integer', 'real', 'null')"
    if pa.types.is_date32(kind):
        return f"({name} is not null and date({name}) is null)"
    if pa.types.is_timestamp(kind):
        return f"({name} is not null and datetime({name}) is null)"
    return ""


def _cast(field: pa.Field, *, strict: bool = False) -> str:
    """What makes every value of a column the same storage class, as the driver infers types from the first batch. With `strict`, a value
    that is not of its declared type (and no JSON either) stops the query that uses it.
    """
    name, kind = _quoted(field.name), field.type
    if strict:
        value = f"({name} <> 0)" if pa.types.is_boolean(kind) else _cast(field)
        stray = _stray(field)
        return f"case when {stray} then json_extract('{{', {name}) else {value} end" if stray else value
    if pa.types.is_float64(kind):
        return f"cast({name} as real)"
    if pa.types.is_date32(kind):
        return f"date({name})"
    if pa.types.is_timestamp(kind):
        return f"strftime('%Y-%m-%dT%H:%M:%f', {name})"
    return f"cast({name} as text)" if pa.types.is_string(kind) else name


def _typed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for field, array in zip(schema, batch.columns, strict=True):
        if array.type == field.type:
            arrays.append(array)
        elif pa.types.is_timestamp(field.type) and pa.types.is_string(array.type):
            arrays.append(array.cast(pa.timestamp("us")).cast(field.type))
        else:
            arrays.append(array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
