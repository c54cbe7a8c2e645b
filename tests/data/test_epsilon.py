"""Budgets of epsilon: what versions cost together, and noise that does not cancel out."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.data.labels import operators
from payoff.data.labels.epsilon import cost, findings, spent
from payoff.records.catalog import Told
from payoff.records.contract import Column, Contract
from payoff.records.label import LabelSpec, Lowering

KEY = "0123456789abcdef-key"


def told(version: str, epsilon: float, budget: float | None) -> Told:
    return Told(at="", run="", table="t", version=version, columns=("a",), epsilon=epsilon, budget=budget)


def contract(budget: float | None = None, **epsilons: float) -> Contract:
    columns = [
        Column(name=name, lowering=Lowering(operator="noise", steward="Ada", to=LabelSpec(classification="public"), key="K", epsilon=each, low=0.0, high=100.0, line=3))
        for name, each in epsilons.items()
    ]
    return Contract(table="t", file="contracts/t.yaml", version="1", columns=tuple(columns), epsilon=budget)


some_events = st.lists(st.builds(told, st.sampled_from("abcdef"), st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0]), st.just(2.0)))


@given(some_events)
def test_no_order_of_versions_tells_more_than_the_budget(events: list[Told]) -> None:
    found = spent(events)
    assert len(found) == len(events)
    paid = {each.told.version: each.epsilon for each in found if each.let and each.epsilon}
    assert sum(paid.values()) <= 2.0 + 1e-9
    assert math.isclose(found[-1].total if found else 0.0, sum(paid.values()))
    for number, each in enumerate(found):
        before = {one.told.version for one in found[:number] if one.let}
        if each.told.version in before:
            assert each.let, "the same version costs nothing again"
            assert each.epsilon == 0
        elif not each.let:
            assert each.total + each.told.epsilon > 2.0, "nothing is refused that fits in"


@given(some_events, st.integers(0, 30))
def test_what_was_let_go_stays_so(events: list[Told], more: int) -> None:
    """Whoever reads a longer ledger says the same of its beginning: two runs at once cannot both be let go on with what only one may have."""
    assert spent(events)[:more] == spent(events[:more])


def test_columns_of_one_row_add_up() -> None:
    assert cost(contract(a=0.5, b=0.25)) == 0.75
    assert cost(contract()) == 0.0


@pytest.mark.parametrize(("budget", "codes"), [(None, ["PO-F031"]), (0.7, ["PO-F030"]), (0.75, []), (5.0, [])])
def test_a_budget_is_asked_for_and_must_do_for_one_version(budget: float | None, codes: list[str]) -> None:
    found = list(findings([contract(budget, a=0.5, b=0.25), contract(None)]))
    assert [each.code for each in found] == codes


def drawn(rows: list[dict[str, Any]], **epsilons: float) -> list[dict[str, float]]:
    connection = duckdb.connect()
    values = ", ".join(f"({row['a']}, {row['b']})" for row in rows)
    sql = operators.wrap(f"select * from (values {values}) as v(a, b)", ["a", "b"], contract(**epsilons), lambda _name: KEY)
    return [dict(zip(("a", "b"), row, strict=True)) for row in connection.execute(sql).fetchall()]


def test_noise_of_two_scales_or_two_columns_does_not_cancel_out() -> None:
    """Were the same draw scaled twice, value = (s2 * x1 - s1 * x2) / (s2 - s1), exactly."""
    rows = [{"a": 10 + n, "b": 50.0} for n in range(40)]
    one, two = drawn(rows, a=1.0), drawn(rows, a=2.0)
    guesses = [(50 * x["a"] - 100 * y["a"]) / (50 - 100) for x, y in zip(one, two, strict=True)]
    hits = [abs(guess - row["a"]) < 0.01 for guess, row in zip(guesses, rows, strict=True)]
    assert sum(hits) <= 2
    both = drawn(rows, a=1.0, b=1.0)
    guesses = [50.0 + x["a"] - x["b"] for x in both]
    assert sum(abs(guess - row["a"]) < 0.01 for guess, row in zip(guesses, rows, strict=True)) <= 2


def test_the_same_row_has_the_same_noise_and_it_is_of_the_scale_stated() -> None:
    rows = [{"a": 50.0 + n / 1e6, "b": 0.0} for n in range(4000)]
    found = drawn(rows, a=2.0)
    assert found == drawn(rows, a=2.0)
    errors = [each["a"] - row["a"] for each, row in zip(found, rows, strict=True)]
    # The mean of |Laplace(b)| is b = (high - low) / epsilon = 50; of 4000 draws its standard error is 50 / sqrt(4000) = 0.8.
    assert sum(map(abs, errors)) / len(errors) == pytest.approx(50, abs=4)
    assert sum(errors) / len(errors) == pytest.approx(0, abs=5)
