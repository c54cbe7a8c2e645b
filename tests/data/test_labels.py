"""How labels are joined, how they flow through steps, and what is refused, on graphs written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.data.labels import Labels, Made, Use, breaches, join, propagate
from payoff.data.lineage import Flow, Flows, Grouping
from payoff.records.contract import Column, Contract
from payoff.records.label import CLASSIFICATIONS, Label, LabelSpec, Lowering, Zone
from payoff.records.project import Git, Project, Tracking
from payoff.testing.samples import sample_charter

ZONES = (Zone(name="fra", jurisdictions=("DE", "EU")), Zone(name="ams", jurisdictions=("NL", "EU")), Zone(name="vir", clearance="internal"))
some_zones = st.one_of(st.none(), st.frozensets(st.sampled_from(["fra", "ams", "vir"])))
some_labels = st.builds(
    Label,
    st.sampled_from(CLASSIFICATIONS),
    some_zones,
    st.one_of(st.none(), st.frozensets(st.sampled_from(["billing", "care"]))),
    st.one_of(st.none(), st.integers(1, 1000)),
)


@given(some_labels, some_labels, some_labels)
def test_joining_is_a_lattice(a: Label, b: Label, c: Label) -> None:
    """In any order, any grouping and however often: the same, and never less strict than a part."""
    assert join([a, b]) == join([b, a])
    assert join([join([a, b]), c]) == join([a, join([b, c])])
    assert join([a, a]) == a == join([a])
    both = join([a, b])
    assert both.level == max(a.level, b.level)
    for part in (a, b):
        for of_both, of_part in ((both.zones, part.zones), (both.purposes, part.purposes)):
            assert of_part is None or (of_both is not None and of_both <= of_part)
        assert part.retention is None or (both.retention is not None and both.retention <= part.retention)


def labels(*contracts: Contract, default: LabelSpec | None = None) -> Labels:
    return Labels(
        Project(
            id="p",
            name="p",
            root="",
            charter=sample_charter(),
            contracts=contracts,
            sources=(),
            environments=(),
            steps=(),
            git=Git(commit=None, branch=None, dirty=False),
            tracking=Tracking(),
            zones=ZONES,
            labels=default or LabelSpec(classification="internal"),
        )
    )


def contract(table: str, *columns: Column) -> Contract:
    return Contract(table=table, file=f"contracts/{table}.yaml", version="1", columns=columns)


def query(table: str, reads: dict[str, Any], *flows: Flow, grouping: Grouping | None = None) -> Made:
    return Made(table=table, kind="query", reads=reads, flows=Flows(flows), grouping=grouping, file="pipeline.py", line=3)


def flow(column: str, data: Any = (), control: Any = ()) -> Flow:
    return Flow(column, frozenset(data), frozenset(control))


PEOPLE = contract(
    "people",
    Column(name="id"),
    Column(name="age", classification="personal", residency=("EU",)),
    Column(name="pin", classification="secret"),
)
SOURCE = Made(table="people", kind="source", columns=("id", "age", "pin", "town"))


def test_places_are_zones_and_what_no_contract_labels_has_the_default() -> None:
    known = propagate([SOURCE], labels(PEOPLE, default=LabelSpec(classification="confidential", residency=("NL",))))
    assert known.label("people", "age") == Label("personal", frozenset({"fra", "ams"}))
    assert known.label("people", "town") == Label("confidential", frozenset({"ams"}))
    assert known.label("people", "id") == Label("confidential", frozenset({"ams"})), "its contract labels nothing"


@pytest.mark.parametrize("implicit", [False, True])
def test_labels_follow_values_and_conditions(implicit: bool) -> None:
    made = flow("n", [], [("people", "age")]) if implicit else flow("n", [("people", "age")])
    known = propagate([SOURCE, query("counts", {"people": None}, made, flow("town", [("people", "town")]))], labels(PEOPLE))
    assert known.label("counts", "n") == Label("personal", frozenset({"fra", "ams"}))
    assert known.label("counts", "town") == Label("internal")
    (breach,) = breaches(known, [Use(kind="placed", node=("counts", "n"), says="sent", zone="ams")], (ZONES[0], Zone(name="ams", clearance="internal")))
    assert breach.path == (("people", "age"), ("counts", "n"))
    how = "filter, join, group or order by" if implicit else "take"
    assert any(f"do not {how} people.age in counts (pipeline.py:3)" in remedy for remedy in breach.remedies)


def test_a_function_makes_everything_of_all_that_it_reads_unless_it_says_less() -> None:
    reads = {"people": None}
    opaque = Made(table="scores", kind="function", reads=reads)
    assert propagate([SOURCE, opaque], labels(PEOPLE)).label("scores", "score").classification == "secret"
    told = Made(table="scores", kind="function", columns=("score", "rest"), reads=reads, depends={"score": (("people", "town"),)})
    known = propagate([SOURCE, told], labels(PEOPLE))
    assert known.label("scores", "score") == Label("internal")
    assert known.label("scores", "rest").classification == "secret", "of that the contract says nothing"
    narrow = Made(table="scores", kind="function", reads={"people": ("town",)})
    assert propagate([SOURCE, narrow], labels(PEOPLE)).label("scores", "score") == Label("internal"), "it takes no other column"


def lowering(**how: Any) -> Lowering:
    return Lowering(steward="Ada", to=LabelSpec(classification="internal", residency=("any",)), **how)


def lowered(operator: Lowering, made: Made) -> Any:
    table = contract(made.table, Column(name="x", lowering=operator))
    return propagate([SOURCE, made], labels(PEOPLE, table))


def test_only_what_the_steward_says_is_lowered() -> None:
    made = query("pseudonyms", {"people": None}, flow("x", [("people", "age")]))
    assert lowered(lowering(operator="hash", key="K"), made).label("pseudonyms", "x") == Label("internal", None)
    keeps_place = Lowering(operator="mask", steward="Ada", to=LabelSpec(classification="public"))
    assert lowered(keeps_place, made).label("pseudonyms", "x") == Label("public", frozenset({"fra", "ams"}))
    higher = Lowering(operator="mask", steward="Ada", to=LabelSpec(classification="secret"))
    assert lowered(higher, made).label("pseudonyms", "x").classification == "personal", "lowering lowers"


def test_a_contract_alone_lowers_nothing() -> None:
    made = query("copy", {"people": None}, flow("x", [("people", "age")]))
    known = propagate([SOURCE, made], labels(PEOPLE, contract("copy", Column(name="x", classification="public", residency=("any",)))))
    assert known.label("copy", "x") == Label("personal", frozenset({"fra", "ams"}))


@pytest.mark.parametrize(
    ("k", "role", "holds"),
    [(20, "aggregate:avg", True), (20, "key", True), (19, "aggregate:avg", False), (20, "aggregate:max", False), (20, "other", False)],
)
def test_aggregates_are_proven(k: int, role: str, holds: bool) -> None:
    made = query("means", {"people": None}, flow("x", [("people", "age")]), grouping=Grouping(keys=("town",), k=k, counts=(), columns={"x": role}, table="people"))
    known = lowered(lowering(operator="aggregate", k=20), made)
    assert (known.label("means", "x") == Label("internal", None)) == holds
    assert (("means", "x") in known.refused) == (not holds)


def test_what_a_function_makes_cannot_be_lowered() -> None:
    """Nobody but the function's author would have applied the operator."""
    made = Made(table="scores", kind="function", columns=("x",), reads={"people": ("age",)})
    known = lowered(lowering(operator="hash", key="K"), made)
    assert known.label("scores", "x").classification == "personal"
    assert "not made by a query" in known.refused["scores", "x"]


def test_every_column_that_brings_a_rule_is_named_once() -> None:
    chain = [SOURCE]
    for number in range(3):
        before = "people" if not number else f"t{number - 1}"
        columns = ("age", "pin") if not number else ("all",)
        chain.append(query(f"t{number}", {before: None}, flow("all", [(before, name) for name in columns])))
    known = propagate(chain, labels(PEOPLE))
    use = Use(kind="served", node=("t2", "all"), says="served", zone="vir", key="[serving] zones")
    rules = {breach.rule: breach for breach in breaches(known, [use, use], ZONES)}
    assert set(rules) == {"zone", "clearance"}
    assert rules["zone"].path == (("people", "age"), ("t0", "all"), ("t1", "all"), ("t2", "all"))
    assert {rules["clearance"].origin, *rules["clearance"].others} == {("people", "age"), ("people", "pin")}
    assert rules["zone"].remedies[0] == "[serving] zones = 'ams' (or fra)"
    assert set(known.downstream(("people", "age"))) == {("t0", "all"), ("t1", "all"), ("t2", "all")}
