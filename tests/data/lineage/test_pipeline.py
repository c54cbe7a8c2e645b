"""Flows through several steps, down to the base tables, and the way they take."""

from __future__ import annotations

from composed import Lineage, Opaque, declared

from payoff.data.lineage import Flows, flows

BASE = {"people": ["id", "age", "income"], "orders": ["id", "person", "amount"]}


def chain(*steps: tuple[str, str | Opaque]) -> Lineage:
    tables = {name: list(columns) for name, columns in BASE.items()}
    made: list[tuple[str, Flows | Opaque]] = []
    for name, step in steps:
        answer = flows(step, tables) if isinstance(step, str) else step
        made.append((name, answer))
        tables[name] = list(answer.columns) if isinstance(answer, Opaque) else [flow.column for flow in answer.columns]
    return Lineage(BASE, made)


def test_values_and_decisions_are_kept_apart_over_steps() -> None:
    lineage = chain(
        ("adults", "select id, age * 2 as x from people where income > 0"), ("totals", "select x, count(*) as n from adults group by x")
    )
    x, n = lineage.of("totals", "x"), lineage.of("totals", "n")
    assert x is not None
    assert n is not None
    assert x.data == {("people", "age")}
    assert x.control == {("people", "age"), ("people", "income")}
    assert n.data == frozenset()
    assert n.control == {("people", "age"), ("people", "income")}


def test_counting_a_table_depends_on_what_decided_its_rows() -> None:
    """The second query names no column at all."""
    lineage = chain(("some", "select id from people where income > 0"), ("n", "select count(*) as n from some"), ("m", "from n"))
    flow = lineage.of("m", "n")
    assert flow is not None
    assert flow.sources == {("people", "income")}
    assert lineage.path("m", "n", ("people", "income")) == (("people", "income"), ("some", "*"), ("n", "n"), ("m", "n"))


def test_an_order_that_a_step_made_decides_a_limit_in_the_next() -> None:
    lineage = chain(
        ("ranked", "select id, rank() over (order by income) as r from people"),
        ("few", "select id from ranked limit 3"),
        ("all", "select id from ranked"),
    )
    few, every = lineage.of("few", "id"), lineage.of("all", "id")
    assert few is not None
    assert every is not None
    assert ("people", "income") in few.control
    assert every.sources == {("people", "id")}


def test_the_shortest_way_is_told() -> None:
    lineage = chain(
        ("a", "select id, income from people"),
        ("b", "select id, income + 1 as income from a"),
        ("c", "select a.id, b.income as far, a.income as near from a join b using (id)"),
    )
    assert lineage.path("c", "NEAR", ("people", "income")) == (("people", "income"), ("a", "income"), ("c", "NEAR"))
    assert lineage.path("c", "far", ("people", "income")) == (("people", "income"), ("a", "income"), ("b", "income"), ("c", "far"))
    assert lineage.path("c", "far", ("people", "age")) == ()


def test_an_opaque_step_depends_on_all_that_it_reads() -> None:
    step = Opaque({"people": ("id", "age"), "orders": ("amount",)}, ("score", "id"))
    lineage = chain(("scored", step), ("best", "select id from scored order by score limit 1"))
    flow = lineage.of("best", "id")
    assert flow is not None
    assert flow.data == {("people", "id"), ("people", "age"), ("orders", "amount")}
    assert lineage.of("scored", "unheard") is None


def test_an_opaque_step_of_unknown_columns_has_any_column() -> None:
    lineage = chain(("made", Opaque({"people": ("income",)})))
    flow = lineage.of("made", "whatever")
    assert flow is not None
    assert flow.data == {("people", "income")}


def test_a_declared_map_is_followed() -> None:
    reads = {"people": ("id", "age", "income")}
    step = Opaque(reads, ("id", "score"), declared({"id": ["people.id"], "score": ["people.age"]}))
    lineage = chain(("scored", step), ("out", "select score from scored where id > 3"))
    flow = lineage.of("out", "score")
    assert flow is not None
    assert flow.data == {("people", "age")}
    assert flow.control == {("people", "id"), ("people", "age")}  # which rows there are may hang on anything declared


def test_what_a_declared_map_leaves_out_depends_on_everything() -> None:
    reads = {"people": ("id", "age", "income")}
    lineage = chain(("scored", Opaque(reads, ("id", "score"), declared({"id": ["people.id"]}))))
    score, kept = lineage.of("scored", "score"), lineage.of("scored", "id")
    assert score is not None
    assert kept is not None
    assert ("people", "income") in score.data
    assert kept.data == {("people", "id")}
    rows = lineage.rows("scored")
    assert rows is not None
    assert ("people", "income") in rows.control


def test_a_query_that_is_not_understood_spoils_what_comes_after() -> None:
    lineage = chain(("odd", "select * like 'a%' from people"), ("after", "select count(*) as n from odd"))
    flow = lineage.of("after", "n")
    assert flow is not None
    assert {("people", "id"), ("people", "age"), ("people", "income")} <= flow.control


def test_a_pivots_columns_are_followed_by_any_name() -> None:
    lineage = chain(("wide", "pivot orders on person using sum(amount) group by id"))
    flow = lineage.of("wide", "17")
    assert flow is not None
    assert flow.data == {("orders", "amount")}
    assert ("orders", "person") in flow.control


def test_base_tables_are_no_steps() -> None:
    lineage = chain(("a", "select id from people"))
    assert lineage.of("people", "id") is None
    assert lineage.rows("people") is None
    assert lineage.columns("a") == ("id",)
