"""What a GROUP BY promises about its groups: a promise too many would let a person be singled out."""

from __future__ import annotations

import pytest

from payoff.data.lineage import Threshold, grouped

TABLES = {"t": ["city", "pay", "id", "n0"], "u": ["id", "x"]}


def having(text: str) -> int:
    found = grouped(f"select city, count(*) as n, sum(pay) as s from t group by city having {text}", TABLES)
    assert found is not None
    return found.k


@pytest.mark.parametrize(
    ("text", "k"),
    [
        ("count(*) >= 5", 5), ("count(*) > 4", 5), ("5 <= count(*)", 5), ("4 < count(*)", 5), ("count() >= 5", 5), ("count(1) > 4.5", 5),
        ("(count(*) >= 5)", 5), ("count(*) >= 5 and sum(pay) > 0", 5), ("sum(pay) > 0 and (city > 'a' and count(*) >= 5)", 5),
        ("n >= 5", 5), ("count(*) = 5", 5), ("count(*) between 5 and 9", 5), ("count(*) >= 3 and count(*) >= 5", 5), ("COUNT(*) >= 5", 5),
        # no promise
        ("count(*) >= 5 or sum(pay) > 0", 0), ("not count(*) >= 5", 0), ("count(*) <= 5", 0), ("count(*) < 5", 0), ("5 >= count(*)", 0),
        ("count(*) filter (where pay > 0) >= 5", 0), ("count(pay) >= 5", 0), ("count(distinct id) >= 5", 0), ("sum(1) >= 5", 0),
        ("count(*) + 1 >= 5", 0), ("count(*) <> 5", 0), ("count(*) >= '5'", 0), ("count(*) >= (select 5)", 0), ("s >= 5", 0),
        ("case when count(*) >= 5 then true else true end", 0),
    ],
)  # fmt: skip
def test_rows_promised(text: str, k: int) -> None:
    assert having(text) == k


def test_an_alias_that_is_also_a_column_promises_nothing() -> None:
    found = grouped("select city, count(*) as pay from t group by city having pay >= 5", TABLES)
    assert found is not None
    assert found.k == 0


def test_counts_of_values_are_named_as_such() -> None:
    found = grouped("select city from t group by city having count(distinct id) >= 7 and count(pay) > 2 and count(*) >= 9", TABLES)
    assert found is not None
    assert found.k == 9
    assert set(found.counts) == {Threshold("distinct", 7, "id"), Threshold("values", 3, "pay"), Threshold("rows", 9)}


@pytest.mark.parametrize(
    ("item", "use"),
    [
        ("sum(pay)", "aggregate:sum"), ("avg(t.pay)", "aggregate:avg"), ("count(*)", "aggregate:count"), ("round(avg(pay), 2)", "aggregate:avg"),
        ("stddev(pay)", "aggregate:stddev"), ("sum(pay)::bigint", "aggregate:sum"), ("max(pay)", "aggregate:max"),
        ("any_value(pay)", "aggregate:any_value"), ("arg_max(pay, id)", "aggregate:arg_max"), ("count(distinct id)", "aggregate:count"),
        ("list(pay order by id)", "aggregate:list"), ("first(pay)", "aggregate:first"),
        # a condition or a computation may single one row out
        ("sum(case when id = 7 then pay end)", "other"), ("sum(pay * (id = 7)::int)", "other"), ("sum(pay) filter (where id = 7)", "other"),
        ("sum(pay) / count(*)", "other"), ("pay", "other"), ("sum(pay) over ()", "other"), ("(select max(pay) from t)", "other"),
        ("sum((select pay from t where id = 7))", "other"), ("round(avg(pay), id)", "other"), ("max(pay) - sum(pay)", "other"),
        ("upper(city)", "other"), ("city", "key"),
    ],
)  # fmt: skip
def test_uses(item: str, use: str) -> None:
    found = grouped(f"select {item} as v from t group by city", TABLES)
    assert found is not None
    assert found.columns == {"v": use}


@pytest.mark.parametrize(
    ("sql", "keys", "hidden"),
    [
        ("select city, n0, sum(pay) as s from t group by 1, 2", ("city", "n0"), 0),
        ("select city, sum(pay) as s from t group by all", ("city",), 0),
        ("select upper(city) as c, sum(pay) as s from t group by upper(city)", ("c",), 0),
        ("select upper(city) as c, sum(pay) as s from t group by c", ("c",), 0),
        ("select t.city from t group by city, n0", ("city",), 1),
        ("select sum(pay) as s from t group by city", (), 1),
    ],
)
def test_keys(sql: str, keys: tuple[str, ...], hidden: int) -> None:
    found = grouped(sql, TABLES)
    assert found is not None
    assert found.keys == keys
    assert len(found.hidden) == hidden


@pytest.mark.parametrize(
    "sql",
    [
        "select city from t", "select sum(pay) from t", "select ] from", "select * from (select city from t group by city)",
        "select city from t group by city union all select x from u", "select city from t group by rollup(city)",
        "select city from t group by grouping sets ((city), ())", "select columns('c') from t group by city",
    ],
)  # fmt: skip
def test_nothing_is_said_of_other_queries(sql: str) -> None:
    assert grouped(sql, TABLES) is None


@pytest.mark.parametrize(
    ("source", "table"),
    [("t", "t"), ("T as z", "t"), ("t join u using (id)", ""), ("(select * from t) q", ""), ("t, u", ""), ("range(3)", "")],
)
def test_the_one_table_is_named(source: str, table: str) -> None:
    found = grouped(f"select 1 as one from {source} group by all", TABLES)
    assert found is not None
    assert found.table == table
