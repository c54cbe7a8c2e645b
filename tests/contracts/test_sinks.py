"""Every sink keeps what the port promises, looked at by other means than its own."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import json
import logging
import random
import sqlite3
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.testing.sink import SinkSuite, artifact, connect, people, reader

if TYPE_CHECKING:
    from collections.abc import Iterator


_spec = importlib.util.spec_from_file_location("sink_servers", Path(__file__).with_name("servers.py"))
assert _spec and _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules["sink_servers"] = servers
_spec.loader.exec_module(servers)


_spec = importlib.util.spec_from_file_location("sink_brokers", Path(__file__).with_name("brokers.py"))
assert _spec and _spec.loader
brokers = importlib.util.module_from_spec(_spec)
sys.modules["sink_brokers"] = brokers
_spec.loader.exec_module(brokers)


class TestParquet(SinkSuite):
    adapter = "payoff.sinks:files"
    ending = "parquet"

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"path": f"out/{name} ü.{self.ending}"}

    def file(self, root: Path, name: str) -> Path:
        return root / "out" / f"{name} ü.{self.ending}"

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        return pq.ParquetFile(str(self.file(root, name))).read().to_pylist()

    def spoil(self, root: Path, name: str) -> None:
        pq.write_table(pq.ParquetFile(str(self.file(root, name))).read().slice(1), self.file(root, name))

    def test_a_file_of_somebody_else_is_left_alone(self, root: Path) -> None:
        self.file(root, "people").parent.mkdir()
        self.file(root, "people").write_text("mine")
        with pytest.raises(UserError, match="did not write"):
            self.put(self.sink(root), people())
        assert self.file(root, "people").read_text() == "mine"
        self.put(connect(self.adapter, "people", root, {**self.options(root, "people"), "adopt": True}), people())
        assert self.holds(root, people())

    def test_nothing_else_is_left_in_the_folder(self, root: Path) -> None:
        self.put(self.sink(root), people())
        self.put(self.sink(root), people(5))
        names = {each.name for each in self.file(root, "people").parent.iterdir()}
        assert names == {self.file(root, "people").name, f".{self.file(root, 'people').name}.payoff.json"}


class Plain(TestParquet):
    """Other ways to write the same file aside: what processes do to each other is tried once."""

    __test__ = False
    test_a_kill_leaves_one_table_and_the_next_write_mends_it = None  # type: ignore[assignment]
    test_two_writers_at_once_do_not_mix = None  # type: ignore[assignment]
    test_two_writers_of_one_table_leave_it_once = None  # type: ignore[assignment]
    test_a_table_that_comes_back_is_there = None  # type: ignore[assignment]


class TestArrow(Plain):
    __test__ = True
    adapter = "payoff.sinks:files"
    ending = "arrow"

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        with pa.ipc.open_file(str(self.file(root, name))) as file:
            return file.read_all().to_pylist()

    def spoil(self, root: Path, name: str) -> None:
        with open(self.file(root, name), "r+b") as stream:
            stream.truncate(100)


class TestCsv(Plain):
    __test__ = True
    adapter = "payoff.sinks:files"
    ending = "csv"

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        schema = people().schema
        convert = pacsv.ConvertOptions(
            column_types={f.name: f.type for f in schema}, strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        parse = pacsv.ParseOptions(newlines_in_values=True)
        return pacsv.read_csv(self.file(root, name), parse_options=parse, convert_options=convert).to_pylist()

    def spoil(self, root: Path, name: str) -> None:
        self.file(root, name).write_text(self.file(root, name).read_text() + "9,,,,,,,\n")


class TestJsonLines(Plain):
    __test__ = True
    adapter = "payoff.sinks:files"
    ending = "jsonl"

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file(root, name).read_text().splitlines()]

    def plain(self, row: dict[str, Any]) -> dict[str, Any]:
        return {n: str(v) if isinstance(v, (dt.date, Decimal)) else v for n, v in row.items()}

    def spoil(self, root: Path, name: str) -> None:
        self.file(root, name).unlink()


class TestSomewhereElse(TestParquet):
    """The same through fsspec, as an object store would be."""

    adapter = "payoff.sinks:files"

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"path": f"local://{root}/{name} ü.parquet", "storage_options": {"auto_mkdir": True}}

    def file(self, root: Path, name: str) -> Path:
        return root / f"{name} ü.parquet"

    def spoil(self, root: Path, name: str) -> None:
        self.file(root, name).write_bytes(b"PAR1")

    test_nothing_else_is_left_in_the_folder = None  # type: ignore[assignment]
    test_a_file_of_somebody_else_is_left_alone = None  # type: ignore[assignment]
    test_a_kill_leaves_one_table_and_the_next_write_mends_it = None  # type: ignore[assignment]
    test_two_writers_of_one_table_leave_it_once = None  # type: ignore[assignment]


class Modes:
    """What the sinks with tables do besides replacing."""

    def other(self, root: Path, **more: Any) -> Any:
        return connect(self.adapter, "people", root, {**self.options(root, "people"), **more})  # type: ignore[attr-defined]

    def test_append_takes_each_table_once(self, root: Path) -> None:
        one, two = people(4), people(3, salt=2)
        for table in (one, two, one, two):
            self.put(self.other(root, mode="append"), table)  # type: ignore[attr-defined]
        assert self.holds(root, one, two)  # type: ignore[attr-defined]

    def test_merge_puts_rows_in_the_place_of_those_with_their_key(self, root: Path) -> None:
        merge = {"mode": "merge", "keys": ["id"]}
        self.put(self.other(root, **merge), people(4))  # type: ignore[attr-defined]
        newer = people(6, salt=3).slice(2)
        for _ in range(2):
            self.put(self.other(root, **merge), newer)  # type: ignore[attr-defined]
        assert self.holds(root, people(2), newer)  # type: ignore[attr-defined]
        twice = pa.concat_tables([people(2), people(2, salt=1)])
        with pytest.raises(UserError, match="the same id"):
            self.put(self.other(root, **merge), twice)  # type: ignore[attr-defined]
        assert self.holds(root, people(2), newer)  # type: ignore[attr-defined]

    def test_a_table_of_somebody_else_is_left_alone(self, root: Path) -> None:
        self.put(self.other(root, mode="append"), people(2))  # type: ignore[attr-defined]
        self.forget(root)  # type: ignore[attr-defined]
        with pytest.raises(UserError, match="did not write"):
            self.put(self.sink(root), people())  # type: ignore[attr-defined]
        assert self.holds(root, people(2))  # type: ignore[attr-defined]
        self.put(self.other(root, adopt=True), people())  # type: ignore[attr-defined]
        assert self.holds(root, people())  # type: ignore[attr-defined]

    def test_a_mode_that_there_is_not_is_refused(self, root: Path) -> None:
        for wrong in ({"mode": "upsert"}, {"mode": "merge"}, {"keys": ["id"]}):
            with pytest.raises(UserError, match="mode"):
                self.other(root, **wrong)


class TestSqlite(Modes, SinkSuite):
    adapter = "payoff.sinks:sqlite"

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"path": "all ü.db", "into": f"{name} x"}

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        with sqlite3.connect(root / "all ü.db", timeout=30) as connection:
            connection.row_factory = sqlite3.Row
            found = [dict(row) for row in connection.execute(f'select * from "{name} x"')]
        connection.close()
        return found

    def plain(self, row: dict[str, Any]) -> dict[str, Any]:
        changed = {n: str(v) if isinstance(v, (dt.date, Decimal)) else v for n, v in row.items()}
        return {n: int(v) if isinstance(v, bool) else v for n, v in changed.items()}

    def spoil(self, root: Path, name: str) -> None:
        self.run(root, f'update "{name} x" set amount = amount + 1 where id = 0')

    def forget(self, root: Path) -> None:
        self.run(root, "drop table payoff_writes")

    def run(self, root: Path, sql: str) -> None:
        with sqlite3.connect(root / "all ü.db") as connection:
            connection.execute(sql)
        connection.close()


class TestDuckdb(Modes, SinkSuite):
    adapter = "payoff.sinks:duckdb"

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"path": "all ü.duckdb", "into": f"{name} x"}

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        return self.run(root, f'select * from "{name} x"').to_arrow_table().to_pylist()

    def plain(self, row: dict[str, Any]) -> dict[str, Any]:
        return row

    def spoil(self, root: Path, name: str) -> None:
        self.run(root, f'update "{name} x" set amount = amount + 1 where id = 0')

    def forget(self, root: Path) -> None:
        self.run(root, "drop table payoff_writes")

    def run(self, root: Path, sql: str) -> Any:
        with duckdb.connect(root / "all ü.duckdb") as connection:
            connection.execute("set TimeZone = 'UTC'")
            answer = connection.execute(sql)
            return pa_only(answer)


class pa_only:
    def __init__(self, answer: Any) -> None:
        self.table = answer.to_arrow_table()

    def to_arrow_table(self) -> pa.Table:
        return self.table


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with servers.postgresql() as address:
        yield address


class TestPostgresql(Modes, SinkSuite):
    adapter = "payoff.sinks:postgresql"
    address = ""

    @pytest.fixture(autouse=True)
    def _server(self, dsn: str) -> None:
        self.address = dsn
        servers.query(dsn, "drop schema public cascade", "create schema public")

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"dsn": self.address, "into": f"{name} ü"}

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        found = servers.query(self.address, f'select * from "{name} ü"')
        return [{**row, "money": row.get("money") and Decimal(row["money"])} if "money" in row else row for row in found]

    def spoil(self, root: Path, name: str) -> None:
        servers.query(self.address, f'update "{name} ü" set amount = amount + 1 where id = 0')

    def forget(self, root: Path) -> None:
        servers.query(self.address, "drop table payoff_writes")

    def test_rights_indexes_and_views_are_kept(self, root: Path) -> None:
        self.put(self.sink(root), people())
        servers.query(self.address, 'create index mine on "people ü" (id)', 'create view v as select id from "people ü"', 'grant select on "people ü" to public')
        self.put(self.sink(root), people(6))
        assert len(servers.query(self.address, "select * from v")) == 6
        assert servers.query(self.address, "select 1 as n from pg_indexes where indexname = 'mine'") == [{"n": 1}]

    def test_bytes_lists_and_times_arrive(self, root: Path) -> None:
        table = pa.table(
            {
                "raw": pa.array([b"\x00\xff", None]),
                "words": pa.array([["a", None], []], pa.list_(pa.string())),
                "clock": pa.array([dt.time(1, 2, 3, 4), None], pa.time64("us")),
                "small": pa.array([255, None], pa.uint8()),
                "kind": pa.array(["x", None]).dictionary_encode(),
            }
        )
        self.put(self.sink(root), table)
        assert self.look(root, "people") == table.to_pylist()

    def test_a_wrong_password_is_told_and_not_shown(self, root: Path) -> None:
        wrong = self.address.replace(servers.PASSWORD, "verkehrt-4711")
        with pytest.raises(UserError) as caught:
            self.put(connect(self.adapter, "people", root, {"dsn": wrong}), people())
        assert caught.value.code == "PO-N011"
        assert "verkehrt" not in str(caught.value)


class TestDelta(SinkSuite):
    adapter = "payoff.sinks:delta"

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"path": f"lake/{name} ü"}

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        import deltalake

        table = deltalake.DeltaTable(str(root / "lake" / f"{name} ü"))
        files = table.file_uris()
        if not files:
            return []
        return pa.concat_tables([pq.ParquetFile(unquote(file)).read() for file in files]).to_pylist()

    def spoil(self, root: Path, name: str) -> None:
        import deltalake

        deltalake.DeltaTable(str(root / "lake" / f"{name} ü")).delete("id = 0")

    def test_append_takes_each_table_once(self, root: Path) -> None:
        one, two = people(4), people(3, salt=2)
        for table in (one, two, one, two):
            self.put(connect(self.adapter, "people", root, {**self.options(root, "people"), "mode": "append"}), table)
        assert self.holds(root, one, two)

    def test_upkeep_is_no_change(self, root: Path) -> None:
        import deltalake

        self.put(self.sink(root), people())
        deltalake.DeltaTable(str(root / "lake" / "people ü")).vacuum(0, dry_run=False, enforce_retention_duration=False)
        assert self.sink(root).written() == artifact(people()).id


class TestIceberg(SinkSuite):
    adapter = "payoff.sinks:iceberg"

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"into": f"shop.{name} ü", "catalog": {"type": "sql", "uri": "sqlite:///lake/all ü.db", "warehouse": "lake"}}

    def other(self, root: Path, **more: Any) -> Any:
        return connect(self.adapter, "people", root, {**self.options(root, "people"), **more})

    def table(self, root: Path, name: str = "people") -> Any:
        from pyiceberg.catalog import load_catalog

        catalog = load_catalog("default", type="sql", uri=f"sqlite:///{root}/lake/all ü.db")
        with contextlib.closing(catalog):
            return catalog.load_table(f"shop.{name} ü")

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        files = [task.file.file_path for task in self.table(root, name).scan().plan_files()]
        return [row for file in files for row in pq.ParquetFile(file.removeprefix("file://")).read().to_pylist()]

    def spoil(self, root: Path, name: str) -> None:
        self.table(root, name).delete("id = 0")

    def test_append_takes_each_table_once(self, root: Path) -> None:
        one, two = people(4), people(3, salt=2)
        for table in (one, two, one, two):
            self.put(self.other(root, mode="append"), table)
        assert self.holds(root, one, two)

    def test_columns_are_added_by_append_and_types_that_do_not_fit_are_refused(self, root: Path) -> None:
        self.put(self.other(root, mode="append"), people(2).select(["id"]))
        self.put(self.other(root, mode="append"), people(3).select(["id", "text"]))
        assert self.table(root).scan().to_arrow().select(["id", "text"]).num_rows == 5
        with pytest.raises(UserError) as caught:
            self.put(self.other(root, mode="append"), pa.table({"id": ["x"]}))
        assert caught.value.code == "PO-N007"
        assert self.table(root).scan().to_arrow().num_rows == 5

    def test_a_column_may_become_another_type(self, root: Path) -> None:
        self.put(self.sink(root), people())
        other = pa.table({"id": ["a", None], "text": [1, 2]})
        self.put(self.sink(root), other)
        assert self.holds(root, other)

    def test_a_table_of_somebody_else_is_left_alone(self, root: Path) -> None:
        from pyiceberg.catalog import load_catalog

        (root / "lake").mkdir()
        catalog = load_catalog("default", type="sql", uri=f"sqlite:///{root}/lake/all ü.db", warehouse=str(root / "lake"))
        with contextlib.closing(catalog):
            catalog.create_namespace("shop")
            catalog.create_table("shop.people ü", people().schema).append(people(2))
        with pytest.raises(UserError, match="did not write"):
            self.put(self.sink(root), people())
        assert self.holds(root, people(2))
        self.put(self.other(root, adopt=True), people())
        assert self.holds(root, people())

    def test_each_write_is_one_commit_and_earlier_ones_stay_readable(self, root: Path) -> None:
        self.put(self.sink(root), people(4))
        first = self.table(root).current_snapshot().snapshot_id
        self.put(self.sink(root), people(6))
        table = self.table(root)
        assert len(table.metadata.metadata_log) == 1
        assert table.scan(snapshot_id=first).to_arrow().num_rows == 4
        options = self.options(root, "people")
        source = connect("payoff.sources:iceberg", "people", root, {"table": options.pop("into"), **options})
        with source.read() as rows:
            assert rows.read_all().num_rows == 6

    def test_instants_finer_than_it_has_are_refused(self, root: Path) -> None:
        fine = pa.table({"at": pa.array([1_000_000_001], pa.timestamp("ns"))})
        with pytest.raises(UserError, match="at, which is timestamp") as caught:
            self.put(self.sink(root), fine)
        assert caught.value.code == "PO-N001"

    def test_a_partitioned_table_and_a_catalog_that_is_none_are_told(self, root: Path) -> None:
        from pyiceberg.transforms import IdentityTransform

        self.put(self.sink(root), people())
        with self.table(root).update_spec() as update:
            update.add_field("yes", IdentityTransform(), "yes")
        for sink in (self.sink(root), self.other(root, catalog={"type": "unknown"}), self.other(root, into="people")):
            with pytest.raises(UserError) as caught:
                self.put(sink, people(5))
            assert caught.value.code == "PO-N021"


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    with servers.mariadb() as address:
        yield address


class TestMariadb(Modes, SinkSuite):
    adapter = "payoff.sinks:mysql"
    address = ""

    @pytest.fixture(autouse=True)
    def _server(self, shop: str) -> None:
        self.address = shop
        for row in self.run("show tables"):
            self.run(f"drop table `{next(iter(row.values()))}`")

    def run(self, sql: str) -> list[dict[str, Any]]:
        import pymysql

        parts = urlsplit(self.address)
        with pymysql.connect(
            host="127.0.0.1", port=parts.port or 0, user="tester", password=servers.PASSWORD, database="shop", autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
        ) as connection, connection.cursor() as cursor:  # fmt: skip
            cursor.execute(sql)
            return list(cursor.fetchall())

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"dsn": self.address, "into": f"{name} ü"}

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        return self.run(f"select * from `{name} ü`")

    def plain(self, row: dict[str, Any]) -> dict[str, Any]:
        changed = {n: int(v) if isinstance(v, bool) else v for n, v in row.items()}
        return {n: v.replace(tzinfo=None) if isinstance(v, dt.datetime) else v for n, v in changed.items()}

    def spoil(self, root: Path, name: str) -> None:
        self.run(f"update `{name} ü` set amount = amount + 1 where id = 0")

    def forget(self, root: Path) -> None:
        self.run("drop table payoff_writes")

    def test_a_wrong_password_is_told_and_not_shown(self, root: Path) -> None:
        wrong = self.address.replace(servers.PASSWORD, "verkehrt-4711")
        with pytest.raises(UserError) as caught:
            self.put(connect(self.adapter, "people", root, {"dsn": wrong}), people())
        assert caught.value.code == "PO-N011"
        assert "verkehrt" not in str(caught.value)


class Log(SinkSuite):
    """Logs of messages: rows are JSON, and all tables that were ever sent stay."""

    __test__ = False
    replaces = False

    def plain(self, row: dict[str, Any]) -> dict[str, Any]:
        return {n: str(v) if isinstance(v, (dt.date, Decimal)) else v for n, v in row.items()}

    def test_a_wrong_password_is_told_and_not_shown(self, root: Path) -> None:
        options = {n: v.replace(servers.PASSWORD, "verkehrt-4711") if n == "url" else v for n, v in self.options(root, "people").items()}
        with pytest.raises(UserError) as caught:
            self.put(connect(self.adapter, "people", root, options), people())
        assert caught.value.code == "PO-N011"
        assert "verkehrt" not in str(caught.value)

    test_a_table_that_comes_back_is_there = None  # type: ignore[assignment]
    test_other_columns_take_the_place_of_the_old = None  # type: ignore[assignment]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with servers.redis() as address:
        yield address


class TestRedis(Log, SinkSuite):
    __test__ = True
    adapter = "payoff.sinks:redis"

    @pytest.fixture(autouse=True)
    def _server(self, redis_url: str) -> None:
        import redis

        self.url = redis_url
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"url": self.url, "into": f"{name} ü", "batch": 1500}

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        import redis

        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            return [json.loads(fields["row"]) for _, fields in client.xrange(f"{name} ü")]

    def spoil(self, root: Path, name: str) -> None:
        import redis

        with redis.Redis.from_url(self.url) as client:
            client.delete(f"{name} ü")


@pytest.fixture(scope="module")
def nats_url() -> Iterator[str]:
    with servers.nats() as address:
        yield address


class TestNats(Log, SinkSuite):
    __test__ = True
    adapter = "payoff.sinks:nats"
    kill_rows = 8000

    @pytest.fixture(autouse=True)
    def _server(self, nats_url: str) -> None:
        self.url = nats_url
        self.ask("remove")

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"url": self.url, "subject": "shop.people", "stream": "SHOP"}

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        return self.ask("look")

    def spoil(self, root: Path, name: str) -> None:
        self.ask("remove")

    def ask(self, what: str) -> list[dict[str, Any]]:
        import asyncio

        import nats

        async def go() -> list[dict[str, Any]]:
            client = await nats.connect(self.url)
            js = client.jetstream()
            found = []
            try:
                info = await js.stream_info("SHOP")
                if what == "remove":
                    await js.delete_stream("SHOP")
                elif info.state.messages:
                    reading = await js.subscribe("shop.people", stream="SHOP", ordered_consumer=True)
                    for _ in range(info.state.messages):
                        found.append(json.loads((await reading.next_msg(timeout=10)).data))
            except nats.js.errors.NotFoundError:
                pass
            finally:
                await client.close()
            return found

        return asyncio.run(go())


class TestKafka(Log, SinkSuite):
    """Against the broker that the client library brings along. It answers to transactions, but takes no row back and refuses no older writer: what holds here holds by our own notes."""

    __test__ = True
    adapter = "payoff.sinks:kafka"
    kill_rows = 8000

    @pytest.fixture(autouse=True)
    def _broker(self) -> Iterator[None]:
        self.started = [brokers.KafkaBroker()]
        self.prepare("payoff_writes", "shop.people", "other")
        yield
        for each in self.started:
            each.end()

    def prepare(self, *topics: str) -> None:
        """As whoever runs the broker would: the library's makes a topic when a sender asks for it."""
        with self.client("Producer") as client:
            for topic in topics:
                client.list_topics(topic, timeout=10)

    @contextlib.contextmanager
    def client(self, kind: str, **more: Any) -> Iterator[Any]:
        import confluent_kafka

        quiet = logging.getLogger("quiet")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False
        made = getattr(confluent_kafka, kind)({"bootstrap.servers": self.started[-1].servers, **more}, logger=quiet)
        yield made
        made.flush(10) if kind == "Producer" else made.close()

    def options(self, root: Path, name: str) -> dict[str, Any]:
        return {"servers": self.started[-1].servers, "topic": "shop.people", "batch": 1500}

    def messages(self, topic: str = "shop.people") -> list[Any]:
        from confluent_kafka import TopicPartition

        more = {"group.id": "look", "enable.partition.eof": True, "isolation.level": "read_committed"}
        found, left = [], set()
        with self.client("Consumer", **more) as client:
            left = set(client.list_topics(timeout=10).topics[topic].partitions)
            client.assign([TopicPartition(topic, part, 0) for part in left])
            while left:
                for message in client.consume(1000, 1.0):
                    if message.error() is None:
                        found.append(message)
                    else:
                        assert message.error().name() == "_PARTITION_EOF"
                        left.discard(message.partition())
        return found

    def look(self, root: Path, name: str) -> list[dict[str, Any]]:
        return [json.loads(message.value()) for message in self.messages()]

    def spoil(self, root: Path, name: str) -> None:
        """The topic is deleted and made anew; the library's broker cannot, so another takes over with the notes of the first."""
        notes = self.messages("payoff_writes")
        self.started.append(brokers.KafkaBroker())
        self.prepare("payoff_writes", "shop.people")
        with self.client("Producer") as client:
            for each in notes:
                client.produce("payoff_writes", each.value(), key=each.key(), partition=0)

    def test_rows_say_which_table_they_are_of_and_the_last_that_it_is_whole(self, root: Path) -> None:
        table = people(5)
        self.put(self.sink(root), table)
        headers = sorted((dict(each.headers()) for each in self.messages()), key=lambda each: int(each["Payoff-Row"]))
        assert [each["Payoff-Row"] for each in headers] == [b"1", b"2", b"3", b"4", b"5"]
        assert {each["Payoff-Table"].decode() for each in headers} == {artifact(table).id}
        assert [each.get("Payoff-Last") for each in headers] == [None] * 4 + [b"true"]

    def test_rows_of_one_key_are_in_one_partition_in_their_order(self, root: Path) -> None:
        table = pa.table({"who": ["a", "b", "c", None] * 500, "n": range(2000)})
        self.put(connect(self.adapter, "people", root, {**self.options(root, "people"), "key": "who"}), table)
        for who in "abc":
            found = [(each.partition(), each.offset(), json.loads(each.value())["n"]) for each in self.messages() if each.key() == who.encode()]
            assert len({part for part, _, _ in found}) == 1
            assert [n for _, _, n in sorted(found)] == sorted(n for _, _, n in found)
        with pytest.raises(UserError, match="no column when"):
            self.put(connect(self.adapter, "people", root, {**self.options(root, "people"), "key": "when"}), table)

    def test_topics_do_not_know_of_each_other(self, root: Path) -> None:
        self.put(self.sink(root), people())
        other = connect(self.adapter, "people", root, {**self.options(root, "people"), "topic": "other"})
        assert other.written() is None
        assert not self.put(other, people()).already
        assert len(self.messages("other")) == 4
        assert self.holds(root, people())

    def test_rows_in_another_order_behind_a_killed_write_are_refused(self, root: Path) -> None:
        table = people(4000)

        def batches() -> Any:
            yield from table.to_batches(1000)[:3]
            raise OSError(5, "Input/output error")

        with pytest.raises((PayoffError, OSError)):
            self.sink(root).write(pa.RecordBatchReader.from_batches(table.schema, batches()), artifact(table))
        assert len(self.messages()) == 3000
        with reader(table.take(list(range(3999, -1, -1)))) as rows, pytest.raises(UserError) as caught:
            self.sink(root).write(rows, artifact(table))
        assert caught.value.code == "PO-N008"
        self.put(self.sink(root), table)
        assert self.holds(root, table)

    @pytest.mark.slow  # each kill costs the 5 seconds after which a writer is taken for gone
    @pytest.mark.timeout(600)
    def test_kills_while_rows_go_out_leave_each_row_once(self, root: Path) -> None:
        """All rows are one transaction here, and the writer is killed as soon as the first of them, or some more, are in the broker."""
        chance, seen = random.Random(4), [0]
        self.options = lambda root, name: {"servers": self.started[-1].servers, "topic": "shop.people", "batch": self.kill_rows}  # type: ignore[method-assign]
        while len(seen) < 12 and seen[-1] < self.kill_rows:
            process = self.child(root, self.kill_rows, 7)
            more = chance.randrange(1, 900)
            while self.high() < seen[-1] + more and process.poll() is None:
                pass
            process.kill()
            process.communicate()
            seen.append(len(self.messages()))
        self.put(self.sink(root), people(self.kill_rows, salt=7))
        print(f"rows there after each kill: {seen}")
        assert self.holds(root, people(self.kill_rows, salt=7))
        assert any(0 < each < self.kill_rows for each in seen)

    def high(self) -> int:
        """Where the partitions end, together."""
        from confluent_kafka import TopicPartition

        with self.client("Consumer", **{"group.id": "look"}) as client:
            return sum(client.get_watermark_offsets(TopicPartition("shop.people", part), timeout=10, cached=False)[1] for part in range(4))

    def test_a_broker_that_is_not_there_may_come_back_and_wrong_settings_do_not(self, root: Path) -> None:
        away = {**self.options(root, "people"), "servers": f"127.0.0.1:{brokers.free_port()}", "settings": {"socket.timeout.ms": "2000"}}
        with pytest.raises(OutsideError) as caught:
            connect(self.adapter, "people", root, away).written()
        assert (caught.value.code, caught.value.may_retry) == ("PO-N010", True)
        with pytest.raises(UserError) as refused:
            connect(self.adapter, "people", root, {**self.options(root, "people"), "settings": {"no.such": "x"}}).written()
        assert refused.value.code == "PO-N022"

    test_a_wrong_password_is_told_and_not_shown = None  # type: ignore[assignment] # the library's broker knows no passwords
