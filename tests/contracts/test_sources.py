"""Files, SQLite and PostgreSQL keep what every source promises."""

from __future__ import annotations

import gzip
import importlib.util
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from payoff.testing.source import SourceSuite

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("postgres_server", Path(__file__).with_name("postgres.py"))
assert _spec and _spec.loader
postgres = importlib.util.module_from_spec(_spec)
sys.modules["postgres_server"] = postgres
_spec.loader.exec_module(postgres)

TYPES = {"id": "int64", "amount": "float64", "text": "string", "yes": "bool", "day": "date32"}


class TestCsv(SourceSuite):
    adapter = "payoff.sources:files"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        pacsv.write_csv(table, root / f"{name} ü.csv", pacsv.WriteOptions(quoting_style="needed"))
        return {"path": f"{name} ü.csv", "types": TYPES}


class TestGzippedCsv(SourceSuite):
    adapter = "payoff.sources:files"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        with gzip.open(root / f"{name}.csv.gz", "wb") as stream:
            pacsv.write_csv(table, stream)
        return {"path": f"{name}.csv.gz", "types": TYPES}


class TestParquet(SourceSuite):
    adapter = "payoff.sources:files"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        (root / name).mkdir(exist_ok=True)
        half = table.num_rows // 2
        pq.write_table(table.slice(0, half), root / name / "a.parquet")
        pq.write_table(table.slice(half), root / name / "b.parquet")
        return {"path": f"{name}/*.parquet"}


class TestArrow(SourceSuite):
    adapter = "payoff.sources:files"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        with pa.ipc.new_file(str(root / f"{name}.arrow"), table.schema) as writer:
            writer.write_table(table, max_chunksize=10_000)
        return {"path": f"{name}.arrow"}


class TestJsonLines(SourceSuite):
    adapter = "payoff.sources:files"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        import json

        with open(root / f"{name}.jsonl", "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row, default=str) + "\n" for row in table.to_pylist())
        return {"path": f"{name}.jsonl", "types": TYPES}


class TestRemote(SourceSuite):
    """The same through fsspec, as an object store would be."""

    adapter = "payoff.sources:files"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        pq.write_table(table, root / f"{name}.parquet")
        return {"path": f"file://{root}/{name}.parquet"}


class TestSqlite(SourceSuite):
    adapter = "payoff.sources:sqlite"

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        with sqlite3.connect(root / "all ü.db") as connection:
            connection.execute(f'drop table if exists "{name}"')
            connection.execute(f'create table "{name}" (id integer, amount real, text text, yes boolean, day date)')
            rows = ([*row.values()] for row in table.to_pylist())
            plain = ([str(v) if i == 4 else v for i, v in enumerate(row)] for row in rows)
            connection.executemany(f'insert into "{name}" values (?, ?, ?, ?, ?)', plain)
        connection.close()
        return {"path": "all ü.db", "table": name}


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    with postgres.server() as address:
        yield address


class TestPostgresql(SourceSuite):
    adapter = "payoff.sources:postgresql"
    address = ""

    @pytest.fixture(autouse=True)
    def _server(self, dsn: str) -> None:
        self.address = dsn

    def place(self, root: Path, name: str, table: pa.Table) -> dict[str, Any]:
        import adbc_driver_manager
        import adbc_driver_postgresql

        named = f"t{abs(hash(str(root)))}"
        postgres.execute(
            self.address,
            f"drop table if exists {named}",
            f"create table {named} (id bigint, amount double precision, text text, yes boolean, day date)",
        )
        if table.num_rows:
            with (
                adbc_driver_postgresql.connect(self.address) as database,
                adbc_driver_manager.AdbcConnection(database) as connection,
                adbc_driver_manager.AdbcStatement(connection) as statement,
            ):
                statement.set_options(**{"adbc.ingest.target_table": named, "adbc.ingest.mode": "adbc.ingest.mode.append"})
                statement.bind_stream(table.to_reader())
                statement.execute_update()
        return {"dsn": self.address, "table": named}
