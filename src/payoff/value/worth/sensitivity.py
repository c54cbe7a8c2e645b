"""Which assumption does the verdict hang on? Each number of the charter is moved until the verdict flips."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from payoff.records.answers.worth import Assumption
from payoff.value.capacity import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from payoff.value.capacity import Capacity

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

UP = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
DOWN = (1.0, 0.9, 0.75, 0.5, 0.3, 0.1, 0.0)
_FIFTH = 0.2
_HALVINGS = 10


@dataclass(frozen=True, slots=True)
class Case:
    """What the verdict was computed from: the money (n, a) of each action given what happened and as the model expects it, the actions (n,) that
    each common solution asks for, the capacity, and what seeds who of them is served.

    `errors_below` is how many standard errors the verdict's lower bound lay below its mean (it takes skewness and looks into account).
    """

    known: Floats
    expected: Floats
    common: Mapping[str, Codes]
    clusters: Codes | None
    per_year: int
    run_per_year: float
    asked: float
    errors_below: float
    capacity: Capacity | None = None
    seed: int = 0

    def decided(self) -> Codes:
        """The model's actions (n,)."""
        return choose(self.expected, self.capacity)

    def money(self, codes: Codes) -> Floats:
        """What actions (n,) turned out to be worth (n,)."""
        return np.asarray(self.known[np.arange(len(codes)), codes], dtype=np.float64)

    def served(self, name: str) -> Codes:
        """The actions (n,) of a common solution, within the capacity."""
        wished = self.common[name]
        return wished if self.capacity is None else self.capacity.limit(wished, self.seed)

    def with_volume(self, factor: float) -> Case:
        """So many times the decisions a year, of which the same number can be served."""
        limit = None if self.capacity is None or not factor else self.capacity.scaled(1 / factor)
        return dataclasses.replace(self, per_year=round(self.per_year * factor), capacity=limit)


@dataclass(frozen=True, slots=True)
class Moved:
    """An assumption: `to(factor)` is the case with its value times `factor`."""

    name: str
    value: float
    line: int
    to: Callable[[float], Case]


def gain(case: Case) -> tuple[float, float]:
    """Mean and lower bound of the gain a year over the best common solution, net of running cost: decided anew under the case's payoffs."""
    difference = _difference(case)
    mean = float(difference.mean())
    low = mean - case.errors_below * _error(difference, case.clusters)
    return mean * case.per_year - case.run_per_year, low * case.per_year - case.run_per_year


def errors_below(difference: Floats, low: float, clusters: Codes | None) -> float:
    """How many standard errors a lower bound `low` lies below the mean of differences (n,)."""
    error = _error(difference, clusters)
    return (float(difference.mean()) - low) / error if error > 0 else 0.0


def assumptions(case: Case, moves: Sequence[Moved]) -> tuple[Assumption, ...]:
    """Every assumption with the nearest value at which the verdict flips, the one that needs the smallest relative move first.

    The verdict is "lower bound of the gain >= asked". Each value is moved alone, up to ten times and down to nothing; decisions are taken
    anew at every value and the best common solution is chosen anew. The lower bound keeps its distance from the mean in standard
    errors, which is exact for the verdict itself and good to a few percent around it (the skewness of the difference hardly changes).
    """
    passed = gain(case)[1] >= case.asked
    found = [_assumption(each, passed=passed) for each in moves]
    return tuple(
        sorted(found, key=lambda each: (each.change is None, abs(each.change or 0.0), -abs(each.upper - each.lower)))
    )


def _assumption(each: Moved, *, passed: bool) -> Assumption:
    def flips(factor: float) -> bool:
        case = each.to(factor)
        low = gain(case)[1]
        return math.isfinite(low) and (low >= case.asked) != passed

    factors = [factor for way in (UP, DOWN) if (factor := _first(flips, way)) is not None]
    nearest = min(factors, key=lambda factor: abs(factor - 1), default=None)
    return Assumption(
        name=each.name,
        value=each.value,
        line=each.line,
        flips_at=None if nearest is None else each.value * nearest,
        change=None if nearest is None else nearest - 1,
        lower=gain(each.to(1 - _FIFTH))[0],
        upper=gain(each.to(1 + _FIFTH))[0],
    )


def _first(flips: Callable[[float], bool], way: tuple[float, ...]) -> float | None:
    for stays, turns in itertools.pairwise(way):
        if flips(turns):
            return _nearest(flips, stays, turns)
    return None


def _nearest(flips: Callable[[float], bool], stays: float, turns: float) -> float:
    for _ in range(_HALVINGS):
        middle = (stays + turns) / 2
        stays, turns = (stays, middle) if flips(middle) else (middle, turns)
    return turns


def _difference(case: Case) -> Floats:
    """The model's money minus the best common solution's, per decision."""
    model = case.money(case.decided())
    others = [case.money(case.served(name)) for name in case.common]
    return model - max(others, key=lambda money: float(money.sum()))


def _error(difference: Floats, clusters: Codes | None) -> float:
    n = len(difference)
    centred = difference - difference.mean()
    units = centred if clusters is None else np.bincount(clusters, weights=centred)
    return float(np.sqrt((units**2).sum() * (len(units) / max(1, len(units) - 1))) / n)


class PayoffNumber:
    """A number of the payoffs that is moved: the money is asked for at nothing and at ten times its value, and again only where it is no line between.

    `asked(factor)` gives the money (n, a) of each action with the number times `factor`, given what happened and as the model expects it. The
    ends are asked for, as what bends only far from today's value (a cap, a floor, the bound of a condition) looks like a line near it.
    """

    def __init__(self, case: Case, asked: Callable[[float], tuple[Floats, Floats]]) -> None:
        self._case, self._asked = case, asked
        self._far = asked(UP[-1])
        self._line = all(
            np.allclose(end, between, rtol=1e-9, atol=1e-9)
            for end, between in zip(asked(DOWN[-1]), self._between(DOWN[-1]), strict=True)
        )

    def to(self, factor: float) -> Case:
        """The case with the number times a factor."""
        known, expected = self._between(factor) if self._line else self._asked(factor)
        return dataclasses.replace(self._case, known=known, expected=expected)

    def _between(self, factor: float) -> tuple[Floats, Floats]:
        case, (known, expected) = self._case, self._far
        part = (factor - 1) / (UP[-1] - 1)
        return case.known + part * (known - case.known), case.expected + part * (expected - case.expected)
