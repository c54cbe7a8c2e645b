"""A table or query of PostgreSQL, streamed as Arrow batches."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import adbc_driver_manager
    import adbc_driver_postgresql
    import pyarrow as pa
else:  # not the driver's dbapi, which imports pandas and polars where they are installed: a second
    pa, adbc_driver_manager = lazy.Module("pyarrow"), lazy.Module("adbc_driver_manager")
    adbc_driver_postgresql = lazy.Module("adbc_driver_postgresql")

CAPABILITIES = {"columns": True, "version": False, "sql": True}
_BYTES = 4 << 20  # of a batch: the driver's 16 MB, several of them under way, is much for wide tables


@dataclasses.dataclass(frozen=True)
class Options:
    """`dsn`: `postgresql://user:password@host/database`, best as a `${ENV_VAR}` reference. `table` (the source's own name unless said) in `schema`, or
    `query`: SQL. NUMERIC comes as double.
    """

    dsn: str
    table: str = ""
    schema: str = "public"
    query: str = ""


def connect(name: str, options: Options, root: Path) -> PostgreSQL:
    """A table in PostgreSQL; no connection is made yet."""
    return PostgreSQL(name, options)


class PostgreSQL:
    """See `ports.source.Source`."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options
        self._table = options.table or name

    def schema(self) -> pa.Schema:
        """The types that the driver gives for no rows."""
        with self._told(), self._answer(f"select * from {self._from()} where false") as reader:
            return _readable(reader.schema)

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
        return pa.RecordBatchReader.from_batches(chosen, self._batches(chosen))

    def version(self) -> str | None:
        """None: PostgreSQL has no cheap token that surely changes with a table's content (statistics are late, and reset)."""
        return None

    def describe(self) -> dict[str, Any]:
        """Host, database and table, without user and password."""
        shown = re.sub(r"//[^@/]*@", "//", self._options.dsn.partition("?")[0])
        if "://" not in shown:
            shown = " ".join(
                word for word in self._options.dsn.split() if word.startswith(("host=", "port=", "dbname="))
            )
        what = self._options.query or f"{self._options.schema}.{self._table}"
        return {"kind": "postgresql", "address": shown, "table": what}

    def _from(self) -> str:
        if self._options.query:
            return f"({self._options.query}) as q"
        return f"{_quoted(self._options.schema)}.{_quoted(self._table)}"

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        listed = ", ".join(_quoted(name) for name in schema.names)
        with self._told(), self._answer(f"select {listed} from {self._from()}") as reader:
            for batch in reader:
                arrays = [_readable_array(a, f.type) for a, f in zip(batch.columns, schema, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    @contextlib.contextmanager
    def _answer(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """The rows of a query, on a connection of its own whose transaction is never committed."""
        with (
            adbc_driver_postgresql.connect(self._options.dsn) as database,
            adbc_driver_manager.AdbcConnection(database) as connection,
            adbc_driver_manager.AdbcStatement(connection) as statement,
        ):
            connection.set_autocommit(False)
            statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BYTES)})
            statement.set_sql_query(sql)
            with pa.RecordBatchReader.from_stream(statement.execute_query()[0]) as reader:
                yield reader
            connection.rollback()

    def _told(self) -> _Told:
        return _Told(self)

    def no_table(self) -> PayoffError:
        """The error of a table that is not there, with the nearest that is."""
        listed = (
            f"select table_name from information_schema.tables where table_schema = {_literal(self._options.schema)}"
        )
        with self._answer(listed) as reader:
            names = [str(name) for name in reader.read_all().column(0).to_pylist()]
        return UserError(
            f"source {self._name}: schema {self._options.schema} has no table {self._table}",
            code="PO-S030",
            expected=did_you_mean(self._table, names),
            remedy=f"correct table in [sources.{self._name}] of payoff.toml",
        )


class _Told:
    """The driver's errors in our words; what a server says may hold the address, so little of it is repeated."""

    def __init__(self, source: PostgreSQL) -> None:
        self.source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, adbc_driver_manager.Error | pa.ArrowException | OSError):
            return
        text, name = str(error), self.source._name  # noqa: SLF001 - its own helper
        if "does not exist" in text and "relation" in text:
            raise self.source.no_table() from None
        if "password authentication failed" in text or "no password supplied" in text:
            raise UserError(
                f"source {name}: PostgreSQL refused the user or the password",
                code="PO-S031",
                expected="a user and password that may connect",
                remedy=f"check the environment variable that dsn of [sources.{name}] refers to",
            ) from None
        if "connect" in text.lower() or "could not translate" in text:
            raise OutsideError(
                f"source {name}: PostgreSQL cannot be reached",
                code="PO-S032",
                expected="a server that answers at the address of dsn",
                remedy=f"check dsn of [sources.{name}] and that the server runs, then run again",
                retryable=True,
            ) from None
        said = re.search(r"(ERROR|FATAL):\s*([^\n]{0,200})", text)
        raise UserError(
            f"source {name}: PostgreSQL said: {_without_values(said[2]) if said else type(error).__name__}",
            code="PO-S033",
            expected="a table or query that the user may read",
            remedy=f"correct [sources.{name}] of payoff.toml, or have the right granted",
        ) from None


def _without_values(text: str) -> str:
    """What the server said, with only names of things in quotes left: what it quotes otherwise may be a value of a row."""
    named = r'((?:relation|column|schema|function|type|role|table|database|view|near|operator|user) )"([^"]*)"'
    kept = re.sub(named, "\\1\u201c\\2\u201d", text)
    return re.sub(r'"[^"]*"|\'[^\']*\'', "…", kept).replace("\u201c", '"').replace("\u201d", '"')


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _readable(schema: pa.Schema) -> pa.Schema:
    """Types that other tools read: what the driver has no Arrow type for (NUMERIC, UUID, ...) comes from it as text."""
    return pa.schema([pa.field(field.name, _plain(field)) for field in schema])


def _plain(field: pa.Field) -> pa.DataType:
    if _is_numeric(field):
        return pa.float64()
    return field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type


def _is_numeric(field: pa.Field) -> bool:
    return (field.metadata or {}).get(b"ADBC:postgresql:typname") == b"numeric"


def _readable_array(array: pa.Array, kind: pa.DataType) -> pa.Array:
    plain = array.storage if isinstance(array, pa.ExtensionArray) else array
    return plain if plain.type == kind else plain.cast(kind)
