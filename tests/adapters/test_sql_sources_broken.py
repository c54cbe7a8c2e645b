"""SQL sources: exact types, and whatever goes wrong outside is said clearly, without values and secrets."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import decimal
import http.server
import importlib.util
import json
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.testing.source import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "Anna-4711"
WRONG = "wrong-secret-0815"


def _beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"sql_broken_{name}", Path(__file__).parents[1] / "contracts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


mariadb, postgres, flight_sql, proxies = _beside("mariadb"), _beside("postgres"), _beside("flight_sql"), _beside("proxy")
SECRETS = (SECRET, WRONG, mariadb.PASSWORD, flight_sql.TOKEN)


def failure(kind: str, root: Path, name: str = "people", read: bool = True, **options: Any) -> PayoffError:
    """The error of a read, which holds no secret wherever a program might print it."""
    with pytest.raises(PayoffError) as caught:
        source = connect(f"payoff.sources:{kind}", name, root, options)
        if read:
            with source.read() as reader:
                reader.read_all()
        else:
            source.schema()
    error = caught.value
    clean(error)
    assert error.remedy
    assert error.expected
    return error


def clean(error: BaseException) -> None:
    """Nothing secret in the error, in what hangs on it, and in the frames of the product that it came through."""
    assert error.__cause__ is None
    assert error.__context__ is None
    said = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format()) + repr(error) + str(error)
    frame = error.__traceback__
    while frame:
        if "payoff" in frame.tb_frame.f_code.co_filename and "/src/payoff/testing/" not in frame.tb_frame.f_code.co_filename and "/src/" in frame.tb_frame.f_code.co_filename:
            said += repr({key: value for key, value in frame.tb_frame.f_locals.items() if not key.startswith("__")})
        frame = frame.tb_next
    for secret in SECRETS:
        assert secret not in said


def rows(kind: str, root: Path, name: str = "people", **options: Any) -> pa.Table:
    source = connect(f"payoff.sources:{kind}", name, root, options)
    with source.read() as reader:
        return reader.read_all()


def down() -> int:
    return int(postgres.free_port())


# MySQL and MariaDB


@pytest.fixture(scope="session")
def maria(testrun_uid: str) -> Iterator[int]:
    with mariadb.server(testrun_uid) as port:
        yield port


@pytest.fixture
def mysql(maria: int) -> Callable[..., dict[str, Any]]:
    """Run statements; options that lead to the server."""

    def made(*statements: str, port: int = maria, password: str = mariadb.PASSWORD, **options: Any) -> dict[str, Any]:
        if statements:
            mariadb.execute(maria, *statements)
        return {"dsn": f"mysql://tester:{password}@127.0.0.1:{port}/test", **options}

    return made


def test_mysql_types_are_exact(mysql: Any, tmp_path: Path) -> None:
    table = rows("mysql", tmp_path, "kinds", **mysql(
        "create or replace table kinds (id bigint unsigned, tiny tinyint, truth tinyint(1), small smallint unsigned, medium mediumint, n int unsigned,"
        " d decimal(12, 2), big decimal(65, 30), f float, x double, j json, raw varbinary(9), b binary(3), bits bit(9), flag bit, at timestamp(6) null,"
        " local datetime(3), day date, span time(3), y year, mood enum('good', 'bad'), many set('a', 'b'), text varchar(20))",
        "set time_zone = '+05:00'",
        "insert into kinds values (18446744073709551615, -128, 1, 65535, -8388608, 4294967295, -1234567890.12, 12345678901234567890123456789012345.000000000000000000000000000001,"
        " 0.1, 0.1, '{\"a\": 1}', x'00ff27', 'ab', b'100000001', 1, '2026-03-29 02:30:00.123456', '2026-03-29 02:30:00.125', '9999-12-31', '-838:59:59.5', 2026, 'bad', 'a,b', 'Größe 数 😀'),"
        " (null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null)",
    ))  # fmt: skip
    one, two = table.to_pylist()
    assert set(two.values()) == {None}
    kinds = {field.name: field.type for field in table.schema}
    assert (one["id"], kinds["id"]) == (2**64 - 1, pa.uint64())
    assert (one["tiny"], one["truth"], one["small"], one["medium"], one["n"]) == (-128, True, 65535, -8388608, 2**32 - 1)
    assert (one["d"], kinds["d"]) == (decimal.Decimal("-1234567890.12"), pa.decimal128(12, 2))
    assert one["big"] == decimal.Decimal("12345678901234567890123456789012345.000000000000000000000000000001")
    assert (pa.scalar(one["f"], pa.float32()).as_py(), one["x"]) == (pa.scalar(0.1, pa.float32()).as_py(), 0.1)
    assert (json.loads(one["j"]), one["raw"], one["b"], one["bits"], one["flag"]) == ({"a": 1}, b"\x00\xff'", b"ab\0", 257, True)
    assert one["at"] == dt.datetime(2026, 3, 28, 21, 30, 0, 123456, tzinfo=dt.UTC)
    assert (one["local"], one["day"]) == (dt.datetime(2026, 3, 29, 2, 30, 0, 125000), dt.date(9999, 12, 31))
    assert one["span"] == -dt.timedelta(hours=838, minutes=59, seconds=59.5)
    assert (one["y"], one["mood"], one["many"], one["text"]) == (2026, "bad", "a,b", "Größe 数 😀")


def test_mysql_floats_come_to_the_last_bit(mysql: Any, tmp_path: Path) -> None:
    table = rows("mysql", tmp_path, "bits", **mysql(
        "create or replace table bits as select seq, rand(seq) * pow(10, cast(seq as signed) % 40 - 20) as x, cast(null as double) as nothing from seq_1_to_2000",
        "alter table bits add s float, add xx varchar(50)",
        "update bits set s = x, xx = x * 1",
        query="select seq, x, s, x = cast(cast(x as char) as double) as same, s * 1e0 as wide from bits",
    ))  # fmt: skip
    assert table.num_rows == 2000
    assert [one["s"] for one in table.to_pylist()] == [one["wide"] for one in table.to_pylist()]
    assert {one["same"] for one in table.to_pylist()} == {1}


@pytest.mark.parametrize(
    ("kind", "value", "column"),
    [("date", "'0000-00-00'", "date32"), ("datetime", "'2026-00-10 00:00:00'", "timestamp"), ("tinyint(1)", "77", "bool")],
)
def test_mysql_values_without_a_place_are_refused_not_changed(mysql: Any, tmp_path: Path, kind: str, value: str, column: str) -> None:
    name = f"odd_{column}"  # the tests of several processes share the server
    error = failure("mysql", tmp_path, name, **mysql("set sql_mode = ''", f"create or replace table {name} (a {kind})", f"insert into {name} values ({value})"))
    assert error.code == "PO-S047"
    assert "column a" in error.what
    assert column in error.what
    mysql(f"drop table {name}")


def test_mysql_says_what_is_wrong(mysql: Any, tmp_path: Path) -> None:
    mysql("create table if not exists persons (id int)", "create table if not exists `odd ``name` (`a ``b` int, `select` int)", "insert into `odd ``name` values (1, 2)")
    assert "persons" in failure("mysql", tmp_path, "person", **mysql()).expected
    assert failure("mysql", tmp_path, "persons", **mysql(password=WRONG)).code == "PO-S041"
    lost = failure("mysql", tmp_path, "persons", **mysql(port=down()))
    assert (lost.code, lost.may_retry) == ("PO-S042", True)
    assert failure("mysql", tmp_path, **mysql(query="selec 1")).code == "PO-S043"
    assert failure("mysql", tmp_path, **mysql(query="select nothing from persons")).code == "PO-S043"
    assert failure("mysql", tmp_path, **mysql(query=f"select cast('{SECRET}' as nonsense) as a")).code == "PO-S043"
    assert failure("mysql", tmp_path, dsn=f"mysql://tester:{WRONG}@/").code == "PO-S048"
    assert rows("mysql", tmp_path, "odd `name", **mysql()).to_pylist() == [{"a `b": 1, "select": 2}]
    described = connect("payoff.sources:mysql", "persons", tmp_path, mysql()).describe()
    assert mariadb.PASSWORD not in str(described)
    assert "127.0.0.1" in described["address"]


@pytest.fixture
def many(mysql: Any) -> str:
    mysql("create table if not exists many (id int primary key, text varchar(100))", "insert ignore into many select seq, repeat('x', 90) from seq_1_to_250000")
    return "many"


@pytest.mark.parametrize("after", [600, 3_000, 300_000, 2_000_000])
def test_mysql_cut_anywhere_is_never_a_short_table(maria: int, mysql: Any, many: str, tmp_path: Path, after: int) -> None:
    with proxies.proxy(maria, after=after) as port:
        error = failure("mysql", tmp_path, many, **mysql(port=port))
    assert isinstance(error, OutsideError)
    assert error.may_retry
    assert error.code in ("PO-S042", "PO-S044")
    assert error.code == "PO-S044" or after < 300_000


def test_mysql_that_stalls_is_not_waited_for(maria: int, mysql: Any, many: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with proxies.proxy(maria, after=300_000, stall=True) as port:
        assert failure("mysql", tmp_path, many, **mysql(port=port, timeout=1.0)).code == "PO-S045"
    assert time.monotonic() - began < 40


def test_mysql_that_ends_the_connection(maria: int, mysql: Any, many: str, tmp_path: Path) -> None:
    """The server kills its own connection in the middle of the rows, as when it shuts down."""
    source = connect("payoff.sources:mysql", many, tmp_path, mysql())
    reader = source.read()
    reader.read_next_batch()
    running = mariadb.execute(maria, "select id from information_schema.processlist where info like 'select%from `many`%' and id <> connection_id()").split()
    mariadb.execute(maria, *(f"kill {each}" for each in running))
    with pytest.raises(OutsideError) as caught:
        while True:
            reader.read_next_batch()
    clean(caught.value)
    assert caught.value.code == "PO-S044"


@pytest.mark.parametrize("change", ["drop column text", "modify column text int", "rename to moved"])
def test_mysql_table_that_changes_while_it_is_read(mysql: Any, tmp_path: Path, change: str) -> None:
    options = mysql("drop table if exists moved, shifting", "create table shifting (id int, text varchar(10))", "insert into shifting values (1, '2')")
    reader = connect("payoff.sources:mysql", "shifting", tmp_path, options).read()
    mysql(f"alter table shifting {change}")
    with pytest.raises(OutsideError) as caught:
        reader.read_all()
    clean(caught.value)
    assert caught.value.code == "PO-S046"


def test_mysql_left_early_is_quick_and_quiet(maria: int, mysql: Any, many: str, tmp_path: Path) -> None:
    reader = connect("payoff.sources:mysql", many, tmp_path, mysql()).read()
    reader.read_next_batch()
    began = time.monotonic()
    reader.close()
    del reader
    assert time.monotonic() - began < 10
    assert "payoff-stream" not in [thread.name for thread in threading.enumerate()]


# DuckDB files


def duck(root: Path, *statements: str) -> dict[str, Any]:
    with duckdb.connect(str(root / "all.duckdb")) as connection:
        for sql in statements:
            connection.execute(sql)
    return {"path": "all.duckdb"}


def test_duckdb_types(tmp_path: Path) -> None:
    options = duck(
        tmp_path,
        "create type mood as enum ('good', 'bad')",
        "create table people (u ubigint, d decimal(12, 2), h hugeint, z timestamptz, j json, m mood, raw blob, l int[], s struct(a int), t time)",
        "insert into people values (18446744073709551615, 1.25, 170141183460469231731687303715884105727, '2026-01-01 12:00:00+01', '{\"a\": 1}', 'bad', 'x\\x00'::blob, [1, null], {a: 1}, '12:00:00')",
        "insert into people values (null, null, null, null, null, null, null, null, null, null)",
    )
    names = ["u", "d", "z", "j", "m", "raw", "l", "s", "t"]
    with connect("payoff.sources:duckdb", "people", tmp_path, options).read(names) as reader:
        one, two = reader.read_all().to_pylist()
    assert (one["u"], one["d"], one["m"], one["raw"], one["l"], one["s"]) == (2**64 - 1, decimal.Decimal("1.25"), "bad", b"x\0", [1, None], {"a": 1})
    assert one["z"] == dt.datetime(2026, 1, 1, 11, tzinfo=dt.UTC)
    assert json.loads(one["j"]) == {"a": 1}
    assert set(two.values()) == {None}


def test_duckdb_says_what_is_wrong(tmp_path: Path) -> None:
    options = duck(tmp_path, "create table persons (id int)")
    assert "persons" in failure("duckdb", tmp_path, "person", **options).expected
    assert failure("duckdb", tmp_path, path="gone.duckdb").code == "PO-S001"
    (tmp_path / "text.duckdb").write_text(SECRET * 5000)
    assert failure("duckdb", tmp_path, path="text.duckdb").code == "PO-S050"
    assert failure("duckdb", tmp_path, **options, query="selec 1").code == "PO-S043"
    assert failure("duckdb", tmp_path, **options, query=f"select '{SECRET}'::int as a").code == "PO-S043"
    assert failure("duckdb", tmp_path, **options, query="delete from persons").code == "PO-S043"
    cut = duck(tmp_path, "create table wide as select range as id, md5(range::text) as t from range(300000)", "checkpoint")
    whole = (tmp_path / "all.duckdb").read_bytes()
    (tmp_path / "cut.duckdb").write_bytes(whole[: len(whole) // 2])
    assert failure("duckdb", tmp_path, "wide", **{**cut, "path": "cut.duckdb"}).code in ("PO-S043", "PO-S044", "PO-S050")


def test_duckdb_that_another_program_writes_to(tmp_path: Path) -> None:
    options = duck(tmp_path, "create table people as select 1 as id")
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); c.execute('insert into people values (2)'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / "all.duckdb"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"open\n"
        error = failure("duckdb", tmp_path, **options)
        writer.kill()
    assert (error.code, error.may_retry) == ("PO-S049", True)
    assert rows("duckdb", tmp_path, **options).num_rows == 2  # its write-ahead log is read


# Redshift, as far as PostgreSQL is like it


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    with postgres.server() as address:
        yield address


def test_redshift_types(dsn: str, tmp_path: Path) -> None:
    postgres.execute(
        dsn,
        "drop table if exists kinds",
        "create table kinds (n numeric(38, 10), i numeric(18, 0), t timestamptz, l timestamp, raw bytea, v varchar(5), s smallint, r real)",
        "insert into kinds values (-1234567890123456789012345678.0123456789, 7, '2026-01-01 12:00+01', '2026-01-01 12:00', '\\x00ff', 'x', 3, 0.1)",
        "insert into kinds values (null, null, null, null, null, null, null, null)",
    )
    table = rows("redshift", tmp_path, "kinds", dsn=dsn)
    one, two = table.to_pylist()
    assert (one["n"], one["i"], one["raw"], one["v"], one["s"]) == (decimal.Decimal("-1234567890123456789012345678.0123456789"), 7, b"\x00\xff", "x", 3)
    assert one["t"] == dt.datetime(2026, 1, 1, 11, tzinfo=dt.UTC)
    assert table.schema.field("n").type == pa.decimal128(38, 10)
    assert set(two.values()) == {None}


def test_redshift_says_what_is_wrong(dsn: str, tmp_path: Path) -> None:
    postgres.execute(dsn, "create table if not exists persons (id int)", "create table if not exists odd (id int)")
    assert "persons" in failure("redshift", tmp_path, "person", dsn=dsn).expected
    assert failure("redshift", tmp_path, "persons", dsn=dsn.replace(postgres.PASSWORD, WRONG)).code == "PO-S041"
    lost = failure("redshift", tmp_path, "persons", dsn=f"postgresql://tester:{postgres.PASSWORD}@127.0.0.1:{down()}/postgres")
    assert (lost.code, lost.may_retry) == ("PO-S042", True)
    assert failure("redshift", tmp_path, dsn=dsn, query="selec 1").code == "PO-S043"
    assert failure("redshift", tmp_path, dsn=dsn, query="delete from persons").code == "PO-S043"
    bad = f"select case when n < 50000 then n else ('{SECRET}' || n)::int end as n from generate_series(1, 60000) n"
    assert failure("redshift", tmp_path, dsn=dsn, query=bad).code == "PO-S043"
    assert failure("redshift", tmp_path, dsn=dsn, query="select pg_sleep(20)", timeout=0.5).code == "PO-S045"
    assert postgres.PASSWORD not in str(connect("payoff.sources:redshift", "persons", tmp_path, {"dsn": dsn}).describe())


@pytest.mark.parametrize("stall", [False, True])
def test_redshift_cut_or_stalled(dsn: str, tmp_path: Path, stall: bool) -> None:
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    with proxies.proxy(port, after=3_000_000, stall=stall) as cut:
        error = failure("redshift", tmp_path, dsn=dsn.replace(str(port), str(cut)), query="select n, repeat('x', 90) as t from generate_series(1, 60000) n", timeout=2.0)
    assert error.code == ("PO-S045" if stall else "PO-S044")


@pytest.mark.parametrize("change", ["drop column text", "alter column text type int using 1", "rename to moved"])
def test_redshift_table_that_changes_while_it_is_read(dsn: str, tmp_path: Path, change: str) -> None:
    postgres.execute(dsn, "drop table if exists moved, shifting", "create table shifting (id int, text text)", "insert into shifting values (1, '2')")
    reader = connect("payoff.sources:redshift", "shifting", tmp_path, {"dsn": dsn}).read()
    postgres.execute(dsn, f"alter table shifting {change}")
    with pytest.raises(OutsideError) as caught:
        reader.read_all()
    clean(caught.value)
    assert caught.value.code == "PO-S046"


# Flight SQL


@pytest.fixture(scope="module")
def flights() -> Iterator[Any]:
    with flight_sql.server() as made:
        made.database.execute("create table persons as select range as id, md5(range::text) as t from range(100000)")
        yield made


def flight(made: Any, **more: Any) -> dict[str, Any]:
    return {"uri": f"grpc+tcp://127.0.0.1:{made.port}", **({"token": flight_sql.TOKEN} if "user" not in more and "token" not in more else {}), **more}


def test_flightsql_lets_in_by_token_and_by_password(flights: Any, tmp_path: Path) -> None:
    assert rows("flightsql", tmp_path, "persons", **flight(flights)).num_rows == 100_000
    assert rows("flightsql", tmp_path, "persons", **flight(flights, user=flight_sql.USER, password=flight_sql.PASSWORD)).num_rows == 100_000


def test_flightsql_says_what_is_wrong(flights: Any, tmp_path: Path) -> None:
    assert failure("flightsql", tmp_path, "persons", **flight(flights, token=WRONG)).code == "PO-S041"
    assert failure("flightsql", tmp_path, "persons", **flight(flights, user="tester", password=WRONG)).code == "PO-S041"
    assert failure("flightsql", tmp_path, "person", **flight(flights)).code == "PO-S040"
    assert failure("flightsql", tmp_path, **flight(flights, query="selec 1")).code == "PO-S043"
    assert failure("flightsql", tmp_path, **flight(flights, query=f"select '{SECRET}'::int as a")).code == "PO-S043"
    assert failure("flightsql", tmp_path, uri=f"http://x:{WRONG}@y").code == "PO-S048"
    assert failure("flightsql", tmp_path, **flight(flights, ca="gone.pem")).code == "PO-S052"
    lost = failure("flightsql", tmp_path, "persons", uri=f"grpc+tcp://127.0.0.1:{down()}", token=flight_sql.TOKEN)
    assert (lost.code, lost.may_retry) == ("PO-S042", True)


def test_flightsql_slow_broken_changed(flights: Any, tmp_path: Path) -> None:
    with flight_sql.quiet(flights, pause=3.0):
        assert failure("flightsql", tmp_path, "persons", **flight(flights, timeout=0.5)).code == "PO-S045"
    with flight_sql.quiet(flights, fail_after=3):
        error = failure("flightsql", tmp_path, "persons", **flight(flights))
        assert (error.code, error.may_retry) == ("PO-S044", True)
    with flight_sql.quiet(flights, other=True):
        assert failure("flightsql", tmp_path, "persons", **flight(flights)).code == "PO-S046"
    with proxies.proxy(flights.port, after=2_000_000) as port:
        assert failure("flightsql", tmp_path, "persons", uri=f"grpc+tcp://127.0.0.1:{port}", token=flight_sql.TOKEN).code == "PO-S044"


def test_flightsql_with_tls(tmp_path: Path) -> None:
    certificate, key = authority(tmp_path)
    with flight_sql.server(tls_certificates=[(certificate, key)]) as made:
        made.database.execute("create table persons as select 1 as id")
        options = {"uri": f"grpc+tls://localhost:{made.port}", "token": flight_sql.TOKEN, "timeout": 5.0}
        assert rows("flightsql", tmp_path, "persons", **options, ca="ca.pem").num_rows == 1
        assert isinstance(failure("flightsql", tmp_path, "persons", **options), OutsideError)  # not trusted: nothing was sent


def authority(root: Path) -> tuple[bytes, bytes]:
    """A certificate of our own for localhost, in `ca.pem`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = made.public_bytes(serialization.Encoding.PEM)
    (root / "ca.pem").write_bytes(pem)
    return pem, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


# Any ADBC driver


def test_adbc_drivers_and_their_errors(tmp_path: Path) -> None:
    import adbc_driver_sqlite

    import sqlite3

    with sqlite3.connect(tmp_path / "a.db") as made:
        made.execute("create table persons (id integer, text text)")
        made.executemany("insert into persons values (?, ?)", [(1, "a"), (2, None)])
    made.close()
    lite = {"driver": "adbc_driver_sqlite", "options": {"uri": str(tmp_path / "a.db")}}
    assert rows("adbc", tmp_path, "persons", **lite).to_pylist() == [{"id": 1, "text": "a"}, {"id": 2, "text": None}]
    by_path = {**lite, "driver": adbc_driver_sqlite._driver_path()}
    assert rows("adbc", tmp_path, "persons", **by_path).num_rows == 2
    assert rows("adbc", tmp_path, "persons", **lite, quote="`").num_rows == 2
    assert failure("adbc", tmp_path, "person", **lite).code == "PO-S040"
    assert failure("adbc", tmp_path, **lite, query="selec 1").code == "PO-S043"
    assert failure("adbc", tmp_path, driver="adbc_driver_nonesuch").code == "PO-S051"
    assert failure("adbc", tmp_path, driver="./gone.so").code == "PO-S051"
    assert failure("adbc", tmp_path, driver="nonesuch_at_all").code == "PO-S051"
    shown = connect("payoff.sources:adbc", "x", tmp_path, {**lite, "options": {"uri": f"postgresql://u:{SECRET}@h/d?password={WRONG}", "token": SECRET}}).describe()
    assert SECRET not in str(shown)
    assert WRONG not in str(shown)
    assert "h/d" in shown["address"]


# Snowflake and BigQuery: their own client libraries, against servers that answer as theirs do when something is wrong


@contextlib.contextmanager
def web(answer: Callable[[str, dict[str, Any]], tuple[int, dict[str, Any]] | None]) -> Iterator[int]:
    """An HTTP server whose answers are made by a function of path and body; None: it says nothing for a while."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            given = answer(self.path, json.loads(body) if body[:1] == b"{" else {})
            if given is None:
                stop.wait(20)
                self.close_connection = True
                return
            data = json.dumps(given[1]).encode()
            self.send_response(given[0])
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST

        def log_message(self, *words: object) -> None:
            """Nothing."""

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield made.server_port
    finally:
        stop.set()
        made.shutdown()
        made.server_close()


def snowflake(port: int, **more: Any) -> dict[str, Any]:
    return {"account": "acme-lab", "user": "tester", "password": WRONG, "host": "127.0.0.1", "port": port, "protocol": "http", "database": "D", "timeout": 4.0, **more}


class Snow:
    """Snowflake's side of the wire: a session, then an answer of Arrow in the result itself, or an error."""

    def __init__(self, table: pa.Table | None = None, code: str = "", message: str = "", state: str = "") -> None:
        self.table, self.error, self.asked = table, (code, message, state), []

    def __call__(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "login-request" in path:
            session = {"token": "session-token", "masterToken": "m", "validityInSeconds": 3600, "masterValidityInSeconds": 14400, "sessionId": 1, "parameters": [], "sessionInfo": {}}
            return 200, {"data": session, "success": True, "code": None, "message": None}
        if "query-request" not in path:
            return 200, {"data": {}, "success": True, "code": None, "message": None}
        sql = body.get("sqlText", "")
        self.asked.append(sql)
        if self.table is None or self.error[0]:
            code, message, state = self.error
            return 200, {"data": {"sqlState": state, "queryId": "q"}, "success": False, "code": code, "message": message}
        return 200, {"data": self.result(sql), "success": True, "code": None, "message": None}

    def result(self, sql: str) -> dict[str, Any]:
        table = self.table
        assert table is not None
        if "1 = 0" in sql:
            table = table.slice(0, 0)
        else:
            names = [name.strip().strip('"') for name in sql.partition("select ")[2].partition(" from ")[0].split(",")]
            table = table.select(names)
        sink = pa.BufferOutputStream()
        meta = {"int64": ("FIXED", 38, 0), "string": ("TEXT", 0, 0), "bool": ("BOOLEAN", 0, 0), "double": ("REAL", 0, 0), "date32[day]": ("DATE", 0, 0)}
        fields, kinds = [], []
        for field in table.schema:
            kind, precision, scale = meta[str(field.type)]
            told = {"logicalType": kind, "precision": str(precision), "scale": str(scale), "charLength": "100", "byteLength": "400"}
            fields.append(pa.field(field.name, field.type, metadata=told))
            kinds.append({"name": field.name, "type": kind.lower(), "precision": precision or None, "scale": scale if precision else None, "length": 100, "byteLength": 400, "nullable": True})
        schema = pa.schema(fields)
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(pa.table([column.combine_chunks() for column in table.columns], schema=schema), max_chunksize=1000)
        return {
            "queryResultFormat": "arrow", "rowsetBase64": base64.b64encode(sink.getvalue()).decode(), "rowtype": kinds, "total": table.num_rows, "returned": table.num_rows,
            "queryId": "q", "parameters": [], "statementTypeId": 4096, "chunks": [], "finalDatabaseName": "D", "finalSchemaName": "PUBLIC", "finalWarehouseName": "W", "finalRoleName": "R", "version": 1,
        }  # fmt: skip


def test_snowflake_reads_what_its_driver_is_given(tmp_path: Path) -> None:
    table = pa.table({"ID": pa.array([1, 2, None], pa.int64()), "x": [0.5, None, 1.5], "TEXT": ["a", "Größe", None], "DAY": pa.array([dt.date(2026, 1, 1)] * 3), "YES": [True, None, False]})
    snow = Snow(table)
    with web(snow) as port:
        source = connect("payoff.sources:snowflake", "people", tmp_path, snowflake(port, timeout=20.0))
        with source.read(["TEXT", "ID"]) as reader:
            assert reader.schema == pa.schema([("TEXT", pa.string()), ("ID", pa.int64())])
            assert reader.read_all().to_pylist() == [{"TEXT": "a", "ID": 1}, {"TEXT": "Größe", "ID": 2}, {"TEXT": None, "ID": None}]
    assert snow.asked[-1] == 'select "TEXT", "ID" from D.PUBLIC.people'


@pytest.mark.parametrize(
    ("code", "message", "state", "ours"),
    [
        ("002003", "SQL compilation error:\nObject 'D.PUBLIC.PEOPLE' does not exist or not authorized.", "42S02", "PO-S040"),
        ("001003", f"SQL compilation error:\nsyntax error line 1 at position 0 unexpected '{SECRET}'.", "42000", "PO-S043"),
        ("100038", f"Numeric value '{SECRET}' is not recognized", "22018", "PO-S043"),
    ],
)
def test_snowflake_says_no(tmp_path: Path, code: str, message: str, state: str, ours: str) -> None:
    with web(Snow(None, code, message, state)) as port:
        assert failure("snowflake", tmp_path, **snowflake(port, timeout=20.0)).code == ours


def test_snowflake_does_not_let_in_or_answer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refusal = {"data": {}, "code": "390100", "message": f"Incorrect username or password was specified: {WRONG}", "success": False}
    with web(lambda path, body: (200, refusal)) as port:
        assert failure("snowflake", tmp_path, **snowflake(port)).code == "PO-S041"
    with web(lambda path, body: (500, {})) as port:
        assert failure("snowflake", tmp_path, **snowflake(port, timeout=2.0)).code in ("PO-S042", "PO-S045")
    with web(lambda path, body: None) as port:
        began = time.monotonic()
        assert failure("snowflake", tmp_path, **snowflake(port, timeout=1.0)).code == "PO-S045"
        assert time.monotonic() - began < 30
    lost = failure("snowflake", tmp_path, **snowflake(down()))
    assert (lost.code in ("PO-S042", "PO-S045"), lost.may_retry) == (True, True)
    assert failure("snowflake", tmp_path, **snowflake(1, password="", private_key="gone.p8")).code == "PO-S052"
    told = capfd.readouterr()
    assert WRONG not in told.out + told.err


@pytest.fixture(scope="module")
def key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(65537, 2048)
    return made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def bigquery(key: str, port: int, **more: Any) -> dict[str, Any]:
    account = {"type": "service_account", "project_id": "p", "private_key_id": "k", "private_key": key, "client_email": "a@p.iam", "token_uri": f"http://127.0.0.1:{port}/token"}
    return {"project": "p", "dataset": "d", "credentials_json": json.dumps(account), "timeout": 4.0, **more}


def test_bigquery_does_not_let_in_or_answer(tmp_path: Path, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    def said(port: int, **more: Any) -> PayoffError:
        error = failure("bigquery", tmp_path, **bigquery(key, port, **more))
        assert key.splitlines()[3] not in str(error) + repr(error)
        return error

    refusal = {"error": "invalid_grant", "error_description": f"Invalid JWT Signature. {SECRET}"}
    with web(lambda path, body: (400, refusal)) as port:
        assert said(port).code == "PO-S041"
    with web(lambda path, body: (500, {})) as port:
        error = said(port, timeout=1.0)
        assert (error.code, error.may_retry) == ("PO-S045", True)
    with web(lambda path, body: None) as port:
        assert said(port, timeout=1.0).code == "PO-S045"
    assert isinstance(said(down(), timeout=1.0), OutsideError)
    assert failure("bigquery", tmp_path, project="p", credentials_json=SECRET).code == "PO-S048"
    assert failure("bigquery", tmp_path, project="p", credentials="gone.json").code == "PO-S052"
    told = capfd.readouterr()
    assert SECRET not in told.out + told.err
    assert key.splitlines()[3] not in told.out + told.err


def test_bigquery_names(tmp_path: Path) -> None:
    for table, where in (("t", "`p`.`d`.`t`"), ("e.t", "`p`.`e`.`t`"), ("q-1.e.t", "`q-1`.`e`.`t`")):
        source = connect("payoff.sources:bigquery", "x", tmp_path, {"project": "p", "dataset": "d", "table": table})
        assert source.origin() == where


def test_options_do_not_show_their_secrets(tmp_path: Path) -> None:
    import importlib

    for kind, options in {
        "mysql": {"dsn": WRONG}, "redshift": {"dsn": WRONG}, "adbc": {"driver": "x", "options": {"password": WRONG}},
        "flightsql": {"uri": "x", "token": WRONG, "password": WRONG}, "bigquery": {"project": "p", "credentials_json": WRONG},
        "snowflake": {"account": "a", "user": "u", "password": WRONG, "token": WRONG, "passphrase": WRONG},
    }.items():  # fmt: skip
        assert WRONG not in repr(importlib.import_module(f"payoff.adapters.sources.{kind}").Options(**options))


