"""A table or query of Amazon Redshift, fetched through a cursor, as Redshift has no binary COPY."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING

from payoff.base import lazy
from payoff.ports.sql.adbc import AdbcSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import adbc_driver_manager
    import adbc_driver_postgresql
    import pyarrow as pa
else:
    pa, adbc_driver_manager = lazy.Module("pyarrow"), lazy.Module("adbc_driver_manager")
    adbc_driver_postgresql = lazy.Module("adbc_driver_postgresql")

CAPABILITIES = {"columns": True, "version": False, "sql": True}


@dataclasses.dataclass(frozen=True)
class Options:
    """`dsn`: `postgresql://user:password@cluster.region.redshift.amazonaws.com:5439/database?sslmode=verify-full`, best as a `${ENV_VAR}` reference.
    `table` (the source's own name unless said) in `schema`, or `query`: SQL. `rows`: of a batch. `timeout`: seconds that the server may send nothing (0: any time).
    NUMERIC of a table comes as an exact decimal, of a query as double.
    """

    dsn: str = dataclasses.field(repr=False)
    table: str = ""
    schema: str = "public"
    query: str = ""
    rows: int = 20_000
    timeout: float = 300.0


def connect(name: str, options: Options, root: Path) -> Redshift:
    """A table in Redshift; no connection is made yet."""
    return Redshift(name, options)


class Redshift(AdbcSource):
    """See `ports.source.Source`."""

    kind = "redshift"
    system = "Redshift"
    dialect = "redshift"

    def __init__(self, name: str, options: Options) -> None:
        secrets = [options.dsn, *re.findall(r"//[^:/@]*:([^@/]+)@|password\s*=\s*(\S+)", options.dsn)]
        flat = [part for each in secrets for part in ([each] if isinstance(each, str) else each)]
        super().__init__(
            name,
            path=[options.schema, options.table or name],
            query=options.query,
            timeout=options.timeout,
            secrets=flat,
        )
        self._dsn, self._rows_of = options.dsn, max(1, options.rows)
        self._exact: dict[str, pa.DataType] = {}

    def address(self) -> str:
        """Host and database, without user and password."""
        if "://" in self._dsn:
            return re.sub(r"//[^/]*@", "//", self._dsn.partition("?")[0])
        return " ".join(word for word in self._dsn.split() if word.startswith(("host=", "port=", "dbname=")))

    def database(self) -> adbc_driver_manager.AdbcDatabase:
        """The address, for libpq."""
        database: adbc_driver_manager.AdbcDatabase = adbc_driver_postgresql.connect(self._dsn)
        return database

    def statement_options(self) -> Mapping[str, str | int]:
        """Results of plain queries: Redshift cannot COPY to a client."""
        return {"adbc.postgresql.use_copy": "false"}

    def tables(self) -> list[str]:
        """The tables and views of the schema."""
        listed = f"select table_name from information_schema.tables where table_schema = {_literal(self.path[0])}"
        with self.connected() as connection, self.answer(connection, listed) as reader:
            return [str(name) for name in reader.read_all().column(0).to_pylist()]

    @contextlib.contextmanager
    def opened(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """A cursor in a transaction that is never committed: the rows of one moment, a batch at a time."""
        with self.connected() as connection:
            connection.set_autocommit(False)
            if not self.query:
                self._exact = self._decimals(connection)
            with adbc_driver_manager.AdbcStatement(connection) as statement:
                statement.set_sql_query(f"declare payoff_rows cursor for {sql}")
                statement.execute_update()
            first = self._fetched(connection)
            yield pa.RecordBatchReader.from_batches(first.schema, self._fetches(connection, first))
            connection.rollback()

    def _fetches(self, connection: adbc_driver_manager.AdbcConnection, table: pa.Table) -> Iterator[pa.RecordBatch]:
        while table.num_rows:
            yield from table.to_batches()
            if table.num_rows < self._rows_of:
                return
            table = self._fetched(connection)

    def _fetched(self, connection: adbc_driver_manager.AdbcConnection) -> pa.Table:
        with self.answer(connection, f"fetch forward {self._rows_of} from payoff_rows") as reader:
            return reader.read_all()

    def _decimals(self, connection: adbc_driver_manager.AdbcConnection) -> dict[str, pa.DataType]:
        """Digits of the NUMERIC columns of the table, which the driver does not tell."""
        listed = (
            "select column_name::text, numeric_precision::int, numeric_scale::int from information_schema.columns"
            f" where table_schema = {_literal(self.path[0])} and table_name = {_literal(self.path[-1])}"
            " and data_type = 'numeric' and numeric_precision is not null and numeric_precision <= 38"
        )
        with self.answer(connection, listed) as reader:
            rows = zip(*(column.to_pylist() for column in reader.read_all().columns), strict=True)
            return {str(name): pa.decimal128(digits, scale) for name, digits, scale in rows}

    def plain(self, field: pa.Field) -> pa.DataType:
        """NUMERIC, which the driver gives as text, is exact where its digits are known."""
        if (field.metadata or {}).get(b"ADBC:postgresql:typname") == b"numeric":
            return self._exact.get(field.name, pa.float64())
        return super().plain(field)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
