"""What carries the gain: which share of the decisions, and which rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.records.answers.worth import CurvePoint, Segment
from payoff.records.evidence import Interval
from payoff.value import intervals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

PARTS = (
    0.02,
    0.05,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1.0,
)  # of the rows in which the model goes its own way


def curve(
    difference: Floats, advantage: Floats, *, per_year: int, confidence: float, seed: int, clusters: Codes | None = None
) -> tuple[CurvePoint, ...]:
    """Following the model only where it expects the most from it, and the best common solution elsewhere.

    Parameters: `difference` (n,) money per decision, model minus best common solution; `advantage` (n,) the same as the model expected it
    before (of equal ones, the first rows come first). The bounds hold for each point alone, as a picture's do.

    Read it, do not tune on it: a share chosen because it looks best on the holdout is worth less on the next rows.
    """
    n = len(difference)
    order = np.argsort(-advantage, kind="stable")
    # Where the model expects nothing from its own way, it goes the common solution's: there is nothing to see further right.
    differs = float((advantage > 0).mean()) or 1.0
    shares = [part * differs for part in PARTS]
    columns = np.zeros((n, len(shares)))
    for number, share in enumerate(shares):
        taken = order[: max(1, round(share * n))]
        columns[taken, number] = difference[taken]
    mean, low, high = intervals.bootstrap(columns, confidence=confidence, seed=seed, clusters=clusters)
    return tuple(
        CurvePoint(share=share, gain=float(m) * per_year, low=float(a) * per_year, high=float(b) * per_year)
        for share, m, a, b in zip(shares, mean, low, high, strict=True)
    )


def segments(
    difference: Floats,
    labels: Mapping[str, NDArray[np.str_]],
    *,
    per_year: int,
    confidence: float,
    seed: int,
    clusters: Codes | None = None,
) -> tuple[Segment, ...]:
    """The gain of every group of rows, the largest loss first.

    Parameters: `difference` (n,) money per decision, model minus best common solution; `labels` per column (n,) the group of each row.

    All groups' intervals hold together at `confidence` (Bonferroni's inequality). What is named as losing loses surely; a group whose
    interval has zero in it may be either.
    """
    groups = [(column, value) for column, values in labels.items() for value in np.unique(values).tolist()]
    if not groups:
        return ()
    masks = np.stack([labels[column] == value for column, value in groups], axis=1)
    surer = 1 - (1 - confidence) / len(groups)
    mean, low, high = intervals.bootstrap(difference[:, None] * masks, confidence=surer, seed=seed, clusters=clusters)
    found = [
        Segment(
            column=column,
            value=str(value),
            rows=int(masks[:, number].sum()),
            gain=Interval(
                float(mean[number]) * per_year, float(low[number]) * per_year, float(high[number]) * per_year
            ),
            loses=bool(high[number] < 0),
        )
        for number, (column, value) in enumerate(groups)
    ]
    return tuple(sorted(found, key=lambda each: each.gain.mean))


def captured(
    difference: Floats, ceiling: Floats, *, confidence: float, seed: int, clusters: Codes | None = None
) -> Interval | None:
    """The share of the ceiling that the model reaches, a ratio of means with its interval; None when there is nothing to reach.

    `difference` (n,) model minus best common solution, `ceiling` (n,) perfect foresight minus the same. The interval is that of the ratio
    linearised at its value (Fieller's problem with a denominator far from zero; Davison and Hinkley 1997, ch. 2.7).
    """
    whole = float(ceiling.mean())
    if whole <= 0:
        return None
    ratio = float(difference.mean()) / whole
    linear = ratio + (difference - ratio * ceiling) / whole
    mean, low, high = intervals.bootstrap(linear[:, None], confidence=confidence, seed=seed, clusters=clusters)
    return Interval(float(mean[0]), float(low[0]), float(high[0]))
