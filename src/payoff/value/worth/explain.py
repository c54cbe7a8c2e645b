"""After a run: what carries the gain of its model, and what its verdict hangs on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from payoff.records.worth import Findings
from payoff.value import capacity, decide
from payoff.value.rows import common_actions, cube_of
from payoff.value.worth import carriers, prospect, sensitivity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from payoff.records.charter import Charter
    from payoff.records.evidence import Valuation
    from payoff.value.rows import Rows

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """A number of the payoffs: the cells (action, outcome) it stands in, and how to ask for their money with it times a factor."""

    name: str
    value: float
    line: int
    cells: Sequence[tuple[str, str]]
    asked: Callable[[float], Sequence[Floats]]


def explain(
    charter: Charter,
    valuation: Valuation,
    scored: Rows,
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
    expectation = decide.expected(case.chance, case.cube)
    actions, theirs = case.decided(), case.served(valuation.best)
    rows = np.arange(len(actions))
    common = decide.realised(case.cube, theirs, case.outcomes)
    difference = decide.realised(case.cube, actions, case.outcomes) - common
    advantage = expectation[rows, actions] - expectation[rows, theirs]
    known = decide.in_hindsight(case.cube, case.outcomes)
    best = decide.realised(case.cube, capacity.choose(known, case.capacity), case.outcomes)
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
    )


def _case(charter: Charter, scored: Rows, seed: int) -> sensitivity.Case:
    return sensitivity.Case(
        chance=np.stack([scored.chances[name] for name in charter.outcomes], axis=1),
        cube=cube_of(charter, scored.payoffs),
        outcomes=scored.outcomes,
        common=common_actions(charter, scored, None, seed),
        clusters=scored.clusters,
        per_year=charter.decision.per_year,
        run_per_year=float(charter.costs.run_per_year),
        asked=float(charter.accept.min_gain_per_year),
        errors_below=0.0,
        capacity=capacity.of(charter, len(scored.outcomes), scored.within),
        seed=seed,
    )


def _moves(charter: Charter, case: sensitivity.Case, numbers: Sequence[Number]) -> list[sensitivity.Moved]:
    found = []
    for each in numbers:
        cells = [(charter.actions.index(action), charter.outcomes.index(outcome)) for action, outcome in each.cells]
        found.append(
            sensitivity.Moved(each.name, each.value, each.line, sensitivity.PayoffNumber(case, cells, each.asked).to)
        )
    year, cost = charter.decision.per_year, float(charter.costs.run_per_year)
    found.append(sensitivity.Moved("decisions a year", year, 0, case.with_volume))
    if case.capacity is not None and charter.capacity is not None:
        limit, spec = case.capacity, charter.capacity
        number = float(spec.at_most if spec.at_most is not None else spec.budget)
        name = f"{spec.action} a {spec.per}" if spec.at_most is not None else f"budget a {spec.per}"
        found.append(sensitivity.Moved(name, number, 0, lambda f: dataclasses.replace(case, capacity=limit.scaled(f))))
    if cost:
        found.append(
            sensitivity.Moved(
                "running cost a year", cost, 0, lambda f: dataclasses.replace(case, run_per_year=cost * f)
            )
        )
    return found
