"""When not everybody can have an action: 500 calls a week, a budget a month, per branch."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from payoff.value import decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from payoff.records.charter import Charter

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

PERIODS = {"day": 365, "week": 52, "month": 12, "quarter": 4, "year": 1}


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """How many of the rows may get the action with code `scarce`; `otherwise` is what those get that a rule cannot serve.

    `places` is the number for each of the groups that `groups` (n,) has codes of (one group without it). Where each row costs something else, `costs`
    (n,) of a budget, `places` is the money.
    """

    scarce: int
    otherwise: int
    places: Floats
    groups: Codes | None = None
    costs: Floats | None = None

    def choose(self, worth: Floats) -> Codes:
        """The action of each row (n,) by what each is worth (n, a): the scarce one goes where it adds the most to the best other action.

        Nobody gets it where another action is worth as much. Of equals the first rows come first. With costs it goes where it adds the most for
        each unit of money (the greedy solution of the knapsack problem: short of the best by less than one row's worth; Dantzig 1957).
        """
        others = worth.copy()
        others[:, self.scarce] = -np.inf
        second = decide.choose(others)
        rows = np.arange(len(worth))
        advantage = worth[rows, self.scarce] - worth[rows, second]
        wished = advantage > 0
        if self.costs is not None:
            with np.errstate(divide="ignore", invalid="ignore"):  # what costs nothing comes first
                advantage = np.where(wished, advantage / self.costs, -np.inf)
        order = np.lexsort((rows, -advantage))
        return np.where(self._served(wished, order), self.scarce, second)

    def limit(self, actions: Codes, seed: int) -> Codes:
        """The actions (n,) of a rule: where it asks for more than there is, who comes first is chance."""
        wished = actions == self.scarce
        order = np.random.default_rng([seed, 4]).permutation(len(actions))
        return np.where(wished & ~self._served(wished, order), self.otherwise, actions)

    def scaled(self, factor: float) -> Capacity:
        """The same with more or fewer places."""
        return dataclasses.replace(self, places=self.places * factor)

    def _served(self, wished: NDArray[np.bool_], order: Codes) -> NDArray[np.bool_]:
        """Who is served when those who wish come in an order."""
        groups = np.zeros(len(wished), dtype=np.int64) if self.groups is None else self.groups
        if self.costs is not None:
            wished = wished & (self.costs <= self.places[groups])  # what alone is too dear holds nobody up
        coming = order[wished[order]]
        queue = groups[coming]
        sorting = np.argsort(queue, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(queue, minlength=len(self.places)))[:-1]])
        served = np.zeros(len(wished), dtype=bool)
        if self.costs is None:
            place = np.empty(len(coming), dtype=np.int64)
            place[sorting] = np.arange(len(coming)) - starts[queue[sorting]]
            served[coming] = place < np.floor(self.places[queue] + 1e-9)
            return served
        spent = np.cumsum(self.costs[coming][sorting])
        before = np.concatenate([[0.0], spent])[starts]
        total = np.empty(len(coming))
        total[sorting] = spent - before[queue[sorting]]
        served[coming] = total <= self.places[queue] * (1 + 1e-12)
        return served


def of(charter: Charter, rows: int, within: Codes | None = None, costs: Floats | None = None) -> Capacity | None:
    """The charter's capacity on so many rows, which stand for a year's decisions; None when everybody can have everything.

    `within` (n,) are codes of the groups that each have the capacity, `costs` (n,) what the action costs of the budget where rows differ. The rows are taken to come evenly over the year: a week with many
    good cases is served like one with few.

    >>> from payoff.testing.samples import sample_charter
    >>> of(sample_charter(), 1000) is None
    True
    """
    limit = charter.capacity
    if limit is None:
        return None
    number = float(
        limit.at_most
        if limit.at_most is not None
        else limit.budget
        if costs is not None
        else math.floor(limit.budget / limit.cost)
    )
    a_year = number * PERIODS[limit.per]
    groups = 1 if within is None else int(within.max(initial=-1)) + 1
    share = a_year / charter.decision.per_year if charter.decision.per_year else 1.0
    return Capacity(
        scarce=charter.actions.index(limit.action),
        otherwise=charter.actions.index(limit.otherwise),
        places=np.full(max(1, groups), share * rows),
        groups=within,
        costs=costs,
    )


def choose(worth: Floats, capacity: Capacity | None) -> Codes:
    """The action with the highest worth, within the capacity where there is one."""
    return decide.choose(worth) if capacity is None else capacity.choose(worth)


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


def above(worth: Floats, scarce: int, bar: Floats, costs: Floats | None = None) -> Codes:
    """The action with the highest worth (n, a), the scarce one only where its advantage over the best other reaches the row's bar (n,).

    >>> above(np.array([[5.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), 0, np.array([2.0, 2.0, 0.0])).tolist()
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
