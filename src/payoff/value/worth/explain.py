"""After a run: what carries the gain of its model, and what its verdict hangs on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from payoff.records.answers.worth import Findings
from payoff.value import capacity
from payoff.value.rows import common_actions
from payoff.value.worth import carriers, prospect, sensitivity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from payoff.records.charter import Charter
    from payoff.records.evidence import Valuation
    from payoff.value.rows import Decisions

    Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """A number of the payoffs, and how to ask for the money (n, a) with it times a factor: given what happened, and as the model expects it."""

    name: str
    value: float
    line: int
    asked: Callable[[float], tuple[Floats, Floats]]


def explain(
    charter: Charter,
    valuation: Valuation,
    scored: Decisions,
    *,
    run: str,
    labels: Mapping[str, NDArray[np.str_]],
    numbers: Sequence[Number],
    seed: int,
) -> Findings:
    """What carries the gain and what the verdict hangs on, all on the holdout and at the confidence of the run's own look at it.

    Parameters: `labels` per column (n,) groups of rows; `numbers` those of the payoffs.
    """
    case = _case(charter, scored, seed)
    actions, theirs = case.decided(), case.served(valuation.best)
    rows = np.arange(len(actions))
    common = case.money(theirs)
    difference = case.money(actions) - common
    advantage = case.expected[rows, actions] - case.expected[rows, theirs]
    best = case.money(capacity.choose(case.known, case.capacity))
    low = valuation.difference_per_decision[valuation.best].low
    case = dataclasses.replace(case, errors_below=sensitivity.errors_below(difference, low, case.clusters))
    how: dict[str, Any] = {"confidence": valuation.adjusted, "seed": seed, "clusters": scored.clusters}
    gain, year = valuation.gain, charter.decision.per_year
    return Findings(
        run=run,
        gain=prospect.interval(gain),
        asked=case.asked,
        passed=gain.low >= case.asked,
        captured=carriers.captured(difference, best - common, **how),
        curve=carriers.curve(difference, advantage, per_year=year, **how),
        segments=carriers.segments(difference, labels, per_year=year, **how),
        segment_columns=tuple(labels),
        assumptions=sensitivity.assumptions(case, _moves(charter, case, numbers)),
        payback_years=prospect.payback(float(charter.costs.build), gain.mean),
        over=valuation.best,
    )


def _case(charter: Charter, scored: Decisions, seed: int) -> sensitivity.Case:
    return sensitivity.Case(
        known=scored.known(charter),
        expected=scored.expected(charter),
        common=common_actions(charter, scored, None, seed),
        clusters=scored.clusters,
        per_year=charter.decision.per_year,
        run_per_year=float(charter.costs.run_per_year),
        asked=float(charter.accept.min_gain_per_year),
        errors_below=0.0,
        capacity=capacity.of(charter, scored.number, scored.within, scored.costs),
        seed=seed,
    )


def _dearer(case: sensitivity.Case, limit: capacity.Capacity, factor: float) -> sensitivity.Case:
    """So many times the cost of the scarce action: for nothing everybody can have it."""
    return dataclasses.replace(case, capacity=limit.scaled(1 / factor) if factor else None)


def _moves(charter: Charter, case: sensitivity.Case, numbers: Sequence[Number]) -> list[sensitivity.Moved]:
    found = [
        sensitivity.Moved(each.name, each.value, each.line, sensitivity.PayoffNumber(case, each.asked).to)
        for each in numbers
    ]
    year, cost = charter.decision.per_year, float(charter.costs.run_per_year)
    found.append(sensitivity.Moved("decisions a year", year, 0, case.with_volume))
    if case.capacity is not None and charter.capacity is not None:
        limit, spec = case.capacity, charter.capacity
        number = float(spec.at_most if spec.at_most is not None else spec.budget)
        name = f"{spec.action} a {spec.per}" if spec.at_most is not None else f"budget a {spec.per}"
        found.append(sensitivity.Moved(name, number, 0, lambda f: dataclasses.replace(case, capacity=limit.scaled(f))))
        if spec.at_most is None:
            each = float(spec.cost) if limit.costs is None else float(limit.costs.mean())
            name = (
                f"cost of {spec.action}" if limit.costs is None else f"cost of {spec.action} (of each row, at the mean)"
            )
            found.append(sensitivity.Moved(name, each, 0, lambda f: _dearer(case, limit, f)))
    if cost:
        found.append(
            sensitivity.Moved(
                "running cost a year", cost, 0, lambda f: dataclasses.replace(case, run_per_year=cost * f)
            )
        )
    return found
