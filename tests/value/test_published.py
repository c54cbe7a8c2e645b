"""Amounts that other systems publish for class-dependent and row-dependent costs are the same here, to the unit.

The integers are those that empulse's own tests expect of its cost loss (its `tests/metrics/test_savings.py`): outcomes 1, 0, 0, 1, of which 1, 1, 0, 0 were
predicted, and the costs of true and false positives and negatives, one for all rows or one for each.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from payoff.value import decide, exact

OUTCOMES = np.array([0, 1, 1, 0])  # our code 0 is the outcome in focus, theirs is 1
ACTIONS = np.array([0, 0, 1, 1])  # act, act, leave, leave
EACH = [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("hit", "false_alarm", "left_alone", "missed", "cost"),
    [
        (1, 2, 3, 4, 10),
        (EACH, EACH, EACH, EACH, 10),
        (EACH, [10, 20, 30, 40], [100, 200, 300, 400], [1000, 2000, 3000, 4000], 4321),
        (1, 0, 0, 0, 1),
        (0, 2, 0, 0, 2),
        (0, 0, 3, 0, 3),
        (0, 0, 0, 4, 4),
    ],
)
def test_costs_of_each_kind_of_decision(hit: object, false_alarm: object, left_alone: object, missed: object, cost: int) -> None:
    cube = np.empty((4, 2, 2))
    for (action, outcome), given in {(0, 0): hit, (0, 1): false_alarm, (1, 1): left_alone, (1, 0): missed}.items():
        cube[:, action, outcome] = -np.asarray(given, dtype=np.float64)
    money = decide.realised(cube, ACTIONS, OUTCOMES)
    assert money.sum() == -cost
    fixed = all(isinstance(each, int) for each in (hit, false_alarm, left_alone, missed))
    cells = [[Decimal(int(x)) if fixed else None for x in row] for row in cube[0].tolist()]
    total = exact.total(cells, ACTIONS, OUTCOMES, money)
    assert (float(total.amount), total.exact) == (-cost, fixed)
