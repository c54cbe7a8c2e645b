"""Before a model exists: what could one be worth at most?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.records.evidence import Interval
from payoff.records.worth import Prospect
from payoff.value import breakeven, decide, intervals
from payoff.value.acceptable import PERFECT, refuse_amounts, refuse_few, refuse_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from payoff.records.charter import Charter
    from payoff.records.evidence import Gain

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

YEARS = 3.0  # a model's life when the charter says nothing


def cube_of(charter: Charter, payoffs: Mapping[tuple[str, str], Floats]) -> Floats:
    """Payoffs per (action, outcome) as one array (n, a, k), in the charter's order."""
    return np.stack([np.stack([payoffs[a, o] for o in charter.outcomes], axis=1) for a in charter.actions], axis=1)


def common_actions(charter: Charter, rules: Mapping[str, Codes], rows: int) -> dict[str, Codes]:
    """The action of each row under every common solution, in the charter's order."""
    return {
        each.name: rules[each.name]
        if each.action is None
        else np.full(rows, charter.actions.index(each.action), dtype=np.int64)
        for each in charter.common_solutions
    }


def prospect(
    charter: Charter,
    *,
    payoffs: Mapping[tuple[str, str], Floats],
    outcomes: Codes,
    rules: Mapping[str, Codes],
    seed: int,
    clusters: Codes | None = None,
) -> Prospect:
    """What the common solutions and perfect foresight are worth on these rows, and how good a model must be to pay.

    Parameters: `payoffs` per (action, outcome) (n,), money per decision; `outcomes` (n,) codes in the charter's order; `rules` per common
    solution given by SQL (n,), codes of actions; `clusters` (n,) codes of rows that belong together, see `intervals.bootstrap`.

    A model must bring `run_per_year` plus the larger of the promised gain and `build / years`: what it costs and what it was promised for.
    It should not be built when even the upper bound of (perfect foresight - best common solution) is below that.

    Raises `UserError` and `Refused` as `valuation.value_holdout` does.
    """
    refuse_names(charter)
    refuse_amounts(charter, payoffs)
    refuse_few(charter, len(outcomes), clusters)
    cube = cube_of(charter, payoffs)
    actions = common_actions(charter, rules, len(outcomes))
    actions[PERFECT], _ = decide.perfect(cube, outcomes)
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
    rows = breakeven.Rows(cube, outcomes, money[best])
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
        break_even=breakeven.break_even(rows, asked=asked, per_year=year, seed=seed),
        base_rates={name: float(count) / len(outcomes) for name, count in zip(charter.outcomes, counts, strict=True)},
        method=f"paired studentised bootstrap (bootstrap-t), {intervals.RESAMPLES:,} resamples"
        + ("" if clusters is None else " of whole groups"),
    )


def times(each: Interval, factor: float) -> Interval:
    """An interval of so many decisions."""
    return Interval(each.mean * factor, each.low * factor, each.high * factor)


def interval(gain: Gain) -> Interval:
    """A gain without what it is over."""
    return Interval(gain.mean, gain.low, gain.high)


def shares(names: tuple[str, ...], codes: Codes) -> dict[str, float]:
    """The share of the rows that each action gets."""
    counts = np.bincount(codes, minlength=len(names))
    return {name: float(count) / len(codes) for name, count in zip(names, counts, strict=True)}


def payback(build: float, gain: float) -> float | None:
    """Years until a cost is back at a gain a year (net of running cost); None when it never is.

    >>> payback(30_000.0, 12_000.0), payback(30_000.0, 0.0), payback(0.0, -1.0)
    (2.5, None, None)
    """
    return build / gain if gain > 0 else None
