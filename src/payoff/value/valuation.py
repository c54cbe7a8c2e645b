"""The valuation of a holdout: model, common solutions and perfect foresight, in money, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from payoff.base import hashing
from payoff.records.evidence import Gain, Interval, Valuation
from payoff.value import decide, exact, intervals, looks, quality, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from payoff.records.charter import Charter

MODEL, PERFECT = "model", "perfect"
METHOD = (
    "paired studentised bootstrap (bootstrap-t), {resamples} resamples; Bonferroni over {looks} look(s) at the holdout"
)


class Valued(msgspec.Struct, frozen=True, kw_only=True):
    """A valuation with the decisions behind it: `actions` (n,) codes of the model's actions, `payoffs` (n, a): the money of each
    action given the row's real outcome, `rows_needed` for the asked confidence.
    """

    valuation: Valuation
    actions: object
    payoffs: object


def value_holdout(
    charter: Charter,
    *,
    probabilities: Mapping[str, NDArray[np.float64]],
    payoffs: Mapping[tuple[str, str], NDArray[np.float64]],
    outcomes: NDArray[np.int64],
    rules: Mapping[str, NDArray[np.int64]],
    looked: int,
    holdout: str,
    clusters: NDArray[np.int64] | None = None,
) -> Valued:
    """Decide for every row by expected payoff and count the money, the model's and everyone else's on the same rows.

    `probabilities` per outcome (n,); `payoffs` per (action, outcome) (n,) in the charter's currency; `outcomes` (n,) codes in the order of
    `charter.outcomes`; `rules` per common solution given by SQL the codes of its actions (n,); `looked` counts the looks at this
    holdout, this one included; `holdout` names it and seeds the resampling; `clusters` see `intervals.bootstrap`.
    """
    names, kinds = charter.actions, charter.outcomes
    n = len(outcomes)
    cube = np.stack([np.stack([payoffs[a, o] for o in kinds], axis=1) for a in names], axis=1)
    chance = np.stack([probabilities[o] for o in kinds], axis=1)
    actions: dict[str, NDArray[np.int64]] = {MODEL: decide.choose(decide.expected(chance, cube))}
    for solution in charter.common_solutions:
        fixed = np.full(n, names.index(solution.action)) if solution.action is not None else rules[solution.name]
        actions[solution.name] = fixed.astype(np.int64)
    actions[PERFECT], _ = decide.perfect(cube, outcomes)
    money = {name: decide.realised(cube, codes, outcomes) for name, codes in actions.items()}

    adjusted = looks.adjusted_confidence(charter.accept.confidence, looked)
    alternatives = [solution.name for solution in charter.common_solutions]
    columns = [money[name] for name in actions] + [money[MODEL] - money[name] for name in alternatives]
    mean, low, high = intervals.bootstrap(
        np.stack(columns, axis=1), confidence=adjusted, seed=int(hashing.of_text(holdout)[:12], 16), clusters=clusters
    )
    spans = [Interval(float(m), float(a), float(b)) for m, a, b in zip(mean, low, high, strict=True)]
    fixed_cells = [[charter.cell(a, o).amount for o in kinds] for a in names]
    totals = {name: exact.total(fixed_cells, codes, outcomes) for name, codes in actions.items()}
    per_decision = {
        name: _exactly(span, totals[name], n) for name, span in zip(actions, spans[: len(actions)], strict=True)
    }
    differences = {}
    for name, span in zip(alternatives, spans[len(actions) :], strict=True):
        ours, theirs = totals[MODEL], totals[name]
        both = ours - theirs if ours is not None and theirs is not None else None
        differences[name] = _exactly(span, both, n)
    best = max(alternatives, key=lambda name: per_decision[name].mean)
    metrics = {"rows_needed": float(size.rows_needed(money[MODEL] - money[best], confidence=adjusted))}
    if len(kinds) == 2:
        metrics |= quality.binary_metrics(chance[:, 0], outcomes == 0)
    valuation = Valuation(
        currency=charter.currency,
        rows=n,
        looks=looked,
        confidence=charter.accept.confidence,
        adjusted=adjusted,
        per_decision=per_decision,
        per_year={name: _times(span, charter.decision.per_year) for name, span in per_decision.items()},
        difference_per_decision=differences,
        gain=_gain(charter, best, differences[best]),
        best=best,
        exact={name: str(total) for name, total in totals.items() if total is not None},
        shares={name: _shares(names, codes) for name, codes in actions.items()},
        method=METHOD.format(resamples=f"{intervals.RESAMPLES:,}", looks=looked),
        resamples=intervals.RESAMPLES,
        metrics=metrics,
    )
    rows = np.arange(n)
    return Valued(valuation=valuation, actions=actions[MODEL], payoffs=cube[rows, :, outcomes])


def _exactly(span: Interval, total: object, rows: int) -> Interval:
    """The interval with its mean from the exact total, where there is one."""
    return span if total is None else Interval(exact.mean(total, rows), span.low, span.high)  # type: ignore[arg-type]


def _times(span: Interval, factor: float, minus: float = 0.0) -> Interval:
    return Interval(span.mean * factor - minus, span.low * factor - minus, span.high * factor - minus)


def _gain(charter: Charter, best: str, difference: Interval) -> Gain:
    """A year's gain over the best common solution, after the cost of running the model."""
    year = _times(difference, charter.decision.per_year, float(charter.costs.run_per_year))
    return Gain(over=best, mean=year.mean, low=year.low, high=year.high, confidence=charter.accept.confidence)


def _shares(names: tuple[str, ...], codes: NDArray[np.int64]) -> dict[str, float]:
    counts = np.bincount(codes, minlength=len(names))
    return {name: float(count) / len(codes) for name, count in zip(names, counts, strict=True)}
