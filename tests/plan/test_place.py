"""Which lazy steps run where their data is: whatever comes here anyway is read once, and only the last result of a chain moves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from payoff.plan import build, explain, graph
from payoff.plan.place import Located, Places, Question, places, zone_of
from payoff.records.artifact import Field
from payoff.records.contract import Column, Contract, TableCheck
from payoff.records.placement import Dialect, Location, Relation
from payoff.records.project import Input, Project, SourceSpec, Step
from payoff.records.state import State

_spec = importlib.util.spec_from_file_location("plan_build", Path(__file__).with_name("test_build.py"))
assert _spec and _spec.loader
known = importlib.util.module_from_spec(_spec)
sys.modules["plan_build"] = known
_spec.loader.exec_module(known)

LIKE_PG = Dialect(name="postgres", title="Big Server", collation="C", functions=frozenset({"window"}), infinite=True)
SHOP = Location(id="shop", address="db/shop", dialect=LIKE_PG)
OTHER = Location(id="other", address="db/other", dialect=LIKE_PG)
SCHEMA = pa.schema([("id", pa.int64()), ("amount", pa.float64()), ("name", pa.string())])


def sql(name: str, query: str, *inputs: str) -> Step:
    return Step(name=name, kind="sql", file=f"sql/{name}.sql", line=1, output="ibis", sql=query, code=f"code-{name}",
                inputs=tuple(Input(name=i, form="ibis") for i in inputs))  # fmt: skip


SUMS = sql("sums", "select id, sum(amount) as total from orders group by id", "orders")
EXAMPLES = sql("examples", "select p.id, total from people as p join sums on p.id = sums.id", "people", "sums")
MODEL = known.step("model", "train")
SHAPES = {
    "sums": pa.schema([("id", pa.int64()), ("total", pa.float64())]),
    "examples": pa.schema([("id", pa.int64()), ("total", pa.float64())]),
    "names": pa.schema([("n", pa.string())]),
}


def project(*steps: Step, push: str = "auto", contracts: tuple[Contract, ...] = (), **sources: dict[str, Any]) -> Project:
    declared = {"orders": {}, "people": {}} | sources
    specs = tuple(SourceSpec(table=name, kind="x", options={}, **{"zone": "eu", **more}) for name, more in declared.items())
    given = known.project(sources=specs, steps=steps, contracts=contracts)
    return msgspec.structs.replace(given, push=push)


def located(place: Location = SHOP) -> Located:
    fields = tuple(Field(field.name, str(field.type)) for field in SCHEMA)
    return Located(place=place, relation=Relation(sql="select * from there", fields=fields))


def decide(given: Project, only: tuple[str, ...] = (), **where: Located | None) -> Places:
    spots = {name: spot for name, spot in ({"orders": located(), "people": located()} | where).items() if spot}
    schemas = {source.table: SCHEMA for source in given.sources} | SHAPES
    compiled = {step.name: step.sql for step in given.steps if step.sql}
    question = Question(
        steps=graph.needed_steps(given, only), compiled=compiled, schemas=schemas, located=spots, only=only, now="2026-01-01T00:00:00Z", home="us"
    )
    return places(given, question)


def test_a_chain_in_one_database_moves_its_last_result_only() -> None:
    found = decide(project(SUMS, EXAMPLES, MODEL))
    assert found.unread == {"orders", "people"}
    assert found.steps["sums"].within == ("examples",)
    last = found.steps["examples"]
    assert (last.place, last.within, last.tables, last.zone) == (SHOP, (), ("people", "orders"), "eu")
    assert '"sums" AS (' in last.sql
    assert zone_of(found, "examples", "us") == "eu"
    assert zone_of(found, "model", "us") == "us"


def test_what_a_function_needs_here_is_read_once_for_all() -> None:
    chart = known.step("chart", "orders")
    found = decide(project(SUMS, EXAMPLES, MODEL, chart))
    assert found.steps["sums"].place is None
    assert found.steps["sums"].because == "orders is needed here, by chart"
    assert found.steps["examples"].because == "sums is made here"
    assert found.unread == frozenset()
    assert zone_of(found, "sums", "us") == "us"


def test_always_pushes_beside_a_read() -> None:
    chart = known.step("chart", "orders")
    found = decide(project(SUMS, EXAMPLES, MODEL, chart, orders={"push": "always"}))
    assert found.steps["examples"].place == SHOP
    assert found.unread == {"people"}


def test_a_step_that_is_needed_here_is_a_table_of_its_own() -> None:
    found = decide(project(SUMS, EXAMPLES, MODEL, known.step("chart", "sums")))
    assert (found.steps["sums"].place, found.steps["sums"].within) == (SHOP, ())
    assert found.steps["examples"].because == "sums is needed here, by chart"
    assert found.unread == {"orders"}


@pytest.mark.parametrize(
    ("given", "where", "because"),
    [
        (project(SUMS, EXAMPLES, MODEL, push="never"), {}, 'push = "never"'),
        (project(SUMS, EXAMPLES, MODEL, orders={"push": "never"}), {}, 'orders has push = "never"'),
        (project(SUMS, EXAMPLES, MODEL), {"orders": None}, "orders is in no database that runs queries"),
    ],
)
def test_why_a_step_runs_here(given: Project, where: dict[str, Any], because: str) -> None:
    found = decide(given, **where)
    assert found.steps["sums"].because == because
    assert found.steps["examples"].because in ("sums is made here", because)
    assert found.unread == frozenset()


@pytest.mark.parametrize(("changed", "where"), [({}, {"people": located(OTHER)}), ({"people": {"zone": "us"}}, {})])
def test_several_databases_or_zones_are_several_places(changed: dict[str, Any], where: dict[str, Any]) -> None:
    found = decide(project(SUMS, EXAMPLES, MODEL, **changed), **where)
    assert found.steps["examples"].because == "its tables are in several places"
    assert (found.steps["sums"].place, found.steps["sums"].within) == (SHOP, ())
    assert found.unread == {"orders"}


def test_a_query_that_could_mean_something_else_runs_here() -> None:
    names = sql("names", "select lower(name) as n from people", "people")
    found = decide(project(names, SUMS, EXAMPLES, MODEL))
    assert found.steps["names"].because == "LOWER() is not known to mean the same there"
    assert found.steps["examples"].because == "people is needed here, by names"


def test_types_that_duckdb_sees_otherwise_keep_a_step_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "sums", pa.schema([("id", pa.int64()), ("total", pa.string())]))
    assert decide(project(SUMS, EXAMPLES, MODEL)).steps["sums"].because == "the types of its columns are not sure"


def contract(**column: Any) -> Contract:
    columns = (Column(name="id", primary_key=True), Column(name="amount", **column), Column(name="name", pattern="[a-z]+"))
    return Contract(table="orders", file="contracts/orders.yaml", version="1", columns=columns, digest="d")


def test_a_contract_is_checked_where_the_table_is_over_the_columns_used() -> None:
    found = decide(project(SUMS, EXAMPLES, MODEL, contracts=(contract(minimum=0, required=True),)))
    assert found.steps["examples"].place == SHOP
    assert found.checks["orders"].columns == ("id", "amount")  # nobody uses the name, so that its pattern is not looked at


@pytest.mark.parametrize(
    ("promise", "because"),
    [
        (contract(references=("people", "id")), "orders refers|refers to another table"),
        (msgspec.structs.replace(contract(), checks=(TableCheck(kind="sql", name="s", sql="select median(amount) from {table}"),)), "MEDIAN|Median"),
    ],
)
def test_a_contract_that_cannot_be_checked_there_brings_the_table_here(promise: Contract, because: str) -> None:
    import re

    found = decide(project(SUMS, EXAMPLES, MODEL, contracts=(promise,)))
    assert found.steps["sums"].place is None
    assert re.search(because, found.steps["sums"].because), found.steps["sums"].because
    assert "orders" not in found.unread


def planned(given: Project, found: Places, memory: Any, version: str | None) -> Any:
    world = build.World(
        sources={source.table: ({"kind": "x"}, version) for source in given.sources},
        placements={name: each for name, each in found.steps.items() if each.place is not None},
        unread=found.unread,
        checked={table: each.columns for table, each in found.checks.items()},
        system={},
        recall=lambda asked: {key: memory.by_key[key] for key in asked if key in memory.by_key},
        has=lambda artifact: True,
    )
    return build.build(given, State(latest=memory.latest), world, build.Request(parameters={}))


def test_the_plan_reads_no_source_that_nobody_needs() -> None:
    given = project(SUMS, EXAMPLES, MODEL, contracts=(contract(minimum=0),))
    plan = planned(given, decide(given), known.Memory(), "v1")
    names = [stage.name for stage in plan.stages]
    assert not [name for name in names if name.startswith("read:")]
    assert names[:3] == ["check:orders", "step:sums", "step:examples"]
    assert plan.stages[2].needs == ("check:orders",)
    said = explain.text(plan)
    assert "check orders against its contract in Big Server at db/shop" in said
    assert "query sums (sql/sums.sql:1) as part of examples  [examples runs]" in said
    shown = explain.queries(decide(given).steps, whole=True)
    assert "examples runs in Big Server at db/shop" in shown
    assert "SELECT" in shown
    assert "SELECT" not in explain.queries(decide(given).steps, whole=False)


def test_a_pushed_step_is_reused_while_its_sources_say_that_they_are_the_same() -> None:
    given = project(SUMS, EXAMPLES, MODEL)
    memory = known.Memory()
    first = planned(given, decide(given), memory, "v1")
    stage = next(each for each in first.stages if each.name == "step:examples")
    from payoff.plan import keys
    from payoff.records.artifact import Artifact
    from payoff.records.state import Remembered

    key = keys.key(stage.name, stage.facts)
    output = Artifact(id="made", kind="table", file="", bytes=0)
    memory.by_key[key] = memory.latest[stage.name] = Remembered(step=stage.name, key=key, run="r", output=output, facts=stage.facts)
    states = lambda version, found: {s.name: s.state for s in planned(given, found, memory, version).stages}  # noqa: E731
    assert states("v1", decide(given))["step:examples"] == "reuse"
    assert states("v1", decide(given))["step:sums"] == "reuse"
    assert states("v2", decide(given))["step:examples"] == "run"
    assert states(None, decide(given))["step:examples"] == "run"
    changed = msgspec.structs.replace(given, steps=(msgspec.structs.replace(SUMS, sql=SUMS.sql.replace("sum", "max")), EXAMPLES, MODEL))
    assert states("v1", decide(changed))["step:examples"] == "run"


def test_what_a_contract_applies_is_part_of_the_pushed_query() -> None:
    given = project(SUMS, EXAMPLES, MODEL)
    asked = 'select "id", case when "total" > 5 then "total" end as "total" from (select id, sum(amount) as total from orders group by id) as lowered_'
    question = Question(
        steps=graph.needed_steps(given), compiled={s.name: s.sql for s in given.steps if s.sql}, schemas={"orders": SCHEMA, "people": SCHEMA} | SHAPES,
        located={"orders": located(), "people": located()}, lowered={"sums": asked},
    )  # fmt: skip
    assert "CASE" in places(given, question).steps["sums"].sql
    found = places(given, msgspec.structs.replace(question, lowered={"sums": ""}))
    assert (found.steps["sums"].place, found.steps["sums"].because) == (None, "an operator of its contract needs a key")
