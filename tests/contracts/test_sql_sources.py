"""Every SQL source keeps what every source promises, against its real server where one runs here."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from payoff.testing.source import SourceSuite

if TYPE_CHECKING:
    from collections.abc import Iterator


def _beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"sql_sources_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


mariadb, postgres, flight_sql = _beside("mariadb"), _beside("postgres"), _beside("flight_sql")


@pytest.fixture(scope="session")
def maria(testrun_uid: str) -> Iterator[int]:
    with mariadb.server(testrun_uid) as port:
        yield port


def _named(root: Path) -> str:
    return f"t{abs(hash(str(root)))}"


class TestMysql(SourceSuite):
    adapter = "payoff.sources:mysql"
    port = 0

    @pytest.fixture(autouse=True)
    def _server(self, maria: int) -> None:
        self.port = maria

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        named, file = _named(root), root / "load.csv"
        rows = table.set_column(3, "yes", table["yes"].cast(pa.int8()))
        pacsv.write_csv(rows, file, pacsv.WriteOptions(include_header=False, quoting_style="needed"))
        columns = ["id", "amount", "text", "yes", "day"]
        read = ", ".join(f"@{column}" for column in columns)
        kept = ", ".join(f"{column} = nullif(@{column}, '')" for column in columns)
        mariadb.execute(
            self.port,
            f"drop table if exists {named}",
            f"create table {named} (id bigint, amount double, text text, yes boolean, day date)",
            f"load data local infile '{file}' into table {named} character set utf8mb4"
            f" fields terminated by ',' optionally enclosed by '\"' escaped by '' ({read}) set {kept}",
        )
        return {"dsn": f"mysql://tester:{mariadb.PASSWORD}@127.0.0.1:{self.port}/test", "table": named}


class TestDuckdb(SourceSuite):
    adapter = "payoff.sources:duckdb"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        with duckdb.connect(str(root / "all ü.duckdb")) as connection:
            connection.register("given", table)
            connection.execute(f'create or replace table "{name}" as select * from given')
        return {"path": "all ü.duckdb", "table": name}


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    with postgres.server() as address:
        yield address


class TestRedshift(SourceSuite):
    """Redshift speaks PostgreSQL's protocol: the same, as far as the wire goes, against PostgreSQL."""

    adapter = "payoff.sources:redshift"
    address = ""

    @pytest.fixture(autouse=True)
    def _server(self, dsn: str) -> None:
        self.address = dsn

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        named = _named(root)
        postgres.execute(self.address, f"drop table if exists {named}")
        _ingest(_postgresql(self.address), named, table)
        return {"dsn": self.address, "table": named}


def _postgresql(address: str) -> Any:
    import adbc_driver_postgresql

    return adbc_driver_postgresql.connect(address)


def _ingest(database: Any, named: str, table: pa.Table) -> None:
    import adbc_driver_manager

    with database, adbc_driver_manager.AdbcConnection(database) as connection, adbc_driver_manager.AdbcStatement(connection) as statement:
        statement.set_options(**{"adbc.ingest.target_table": named, "adbc.ingest.mode": "adbc.ingest.mode.create"})
        statement.bind_stream(table.to_reader())
        statement.execute_update()


class TestAdbc(SourceSuite):
    """With the driver that every installation has, which DuckDB's own library brings too."""

    adapter = "payoff.sources:adbc"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        import _duckdb

        with duckdb.connect(str(root / "all ü.duckdb")) as connection:
            connection.register("given", table)
            connection.execute(f'create or replace table "{name}" as select * from given')
        options = {"path": str(root / "all ü.duckdb"), "access_mode": "READ_ONLY"}
        return {"driver": _duckdb.__file__, "entrypoint": "duckdb_adbc_init", "options": options, "table": name}


@pytest.fixture(scope="session")
def flights() -> Iterator[Any]:
    pytest.importorskip("adbc_driver_flightsql")
    with flight_sql.server() as made:
        yield made


class TestFlightsql(SourceSuite):
    adapter = "payoff.sources:flightsql"
    server: Any = None

    @pytest.fixture(autouse=True)
    def _server(self, flights: Any) -> None:
        self.server = flights

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        named = _named(root)
        with self.server.lock:
            cursor = self.server.database.cursor()
            cursor.register("given", table)
            cursor.execute(f"create or replace table {named} as select * from given")
            cursor.unregister("given")
        return {"uri": f"grpc+tcp://127.0.0.1:{self.server.port}", "token": flight_sql.TOKEN, "table": named}


def _environment(*names: str) -> list[str]:
    found = [os.environ.get(name, "") for name in names]
    if not all(found):
        pytest.skip(f"needs {', '.join(names)} in the environment")
    return found


@pytest.mark.live
class TestLiveRedshift(SourceSuite):
    adapter = "payoff.sources:redshift"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        (address,) = _environment("PAYOFF_LIVE_REDSHIFT_DSN")
        named = _named(root)
        postgres.execute(address, f"drop table if exists {named}", f"create table {named} (id bigint, amount double precision, text varchar(100), yes boolean, day date)")
        for row in table.to_pylist()[:1000]:
            values = ", ".join("null" if value is None else "'" + str(value).replace("'", "''") + "'" for value in row.values())
            postgres.execute(address, f"insert into {named} values ({values})")
        return {"dsn": address, "table": named}


@pytest.mark.live
class TestLiveSnowflake(SourceSuite):
    adapter = "payoff.sources:snowflake"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        account, user, password, database, warehouse = _environment(
            "PAYOFF_LIVE_SNOWFLAKE_ACCOUNT", "PAYOFF_LIVE_SNOWFLAKE_USER", "PAYOFF_LIVE_SNOWFLAKE_PASSWORD", "PAYOFF_LIVE_SNOWFLAKE_DATABASE", "PAYOFF_LIVE_SNOWFLAKE_WAREHOUSE"
        )
        import adbc_driver_snowflake

        named, at = _named(root), "adbc.snowflake.sql."
        options = {"username": user, "password": password, f"{at}account": account, f"{at}db": database, f"{at}schema": "PUBLIC", f"{at}warehouse": warehouse}
        _ingest(adbc_driver_snowflake.connect(db_kwargs=options), named, table)
        return {"account": account, "user": user, "password": password, "database": database, "warehouse": warehouse, "table": f'"{named}"'}


@pytest.mark.live
class TestLiveBigquery(SourceSuite):
    adapter = "payoff.sources:bigquery"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        project, dataset, credentials = _environment("PAYOFF_LIVE_BIGQUERY_PROJECT", "PAYOFF_LIVE_BIGQUERY_DATASET", "PAYOFF_LIVE_BIGQUERY_CREDENTIALS")
        import adbc_driver_bigquery

        named, at = _named(root), "adbc.bigquery.sql."
        options = {f"{at}project_id": project, f"{at}dataset_id": dataset, f"{at}auth_type": f"{at}auth_type.json_credential_string", f"{at}auth_credentials": credentials}
        _ingest(adbc_driver_bigquery.connect(db_kwargs=options), named, table)
        return {"project": project, "dataset": dataset, "credentials_json": credentials, "table": named}
