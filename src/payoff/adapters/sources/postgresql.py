"""A table or query of PostgreSQL, streamed as Arrow batches."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import adbc_driver_manager
    import adbc_driver_postgresql
    import pyarrow as pa

    from payoff.records.placement import Location, Relation
else:  # not the driver's dbapi, which imports pandas and polars where they are installed: a second
    pa, adbc_driver_manager = lazy.Module("pyarrow"), lazy.Module("adbc_driver_manager")
    adbc_driver_postgresql = lazy.Module("adbc_driver_postgresql")

CAPABILITIES = {"columns": True, "version": False, "sql": True, "pushdown": True}
# What means the same there as in DuckDB.
_FUNCTIONS = (
    "length", "substring", "floor", "like", "calendar", "date_arithmetic", "date_trunc", "greatest", "float_to_int", "narrow_int", "window",
    "moments", "full_join",
)  # fmt: skip
# Types of columns whose values mean the same wherever they are: what the query in the database may use.
_PLAIN = {
    "smallint",
    "integer",
    "bigint",
    "double precision",
    "boolean",
    "date",
    "timestamp without time zone",
    "timestamp with time zone",
}
_TEXTS = {"text", "character varying"}
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

    def place(self) -> Location:
        """Server, database and user, whichever password and options the address has besides."""
        from payoff.records.placement import Dialect, Location

        parts = conninfo(self._options.dsn)
        dialect = Dialect(
            name="postgres",
            title="PostgreSQL",
            functions=frozenset(_FUNCTIONS),
            collation="C",
            infinite=True,
            inlines=True,
        )
        seen = [
            parts.get("host", ""),
            parts.get("port", "5432"),
            parts.get("dbname", parts.get("user", "")),
            parts.get("user", ""),
        ]
        return Location(
            id=hashing.of_json(["postgresql", seen]), address=str(self.describe()["address"]), dialect=dialect
        )

    def relation(self) -> Relation:
        """The columns of types that every database has, NUMERIC as double; texts in the order of their code points."""
        from payoff.records.artifact import Field
        from payoff.records.placement import Relation

        schema = self.schema()
        listed = ", ".join(f"cast(pg_typeof({_quoted(name)}) as text)" for name in schema.names)
        asked = f"select current_setting('server_encoding'), {listed} from (select 1) as one left join (select * from {self._from()} limit 0) as q on true"
        with self._told(), self._answer(asked) as reader:
            encoding, *types = [column[0].as_py() for column in reader.read_all().columns]
        if encoding != "UTF8":
            return Relation(sql=f"select * from {self._from()}", fields=())
        written, fields = [], []
        for field, kind in zip(schema, types, strict=True):
            name, small = _quoted(field.name), _quoted(field.name.lower())
            if kind in _PLAIN:
                written.append(f"{name} as {small}")
            elif kind == "numeric":
                written.append(f"cast({name} as double precision) as {small}")
            elif kind in _TEXTS:
                written.append(f'{name} collate "C" as {small}')
            else:
                continue
            fields.append(Field(field.name.lower(), str(field.type)))
        return Relation(
            sql=f"select {', '.join(written) or 'null as nothing'} from {self._from()}", fields=tuple(fields)
        )

    def prepare(self, sql: str) -> None:
        """Have the query planned for no rows."""
        with self._told(), self._answer(f"select * from ({sql}) as asked where false", only_read=True):
            return

    def run(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """The answer of a query over relations of this database."""
        return pa.RecordBatchReader.from_batches(schema, self._fitted(sql, schema))

    def _fitted(self, sql: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._told(), self._answer(sql, only_read=True) as reader:
            for batch in reader:
                arrays = []
                for array, field in zip(batch.columns, schema, strict=True):
                    try:
                        arrays.append(_readable_array(array, field.type))
                    except pa.ArrowException:
                        raise OutsideError(
                            f"source {self._name}: a value of {field.name} does not fit into {field.type}",
                            code="PO-S034",
                            expected=f"{field.type} in every row of the query's answer",
                            remedy=f'cast {field.name} to a larger type in the step, or set push = "never" in [sources.{self._name}]',
                        ) from None
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

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
    def _answer(self, sql: str, *, only_read: bool = False) -> Iterator[pa.RecordBatchReader]:
        """The rows of a query, on a connection of its own whose transaction is never committed."""
        with (
            adbc_driver_postgresql.connect(self._options.dsn) as database,
            adbc_driver_manager.AdbcConnection(database) as connection,
            adbc_driver_manager.AdbcStatement(connection) as statement,
        ):
            connection.set_autocommit(False)
            if only_read:
                statement.set_sql_query("set transaction read only")
                statement.execute_update()
                statement.set_sql_query("set local time zone 'UTC'")
                statement.execute_update()
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


def conninfo(dsn: str) -> dict[str, str]:
    """Host, port, dbname and user of an address, in either of the forms that libpq reads."""
    if "://" not in dsn:
        words = re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", dsn)
        return {key: value.strip("'") for key, value in words}
    parts = urlsplit(dsn)
    host = {
        "host": parts.netloc.rpartition("@")[2].partition(":")[0],
        "port": parts.netloc.rpartition("@")[2].partition(":")[2],
    }
    named = {**host, "user": unquote(parts.username or ""), "dbname": unquote(parts.path.strip("/"))}
    return {**{key: value for key, value in named.items() if value}, **dict(parse_qsl(parts.query))}


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
