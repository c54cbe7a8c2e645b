"""A query in a source's own database answers as DuckDB does over the same rows, or stays here."""

from __future__ import annotations

import datetime as dt
import importlib.util
import random
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pytest

from payoff.adapters.engines.duckdb import Options as EngineOptions
from payoff.adapters.engines.duckdb import connect as engine
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


postgres, queries = beside("postgres"), beside("queries")


class Here(NamedTuple):
    """The same two tables in a database and as files for DuckDB."""

    database: Any
    files: dict[str, Path]
    kinds: dict[str, dict[str, str]]
    relations: dict[str, str]
    engine: Any

    def pushed(self, sql: str) -> tuple[str, pa.Schema]:
        translated = translate(sql, self.kinds, self.database.place().dialect)
        whole = with_tables(translated.sql, {t: self.relations[t] for t in translated.tables}, translated.tables)
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
                f'create table {name} (id bigint, "A" integer, x double precision, name text, yes boolean, day date)',
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
        connection.execute(f'create table {name} (id integer, "A" integer, x real, name text, yes boolean, day date)')
        plain = [tuple(str(v) if isinstance(v, dt.date) else v for v in row) for row in rows]
        connection.executemany(f"insert into {name} values (?, ?, ?, ?, ?, ?)", plain)
    connection.commit()
    connection.close()
    return here(root, {name: lite.connect(name, lite.Options(path="x.db"), root) for name in ("t", "u")})


def plain(table: pa.Table) -> list[str]:
    """Rows whatever their order; 0 and -0 are one number, and which of them stands for a group is open in DuckDB too."""
    return sorted(repr([0.0 if value == 0 and isinstance(value, float) else value for value in row.values()]) for row in table.to_pylist())


def compare(where: Here, seed: int, count: int) -> tuple[int, int]:
    """How many queries answered alike there, and how many stayed here."""
    rng, alike, stayed = random.Random(seed), 0, 0
    for _ in range(count):
        sql = queries.query(rng)
        try:
            expected = where.engine.query(sql, where.files)
        except PayoffError:
            continue  # no query for DuckDB
        try:
            found = where.there(sql, prepare=False)
        except Unlike:
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
    alike, stayed = compare(in_sqlite, 2, 150)
    assert alike > 60, (alike, stayed)


@pytest.mark.slow  # thousands of queries take minutes
@pytest.mark.parametrize("seed", range(10))
def test_many_more(in_postgresql: Here, in_sqlite: Here, seed: int) -> None:
    assert compare(in_postgresql, 100 + seed, 400)[0] > 200
    assert compare(in_sqlite, 200 + seed, 400)[0] > 150


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
