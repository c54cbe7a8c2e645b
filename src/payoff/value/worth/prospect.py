"""Before a model exists: what could one be worth at most?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.records.evidence import Interval
from payoff.records.worth import Prospect
from payoff.value import capacity, decide, intervals
from payoff.value.acceptable import PERFECT, refuse_amounts, refuse_few, refuse_names
from payoff.value.rows import common_actions, cube_of, shares
from payoff.value.worth import breakeven

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from payoff.records.charter import Charter
    from payoff.records.evidence import Gain
    from payoff.value.rows import Rows

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

YEARS = 3.0  # a model's life when the charter says nothing


def prospect(charter: Charter, rows: Rows, *, seed: int) -> Prospect:
    """What the common solutions and perfect foresight are worth on these rows, and how good a model must be to pay.

    A model must bring `run_per_year` plus the larger of the promised gain and `build / years`: what it costs and what it was promised for.
    It should not be built when even the upper bound of (perfect foresight - best common solution) is below that.

    Raises `UserError` and `Refused` as `valuation.value_holdout` does.
    """
    refuse_names(charter)
    outcomes, clusters = rows.outcomes, rows.clusters
    refuse_amounts(charter, rows.payoffs)
    refuse_few(charter, len(outcomes), clusters)
    cube = cube_of(charter, rows.payoffs)
    limit = capacity.of(charter, len(outcomes), rows.within)
    actions = common_actions(charter, rows, limit, seed)
    actions[PERFECT] = capacity.choose(decide.in_hindsight(cube, outcomes), limit)
    money = {name: decide.realised(cube, codes, outcomes) for name, codes in actions.items()}
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
    scored = breakeven.Scored(cube, outcomes, money[best], limit)
    counts = np.bincount(outcomes, minlength=len(charter.outcomes))
    return Prospect(
        currency=charter.currency,
        rows=len(outcomes),
        confidence=confidence,
        per_decision=dict(zip(money, found, strict=False)),
        per_year={name: times(each, year) for name, each in zip(money, found, strict=False)},
        shares={name: shares(charter.actions, codes) for name, codes in actions.items()},
        best=best,
        ceiling=ceiling,
        asked_per_year=asked,
        run_per_year=run,
        build_cost=build,
        years=years,
        promised=promised,
        build=ceiling.high >= asked,
        payback_years=payback(build, ceiling.mean - run),
        break_even=breakeven.break_even(scored, asked=asked, per_year=year, seed=seed),
        base_rates={name: float(count) / len(outcomes) for name, count in zip(charter.outcomes, counts, strict=True)},
        method=f"paired studentised bootstrap (bootstrap-t), {intervals.RESAMPLES:,} resamples"
        + (
            ""
            if clusters is None
            else " of blocks of neighbours in time"
            if charter.split.by == "time"
            else " of whole groups"
        ),
    )


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
