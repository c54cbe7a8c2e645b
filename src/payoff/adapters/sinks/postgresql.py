"""A table in PostgreSQL: rows come in by COPY beside the table; their change of place and the record of what they are is one transaction.

As long as the columns stay the same, the table itself stays: its rights, indexes and the views on it are kept. Who reads it waits for the moment in which the rows
change, not for the time in which they arrive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError
from payoff.ports.sink import MODES, check_mode, taken, unfit
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import adbc_driver_manager
    import adbc_driver_postgresql
    import pyarrow as pa
else:  # not the driver's dbapi, which imports pandas and polars where they are installed: a second
    pa, adbc_driver_manager = lazy.Module("pyarrow"), lazy.Module("adbc_driver_manager")
    adbc_driver_postgresql = lazy.Module("adbc_driver_postgresql")

CAPABILITIES = {"atomic": True, "modes": MODES}
_NEW = "payoff_new_rows"
# So that a row's text, of which the digest is made, is the same in every session.
_SETTINGS = (
    "set local timezone = 'UTC'", "set local datestyle = 'ISO, YMD'", "set local intervalstyle = 'postgres'", "set local bytea_output = 'hex'",
    "set local extra_float_digits = 1", "set local client_min_messages = 'warning'",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    """`dsn`: `postgresql://user:password@host/database`, best as a `${ENV_VAR}` reference. `into`: the table's name there (the sink's own name unless said) in
    `schema`. `mode`: `replace` all rows, `append` each table once, or `merge` rows by the columns in `keys`. `adopt`: replace a table that Payoff did not write.
    `verify`: `content` looks on every run whether somebody changed the rows (one scan in the server), `record` trusts the record of the last write.
    """

    dsn: str
    into: str = ""
    schema: str = "public"
    mode: str = "replace"
    keys: list[str] = dataclasses.field(default_factory=list)
    adopt: bool = False
    verify: str = "content"


def connect(name: str, options: Options, root: Path) -> PostgreSQL:
    """A table in PostgreSQL; no connection is made yet."""
    check_mode(name, options.mode, options.keys)
    return PostgreSQL(name, options)


class PostgreSQL:
    """See `ports.sink.Sink`. Writers of one table wait for each other, by an advisory lock."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options
        self._table = options.into or name
        self._into = f"{_quoted(options.schema)}.{_quoted(self._table)}"
        self._writes = f"{_quoted(options.schema)}.payoff_writes"

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """One transaction, from the lock to the record."""
        schema = held(self._name, reader.schema)
        with _Told(self._name), self._session() as session:
            session.run(f"select pg_advisory_xact_lock(hashtextextended({_literal(self._into)}, 1))")
            session.run(f"select pg_advisory_xact_lock(hashtextextended({_literal(self._writes)}, 2))")
            session.run(
                f"create table if not exists {self._writes} (number bigserial primary key, target text not null, mode text not null,"
                " identity text not null, row_count bigint not null, digest text not null, at timestamptz not null default now())"
            )
            if self._there(session) == artifact.id or self._appended(session, artifact.id):
                return Written(identity=artifact.id, rows=artifact.rows or 0, already=True)
            ours = session.value(f"select count(*) from {self._writes} where target = {_literal(self._into)}")
            if (
                self._options.mode == "replace"
                and not ours
                and self._exists(session, self._into)
                and not self._options.adopt
            ):
                raise taken(self._name, self._into.replace('"', ""))
            session.ingest(_NEW, _cast(reader, schema))
            self._narrow(session, schema)
            rows = int(session.value(f"select count(*) from pg_temp.{_NEW}"))
            self._move(session, schema.names)
            if self._options.mode == "replace":
                session.run(f"delete from {self._writes} where target = {_literal(self._into)}")
            texts = (self._into, self._options.mode, artifact.id, self._digest(session))
            session.run(
                f"insert into {self._writes} (row_count, target, mode, identity, digest)"
                f" values ({rows}, {', '.join(map(_literal, texts))})"
            )
            session.commit()
        return Written(identity=artifact.id, rows=rows)

    def written(self) -> str | None:
        """The id of the last write, when the rows are those that it left."""
        with _Told(self._name), self._session() as session:
            return self._there(session)

    def describe(self) -> dict[str, Any]:
        """Host, database and table, without user and password."""
        shown = re.sub(r"//[^@/]*@", "//", self._options.dsn.partition("?")[0])
        if "://" not in shown:
            words = self._options.dsn.split()
            shown = " ".join(word for word in words if word.startswith(("host=", "port=", "dbname=")))
        table = f"{self._options.schema}.{self._table}"
        return {"kind": "postgresql", "address": shown, "table": table, "mode": self._options.mode}

    def _there(self, session: _Session) -> str | None:
        if not (self._exists(session, self._writes) and self._exists(session, self._into)):
            return None
        last = f"from {self._writes} where target = {_literal(self._into)} order by number desc limit 1"
        found = session.value(f"select (select identity {last})")
        if found is None:
            return None
        if self._options.verify == "content" and session.value(f"select digest {last}") != self._digest(session):
            return None
        return str(found)

    def _appended(self, session: _Session, identity: str) -> bool:
        asked = f"select count(*) from {self._writes} where target = {_literal(self._into)} and identity = {_literal(identity)}"
        return self._options.mode == "append" and bool(session.value(asked))

    def _exists(self, session: _Session, table: str) -> bool:
        return session.value(f"select to_regclass({_literal(table)})::text") is not None

    def _move(self, session: _Session, names: list[str]) -> None:
        """The new rows into the table, which is made when it is not there or has other columns."""
        new, mode = f"pg_temp.{_NEW}", self._options.mode
        here = self._exists(session, self._into)
        same = here and self._shape(session, self._into) == self._shape(session, new)
        listed = ", ".join(_quoted(name) for name in names)
        if mode == "replace" and here and not same:
            session.run(f"drop table {self._into}")
            here = False
        if not here:
            session.run(f"create table {self._into} as select * from {new}")
            return
        if mode == "replace":
            session.run(f"truncate {self._into}")
        elif mode == "merge":
            self._make_room(session, names)
        session.run(f"insert into {self._into} ({listed}) select {listed} from {new}")

    def _narrow(self, session: _Session, schema: pa.Schema) -> None:
        """Decimals arrive as numbers of any scale: the table is to have that of the column."""
        kinds = [(f.name, f.type) for f in schema if pa.types.is_decimal(f.type)]
        if kinds:
            each = (f"alter {_quoted(name)} type numeric({kind.precision}, {kind.scale})" for name, kind in kinds)
            session.run(f"alter table pg_temp.{_NEW} {', '.join(each)}")

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
        asked = f"select count(*) from (select 1 from pg_temp.{_NEW} group by {listed} having count(*) > 1) as twice"
        if session.value(asked):
            raise UserError(
                f"sink {self._name}: two rows have the same {', '.join(self._options.keys)}, so that neither of them can be merged",
                code="PO-N006",
                expected="each key once",
                remedy=f"make the rows one a key in a step, or name more columns in keys of [sinks.{self._name}]",
            )
        same = " and ".join(f"t.{_quoted(key)} is not distinct from n.{_quoted(key)}" for key in self._options.keys)
        session.run(f"delete from {self._into} as t using pg_temp.{_NEW} as n where {same}")

    def _shape(self, session: _Session, table: str) -> str:
        asked = (
            "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) from pg_attribute"
            f" where attrelid = to_regclass({_literal(table)}) and attnum > 0 and not attisdropped"
        )
        return str(session.value(asked))

    def _digest(self, session: _Session) -> str:
        """Rows and columns as they are now, whatever their order; nothing where it is not asked for."""
        if self._options.verify != "content" or self._options.mode != "replace":
            return ""
        total = "coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)"
        rows = session.value(f"select count(*) || ' ' || {total} from {self._into} as t")
        return f"{rows} {self._shape(session, self._into)}"

    @contextlib.contextmanager
    def _session(self) -> Iterator[_Session]:
        """A connection whose transaction is taken back unless it was committed."""
        with (
            adbc_driver_postgresql.connect(self._options.dsn) as database,
            adbc_driver_manager.AdbcConnection(database) as connection,
        ):
            connection.set_autocommit(False)
            session = _Session(connection)
            try:
                for setting in _SETTINGS:
                    session.run(setting)
                yield session
            finally:
                with contextlib.suppress(adbc_driver_manager.Error):
                    connection.rollback()


class _Session:
    """Statements on one connection, in one transaction."""

    def __init__(self, connection: adbc_driver_manager.AdbcConnection) -> None:
        self.connection = connection

    def run(self, sql: str) -> None:
        with adbc_driver_manager.AdbcStatement(self.connection) as statement:
            statement.set_sql_query(sql)
            statement.execute_update()

    def value(self, sql: str) -> Any:
        with adbc_driver_manager.AdbcStatement(self.connection) as statement:
            statement.set_sql_query(sql)
            with pa.RecordBatchReader.from_stream(statement.execute_query()[0]) as reader:
                return reader.read_all().column(0)[0].as_py()

    def ingest(self, table: str, reader: pa.RecordBatchReader) -> None:
        """COPY into a temporary table, which goes away with the session."""
        with adbc_driver_manager.AdbcStatement(self.connection) as statement:
            statement.set_options(
                **{
                    "adbc.ingest.target_table": table,
                    "adbc.ingest.mode": "adbc.ingest.mode.create",
                    "adbc.ingest.temporary": "true",
                }
            )
            statement.bind_stream(reader)
            statement.execute_update()

    def commit(self) -> None:
        self.connection.commit()


class _Told:
    """The driver's errors in our words; what a server says may hold values, so that little of it is repeated."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, adbc_driver_manager.Error):
            return
        text, state = str(error), getattr(error, "sqlstate", "") or ""
        if "password authentication failed" in text or "no password supplied" in text or state == "42501":
            raise UserError(
                f"sink {self.name}: PostgreSQL refused the user, the password, or the right to write there",
                code="PO-N011",
                expected="a user who may connect, and who owns the table and may create others in its schema",
                remedy=f"check the environment variable that dsn of [sinks.{self.name}] refers to, or have the right granted",
            ) from None
        if "connect" in text.lower() or "could not translate" in text or state[:2] in ("08", "53", "57"):
            raise OutsideError(
                f"sink {self.name}: PostgreSQL cannot be reached, or stopped in the middle",
                code="PO-N010",
                expected="a server that answers at the address of dsn",
                remedy=f"check dsn of [sinks.{self.name}] and that the server runs, then payoff run: finished steps are not repeated",
                retryable=True,
            ) from None
        raise UserError(
            f"sink {self.name}: PostgreSQL cannot take the rows (its state {state or 'is not known'})",
            code="PO-N012",
            expected="rows that the table's own rules admit; no view on a table whose columns change",
            remedy=f"look the state up in PostgreSQL's list of error codes; see the server's log for what [sinks.{self.name}] did",
        ) from None


def held(sink: str, schema: pa.Schema) -> pa.Schema:
    """The types under which PostgreSQL holds each column exactly; others are refused by name."""
    return pa.schema([pa.field(field.name, _held(sink, field, field.type)) for field in schema])


def _held(sink: str, field: pa.Field, kind: pa.DataType) -> pa.DataType:
    of = pa.types
    if of.is_dictionary(kind):
        return _held(sink, field, kind.value_type)
    if of.is_uint8(kind) or of.is_uint16(kind) or of.is_int8(kind):
        return pa.int32()
    if of.is_uint32(kind):
        return pa.int64()
    if of.is_large_string(kind):
        return pa.string()
    if of.is_large_binary(kind):
        return pa.binary()
    if of.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if of.is_float16(kind):
        return pa.float32()
    if (of.is_list(kind) or of.is_large_list(kind)) and not of.is_nested(kind.value_type):
        return pa.list_(_held(sink, field, kind.value_type))
    simple = (
        of.is_signed_integer, of.is_floating, of.is_boolean, of.is_string, of.is_binary, of.is_date32, of.is_decimal128, of.is_time64, of.is_duration,
    )  # fmt: skip
    if any(test(kind) for test in simple):
        return kind
    raise unfit(
        sink,
        field.name,
        str(field.type),
        "plain types and lists of them: PostgreSQL has no columns of structs, maps or unsigned 64 bits",
    )


def _cast(reader: pa.RecordBatchReader, schema: pa.Schema) -> pa.RecordBatchReader:
    if reader.schema.equals(schema):
        return reader
    return pa.RecordBatchReader.from_batches(schema, (batch.cast(schema) for batch in reader))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
