"""A query in stages and passes gives the rows of the query as it was written."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.data.spill.stages import kept, stages

_spec = importlib.util.spec_from_file_location("stages_queries", Path(__file__).parents[2] / "contracts" / "queries.py")
assert _spec and _spec.loader
queries = importlib.util.module_from_spec(_spec)
sys.modules["stages_queries"] = queries
_spec.loader.exec_module(queries)
COLUMNS = queries.COLUMNS

WRITTEN = [
    "select name, list(id order by id) as l, median(x) as m from t group by name",
    "select name as k, string_agg(id::varchar, ',' order by id) as l from t group by k having count(*) > 1",
    "select x, mode(\"A\") from t where id > 3 or yes group by 1",
    "with a as (select name, median(x) as m from t group by name), b as (select name, m from a where m > 0) select b.*, a.m as n from b join a on a.name = b.name order by 1",
    "select id, name, x from t except select id, name, \"A\" from u",
    "select name, x from t intersect select name, \"A\" from u",
    "select * from (select \"A\", name from t except select \"A\", name from u) as d left join (select name, mode(x) as m from t group by all) as e on d.name = e.name",
    "select * from (\nselect day, count(distinct name) as n, quantile_cont(x, 0.5) as q from t group by day\n) order by all",
    "select coalesce(x, -0.0) as z, list(id order by id) as l from t group by z",
    "select name, x, list(id order by id) as l from t group by rollup(name, x)",
    "select name, median(x) as m, rank() over (order by count(*)) as r from t group by name",
    "select name, list(id order by id) as l from t group by name order by count(*), name limit 3",
    "select name, (select max(x) from u where u.name = t.name) as m, list(id order by id) as l from t group by name",
    "with t2 as (select * from t) select name, list(id order by id) as l from t2 group by name union all select name, list(id order by id) from u group by name",
]  # fmt: skip


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    rng, made = random.Random(4), duckdb.connect()
    for name, count in (("t", 60), ("u", 25)):
        rows = queries.rows(rng, count)
        made.register(f"{name}_rows", pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))))
        made.execute(f"create table {name} as select * from {name}_rows")
    return made


def rows(table: pa.Table) -> list[str]:
    return sorted(repr([0.0 if value == 0 and isinstance(value, float) else value for value in row]) for row in zip(*(c.to_pylist() for c in table.columns), strict=True))


def in_parts(connection: duckdb.DuckDBPyConnection, sql: str, count: int) -> pa.Table | None:
    found, made = stages(sql, ["t", "u"]), []
    answer = None
    for stage in found:
        passes = stage.passes(count) if stage.cut else (stage.sql,)
        answer = pa.concat_tables([connection.execute(each).to_arrow_table() for each in passes])
        if stage.name:
            connection.execute(f'create temp table "{stage.name}" as select * from answer')
            made.append(stage.name)
    for name in made:
        connection.execute(f'drop table "{name}"')
    return answer


@pytest.mark.parametrize("sql", WRITTEN)
@pytest.mark.parametrize("count", [1, 3])
def test_the_same_rows(connection: duckdb.DuckDBPyConnection, sql: str, count: int) -> None:
    expected = connection.execute(sql).to_arrow_table()
    found = in_parts(connection, sql, count)
    assert found is not None
    assert [str(field.type) for field in found.schema] == [str(field.type) for field in expected.schema]
    assert rows(found) == rows(expected)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_random_queries(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    sql = queries.query(random.Random(seed))
    try:
        expected = connection.execute(sql).to_arrow_table()
    except duckdb.Error:
        return
    found = in_parts(connection, sql, 3)
    assert found is None or rows(found) == rows(expected), sql


@pytest.mark.parametrize("order", ["x", "x desc", "x nulls first", "x desc nulls first", "name, x desc", "3 desc, 1", "all", "all desc", "yes", "day desc, id"])
@pytest.mark.parametrize("count", [1, 3, 50])
def test_a_sort_in_ranges(connection: duckdb.DuckDBPyConnection, order: str, count: int) -> None:
    *_, last = stages(f"select id, name, x, yes, day from t where id <> 7 order by {order}", ["t"])
    assert last.sort
    connection.execute(f'create or replace temp table "{last.sort.table}" as select id, name, x, yes, day from t where id <> 7')
    key = last.sort.key or ["id", "name", "x", "yes", "day"][last.sort.place]
    connection.execute(f"create or replace temp table bounds as {last.sort.bounds(key, count)}")
    names = [each.strip().split(" ")[0] for each in order.split(",")]
    listed = ["id", "name", "x", "yes", "day"] if names == ["all"] else [["id", "name", "x"][int(n) - 1] if n.isdigit() else n for n in names]
    found = [row for sql in last.sort.passes(key, count, "bounds") for row in connection.execute(f"select {', '.join(listed)} from ({sql})").fetchall()]
    expected = connection.execute(f"select {', '.join(listed)} from ({last.sql})").fetchall()
    assert found == expected
    assert len(found) == 59


def test_a_sort_by_something_that_is_no_result_is_left_alone() -> None:
    assert stages("select name from t order by lower(name)", ["t"]) == stages("select name from t as a order by a.id", ["t"]) == ()


def test_every_row_of_a_cut_is_in_one_pass(connection: duckdb.DuckDBPyConnection) -> None:
    """NULL, both zeros and not-a-number among the keys."""
    connection.execute("create or replace table z as select unnest([null, 0.0, -0.0, 'nan'::double, 1.5]) as x")
    (stage,) = stages("select x, list(x) as l from z group by x", ["z"])
    found: list[Any] = [row for sql in stage.passes(4) for row in connection.execute(sql).fetchall()]
    assert sorted(len(each) for _, each in found) == [1, 1, 1, 2]


@pytest.mark.parametrize(
    "sql",
    ["select name, list(x) as l from t where random() > 0.5 group by name", "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select * from r",
     "with t as (select * from t) select name, list(x) as l from t group by name", "with a as (select 1 as b), A as (select 2 as b) select * from a", "create table a as select 1"],
)  # fmt: skip
def test_what_is_not_taken_apart(sql: str) -> None:
    assert stages(sql, ["t", "u"]) == ()


def test_what_keeps_its_values_is_named() -> None:
    sql = "select name, mode(x), sum(x), count(distinct x), string_agg(name, ','), quantile_cont(x, 0.5), list(x) from t group by name"
    assert len(kept(sql)) == 4
    assert kept("select sum(x), count(distinct name), arg_max(name, x), stddev(x) from t") == ()
