"""A query in a source's own database answers as DuckDB does over the same rows, or stays here."""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import random
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import pyarrow as pa
import pytest

from payoff.adapters.engines.duckdb import Options as EngineOptions
from payoff.adapters.engines.duckdb import connect as engine
from payoff.adapters.sources import duckdb as duck
from payoff.adapters.sources import mysql as my
from payoff.adapters.sources import postgresql as pg
from payoff.adapters.sources import sqlite as lite
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.data.push.queries import translate
from payoff.data.push.rules import Unlike, kind_of
from payoff.plan.place import with_tables

if TYPE_CHECKING:
    from collections.abc import Iterator


def beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"pushdown_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


postgres, queries, mariadb = beside("postgres"), beside("queries"), beside("mariadb")


class Here(NamedTuple):
    """The same two tables in a database and as files for DuckDB."""

    database: Any
    files: dict[str, Path]
    kinds: dict[str, dict[str, str]]
    relations: dict[str, str]
    engine: Any

    def pushed(self, sql: str) -> tuple[str, pa.Schema]:
        dialect = self.database.place().dialect
        translated = translate(sql, self.kinds, dialect)
        whole = with_tables(translated.sql, {t: self.relations[t] for t in translated.tables}, translated.tables if dialect.inlines else ())
        return whole, self.engine.query(sql, self.files).schema

    def there(self, sql: str, *, prepare: bool = True) -> pa.Table:
        whole, schema = self.pushed(sql)
        if prepare:
            self.database.prepare(whole)
        with self.database.run(whole, schema) as reader:
            return reader.read_all()


def literal(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "'" + str(value).replace("'", "''") + "'" if isinstance(value, (str, dt.date)) else repr(value)


def here(root: Path, sources: dict[str, Any]) -> Here:
    running = engine(root, EngineOptions())
    files, kinds, relations = {}, {}, {}
    for name, source in sources.items():
        files[name] = root / f"{name}.arrow"
        with source.read() as reader:
            running.write(reader, files[name])
        relation = source.relation()
        given = {field.name: kind_of(field.type) for field in relation.fields}
        relations[name] = relation.sql
        kinds[name] = {column: given.get(column.lower(), "") for column in source.schema().names}
    return Here(next(iter(sources.values())), files, kinds, relations, running)


@pytest.fixture(scope="module")
def tables() -> dict[str, list[tuple[object, ...]]]:
    rng = random.Random(4)
    return {"t": queries.rows(rng, 60), "u": queries.rows(rng, 25)}


@pytest.fixture(scope="module")
def in_postgresql(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    with postgres.server() as dsn:
        for name, rows in tables.items():
            listed = ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)
            postgres.execute(
                dsn,
                f'create table {name} (id bigint, "A" integer, x double precision, name text, yes boolean, day date, big bigint)',
                f"insert into {name} values {listed}",
            )
        postgres.execute(
            dsn,
            "create table odd (n numeric, c char(4), v varchar, j json, r real, big bigint)",
            "insert into odd values (1.10, 'a', 'ä', '{}', 1.5, 9223372036854775807), (2.20, 'b', 'Z', '{}', 2.5, 9223372036854775807)",
        )
        root = tmp_path_factory.mktemp("pg")
        yield here(root, {name: pg.connect(name, pg.Options(dsn=dsn), root) for name in ("t", "u", "odd")})


@pytest.fixture(scope="module")
def in_sqlite(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Here:
    root = tmp_path_factory.mktemp("lite")
    connection = sqlite3.connect(root / "x.db")
    for name, rows in tables.items():
        connection.execute(f'create table {name} (id integer, "A" integer, x real, name text, yes boolean, day date, big bigint)')
        plain = [tuple(str(v) if isinstance(v, dt.date) else v for v in row) for row in rows]
        connection.executemany(f"insert into {name} values (?, ?, ?, ?, ?, ?, ?)", plain)
    connection.commit()
    connection.close()
    return here(root, {name: lite.connect(name, lite.Options(path="x.db"), root) for name in ("t", "u")})


CREATED = '"A" integer, x double precision, name {text}, yes boolean, day date, big bigint)'


def listed(rows: list[tuple[object, ...]], *, escape: bool = False) -> str:
    text = ", ".join("(" + ", ".join(map(literal, row)) + ")" for row in rows)
    return text.replace("\\", "\\\\") if escape else text


@pytest.fixture(scope="module")
def in_duckdb(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Here:
    root = tmp_path_factory.mktemp("duck")
    connection = duckdb.connect(str(root / "x.duckdb"))
    for name, rows in tables.items():
        connection.execute(f"create table {name} (id bigint, {CREATED.format(text='text')}")
        connection.execute(f"insert into {name} values {listed(rows)}")
    connection.execute("create table odd as select 1.10::decimal(4, 2) as f, uuid() as u, [1, 2] as l, 1.5::real as r, timestamp '2024-01-01 00:00:00.5' as m")
    connection.close()
    return here(root, {name: duck.connect(name, duck.Options(path="x.duckdb"), root) for name in ("t", "u", "odd")})


@pytest.fixture(scope="module")
def maria_port(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[int]:
    run = getattr(request.config, "workerinput", {}).get("testrunuid") or f"alone-{os.getpid()}"
    with mariadb.server(run) as port:
        yield port


@pytest.fixture(scope="module")
def in_mariadb(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, maria_port: int) -> Here:
    root, base = tmp_path_factory.mktemp("maria"), f"push_{os.getpid()}"
    mariadb.execute(maria_port, f"create database {base} character set utf8mb4 collate utf8mb4_general_ci")
    for name, rows in tables.items():
        mariadb.execute(
            maria_port,
            f"create table {name} (id bigint, {CREATED.format(text='varchar(40)').replace(chr(34), '`')}",
            f"insert into {name} values {listed(rows, escape=True)}",
            database=base,
        )
    mariadb.execute(
        maria_port,
        "create table odd (whole decimal(20, 0), f decimal(8, 2), c char(4), v varchar(9) collate latin1_swedish_ci, l longtext, e enum('b', 'a'), r float,"
        " big bigint, ub bigint unsigned, ui int unsigned, ts timestamp, dt datetime(6), b bit, z year)",
        "insert into odd values (1, 1.10, 'a', 'ä', 'x', 'b', 1.5, 9223372036854775807, 18446744073709551615, 4294967295, '2024-01-01', '2024-01-01 00:00:00.5', b'1', 2024),"
        " (2, 2.20, 'b  ', 'Z', 'x ', 'a', 2.5, 9223372036854775807, 1, 1, '2024-01-01', '2024-01-02', b'0', 1999)",
        database=base,
    )
    dsn = f"mysql://tester:{mariadb.PASSWORD}@127.0.0.1:{maria_port}/{base}"
    return here(root, {name: my.connect(name, my.Options(dsn=dsn), root) for name in ("t", "u", "odd")})


def plain(table: pa.Table) -> list[str]:
    """Rows whatever their order; 0 and -0 are one number, and which of them stands for a group is open in DuckDB too."""
    return sorted(repr([0.0 if value == 0 and isinstance(value, float) else value for value in row.values()]) for row in table.to_pylist())


def compare(where: Here, seed: int, count: int, *, prepare: bool = False) -> tuple[int, int]:
    """How many queries answered alike there, and how many stayed here."""
    rng, alike, stayed = random.Random(seed), 0, 0
    for _ in range(count):
        sql = queries.query(rng)
        try:
            expected = where.engine.query(sql, where.files)
        except PayoffError:
            continue  # no query for DuckDB
        try:
            found = where.there(sql, prepare=prepare)
        except Unlike:
            stayed += 1
            continue
        except UserError:
            assert prepare, sql  # the database itself does not take it
            stayed += 1
            continue
        except OutsideError as error:
            assert error.code == "PO-S024", sql  # SQLite counts in 64 bits and says so
            stayed += 1
            continue
        assert found.schema.equals(expected.schema), sql
        assert plain(found) == plain(expected), sql
        alike += 1
    return alike, stayed


def test_postgresql_answers_as_duckdb(in_postgresql: Here) -> None:
    alike, stayed = compare(in_postgresql, 1, 60)
    assert alike > 30, (alike, stayed)


def test_sqlite_answers_as_duckdb(in_sqlite: Here) -> None:
    alike, stayed = compare(in_sqlite, 2, 100)
    assert alike > 40, (alike, stayed)


def test_duckdb_answers_as_duckdb(in_duckdb: Here) -> None:
    alike, stayed = compare(in_duckdb, 3, 50)
    assert alike > 30, (alike, stayed)


def test_mariadb_answers_as_duckdb(in_mariadb: Here) -> None:
    alike, stayed = compare(in_mariadb, 5, 100, prepare=True)
    assert alike > 35, (alike, stayed)


@pytest.mark.slow  # thousands of queries take minutes
@pytest.mark.parametrize("seed", range(10))
def test_many_more(in_postgresql: Here, in_sqlite: Here, in_duckdb: Here, in_mariadb: Here, seed: int) -> None:
    assert compare(in_postgresql, 100 + seed, 400)[0] > 200
    assert compare(in_sqlite, 200 + seed, 400)[0] > 150
    assert compare(in_duckdb, 300 + seed, 400)[0] > 250
    assert compare(in_mariadb, 400 + seed, 400, prepare=True)[0] > 150


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("select lower(name) as n from t", "LOWER"),
        ("select round(x) as n from t", "ROUND"),
        ("select id // 2 as n from t", "INTDIV"),
        ("select concat(name, 'x') as n from t", "CONCAT"),
        ("select hash(name) as n from t", "HASH"),
        ("select name from t where regexp_matches(name, 'a')", "REGEXP"),
        ("select name from t where name ilike 'A%'", "ILIKE"),
        ("select name from t limit 3", "LIMIT"),
        ("select id as i from t order by x limit 3", "LIMIT"),
        ("select distinct on (name) name, id from t", "DISTINCT ON"),
        ("select id from t qualify row_number() over (order by x) = 1", "QUALIFY"),
        ("select id, row_number() over (order by x) as n from t", "ROWNUMBER"),
        ("select id, sum(x) over (order by id rows 1 preceding) as n from t", "frame"),
        ("select * from t using sample 3", "SAMPLE"),
        ("select t.id from t asof join u on t.id >= u.id", "ASOF"),
        ("select cast(x as varchar) as n from t", "cast"),
        ("select cast(name as integer) as n from t", "cast"),
        ("select 0.1 + id as n from t", "decimal"),
        ("select 0.12345678901234567 * x as n from t", "digits"),
        ("select sum(x) as x from t group by name having sum(x) > 1 and x > 2", "means a column and a result"),
        ("select id from t union by name select id from u", "by name"),
        ("select id, (select id from u) as n from t", "several rows"),
        ("select stddev(x) as n from t", "STDDEV"),
        ("with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select n from r", "RECURSIVE"),
    ],
)  # fmt: skip
def test_what_could_mean_something_else_stays_here(in_postgresql: Here, sql: str, why: str) -> None:
    with pytest.raises(Unlike, match="(?i)" + why.replace("(", r"\(")):
        translate(sql, in_postgresql.kinds, in_postgresql.database.place().dialect)


@pytest.mark.parametrize(
    "sql",
    ["select name from t where name like 'A%'", "select x / \"A\" as q from t", "select length(name) as n from t", "select year(day) as y from t",
     "select cast(x as bigint) as n from t"],
)  # fmt: skip
def test_what_sqlite_does_otherwise_stays_here(in_sqlite: Here, in_postgresql: Here, sql: str) -> None:
    with pytest.raises(Unlike):
        translate(sql, in_sqlite.kinds, in_sqlite.database.place().dialect)
    assert plain(in_postgresql.there(sql)) == plain(in_postgresql.engine.query(sql, in_postgresql.files))


def test_columns_of_types_that_differ_stay_here(in_postgresql: Here) -> None:
    for column in ("c", "j", "r"):
        with pytest.raises(Unlike, match=f"the type of column {column} stays here"):
            in_postgresql.there(f"select {column} from odd")
    with pytest.raises(Unlike, match="stays here"):
        in_postgresql.there("select * from odd")


def test_exact_where_the_types_of_the_answer_differ(in_postgresql: Here) -> None:
    """NUMERIC is the double that a read gives, a sum beyond 64 bits is exact, texts are in the order of their code points."""
    sql = "select sum(n) as s, sum(big) as b, min(v) as low, max(v) as high, count(distinct n) as d from odd"
    found = in_postgresql.there(sql)
    assert found.equals(in_postgresql.engine.query(sql, in_postgresql.files))
    assert int(found["b"][0].as_py()) == 2 * 9223372036854775807


def test_nothing_can_be_changed_there(in_postgresql: Here) -> None:
    schema = pa.schema([("n", pa.int64())])
    with pytest.raises(UserError, match="read-only"), in_postgresql.database.run(
        "with gone as (delete from t returning id) select id as n from gone", schema
    ) as reader:
        reader.read_all()
    assert in_postgresql.there("select count(*) as n from t")["n"][0].as_py() == 60


def test_a_value_that_does_not_fit_is_no_rounded_one(in_postgresql: Here, in_sqlite: Here) -> None:
    for where in (in_postgresql, in_sqlite):
        with pytest.raises(OutsideError, match="does not fit") as caught, where.database.run(
            "select 1099511627776 as n", pa.schema([("n", pa.int8())])
        ) as reader:
            reader.read_all()
        assert "1099511627776" not in str(caught.value)


def test_the_same_database_is_one_place_whatever_the_password(tmp_path: Path) -> None:
    place = lambda dsn: pg.connect("t", pg.Options(dsn=dsn), tmp_path).place().id  # noqa: E731
    assert place("postgresql://u:one@h/d") == place("postgresql://u:two@h:5432/d?sslmode=prefer") == place("host=h user=u dbname=d password=x")
    assert len({place("postgresql://u@h/d"), place("postgresql://u@h/e"), place("postgresql://v@h/d"), place("postgresql://u@g/d")}) == 4
    assert "geheim" not in str(pg.connect("t", pg.Options(dsn="postgresql://u:geheim@h/d"), tmp_path).place())


def test_a_wrong_value_in_sqlite_stops_the_query_that_uses_it(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("create table t (id integer, x real)")
    connection.execute("insert into t values (1, 'geheim'), (2, 1.5)")
    connection.commit()
    connection.close()
    where = lite.connect("t", lite.Options(path="x.db"), tmp_path)
    relation = where.relation().sql
    with where.run(f"with t as ({relation}) select count(id) as n from t", pa.schema([("n", pa.int64())])) as reader:
        assert reader.read_all().to_pylist() == [{"n": 2}]
    with pytest.raises(UserError, match="not of its declared type|not of their declared type|declared type") as caught, where.run(
        f"with t as ({relation}) select sum(x) as n from t", pa.schema([("n", pa.float64())])
    ) as reader:
        reader.read_all()
    assert caught.value.code == "PO-S022"
    assert "geheim" not in str(caught.value)


def test_texts_with_a_collation_of_their_own_stay_here(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("create table t (id integer, name text collate nocase)")
    connection.commit()
    connection.close()
    assert [field.name for field in lite.connect("t", lite.Options(path="x.db"), tmp_path).relation().fields] == ["id"]


def test_texts_of_mariadb_are_compared_by_their_code_points(in_mariadb: Here) -> None:
    """The column is latin1_swedish_ci, whose 'ä' is no 'a', but whose 'z' is 'Z' and whose 'x ' is 'x'."""
    for sql in (
        "select v, count(*) as n from odd where v in ('z', 'ä ', 'A') group by v",
        "select l, count(distinct l) as n from odd where l = 'x' group by l",
        "select count(distinct l) as n, min(v) as low, max(v) as high, min(e) as first from odd",
        "select e, c from odd order by e limit 2",
        "select name, name < 'a' as low, name like 'a%' as l, length(name) as n, substring(name, 2, 1) as s from t",
        "select whole, sum(big) as s, ui, z, b from odd group by whole, ui, z, b",
        "with q as (select name, count(*) as n from t group by name), r as (select name, n from q where n > 1) select a.id, r.n from t as a join r on a.name = r.name",
    ):
        try:
            found = in_mariadb.there(sql)
        except Unlike as unlike:
            assert "LIMIT" in str(unlike), sql
            continue
        expected = in_mariadb.engine.query(sql, in_mariadb.files)
        assert found.schema.equals(expected.schema)
        assert plain(found) == plain(expected), sql


def test_what_mariadb_does_otherwise_stays_here(in_mariadb: Here, in_duckdb: Here) -> None:
    for sql in (
        'select x / "A" as q from t', "select greatest(id, \"A\") as g from t", "select day - date '2024-01-01' as n from t", "select cast(x as bigint) as n from t",
        "select date_trunc('month', day) as m from t", "select max(a.x) + 1 as v0, avg(b.\"A\") as v1 from t as a full join u as b on a.id = b.id",
    ):  # fmt: skip
        with pytest.raises(Unlike):
            translate(sql, in_mariadb.kinds, in_mariadb.database.place().dialect)
        assert plain(in_duckdb.there(sql)) == plain(in_duckdb.engine.query(sql, in_duckdb.files))
    for column in ("f", "r", "ub", "ts", "dt"):
        with pytest.raises(Unlike, match=f"the type of column {column} stays here|decimal|unknown type"):
            in_mariadb.there(f"select {column} from odd")
    for column in ("f", "l", "r"):  # a UUID is read as a text
        with pytest.raises(Unlike, match=f"the type of column {column} stays here"):
            in_duckdb.there(f"select {column} from odd")


def test_values_that_a_read_of_mariadb_refuses_stop_a_query(in_mariadb: Here, maria_port: int, tmp_path: Path) -> None:
    base = f"zero_{os.getpid()}"
    mariadb.execute(maria_port, f"create database {base}")
    made = [
        "set sql_mode = ''", "create table t (id int, day date, yes boolean, name text)",
        "insert into t values (1, '2024-01-31', true, 'a'), (2, '0000-00-00', false, 'b'), (3, '2024-02-00', null, 'c'), (4, null, 2, 'd')",
    ]  # fmt: skip
    mariadb.execute(maria_port, *made, database=base)
    dsn = f"mysql://tester:{mariadb.PASSWORD}@127.0.0.1:{maria_port}/{base}"
    source = my.connect("t", my.Options(dsn=dsn), tmp_path)
    relation = source.relation()
    kinds = {"t": {field.name: kind_of(field.type) for field in relation.fields}}

    def asked(sql: str, kind: pa.DataType) -> list[object]:
        whole = with_tables(translate(sql, kinds, source.place().dialect).sql, {"t": relation.sql})
        with source.run(whole, pa.schema([("v", kind)])) as reader:
            return reader.read_all()["v"].to_pylist()

    assert asked("select max(day) as v from t where id = 1 or id = 4", pa.date32()) == [dt.date(2024, 1, 31)]
    for sql, kind in (
        ("select day as v from t where id > 1", pa.date32()), ("select count(*) as v from t where day < '2024-01-01'", pa.int64()), ("select min(day) as v from t", pa.date32()),
        ("select yes as v from t where id > 3", pa.bool_()), ("select count(*) as v from t where yes", pa.int64()),
    ):  # fmt: skip
        with pytest.raises(PayoffError) as caught:
            asked(sql, kind)
        assert caught.value.code == "PO-S043"
        assert "2024" not in str(caught.value)


def test_texts_of_duckdb_with_a_collation_stay_here(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute("create table t (id integer, name text collate nocase)")
    assert [field.name for field in duck.connect("t", duck.Options(path="x.duckdb"), tmp_path).relation().fields] == ["id"]


def test_a_value_that_does_not_fit_in_mariadb_or_duckdb(in_mariadb: Here, in_duckdb: Here) -> None:
    for where in (in_mariadb, in_duckdb):
        with pytest.raises(OutsideError, match="does not fit") as caught, where.database.run("select 1099511627776 as n", pa.schema([("n", pa.int8())])) as reader:
            reader.read_all()
        assert caught.value.code == "PO-S034"
        assert "1099511627776" not in str(caught.value)


def test_nothing_can_be_changed_in_mariadb_or_duckdb(in_mariadb: Here, in_duckdb: Here) -> None:
    for where in (in_mariadb, in_duckdb):
        with pytest.raises(UserError), where.database.run("delete from t", pa.schema([("n", pa.int64())])) as reader:
            reader.read_all()
        assert where.there("select count(*) as n from t")["n"][0].as_py() == 60


MEANT = {  # what each database would answer otherwise if it were left to it
    "averages of whole numbers are exact": 'select avg(big) as m, avg("A") as b, count(*) as n from t where big in (4611686018427387904, -4611686018427387904, 3)',
    "a text with a backslash": "select id, name || '\\' as n from t where name = 'a\\b' or name = 'a\\\\b'",
    "a space at the end": "select count(*) as n, count(distinct name) as d from t where name in ('a', 'A', 'a ')",
    "between two texts": "select id from t where name between 'A' and 'a '",
    "half of a code point": "select min(name) as low, max(name) as high from t where name > 'z'",
    "more than a double holds": "select id from t where big = 9007199254740993",
    "more than 64 bits": "select id, big < 9223372036854775808 as b from t",
    "a name of WITH within WITH": "with q as (select id from u) select s.id from (with w as (select id from t where id < 9) select w.id from w) as s left join q on q.id = s.id",
}


@pytest.mark.parametrize("meant", MEANT)
def test_the_same_is_meant(in_postgresql: Here, in_sqlite: Here, in_duckdb: Here, in_mariadb: Here, meant: str) -> None:
    for where in (in_postgresql, in_sqlite, in_duckdb, in_mariadb):
        expected = where.engine.query(MEANT[meant], where.files)
        assert expected.num_rows
        try:
            found = where.there(MEANT[meant])
        except OutsideError as error:  # a sum beyond 64 bits is none in SQLite, and no other number either
            assert (where, error.code) == (in_sqlite, "PO-S024")
            continue
        assert plain(found) == plain(expected), where.database.place().address


@pytest.mark.parametrize(
    ("sql", "why"),
    [("with a as (select id from t), u as (select id from t where id < 3) select a.id, (select count(*) from u) as n from a", "u is a name of WITH and of a table"),
     ("with a as (select id from t) select b.id from (with a as (select id from u) select a.id from a) as b join a on a.id = b.id", "a is a name of WITH"),
     ("select id, avg(big) over (partition by name) as a from t", "average of whole numbers"),
     ("select avg(big) filter (where id > 3) as a from t", "average of whole numbers")],
)  # fmt: skip
def test_what_is_open_there_stays_here(in_postgresql: Here, in_sqlite: Here, in_mariadb: Here, sql: str, why: str) -> None:
    for where in (in_postgresql, in_sqlite, in_mariadb):
        with pytest.raises(Unlike, match=why):
            translate(sql, where.kinds, where.database.place().dialect)


def test_what_a_duckdb_file_means_otherwise_stays_here(tmp_path: Path) -> None:
    """A UUID is compared as one in the file, whatever its capital letters, an ENUM in the order of its values; a macro may hide a function."""
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute("create type mood as enum ('sad', 'glad')")
        connection.execute("create table t as select 1 as id, uuid() as u, 'sad'::mood as m, '{}'::json as j, 7::hugeint as h, 1.0::decimal(4, 0) as d, 'a' as name")
    source = duck.connect("t", duck.Options(path="x.duckdb"), tmp_path)
    assert [field.name for field in source.relation().fields] == ["id", "d", "name"]
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        connection.execute("create macro length(text) as 42")
    assert source.relation().fields == ()
