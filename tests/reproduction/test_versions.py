"""The first version that changes the outcome."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.reproduction.noise import Reading, Ruler, deviation, quantile
from payoff.reproduction.versions import first_changed


@given(st.integers(1, 200), st.data())
def test_it_is_found_by_halving(number: int, data: Any) -> None:
    first = data.draw(st.integers(0, number - 1))
    versions = [f"1.{n}" for n in range(number)]
    asked = []

    def changed(version: str) -> bool:
        asked.append(version)
        return versions.index(version) >= first

    found = first_changed(versions, changed)
    assert (found.version, found.skipped) == (versions[first], ())
    assert found.executions == len(asked) <= math.ceil(math.log2(number)) + 1
    assert versions[-1] not in asked


@given(st.integers(1, 60), st.data())
def test_versions_that_cannot_be_executed(number: int, data: Any) -> None:
    first = data.draw(st.integers(0, number - 1))
    broken = data.draw(st.sets(st.integers(0, number - 1)))
    versions = [f"1.{n}" for n in range(number)]
    found = first_changed(versions, lambda version: None if (n := versions.index(version)) in broken else n >= first)
    at = versions.index(found.version)
    # What is said is true: it changes, and so may those skipped; the one before these does not.
    assert at >= first
    assert all(versions.index(each) in broken for each in found.skipped)
    assert at - len(found.skipped) <= first


@pytest.mark.parametrize(
    ("level", "freedom", "table"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.995, 3, 5.8409), (0.975, 4, 2.7764), (0.9995, 5, 6.8688), (0.95, 10, 1.8125), (0.9995, 30, 3.6460), (0.975, 120, 1.9799)],
)  # fmt: skip
def test_student(level: float, freedom: int, table: float) -> None:
    assert quantile(level, freedom) == pytest.approx(table, abs=2e-3)


def test_deviation_is_pooled() -> None:
    assert deviation([[1.0, 3.0], [10.0, 10.0]]) == (1.0, 2)
    assert deviation([[1.0], [2.0]]) == (0.0, 0)


def test_outcomes() -> None:
    ruler = Ruler(deviation=1.0, freedom=4, factor=3.0, floor=0.5)

    def value(*values: float) -> Reading:
        return Reading(state="value", values=values)

    assert ruler.same(value(0.0), value(3.0))
    assert not ruler.same(value(0.0), value(5.0))
    assert not ruler.same(value(*[0.0] * 20), value(*[3.0] * 20))
    assert ruler.needed(100.0, 16) == 1
    assert ruler.needed(6.0, 16) == 2
    assert ruler.needed(0.1, 16) == 16
    assert not Ruler().same(value(1.0), Reading(state="failed", error="ValueError"))
    assert not Ruler().same(Reading(state="failed", error="KeyError"), Reading(state="failed", error="ValueError"))
    assert Ruler().same(Reading(state="failed", error="KeyError"), Reading(state="failed", error="KeyError"))
