"""The valuation of a holdout: model, common solutions and perfect foresight, in money, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from payoff.base import hashing
from payoff.records.evidence import Gain, Interval, Valuation
from payoff.value import capacity, exact, intervals, looks, size
from payoff.value.acceptable import MODEL, PERFECT, refuse_few, refuse_names
from payoff.value.quantities import spread
from payoff.value.rows import common_actions, shares

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from payoff.records.charter import Charter
    from payoff.value.rows import Decisions, Mistakes

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Valued:
    """A valuation with the decisions behind it.

    `actions` (n,): codes of the model's actions in the charter's order; `payoffs` (n, a): the money of each action given the row's
    real outcome; `common` (n,): the money of the best common solution. The model's money is `payoffs[row, actions[row]]`. `mistakes` (n,) are
    those of the model.
    """

    valuation: Valuation
    actions: Codes
    payoffs: Floats
    common: Floats
    mistakes: Mistakes


@dataclass(frozen=True, slots=True)
class Estimate:
    """Money over the rows of the holdout, and how far the bounds of its mean lie below and above it."""

    amount: Fraction
    rows: int
    below: float
    above: float

    def per(self, times: int = 1, minus: Decimal = Decimal(0)) -> Interval:
        """The interval per so many decisions, less a cost."""
        mean = exact.rate(self.amount, self.rows, times=times, minus=minus)
        return Interval(mean, mean + self.below * times, mean + self.above * times)


def value_holdout(charter: Charter, rows: Decisions, *, looked: int, holdout: str) -> Valued:
    """Decide for every row by expected payoff and count the money, the model's and everyone else's on the same rows.

    Parameters
    ----------
    charter
        The actions, outcomes, common solutions, volume, costs, capacity and what is asked for.
    rows
        The holdout, with what the model says of it.
    looked : int
        Looks at this holdout, this one included.
    holdout : str
        Names the holdout and seeds the resampling: the same holdout and predictions give the same intervals.

    Raises
    ------
    UserError
        For a common solution with a name that is taken, and for amounts beyond 10^12.
    Refused
        For fewer than two rows (or clusters).

    Notes
    -----
    Means come from totals that are exact for fixed payoffs and rounded once otherwise (`exact.total`); bounds from the paired bootstrap
    of all alternatives and all differences, at the confidence that the number of looks leaves (`looks.adjusted_confidence`).

    The best common solution is the one with the highest mean on these rows, of equal ones the charter's first. Picking it after the
    fact favours the common solutions, so that the gain over it errs against the model.
    """
    refuse_names(charter)
    number, clusters = rows.number, rows.clusters
    rows.refuse(charter)
    refuse_few(charter, number, clusters)
    known = rows.known(charter)
    limit = capacity.of(charter, number, rows.within, rows.costs)
    common = common_actions(charter, rows, limit, seed_of(holdout))
    actions = {MODEL: capacity.choose(rows.expected(charter), limit), **common, PERFECT: capacity.choose(known, limit)}
    every = np.arange(number)
    money = {name: known[every, codes] for name, codes in actions.items()}
    totals = {name: rows.total(charter, codes, money[name]) for name, codes in actions.items()}

    adjusted = looks.adjusted_confidence(charter.accept.confidence, looked)
    own, differences = _estimates(charter, money, totals, confidence=adjusted, seed=seed_of(holdout), clusters=clusters)
    alternatives = [solution.name for solution in charter.common_solutions]
    best = max(alternatives, key=lambda name: totals[name].amount)
    needed = _rows_needed(money[MODEL] - money[best], clusters, confidence=adjusted)
    year = charter.decision.per_year
    valuation = Valuation(
        currency=charter.currency,
        rows=number,
        looks=looked,
        confidence=charter.accept.confidence,
        adjusted=adjusted,
        per_decision={name: each.per() for name, each in own.items()},
        per_year={name: each.per(year) for name, each in own.items()},
        difference_per_decision={name: each.per() for name, each in differences.items()},
        gain=_gain(charter, best, differences[best].per(year, charter.costs.run_per_year)),
        best=best,
        exact={name: str(total.fixed) for name, total in totals.items() if total.exact},
        shares={name: shares(charter.actions, codes) for name, codes in actions.items() if charter.quantity is None},
        quantities={name: spread(charter.quantity, codes) for name, codes in actions.items() if charter.quantity},
        method=_method(
            looked, clusters, "blocks of neighbours in time" if charter.split.by == "time" else "whole groups"
        ),
        resamples=intervals.RESAMPLES,
        metrics={"rows_needed": float(needed)} | rows.metrics(charter),
    )
    return Valued(
        valuation=valuation,
        actions=actions[MODEL],
        payoffs=known,
        common=money[best],
        mistakes=rows.mistakes(known, actions[MODEL]),
    )


def get_ready(holdout: str, rows: int) -> None:
    """Do of `value_holdout` what needs no prediction yet, for rows that share no clusters."""
    intervals.get_ready(rows, seed=seed_of(holdout))


def seed_of(holdout: str) -> int:
    """What seeds the resampling of a holdout."""
    return int(hashing.of_text(holdout)[:12], 16)


def _estimates(
    charter: Charter,
    money: Mapping[str, Floats],
    totals: Mapping[str, exact.Total],
    *,
    confidence: float,
    seed: int,
    clusters: Codes | None,
) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Each alternative's money, and the model's minus each common solution's; all bounds from the same resamples."""
    others = [solution.name for solution in charter.common_solutions]
    columns = [*money.values(), *(money[MODEL] - money[name] for name in others)]
    amounts = [
        *(totals[name].amount for name in money),
        *(totals[MODEL].amount - totals[name].amount for name in others),
    ]
    rows = len(columns[0])
    mean, low, high = intervals.bootstrap(np.stack(columns).T, confidence=confidence, seed=seed, clusters=clusters)
    found = [
        Estimate(amount, rows, float(below), float(above))
        for amount, below, above in zip(amounts, low - mean, high - mean, strict=True)
    ]
    return dict(zip(money, found, strict=False)), dict(zip(others, found[len(money) :], strict=True))


def _gain(charter: Charter, best: str, year: Interval) -> Gain:
    """A year's gain over the best common solution, after the cost of running the model."""
    return Gain(over=best, mean=year.mean, low=year.low, high=year.high, confidence=charter.accept.confidence)


def _rows_needed(difference: Floats, clusters: Codes | None, *, confidence: float) -> int:
    """The rows a verdict needs at this confidence; where clusters are what is drawn, as many rows as the clusters needed would have."""
    if clusters is None:
        return size.rows_needed(difference, confidence=confidence)
    codes = np.unique(clusters, return_inverse=True)[1]
    sizes = np.bincount(codes)
    sums = np.bincount(codes, weights=difference - difference.mean()).astype(np.float64)
    needed = size.rows_needed(sums, confidence=confidence)
    return -(-needed * len(difference) // len(sizes))


def _method(looked: int, clusters: Codes | None, units: str) -> str:
    drawn = "" if clusters is None else f" of {units}"
    seen = (
        "first look at this holdout"
        if looked == 1
        else f"look {looked:,} at this holdout: alpha * 2 / ({looked} * {looked + 1})"
    )
    return f"paired studentised bootstrap (bootstrap-t), {intervals.RESAMPLES:,} resamples{drawn}; {seen}"
