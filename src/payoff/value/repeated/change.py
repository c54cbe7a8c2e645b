"""What one model's decisions bring over another's, on the same decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.records.evidence import Interval
from payoff.value import intervals

if TYPE_CHECKING:
    from payoff.value.intervals import Floats
    from payoff.value.rows import Codes


def change(
    then: Floats, now: Floats, *, per_year: int, confidence: float, seed: int, clusters: Codes | None = None
) -> Interval:
    """Money a year that `now` brings over `then`, with the interval of the paired bootstrap (`intervals.bootstrap`).

    Parameters
    ----------
    then, now : (n,) float64, money per decision
        Of the same n decisions, in the same order and currency.
    per_year : int
        Decisions a year, by which means are multiplied.
    confidence : 0-1
        Of the two-sided interval.
    seed : int
        The same seed gives the same interval.
    clusters : (n,) int64, optional
        Codes of decisions that hang together.

    Raises
    ------
    ValueError
        For fewer than two decisions or clusters, and for numbers that are not finite.

    Notes
    -----
    Most decisions of two versions of a model are the same, and bring a difference of exactly zero: the interval of the difference is much
    narrower than the two models' own intervals would have it.

    >>> import numpy as np
    >>> then, now = np.array([1.0, 0.0, 2.0, 1.0]), np.array([1.0, 1.0, 2.0, 3.0])
    >>> round(change(then, now, per_year=100, confidence=0.5, seed=1).mean, 9)
    75.0
    """
    mean, low, high = intervals.bootstrap((now - then)[:, None], confidence=confidence, seed=seed, clusters=clusters)
    return Interval(*(float(each[0]) * per_year for each in (mean, low, high)))
