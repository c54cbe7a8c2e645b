"""A bar decides row by row as the capacity decided on the whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from payoff.value import capacity
from payoff.value.capacity import Capacity

ROWS = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=30)


@given(ROWS, st.integers(0, 30), st.data())
def test_no_more_than_ties_at_the_bar_differ(worth: list[tuple[int, ...]], places: int, data: st.DataObject) -> None:
    amounts = np.array(worth, dtype=np.float64)
    groups = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(worth), max_size=len(worth))))
    limit = Capacity(scarce=1, otherwise=0, places=np.array([float(places), 2.0]), groups=groups)
    _, bars = capacity.bars(limit, amounts)
    bar = np.array(bars)[groups]
    chosen, expected = capacity.above(amounts, 1, bar), limit.choose(amounts)
    others = amounts.copy()
    others[:, 1] = -np.inf
    advantage = amounts[:, 1] - others.max(axis=1)
    differ = chosen != expected
    assert (advantage[differ] == bar[differ]).all()  # of equals at the bar the capacity serves the first; a bar, which counts nobody, all
    served = expected == 1
    assert (chosen[served] == 1).all()


def test_where_nobody_is_kept_out_nothing_changes() -> None:
    amounts = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]])
    limit = Capacity(scarce=1, otherwise=0, places=np.array([5.0]))
    every, bars = capacity.bars(limit, amounts)
    assert (every, bars) == (0.0, [0.0])
    assert capacity.above(amounts, 1, np.zeros(3)).tolist() == [0, 1, 0]


def test_a_budget_is_priced_per_unit() -> None:
    amounts = np.array([[0.0, 6.0], [0.0, 5.0], [0.0, 1.0]])
    costs = np.array([3.0, 1.0, 1.0])
    limit = Capacity(scarce=1, otherwise=0, places=np.array([4.0]), costs=costs)
    every, _ = capacity.bars(limit, amounts)
    assert every == 2.0
    assert capacity.above(amounts, 1, np.full(3, every), costs).tolist() == limit.choose(amounts).tolist() == [1, 1, 0]


def test_no_place_at_all() -> None:
    limit = Capacity(scarce=0, otherwise=1, places=np.array([0.0]))
    every, _ = capacity.bars(limit, np.array([[5.0, 0.0]]))
    assert capacity.above(np.array([[500.0, 0.0]]), 0, np.full(1, every)).tolist() == [1]
