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
    """Expected payoff of each action, (n, a) in money per decision.

    Parameters: `probabilities` (n, k), 0-1, adding up to 1 in each row; `payoffs` (n, a, k), money per decision.

    Formula: the sum over outcomes of probability times payoff (Elkan, "The foundations of cost-sensitive learning", IJCAI 2001).
    Assumes calibrated probabilities: 0.2 must mean one in five.

    >>> expected(np.array([[0.25, 0.75]]), np.array([[[7.0, -1.0], [0.0, 0.0]]])).tolist()
    [[1.0, 0.0]]
    """
    return np.asarray(np.einsum("nk,nak->na", probabilities, payoffs), dtype=np.float64)


def choose(expectation: Floats) -> Codes:
    """The action with the highest expected payoff, (n,) codes; of equally good ones the first in the charter's order.

    >>> choose(np.array([[1.0, 2.0], [3.0, 3.0]])).tolist()
    [1, 0]
    """
    return np.asarray(np.argmax(expectation, axis=1), dtype=np.int64)


def realised(payoffs: Floats, actions: Codes, outcomes: Codes) -> Floats:
    """The money (n,) of the actions taken (n,), given what really happened (n,).

    >>> realised(np.array([[[7.0, -1.0], [0.0, 0.0]]]), np.array([0]), np.array([1])).tolist()
    [-1.0]
    """
    rows = np.arange(len(actions))
    return np.asarray(payoffs[rows, actions, outcomes], dtype=np.float64)


def in_hindsight(payoffs: Floats, outcomes: Codes) -> Floats:
    """The money (n, a) of every action, given what really happened (n,)."""
    return np.asarray(payoffs[np.arange(len(outcomes)), :, outcomes], dtype=np.float64)


def perfect(payoffs: Floats, outcomes: Codes) -> tuple[Codes, Floats]:
    """The best action in hindsight (n,) and its money (n,): no way to decide can earn more on these rows.

    >>> actions, money = perfect(np.array([[[7.0, -1.0], [0.0, 0.0]]] * 2), np.array([0, 1]))
    >>> actions.tolist(), money.tolist()
    ([0, 1], [7.0, 0.0])
    """
    known = in_hindsight(payoffs, outcomes)
    return choose(known), known.max(axis=1)
