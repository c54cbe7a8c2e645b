"""Who is served when not everybody can be."""

from __future__ import annotations

import itertools
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.records.charter import CapacitySpec
from payoff.testing.samples import sample_charter
from payoff.value import capacity
from payoff.value.worth import breakeven


def limit(*places: float, groups: np.ndarray | None = None) -> capacity.Capacity:
    return capacity.Capacity(scarce=0, otherwise=1, places=np.array(places), groups=groups)


WORTH = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=9)


@settings(max_examples=150)
@given(WORTH, st.integers(0, 9))
def test_no_other_choice_within_the_capacity_is_worth_more(worth: list[tuple[int, int, int]], places: int) -> None:
    """Against all ways to serve so many: three actions, the first of them scarce."""
    table = np.array(worth, dtype=np.float64)
    rows = np.arange(len(table))
    actions = limit(places).choose(table)
    assert (actions == 0).sum() <= places
    best_others = table[:, 1:].max(axis=1)
    added = np.sort(np.maximum(table[:, 0] - best_others, 0.0))[::-1]
    assert table[rows, actions].sum() == pytest.approx(best_others.sum() + added[:places].sum())


@given(st.lists(st.integers(0, 1), min_size=1, max_size=40), st.integers(0, 40), st.integers(0, 99))
def test_a_rule_serves_as_many_as_it_can_and_nobody_who_did_not_ask(asked: list[int], places: int, seed: int) -> None:
    actions = np.array(asked)
    served = limit(places).limit(actions, seed)
    assert (served == 0).sum() == min(places, (actions == 0).sum())
    assert (served[actions == 1] == 1).all()
    assert (limit(places).limit(actions, seed) == served).all()


def test_each_group_has_its_own() -> None:
    rng = np.random.default_rng(3)
    groups = rng.integers(0, 3, 300)
    worth = np.stack([rng.normal(size=300) + 2, np.zeros(300)], axis=1)
    actions = limit(5, 10, 400, groups=groups).choose(worth)
    assert [int((actions[groups == g] == 0).sum()) for g in (0, 1)] == [5, 10]
    best = np.sort(worth[groups == 0, 0])[::-1][:5]
    assert np.sort(worth[(groups == 0) & (actions == 0), 0])[::-1] == pytest.approx(best)
    assert ((actions == 0) == (worth[:, 0] > 0))[groups == 2].all(), "more places than wishes"


def test_who_comes_first_under_a_rule_is_chance() -> None:
    """Not the first ids: the mean of those served is that of all who asked."""
    money = np.arange(20_000.0)
    served = limit(2000).limit(np.zeros(20_000, np.int64), seed=1) == 0
    assert money[served].mean() == pytest.approx(10_000, rel=0.03)


@pytest.mark.parametrize(
    ("spec", "places"),
    [
        ({"at_most": 500, "per": "week"}, 26.0),  # 26,000 of a million a year, on a thousandth of the rows
        ({"at_most": 100, "per": "day"}, 36.5),
        ({"budget": Decimal(1000), "cost": Decimal(3), "per": "month"}, 333 * 12 / 1000),
        ({"at_most": 9_000_000, "per": "year"}, 9000.0),
    ],
)
def test_the_rows_stand_for_a_year(spec: dict[str, object], places: float) -> None:
    charter = sample_charter()
    first, other = charter.actions[:2]
    decision = msgspec.structs.replace(charter.decision, per_year=1_000_000)
    scarce = CapacitySpec(action=first, otherwise=other, **spec)  # type: ignore[arg-type]
    found = capacity.of(msgspec.structs.replace(charter, decision=decision, capacity=scarce), 1000)
    assert found is not None
    assert found.places.tolist() == pytest.approx([places])
    assert found.scaled(0.5).places.tolist() == pytest.approx([places / 2])


def test_a_model_is_worth_more_where_places_are_few() -> None:
    """Serving a tenth at random finds a tenth of those who matter; serving by a model finds more of them."""
    rows = 5000
    outcomes = (np.arange(rows) >= rows * 0.1).astype(np.int64)
    cube = np.tile(np.array([[[9.0, -1.0], [0.0, 0.0]]]), (rows, 1, 1))
    few = limit(rows * 0.05)
    found = breakeven.break_even(
        breakeven.Scored(cube, outcomes, np.zeros(rows), few), asked=100.0, per_year=1000, seed=1
    )
    assert all(each.acted <= 0.05 for each in found.curve)
    assert found.curve[-1].precision == pytest.approx(1.0, abs=0.02)
    assert found.needed is not None


def within(budget: float, costs: np.ndarray, groups: np.ndarray | None = None) -> capacity.Capacity:
    number = 1 if groups is None else int(groups.max()) + 1
    return capacity.Capacity(scarce=0, otherwise=1, places=np.full(number, budget), groups=groups, costs=costs)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.floats(0.0, 12.0))
def test_a_budget_is_spent_where_it_brings_the_most(seed: int, rows: int, budget: float) -> None:
    """Against every way to spend it: never more than there is, and short of the best by less than one row's worth."""
    rng = np.random.default_rng(seed)
    costs = rng.uniform(0.1, 4.0, rows).round(2)
    worth = np.stack([rng.normal(1.0, 2.0, rows), np.zeros(rows)], axis=1)
    chosen = within(budget, costs).choose(worth) == 0
    assert costs[chosen].sum() <= budget + 1e-9
    ways = np.array(list(itertools.product([0, 1], repeat=rows)))
    possible = ways[ways @ costs <= budget + 1e-9]
    affordable = worth[costs <= budget, 0]
    best = (possible @ worth[:, 0]).max()
    assert worth[chosen, 0].sum() >= best - max(0.0, affordable.max(initial=0.0)) - 1e-9
    asked = within(budget, costs).limit(np.zeros(rows, np.int64), seed=1) == 0
    assert costs[asked].sum() <= budget + 1e-9


def test_each_group_has_its_own_budget_and_what_is_too_dear_holds_nobody_up() -> None:
    costs = np.array([1.0, 1.0, 9.0, 1.0, 1.0, 1.0])
    groups = np.array([0, 0, 0, 1, 1, 1])
    worth = np.stack([np.array([5.0, 4.0, 99.0, 5.0, 4.0, 3.0]), np.zeros(6)], axis=1)
    assert within(2.0, costs, groups).choose(worth).tolist() == [0, 0, 1, 0, 0, 1]


def test_what_costs_nothing_is_had_by_everybody() -> None:
    worth = np.stack([np.array([5.0, -1.0, 1.0]), np.zeros(3)], axis=1)
    assert within(0.0, np.zeros(3)).choose(worth).tolist() == [0, 1, 0]


def test_the_same_cost_for_all_is_the_same_as_so_many_places() -> None:
    rng = np.random.default_rng(1)
    worth = np.stack([rng.normal(size=500), np.zeros(500)], axis=1)
    places = capacity.Capacity(scarce=0, otherwise=1, places=np.array([40.0]))
    assert within(120.0, np.full(500, 3.0)).choose(worth).tolist() == places.choose(worth).tolist()


@pytest.mark.parametrize("costs", [None, np.array([0.0, 1.0, 0.0])])
def test_nobody_gets_it_where_another_action_is_worth_as_much(costs: np.ndarray | None) -> None:
    table = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    found = capacity.Capacity(scarce=0, otherwise=1, places=np.array([5.0]), costs=costs)
    with np.errstate(all="raise", divide="ignore"):
        assert found.choose(table).tolist() == [1, 0, 1]
