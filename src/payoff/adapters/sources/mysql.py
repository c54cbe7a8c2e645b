"""A table or query of MySQL or MariaDB, streamed and turned into Arrow batches with the server's own types."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from payoff.base import hashing, lazy
from payoff.base.errors import PayoffError, UserError
from payoff.ports.sql.database import SqlDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.compute as pc
    import pymysql

    from payoff.records.placement import Location, Relation
else:
    pa, pc, pymysql = lazy.Module("pyarrow"), lazy.Module("pyarrow.compute"), lazy.Module("pymysql")

CAPABILITIES = {"columns": True, "version": False, "sql": True, "pushdown": True}
# What means the same there as in DuckDB, in the session that `_QUERYING` makes.
_FUNCTIONS = ("length", "substring", "floor", "like", "calendar", "window")
# Names in double quotes, || puts texts together, sorting looks at whole texts, nothing but whole groups is selected.
_QUERYING = (
    "set session sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,ONLY_FULL_GROUP_BY', max_sort_length = 8388608",
    "set names utf8mb4 collate {collation}",
)
# Texts that are compared by their code points, and of which 'a' and 'a ' are two: by the product.
_COLLATIONS = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}
_TOO_LARGE = (
    "9223372036854775807"  # one more is an error there, which is how a query stops at a value that a read refuses
)
_ROWS = 16_384
_BYTES = 8 << 20  # of a batch, where rows are wide
_BINARY = 63  # the "character set" of bytes
_UNSIGNED = 32
# The protocol's numbers for types (MySQL internals, "Column Types").
_WHOLE = {1: 8, 2: 16, 9: 32, 3: 32, 8: 64}
_FLOAT, _DOUBLE, _NULL, _TIMESTAMP, _DATE, _TIME, _DATETIME, _YEAR, _BIT, _JSON = 4, 5, 6, 7, 10, 11, 12, 13, 16, 245
_DECIMALS = (0, 246)
_TEXTS = (15, 247, 248, 249, 250, 251, 252, 253, 254)
_PLAIN_TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum"}
# Errors of the server and of the client library by what they mean.
_REFUSED = (1044, 1045, 1130, 1698, 1820, 1862, 2059)
_NO_TABLE = (1051, 1146)
_AWAY = (1040, 1053, 1203, 1226, 2002, 2003, 2005, 2006)
_BROKE = (2013, 2014, 2027, 1159, 1161, 1317, 1927)
_SLOW = (1205, 1969, 3024)


@dataclasses.dataclass(frozen=True)
class Options:
    """`dsn`: `mysql://user:password@host:3306/database`, best as a `${ENV_VAR}` reference. `table` (the source's own name unless said), or `query`: SQL.
    `tls`: encrypted, with the server's certificate checked against the system's authorities or those in the file `ca`. `timeout`: seconds
    that the server may send nothing (0: any time).
    """

    dsn: str = dataclasses.field(repr=False)
    table: str = ""
    query: str = ""
    tls: bool = False
    ca: str = ""
    timeout: float = 60.0


def connect(name: str, options: Options, root: Path) -> MySQL:
    """A table in MySQL or MariaDB; no connection is made yet."""
    return MySQL(name, options, root)


class MySQL(SqlDatabase):
    """See `ports.source.Source`. Values come in the text protocol, as the server writes them, and Arrow reads them column by column."""

    kind = "mysql"
    system = "MySQL"
    dialect = "mysql"

    def __init__(self, name: str, options: Options, root: Path) -> None:
        found = _address(options.dsn)
        if not found:
            raise _no_address(name)
        self._host, self._port, self._user, self._password, self._database = found
        self._context = str(root / options.ca) if options.ca else ""
        self._tls = options.tls or bool(options.ca)
        secrets = (options.dsn, self._password)
        super().__init__(
            name, path=[options.table or name], query=options.query, timeout=options.timeout, secrets=secrets
        )

    def address(self) -> str:
        """Host, port and database."""
        return f"{self._host}:{self._port}/{self._database}"

    def quoted(self, name: str) -> str:
        """A name in backticks, which every server and mode takes."""
        return "`" + name.replace("`", "``") + "`"

    def column(self, field: pa.Field) -> str:
        """FLOAT is asked for as DOUBLE: as it is, the server writes only six digits."""
        named = self.quoted(field.name)
        return f"{named} * 1e0 as {named}" if field.type == pa.float32() else named

    def plain(self, field: pa.Field) -> pa.DataType:
        """As the adapter made it."""
        return field.type

    def shape(self) -> str:
        """No rows, and no look at any."""
        return f"select * from {self.origin()} limit 0"

    def arrives(self, field: pa.Field) -> pa.DataType:
        """See `column`."""
        return pa.float64() if field.type == pa.float32() else field.type

    def tables(self) -> list[str]:
        """The tables and views of the database."""
        with self._connection() as connection, connection.cursor() as cursor:
            cursor.execute("select table_name from information_schema.tables where table_schema = database()")
            return [_text(row[0]) for row in cursor.fetchall()]

    def place(self) -> Location | None:
        """Server, database and user; none for a source with a query of its own."""
        from payoff.records.placement import Dialect, Location

        if self.query:
            return None
        dialect = Dialect(name="mysql", title="MySQL", functions=frozenset(_FUNCTIONS), flat=True)
        seen = ["mysql", self._host, self._port, self._database, self._user, self._tls, self._context]
        return Location(id=hashing.of_json(seen), address=self.address(), dialect=dialect)

    def relation(self) -> Relation:
        """Columns whose values mean the same in DuckDB: whole numbers (but BIGINT UNSIGNED), DOUBLE, DECIMAL without a fraction, texts, truth values
        and dates. A query stops at a date that is none, and at a TINYINT(1) that is no truth value, as a read does.
        """
        from payoff.records.artifact import Field
        from payoff.records.placement import Relation

        types, collation = self._types()
        written, fields = [], []
        for field in self.schema():
            given = self._given(self.quoted(field.name), field.type, types.get(field.name.lower(), ""), collation)
            if given:
                written.append(f"{given} as {self.quoted(field.name.lower())}")
                fields.append(Field(field.name.lower(), str(field.type)))
        origin = f"{self.quoted(self._database)}.{self.origin()}"
        return Relation(sql=f"select {', '.join(written) or 'null as nothing'} from {origin}", fields=tuple(fields))

    def _types(self) -> tuple[dict[str, str], str]:
        """The server's own names of the columns' types, and its collation of code points."""
        asked = (
            "select lower(column_name) as name, lower(data_type) as kind, version() as version from information_schema.columns"
            f" where table_schema = database() and table_name = {_literal(self.path[0])}"
        )
        rows = self.answer_to(asked).to_pylist()
        maria = any("maria" in each["version"].lower() for each in rows)
        return {each["name"]: each["kind"] for each in rows}, _COLLATIONS[maria]

    def _given(self, name: str, kind: pa.DataType, there: str, collation: str) -> str:
        """A column as a read gives it; empty for one that stays here."""
        of = pa.types
        if of.is_boolean(kind):
            return f"({name} + 0)" if there == "bit" else f"({name} + 0 * ({_TOO_LARGE} + ({name} not in (0, 1))))"
        if of.is_integer(kind) and there != "bit" and kind != pa.uint64():
            return f"cast({name} as signed)"
        if of.is_float64(kind) or (of.is_decimal128(kind) and kind.scale == 0):
            return name
        if of.is_string(kind) and there in _PLAIN_TEXTS:
            return f"convert({name} using utf8mb4) collate {collation}"
        if of.is_date32(kind):
            none = f"({name} < '0001-01-01' or month({name}) = 0 or day({name}) = 0)"
            return f"if({none}, makedate({_TOO_LARGE} + {none}, 1), {name})"
        return ""

    @contextlib.contextmanager
    def session(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """As `opened`, in a session that reads queries as their dialect is written."""
        with self._answering(sql, querying=True) as reader:
            yield reader

    @contextlib.contextmanager
    def opened(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """Rows as they come; who leaves early closes the connection, so that the rest is not sent."""
        with self._answering(sql) as reader:
            yield reader

    @contextlib.contextmanager
    def _answering(self, sql: str, *, querying: bool = False) -> Iterator[pa.RecordBatchReader]:
        with self._connection() as connection:
            if querying:
                collation = _COLLATIONS["maria" in connection.get_server_info().lower()]
                with connection.cursor() as preparing:
                    for each in _QUERYING:
                        preparing.execute(each.format(collation=collation))
            cursor, result = connection.cursor(pymysql.cursors.SSCursor), None
            try:
                cursor.execute(sql)
                result = cursor._result  # noqa: SLF001 - the signs and character sets of columns are told nowhere else
                columns = [_Column(field) for field in result.fields]
                schema = pa.schema([(column.name, column.type) for column in columns])
                yield pa.RecordBatchReader.from_batches(schema, self._batches_of(cursor, columns, schema))
            finally:
                connection.close()
                if result:  # else the library would read the rest from the closed connection
                    result.unbuffered_active = False
                cursor.connection = None

    @contextlib.contextmanager
    def _connection(self) -> Iterator[pymysql.Connection[Any]]:
        wait = int(self.timeout) + 1 if self.timeout else None
        connection = pymysql.connect(
            host=self._host,
            port=self._port,
            user=self._user,
            password=self._password,
            database=self._database,
            charset="utf8mb4",
            use_unicode=False,
            conv=dict(pymysql.converters.encoders),
            connect_timeout=wait or 31_536_000,
            read_timeout=wait,
            write_timeout=wait,
            ssl=ssl.create_default_context(cafile=self._context or None) if self._tls else None,
            ssl_disabled=not self._tls,
            init_command="set session time_zone = '+00:00', net_write_timeout = 86400",
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute("set session transaction read only")
            yield connection
        finally:
            if connection.open:
                connection.close()

    def _batches_of(self, cursor: Any, columns: list[_Column], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        size = _ROWS
        while rows := cursor.fetchmany(size):
            arrays = []
            for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                try:
                    arrays.append(column.array(values))
                except (pa.ArrowException, ValueError):
                    raise self.unreadable(column.name, str(column.type)) from None
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            size = max(64, min(_ROWS, _BYTES * len(rows) // max(batch.nbytes, 1)))
            yield batch

    def told(self, error: Exception, *, reading: bool) -> PayoffError | None:
        """By the number of the error, which is the same in all versions and languages."""
        if isinstance(error, OSError | EOFError):
            return self.broke() if reading else self.unreachable()
        if not isinstance(error, pymysql.err.Error):
            return None
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        text = str(error.args[1]) if len(error.args) > 1 else ""
        if number in _REFUSED:
            return self.refused()
        if number in _NO_TABLE:
            return self.no_table()
        if number in _SLOW or "timed out" in text:
            return self.slow()
        if number in _BROKE:
            return self.broke() if reading else self.unreachable()
        return self.unreachable() if number in _AWAY else self.wrong(text)


def _address(dsn: str) -> tuple[str, int, str, str, str] | None:
    """Host, port, user, password and database."""
    try:
        parts = urlsplit(dsn)
        port = parts.port or 3306
    except ValueError:
        return None
    database = unquote(parts.path.strip("/"))
    if not parts.hostname or not database:
        return None
    return parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""), database


def _no_address(name: str) -> PayoffError:
    return UserError(
        f"source {name}: dsn is no address of a MySQL database",
        code="PO-S048",
        expected="mysql://user:password@host:3306/database, with user and password percent-encoded",
        remedy=f"correct dsn in [sources.{name}] of payoff.toml, or the environment variable it refers to",
    )


class _Column:
    """A column of an answer: its name, its Arrow type, and how the bytes that the server writes become an array of it."""

    def __init__(self, field: Any) -> None:
        self.name = _text(field.name)
        self.type, self.array = _reading(field)


def _reading(field: Any) -> tuple[pa.DataType, Callable[[tuple[bytes | None, ...]], pa.Array]]:
    code, unsigned, length = field.type_code, bool(field.flags & _UNSIGNED), field.length
    if code in _WHOLE:
        if code == 1 and length == 1 and not unsigned:
            return pa.bool_(), _cast(pa.bool_())
        kind = getattr(pa, f"{'u' if unsigned else ''}int{_WHOLE[code]}")()
        return kind, _cast(kind)
    if code in _DECIMALS:
        digits = max(length - (field.scale > 0) - (not unsigned), field.scale, 1)
        kind = pa.decimal128(digits, field.scale) if digits <= 38 else pa.decimal256(digits, field.scale)
        return kind, _cast(kind)
    if code == _BIT:
        return (pa.bool_(), lambda values: _bits(values).cast(pa.bool_())) if length == 1 else (pa.uint64(), _bits)
    if code in _TEXTS and field.charsetnr != _BINARY:
        return pa.string(), _string
    if code == _TIME:
        return pa.duration("us"), _durations
    kinds = {
        _FLOAT: pa.float32(),
        _DOUBLE: pa.float64(),
        _YEAR: pa.uint16(),
        _DATE: pa.date32(),
        _DATETIME: pa.timestamp("us"),
        _TIMESTAMP: pa.timestamp("us", "UTC"),
        _JSON: pa.string(),
        _NULL: pa.string(),
    }
    kind = kinds.get(code, pa.binary())
    return kind, _cast(kind)


def _string(values: tuple[bytes | None, ...]) -> pa.Array:
    return pa.array(values, pa.binary()).cast(pa.string())


def _cast(kind: pa.DataType) -> Callable[[tuple[bytes | None, ...]], pa.Array]:
    if kind == pa.binary():
        return lambda values: pa.array(values, pa.binary())
    if kind == pa.timestamp("us", "UTC"):
        return lambda values: _string(values).cast(pa.timestamp("us")).cast(kind)
    return lambda values: _string(values).cast(kind)


def _bits(values: tuple[bytes | None, ...]) -> pa.Array:
    return pa.array([None if value is None else int.from_bytes(value, "big") for value in values], pa.uint64())


_TIME_OF = re.compile(rb"(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")


def _durations(values: tuple[bytes | None, ...]) -> pa.Array:
    """TIME goes from -838:59:59 to 838:59:59: it is a length of time, not a time of day."""
    return pa.array([None if value is None else _microseconds(value) for value in values], pa.int64()).cast(
        pa.duration("us")
    )


def _microseconds(value: bytes) -> int:
    found = _TIME_OF.fullmatch(value)
    if not found:
        raise pa.ArrowInvalid("no time")
    sign, hours, minutes, seconds, fraction = found.groups(b"")
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return (-1 if sign else 1) * (whole * 1_000_000 + int(fraction.ljust(6, b"0")))


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
