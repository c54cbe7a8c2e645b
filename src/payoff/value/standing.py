"""A capacity where decisions come one by one and nobody knows who comes next: a bar that the advantage of the scarce action must reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.value import decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from payoff.value.capacity import Capacity

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


def bars(limit: Capacity, worth: Floats) -> tuple[float, list[float]]:
    """The bar over all rows, and the one of each group: the smallest advantage that was served on rows with this worth (n, a).

    The bar is the price of a place (the multiplier of the capacity in the linear programme whose solution `Capacity.choose` is): who decides by it, row by
    row, decides as the capacity did on the whole, ties at the bar aside. 0 where everybody who wished was served.

    In the charter's currency per decision; per unit of cost where rows have costs.
    """
    chosen = limit.choose(worth)
    advantage = _advantage(worth, limit.scarce, limit.costs)
    groups = np.zeros(len(worth), dtype=np.int64) if limit.groups is None else limit.groups
    served, wished = chosen == limit.scarce, advantage > 0

    def lowest(mine: NDArray[np.bool_]) -> float:
        if not (wished & ~served & mine).any():
            return 0.0
        got = advantage[served & mine]
        # Nobody can be served: nothing is enough.
        return float(got.min()) if len(got) else float("inf")

    every = lowest(np.ones(len(worth), dtype=bool))
    return every, [lowest(groups == each) for each in range(len(limit.places))]


def choose(worth: Floats, scarce: int, bar: Floats, costs: Floats | None = None) -> Codes:
    """The action with the highest worth (n, a), the scarce one only where its advantage over the best other reaches the row's bar (n,).

    >>> choose(np.array([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), 0, np.array([2.0, 2.0, 0.0])).tolist()
    [0, 1, 1]
    """
    best = decide.choose(worth)
    others = worth.copy()
    others[:, scarce] = -np.inf
    reached = _advantage(worth, scarce, costs) >= bar
    # `bar` 0 changes nothing: of equally good actions the charter's first is taken, as where everybody can have everything.
    return np.where((best == scarce) & ~reached, decide.choose(others), best)


def _advantage(worth: Floats, scarce: int, costs: Floats | None) -> Floats:
    others = worth.copy()
    others[:, scarce] = -np.inf
    advantage: Floats = worth[:, scarce] - others.max(axis=1)
    if costs is None:
        return advantage
    with np.errstate(divide="ignore", invalid="ignore"):  # what costs nothing comes first
        return np.where(advantage > 0, advantage / costs, advantage)
