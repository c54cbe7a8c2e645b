"""Rows of decisions as numbers: what every computation of the value room starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from payoff.value import decide, exact, quality
from payoff.value.acceptable import refuse_amounts
from payoff.value.size import FEWEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from payoff.records.charter import Charter
    from payoff.value.capacity import Capacity

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


class Mistakes(NamedTuple):
    """Decisions for which another action would have brought more, (n,) each.

    `focus` are the rows with the outcome in focus, where mistakes are cases missed (false alarms in the others). Of quantities `wrong` are those
    with too little, `other` those with too much, and there is no outcome in focus.
    """

    wrong: NDArray[np.bool_]
    focus: NDArray[np.bool_] | None = None
    other: NDArray[np.bool_] | None = None


class Decisions(Protocol):
    """n decisions between a actions: what every computation of money starts from, whatever the kind of action."""

    @property
    def rules(self) -> Mapping[str, Codes]:
        """Per common solution given by SQL the codes (n,) of its actions."""
        ...

    @property
    def clusters(self) -> Codes | None:
        """Codes (n,) of rows that belong together."""
        ...

    @property
    def within(self) -> Codes | None:
        """Codes (n,) of groups that have a capacity of their own."""
        ...

    @property
    def costs(self) -> Floats | None:
        """What the scarce action costs (n,) of the budget."""
        ...

    @property
    def number(self) -> int:
        """How many decisions, n."""
        ...

    def known(self, charter: Charter, /) -> Floats:
        """The money (n, a) of every action, given what really happened."""
        ...

    def expected(self, charter: Charter, /) -> Floats:
        """The money (n, a) that the model expects of every action."""
        ...

    def refuse(self, charter: Charter, /) -> None:
        """Refuse amounts that cannot be counted."""
        ...

    def total(self, charter: Charter, actions: Codes, money: Floats, /) -> exact.Total:
        """The money (n,) of the actions taken (n,), added up."""
        ...

    def metrics(self, charter: Charter, /) -> dict[str, float]:
        """How good the model's predictions are, whatever their money."""
        ...

    def mistakes(self, known: Floats, actions: Codes, /) -> Mistakes:
        """Decisions for which another action would have brought more."""
        ...


@dataclass(frozen=True, slots=True)
class Rows:
    """n decisions.

    payoffs : per (action, outcome) (n,)
        Money per decision in the charter's currency.
    outcomes : (n,)
        Codes in the order of `charter.outcomes`.
    rules : per common solution given by SQL (n,)
        The codes of its actions, in the order of `charter.actions`.
    chances : per outcome (n,)
        The model's probabilities, 0-1, adding up to 1 in each row; none without a model.
    clusters : (n,), optional
        Codes of rows that belong together, see `intervals.bootstrap`.
    within : (n,), optional
        Codes of groups that have a capacity of their own, see `capacity.of`.
    costs : (n,), optional
        What the scarce action costs of the budget, see `capacity.of`.
    """

    payoffs: Mapping[tuple[str, str], Floats]
    outcomes: Codes
    rules: Mapping[str, Codes]
    chances: Mapping[str, Floats] = field(default_factory=dict)
    clusters: Codes | None = None
    within: Codes | None = None
    costs: Floats | None = None

    @property
    def number(self) -> int:
        """How many decisions, n."""
        return len(self.outcomes)

    def known(self, charter: Charter) -> Floats:
        """The money (n, a) of every action, given what really happened."""
        return decide.in_hindsight(cube_of(charter, self.payoffs), self.outcomes)

    def expected(self, charter: Charter) -> Floats:
        """The money (n, a) that the model expects of every action."""
        return decide.expected(self.chance(charter), cube_of(charter, self.payoffs))

    def chance(self, charter: Charter) -> Floats:
        """The model's probabilities (n, k)."""
        return np.stack([self.chances[o] for o in charter.outcomes], axis=1)

    def refuse(self, charter: Charter) -> None:
        """Refuse amounts that are not finite or so large that cents are lost in sums."""
        refuse_amounts(charter, self.payoffs)

    def total(self, charter: Charter, actions: Codes, money: Floats) -> exact.Total:
        """The money of the actions taken: exact where payoffs are fixed."""
        cells = [[charter.cell(a, o).amount for o in charter.outcomes] for a in charter.actions]
        return exact.total(cells, actions, self.outcomes, money)

    def metrics(self, charter: Charter) -> dict[str, float]:
        """How good the probabilities are."""
        return quality.metrics(self.chance(charter), self.outcomes)

    def mistakes(self, known: Floats, actions: Codes) -> Mistakes:
        """Decisions for which another action would have brought more."""
        return Mistakes(known[np.arange(len(actions)), actions] < known.max(axis=1), focus=self.outcomes == 0)


def blocks(moments: Floats) -> Codes:
    """Blocks (n,) of neighbours in time, as codes: what happens in one week hangs together, and is drawn together.

    `moments` (n,), seconds. Rows of one moment are never parted: the shops of a chain have the same weather that day. Each block has n^(1/3) rows
    (rounded up) or more, and of T different moments T^(1/3), the length whose order of magnitude is right for the variance of a mean whatever
    the dependence (Künsch, Annals of Statistics 17 (1989); Hall, Horowitz and Jing, Biometrika 82 (1995)), but fewer moments where no 30 blocks
    would be left: of fewer, nothing could be said. Blocks do not overlap (Carlstein, Annals of Statistics 14 (1986)).

    >>> blocks(np.array([5.0, 1.0, 2.0, 9.0, 7.0, 3.0, 4.0, 8.0])).tolist()
    [2, 0, 0, 3, 2, 1, 1, 3]
    >>> blocks(np.repeat([1.0, 2.0, 3.0], 4)).tolist()
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    different, places = np.unique(moments, return_inverse=True)
    n, t = len(moments), max(1, len(different))
    by_rows = math.ceil(round(n ** (1 / 3) * t / n, 9)) if n else 1
    by_moments = min(math.ceil(round(t ** (1 / 3), 9)), t // FEWEST)
    return np.asarray(places // max(1, by_rows, by_moments), dtype=np.int64)


def cube_of(charter: Charter, payoffs: Mapping[tuple[str, str], Floats]) -> Floats:
    """Payoffs per (action, outcome) as one array (n, a, k), in the charter's order."""
    return np.stack([np.stack([payoffs[a, o] for o in charter.outcomes], axis=1) for a in charter.actions], axis=1)


def common_actions(charter: Charter, rows: Decisions, limit: Capacity | None, seed: int) -> dict[str, Codes]:
    """The action of each row under every common solution, in the charter's order; within the capacity where there is one."""
    found = {
        each.name: rows.rules[each.name]
        if each.action is None
        else np.full(rows.number, charter.actions.index(each.action), dtype=np.int64)
        for each in charter.common_solutions
    }
    return found if limit is None else {name: limit.limit(codes, seed) for name, codes in found.items()}


def shares(names: tuple[str, ...], codes: Codes) -> dict[str, float]:
    """The share of the rows that each action gets."""
    counts = np.bincount(codes, minlength=len(names))
    return {name: float(count) / len(codes) for name, count in zip(names, counts, strict=True)}
