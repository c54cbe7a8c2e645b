"""Breaking changes of contracts are named; harmless ones are not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from payoff.project.contracts import compare
from payoff.records.contract import Column, Contract, TableCheck
from payoff.records.label import LabelSpec, Lowering

COLUMN = Column(
    name="age", type="integer", required=True, unique=True, minimum=0, maximum=120, enum=None, pattern="[0-9]+", references=("t", "id"),
    classification="personal", residency=("EU",), purposes=("care",), retention=30, currency="EUR",
)  # fmt: skip
FRESH = TableCheck(kind="freshness", name="freshness of at", column="at", maximum=3600)


def contract(column: Column | None = COLUMN, checks: tuple[TableCheck, ...] = (FRESH,), version: str = "1.2.0") -> Contract:
    return Contract(table="people", file="contracts/people.yaml", version=version, columns=(column,) if column else (), checks=checks)


def kinds(**changes: Any) -> list[str]:
    return [each.kind for each in compare.changes(contract(), contract(msgspec.structs.replace(COLUMN, **changes)))]


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "string"}, {"required": False}, {"unique": False}, {"minimum": -1}, {"minimum": None}, {"maximum": 130}, {"pattern": None},
        {"references": None}, {"currency": "USD"}, {"known": "after"}, {"classification": "secret"}, {"residency": ()}, {"purposes": ("billing",)},
        {"retention": 7},
    ],
)  # fmt: skip
def test_what_breaks_a_reader(changes: dict[str, Any]) -> None:
    assert "breaking" in kinds(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"classification": "internal"}, {"residency": None}, {"residency": ("EU", "US")}, {"purposes": ("care", "ads")}, {"retention": None}],
)
def test_what_loosens_a_label(changes: dict[str, Any]) -> None:
    assert kinds(**changes) == ["loosened"]


def test_a_new_operator_is_for_the_steward() -> None:
    assert kinds(lowering=Lowering(operator="mask", steward="Ada", to=LabelSpec(classification="internal"))) == ["loosened"]


@pytest.mark.parametrize(
    "changes", [{}, {"minimum": 1}, {"maximum": 100}, {"description": "in years"}, {"line": 7}, {"why": "asked at the door"}, {"enum": (1, 2)}]
)
def test_what_harms_nobody(changes: dict[str, Any]) -> None:
    assert kinds(**changes) == []


def test_tables_columns_and_promises() -> None:
    old = contract()
    more = msgspec.structs.replace(old, columns=(*old.columns, Column(name="new")))
    assert list(compare.changes(old, more)) == []
    assert [each.kind for each in compare.changes(more, old)] == ["breaking"]
    assert [each.kind for each in compare.changes(old, contract(checks=()))] == ["breaking"]
    older = msgspec.structs.replace(FRESH, maximum=7200)
    assert [each.kind for each in compare.changes(old, contract(checks=(older,)))] == ["breaking"]
    (gone,) = compare.findings([old], [], "main")
    assert gone.severity == "error"


def test_a_new_major_version_may_break() -> None:
    broken = msgspec.structs.replace(COLUMN, required=False)
    (error,) = compare.findings([contract()], [contract(broken, version="1.3.0")], "main")
    (warning,) = compare.findings([contract()], [contract(broken, version="2.0.0")], "main")
    assert (error.code, error.severity, warning.severity) == ("PO-P090", "error", "warning")
    assert "main" in error.what
