"""Point-in-time joins, against a rule written down in plain Python: the newest fact that held and was known by then."""

from __future__ import annotations

import datetime as dt
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlglot.lineage import lineage

from payoff.base.errors import UserError
from payoff.data import as_of, usage
from payoff.records.artifact import Field
from payoff.records.joins.as_of import AsOf, Join

PRICES = AsOf(table="prices", by=(("product", "item"),), valid="valid", known="known", columns=("price", "note"), within=5 * 86_400, prefix="p_")
RATES = AsOf(table="rates", by=(), valid="day", columns=("rate",))
JOIN = Join(name="enriched", rows="orders", at="at", as_of=(PRICES, RATES))
START = dt.datetime(2026, 1, 1)


def hours(most: int) -> st.SearchStrategy[Any]:
    return st.none() | st.integers(0, most).map(lambda n: START + dt.timedelta(hours=n))


KEY = st.none() | st.integers(0, 2)
ORDERS = st.lists(st.fixed_dictionaries({"id": st.integers(0, 9), "product": KEY, "at": hours(400)}), max_size=25)
FACTS = st.lists(
    st.fixed_dictionaries(
        {"item": KEY, "valid": hours(400), "known": hours(400), "price": st.none() | st.integers(0, 3), "note": st.none() | st.sampled_from("ab")}
    ),
    max_size=25,
)
DAYS = st.lists(st.fixed_dictionaries({"day": hours(400), "rate": st.integers(0, 99)}), max_size=6)
STAMP = pa.timestamp("us")
ORDER = pa.schema([("id", pa.int64()), ("product", pa.int64()), ("at", STAMP)])
FACT = pa.schema([("item", pa.int64()), ("valid", STAMP), ("known", STAMP), ("price", pa.int64()), ("note", pa.string())])
DAY = pa.schema([("day", STAMP), ("rate", pa.int64())])


def newest(order: dict[str, Any], facts: AsOf, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rule, one row at a time."""
    seen = [
        row
        for row in rows
        if order["at"] is not None
        and all(order[left] is not None and order[left] == row[right] for left, right in facts.by)
        and all(row[name] is not None and row[name] <= order["at"] for name in (facts.valid, facts.known) if name)
    ]

    def rank(row: dict[str, Any]) -> Any:
        times = [row[name] for name in (facts.valid, facts.known) if name]
        return times, [(row[name] is not None, "" if row[name] is None else row[name]) for name in facts.columns]

    found = max(seen, key=rank, default=None)
    if found and facts.within is not None and order["at"] - found[facts.valid] > dt.timedelta(seconds=facts.within):
        found = None
    return {facts.prefix + name: found[name] if found else None for name in facts.columns}


def run(join: Join, columns: tuple[str, ...] = (), **tables: pa.Table) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, table in tables.items():
            connection.register(name, table)
        return connection.execute(join.sql(columns)).to_arrow_table().to_pylist()


@settings(max_examples=60, deadline=None)
@given(ORDERS, FACTS, DAYS, st.booleans())
def test_each_row_gets_what_was_known_at_its_time(orders: Any, facts: Any, days: Any, listed: bool) -> None:
    got = run(
        JOIN, tuple(ORDER.names) if listed else (),
        orders=pa.Table.from_pylist(orders, ORDER), prices=pa.Table.from_pylist(facts, FACT), rates=pa.Table.from_pylist(days, DAY),
    )  # fmt: skip
    assert got == [{**order, **newest(order, PRICES, facts), **newest(order, RATES, days)} for order in orders]


@settings(max_examples=30, deadline=None)
@given(ORDERS, FACTS, st.integers(0, 400))
def test_what_comes_later_changes_nothing_before(orders: Any, facts: Any, hour: int) -> None:
    """All that is known or holds only after a moment may be made up anew: no row before it changes."""
    moment = START + dt.timedelta(hours=hour)
    early = [row for row in orders if row["at"] is not None and row["at"] <= moment]
    past = [row for row in facts if all(row[name] is not None and row[name] <= moment for name in ("valid", "known"))]
    planted = [{"item": item, "valid": moment - dt.timedelta(hours=1), "known": moment + dt.timedelta(hours=1), "price": 9, "note": "x"} for item in (0, 1, 2)]
    join = replace(JOIN, as_of=(PRICES,))
    table = pa.Table.from_pylist(early, ORDER)
    answers = [run(join, orders=table, prices=pa.Table.from_pylist(rows, FACT)) for rows in (past, facts + planted)]
    assert answers[0] == answers[1]


def test_the_order_of_facts_does_not_matter_and_that_of_rows_is_kept() -> None:
    orders = pa.table({"id": range(10_000, 0, -1), "product": [n % 7 for n in range(10_000)], "at": [START + dt.timedelta(minutes=n % 9000) for n in range(10_000)]})
    facts = [{"item": n % 7, "valid": START + dt.timedelta(minutes=n // 2), "known": START + dt.timedelta(minutes=n // 2), "price": n % 5, "note": None} for n in range(9000)]
    join = replace(JOIN, as_of=(PRICES,))
    answers = [run(join, orders=orders, prices=pa.Table.from_pylist(rows, FACT)) for rows in (facts, facts[::-1])]
    assert answers[0] == answers[1]
    assert [row["id"] for row in answers[0]] == orders["id"].to_pylist()


@pytest.mark.parametrize(("kind", "zone"), [(pa.date32(), None), (pa.timestamp("s", "Europe/Berlin"), "Europe/Berlin"), (pa.timestamp("ns"), None)])
def test_dates_instants_and_fine_times(kind: pa.DataType, zone: str | None) -> None:
    """A fact of the very moment is seen, one of the next unit is not."""
    unit = {"date32[day]": 1, "timestamp[s, tz=Europe/Berlin]": 1, "timestamp[ns]": 1}[str(kind)]
    orders = pa.table({"product": [1], "at": pa.array([20_000], pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)})
    for shift, seen in ((0, 1), (unit, None), (-unit, 1)):
        times = pa.array([20_000 + shift], pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
        facts = pa.table({"item": [1], "valid": times, "known": times, "price": [1], "note": ["x"]})
        shapes = {name: [Field(f.name, str(f.type)) for f in table.schema] for name, table in (("orders", orders), ("prices", facts))}
        as_of.check(replace(JOIN, as_of=(PRICES,)), shapes)
        assert run(replace(JOIN, as_of=(PRICES,)), orders=orders, prices=facts)[0]["p_price"] == seen, (kind, shift)


def shapes(at: str = "timestamp[us]", valid: str = "timestamp[us]", **more: str) -> dict[str, list[Field]]:
    return {
        "orders": [Field("id", "int64"), Field("product", "int64"), Field("at", at), *(Field(n, t) for n, t in more.items())],
        "prices": [Field("item", "int64"), Field("valid", valid), Field("known", "timestamp[us]"), Field("price", "double"), Field("note", "string")],
        "rates": [Field("day", "timestamp[us]"), Field("rate", "double")],
    }


@pytest.mark.parametrize(
    ("given_shapes", "code", "says"),
    [
        (shapes(valid="date32[day]"), "PO-D063", "dates"),
        (shapes(valid="timestamp[us, tz=UTC]"), "PO-D063", "with a zone"),
        (shapes(at="timestamp[us, tz=UTC]"), "PO-D063", "without a zone"),
        (shapes(at="string"), "PO-D062", "string"),
        (shapes(at="double"), "PO-D062", "double"),
        (shapes(at="timestamp[ns, tz=UTC]"), "PO-D062", "ns"),
        (shapes(RATE="double"), "PO-D061", "rate"),
    ],
)  # fmt: skip
def test_times_that_cannot_be_compared_exactly_are_refused(given_shapes: dict[str, list[Field]], code: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        as_of.check(JOIN, given_shapes)
    assert caught.value.code == code
    assert says in caught.value.what
    assert caught.value.remedy


def test_a_missing_column_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        as_of.check(replace(JOIN, at="att"), shapes())
    assert (caught.value.code, "at" in caught.value.expected) == ("PO-D060", True)
    as_of.check(JOIN, shapes())


def test_lineage_sees_through_it() -> None:
    schema = {name: {field.name: "int" for field in fields} for name, fields in shapes().items()}
    leaves = {each.name for each in lineage("p_price", JOIN.sql(), schema=schema, dialect="duckdb").walk()}
    assert {name.replace('"', "") for name in leaves} >= {"prices.price", "orders.at", "prices.valid"}
    schemas = {"orders": ORDER, "prices": FACT.append(pa.field("unused", pa.int64())), "rates": DAY}
    assert usage.used_columns(JOIN.sql(tuple(ORDER.names)), schemas) == {"orders": ORDER.names, "prices": FACT.names, "rates": DAY.names}
    assert sqlglot.parse_one(JOIN.sql(), dialect="duckdb")


COLUMNS = [("orders", name) for name in ORDER.names] + [("prices", name) for name in FACT.names]


@settings(max_examples=60, deadline=None)
@given(ORDERS, FACTS, FACTS, ORDERS, st.sampled_from(COLUMNS))
def test_what_is_said_to_flow_is_all_that_flows(orders: Any, facts: Any, other_facts: Any, other_orders: Any, changed: tuple[str, str]) -> None:
    """Whatever is put into one column, only those that are said to depend on it change."""
    join = replace(JOIN, as_of=(PRICES,))
    found = as_of.flows(join, ORDER.names)
    table, column = changed
    rows, others = {"orders": (orders, other_orders), "prices": (facts, other_facts)}[table]
    spoilt = [{**row, column: other[column]} for row, other in zip(rows, others * 25, strict=False)] if others else rows
    before = run(join, orders=pa.Table.from_pylist(orders, ORDER), prices=pa.Table.from_pylist(facts, FACT))
    tables = {"orders": orders, "prices": facts} | {table: spoilt[: len(rows)] if len(spoilt) >= len(rows) else rows}
    after = run(join, orders=pa.Table.from_pylist(tables["orders"], ORDER), prices=pa.Table.from_pylist(tables["prices"], FACT))
    assert [flow.column for flow in found.columns] == list(before[0]) if before else True
    assert len(before) == len(after), "its rows are those of the orders"
    for flow in found.columns:
        if changed not in flow.sources:
            assert [row[flow.column] for row in before] == [row[flow.column] for row in after], (flow.column, changed)


def test_the_rows_own_columns_know_nothing_of_the_facts() -> None:
    found = as_of.flows(JOIN, ORDER.names)
    assert found.of("id").sources == {("orders", "id")}  # type: ignore[union-attr]
    price = found.of("p_price")
    assert price is not None
    assert price.data == {("prices", "price")}
    assert price.control == {("prices", n) for n in ("item", "valid", "known", "note")} | {("orders", "at"), ("orders", "product")}
    assert (found.rows.sources, found.rows.tables, found.order.ordered) == (set(), {"orders"}, {"orders"})
