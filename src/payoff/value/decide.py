"""Decisions by expected payoff, and what they turn out to be worth.

Arrays: n decisions, a actions, k outcomes. `payoffs[i, j, o]` is the money of action j under outcome o for decision i.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


def expected(probabilities: Floats, payoffs: Floats) -> Floats:
    """Expected payoff of each action: probabilities (n, k) and payoffs (n, a, k) in money per decision give (n, a).

    Formula: sum over outcomes of probability times payoff (Elkan 2001, "The foundations of cost-sensitive learning", IJCAI).

    >>> expected(np.array([[0.25, 0.75]]), np.array([[[7.0, -1.0], [0.0, 0.0]]])).tolist()
    [[1.0, 0.0]]
    """
    return np.asarray(np.einsum("nk,nak->na", probabilities, payoffs), dtype=np.float64)


def choose(expectation: Floats) -> Codes:
    """The action with the highest expected payoff (n,); of equal ones the first in the charter's order.

    >>> choose(np.array([[1.0, 2.0], [3.0, 3.0]])).tolist()
    [1, 0]
    """
    return np.asarray(np.argmax(expectation, axis=1), dtype=np.int64)


def realised(payoffs: Floats, actions: Codes, outcomes: Codes) -> Floats:
    """The money (n,) of the actions taken, given what really happened."""
    rows = np.arange(len(actions))
    return np.asarray(payoffs[rows, actions, outcomes], dtype=np.float64)


def perfect(payoffs: Floats, outcomes: Codes) -> tuple[Codes, Floats]:
    """The best action in hindsight and its money: no decision rule can earn more on these rows."""
    rows = np.arange(len(outcomes))
    in_hindsight = payoffs[rows, :, outcomes]
    best = np.argmax(in_hindsight, axis=1).astype(np.int64)
    return best, in_hindsight[rows, best]
