"""Before a model exists: what could one be worth at most?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.records.answers.worth import BreakEven, Prospect
from payoff.records.evidence import Interval
from payoff.value import capacity, intervals
from payoff.value.acceptable import PERFECT, refuse_few, refuse_names
from payoff.value.quantities import spread
from payoff.value.rows import Rows, common_actions, cube_of, shares
from payoff.value.worth import breakeven

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from payoff.records.charter import Charter
    from payoff.records.evidence import Gain
    from payoff.value.rows import Decisions

    Floats = NDArray[np.float64]
    # (money (n, a) of each action given what happened, money (n,) of the best common solution, money asked for a year) -> curve
    Simulate = Callable[[Floats, Floats, float], BreakEven]
    Codes = NDArray[np.int64]

YEARS = 3.0  # a model's life when the charter says nothing


def prospect(charter: Charter, rows: Decisions, simulate: Simulate, *, seed: int) -> Prospect:
    """What the common solutions and perfect foresight are worth on these rows, and how good a model must be to pay.

    A model must bring `run_per_year` plus the larger of the promised gain and `build / years`: what it costs and what it was promised for.
    It should not be built when even the upper bound of (perfect foresight - best common solution) is below that, or is nothing: where a model
    costs nothing and nothing was promised, one that cannot change a decision for the better is still not worth a try.

    `simulate` gives the break-even curve: what a model of each quality would bring (see `breakeven` and `forecasts`).

    Raises `UserError` and `Refused` as `valuation.value_holdout` does.
    """
    refuse_names(charter)
    clusters = rows.clusters
    rows.refuse(charter)
    refuse_few(charter, rows.number, clusters)
    known = rows.known(charter)
    limit = capacity.of(charter, rows.number, rows.within, rows.costs)
    actions = common_actions(charter, rows, limit, seed)
    actions[PERFECT] = capacity.choose(known, limit)
    every = np.arange(rows.number)
    money = {name: known[every, codes] for name, codes in actions.items()}
    names = [solution.name for solution in charter.common_solutions]
    best = max(names, key=lambda name: float(money[name].sum()))
    columns = np.stack([*money.values(), money[PERFECT] - money[best]]).T
    confidence = charter.accept.confidence
    mean, low, high = intervals.bootstrap(columns, confidence=confidence, seed=seed, clusters=clusters)
    found = [Interval(float(m), float(a), float(b)) for m, a, b in zip(mean, low, high, strict=True)]
    year = charter.decision.per_year
    ceiling = times(found[-1], year)
    costs, promised = charter.costs, float(charter.accept.min_gain_per_year)
    run, build, years = float(costs.run_per_year), float(costs.build), costs.years or YEARS
    asked = run + max(promised, build / years)
    pays = ceiling.high >= asked and ceiling.high > 0
    even = simulate(known, money[best], asked)
    return Prospect(
        currency=charter.currency,
        rows=rows.number,
        confidence=confidence,
        per_decision=dict(zip(money, found, strict=False)),
        per_year={name: times(each, year) for name, each in zip(money, found, strict=False)},
        shares={name: shares(charter.actions, codes) for name, codes in actions.items() if charter.quantity is None},
        quantities={name: spread(charter.quantity, codes) for name, codes in actions.items() if charter.quantity},
        unit=charter.quantity.unit if charter.quantity else "",
        best=best,
        ceiling=ceiling,
        asked_per_year=asked,
        run_per_year=run,
        build_cost=build,
        years=years,
        promised=promised,
        build=pays,
        payback_years=payback(build, ceiling.mean - run),
        break_even=even if pays else BreakEven(asked_per_year=asked, curve=even.curve),
        base_rates=base_rates(charter, rows),
        method=f"paired studentised bootstrap (bootstrap-t), {intervals.RESAMPLES:,} resamples"
        + (
            ""
            if clusters is None
            else " of blocks of neighbours in time"
            if charter.split.by == "time"
            else " of whole groups"
        ),
    )


def base_rates(charter: Charter, rows: Decisions) -> dict[str, float]:
    """How often each outcome comes (0-1); nothing where it is a quantity."""
    if not isinstance(rows, Rows):
        return {}
    counts = np.bincount(rows.outcomes, minlength=len(charter.outcomes))
    return {name: float(count) / rows.number for name, count in zip(charter.outcomes, counts, strict=True)}


def simulated(charter: Charter, rows: Rows, *, seed: int) -> Simulate:
    """The break-even curve of a score, for `prospect`."""

    def simulate(_: Floats, common: Floats, asked: float) -> BreakEven:
        limit = capacity.of(charter, rows.number, rows.within, rows.costs)
        scored = breakeven.Scored(cube_of(charter, rows.payoffs), rows.outcomes, common, limit)
        return breakeven.break_even(scored, asked=asked, per_year=charter.decision.per_year, seed=seed)

    return simulate


def times(each: Interval, factor: float) -> Interval:
    """An interval of so many decisions."""
    return Interval(each.mean * factor, each.low * factor, each.high * factor)


def interval(gain: Gain) -> Interval:
    """A gain without what it is over."""
    return Interval(gain.mean, gain.low, gain.high)


def payback(build: float, gain: float) -> float | None:
    """Years until a cost is back at a gain a year (net of running cost); None when it never is.

    >>> payback(30_000.0, 12_000.0), payback(30_000.0, 0.0), payback(0.0, -1.0)
    (2.5, None, None)
    """
    return build / gain if gain > 0 else None
