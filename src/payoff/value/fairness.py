"""Money and errors by groups of decisions that the charter names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.records.evidence import GroupValue, Interval
from payoff.value import intervals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from payoff.value.valuation import Valued

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


def by_group(
    valued: Valued,
    labels: Mapping[str, NDArray[np.str_]],
    *,
    per_year: int,
    seed: int,
    clusters: Codes | None = None,
) -> tuple[GroupValue, ...]:
    """Every group's gain a year over the best common solution (before running cost), and how often decisions turn out wrong in it.

    Parameters: `labels` per column (n,) the group of each row.

    A decision is wrong when another action would have brought more, given what happened (of quantities: when it was too little). `gap` is the group's share of wrong decisions minus
    that of all others (a difference of two means, linearised at its value: Davison and Hinkley 1997, ch. 2.7). All intervals hold
    together at the confidence of the run's look (Bonferroni's inequality): what is said of a group is not the luck of having many.
    """
    groups = [(column, value) for column, values in labels.items() for value in np.unique(values).tolist()]
    n = len(valued.actions)
    if not groups:
        return ()
    model = valued.payoffs[np.arange(n), valued.actions]
    mistakes = valued.mistakes
    wrong = mistakes.wrong.astype(np.float64)
    other = wrong if mistakes.other is None else mistakes.other.astype(np.float64)
    difference = model - valued.common
    columns, masks = [], []
    for column, value in groups:
        mask = labels[column] == value
        masks.append(mask)
        columns += [difference * mask, *_rates(wrong, mask)]
    surer = 1 - (1 - valued.valuation.adjusted) / (3 * len(groups))
    bounds = intervals.bootstrap(np.stack(columns, axis=1), confidence=surer, seed=seed, clusters=clusters)
    found = [Interval(float(m), float(a), float(b)) for m, a, b in zip(*bounds, strict=True)]
    answer = []
    for number, ((column, value), mask) in enumerate(zip(groups, masks, strict=True)):
        gain, rate, gap = found[3 * number : 3 * number + 3]
        answer.append(
            GroupValue(
                column=column,
                value=str(value),
                rows=int(mask.sum()),
                gain=Interval(gain.mean * per_year, gain.low * per_year, gain.high * per_year),
                wrong=rate,
                gap=gap,
                missed=None if mistakes.focus is None else _share(wrong, mask & mistakes.focus),
                false_alarms=_share(wrong, mask & ~mistakes.focus)
                if mistakes.focus is not None
                else _share(other, mask),
            )
        )
    return tuple(answer)


def _rates(wrong: Floats, mask: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """The group's rate and its gap to the others', each as a column whose mean it is and whose spread is that of the estimate."""
    inside = float(mask.mean())
    rate = float(wrong[mask].mean())
    own = np.where(mask, (wrong - rate) / inside, 0.0)
    if inside == 1:
        return rate + own, np.zeros_like(wrong)
    other = float(wrong[~mask].mean())
    rest = np.where(mask, 0.0, (wrong - other) / (1 - inside))
    return rate + own, rate - other + own - rest


def _share(wrong: Floats, rows: NDArray[np.bool_]) -> float | None:
    return float(wrong[rows].mean()) if rows.any() else None
