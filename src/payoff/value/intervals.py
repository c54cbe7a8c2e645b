"""Confidence intervals for means of money per decision, by the paired studentised bootstrap."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from payoff.base.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 8_000
GROUPS = 2_500
_BEYOND = 40  # a quantile is read off the resamples when at least so many of them lie beyond it
_CHUNK = 500_000  # numbers of one chunk of resampling weights, 4 MB: new memory costs more than the arithmetic
_STILL = 1e-6  # a resample whose error is below this share of the sample's own has no spread


def bootstrap(
    values: Floats,
    *,
    confidence: float,
    seed: int,
    clusters: NDArray[np.int64] | None = None,
    resamples: int = RESAMPLES,
) -> tuple[Floats, Floats, Floats]:
    """Means of columns of money, with two-sided confidence intervals that hold for skewed money.

    Parameters
    ----------
    values : (n, m) float64, money per decision
        One column per quantity, all of the same n decisions: a column of differences between two ways to decide keeps only what
        they do not have in common (pairing).
    confidence : 0-1
        Of each interval; half of the rest lies below the lower bound, half above the upper one.
    seed : int
        The same seed gives the same answer.
    clusters : (n,) int64, optional
        Codes of decisions that belong together (all those of one customer); clusters, not rows, are then drawn.
    resamples : int
        Default 8,000: the bounds then move by about 1.5 % of the half-width from seed to seed.

    Returns
    -------
    mean, low, high : each (m,), money per decision
        `low <= mean <= high`, all finite. The mean is the correctly rounded sum (`math.fsum`) over n.

    Raises
    ------
    ValueError
        For fewer than two rows or clusters, for numbers that are not finite, for a confidence outside 0-1.

    Notes
    -----
    Procedure:

    1. The mean of each column is taken off, and rows are summed within their cluster. These sums (without clusters: the rows) are the
       units; their spread gives the standard error of the mean (with clusters: of a ratio, linearised).
    2. More than 2,500 units are dealt at random into 2,500 groups of equal size, which become the units that are drawn. A sum over
       groups has the same mean, variance and skewness as one over rows, so that the distribution of t keeps its shape up to terms of
       order 1/2,500, and the cost of resampling no longer grows with n. The standard error stays that of step 1.
    3. `resamples` times, as many units as there are are drawn with replacement; the same draws serve all columns.
    4. In each resample the mean and its standard error give t = (mean* - mean) / error*. A resample in which a column has no spread at
       all is given the error that a single one of its farthest units would have.
    5. The interval runs from mean - t(1 - a/2) * error to mean - t(a/2) * error (bootstrap-t).
    6. Tails with fewer than 40 resamples beyond them are continued from the last quantile that can be read off: in proportion to
       Student's quantiles, or by the skewness term of the Cornish-Fisher expansion, whichever is farther out.

    In repeated sampling the interval contains the true mean in `confidence` of all cases. On skewed money bootstrap-t comes nearer to
    that than the normal, percentile and BCa intervals do; `tests/value/test_coverage.py` shows by how much.

    Assumes that decisions (clusters) are independent draws from the population that the future's decisions come from. Fails, by being
    too narrow, when the money hangs on a handful of rows or on amounts larger than any seen: see `size.rows_needed`. A column without
    any variation gets an interval of width zero: one value is all that was seen.

    References: Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979); Hall, "Theoretical comparison of
    bootstrap confidence intervals", Annals of Statistics 16 (1988): second-order correct; Davison and Hinkley, "Bootstrap methods and
    their application" (1997), ch. 2.4, 3.8, 5.2; DiCiccio and Efron, "Bootstrap confidence intervals", Statistical Science 11 (1996).

    Examples
    --------
    >>> mean, low, high = bootstrap(np.full((50, 1), 2.5), confidence=0.95, seed=1)
    >>> float(mean[0]), float(low[0]), float(high[0])
    (2.5, 2.5, 2.5)

    A fair coin that pays 0 or 2: the mean is 1 and its error 1 / sqrt(99), so that the bounds lie near 1 - 0.2 and 1 + 0.2.

    >>> mean, low, high = bootstrap(np.tile([[0.0], [2.0]], (50, 1)), confidence=0.95, seed=1)
    >>> float(mean[0]), round(float(low[0]), 1), round(float(high[0]), 1)
    (1.0, 0.8, 1.2)
    """
    values = np.asarray(values, dtype=np.float64)
    units = len(values) if clusters is None else len(np.unique(clusters))
    if units < 2 or not 0 < confidence < 1 or not np.isfinite(values).all():
        raise ValueError(
            f"finite values in at least 2 rows (clusters) and 0 < confidence < 1, not {units}, {confidence}"
        )
    mean = np.array([math.fsum(column.tolist()) / len(values) for column in values.T], dtype=np.float64)
    centred = values - mean
    centred[:, values.max(axis=0) == values.min(axis=0)] = 0.0
    scale = np.abs(centred).max(axis=0)
    scale[scale == 0] = 1.0
    centred /= scale  # squares neither overflow nor vanish
    sums, sizes = _summed(centred, clusters)
    error = np.sqrt((sums**2).sum(axis=0) * (units / (units - 1))) / len(values)
    if units > GROUPS:
        dealt = np.arange(units) % GROUPS
        np.random.default_rng([seed, 1]).shuffle(dealt)
        sums, sizes = _regrouped(sums, sizes, dealt)
    with one_thread():
        t = _studentised(sums, sizes, seed=seed, resamples=resamples)
    tail = (1 - confidence) / 2
    above = np.maximum(_quantiles(t, tail, len(sums) - 1), 0.0)
    below = np.maximum(_quantiles(-t, tail, len(sums) - 1), 0.0)
    return mean, mean - above * error * scale, mean + below * error * scale


def _summed(centred: Floats, clusters: NDArray[np.int64] | None) -> tuple[Floats, Floats]:
    """Sums (u, m) and sizes (u,) of the units: of the rows themselves, or of clusters."""
    if clusters is None:
        return centred, np.ones(len(centred), dtype=np.float64)
    codes = np.unique(clusters, return_inverse=True)[1]
    return _regrouped(centred, np.ones(len(centred), dtype=np.float64), codes)


def _regrouped(sums: Floats, sizes: Floats, codes: NDArray[np.int64]) -> tuple[Floats, Floats]:
    summed = [np.bincount(codes, weights=column) for column in sums.T]
    return np.stack(summed, axis=1).astype(np.float64), np.bincount(codes, weights=sizes).astype(np.float64)


def _studentised(sums: Floats, sizes: Floats, *, seed: int, resamples: int) -> Floats:
    """The t of every resample (resamples, m) of centred sums (g, m) of units of given sizes (g,)."""
    g, m = sums.shape
    own = np.sqrt((sums**2).sum(axis=0))
    farthest = np.abs(sums).max(axis=0, initial=0.0)
    parts = np.concatenate([sums, sums**2, sums * sizes[:, None], np.stack([sizes, sizes**2], axis=1)], axis=1)
    drawn = _draws(g, seed, resamples)
    chunk = np.empty((_rows(g), g), dtype=np.float64)
    found = []
    for start in range(0, resamples, len(chunk)):
        weights = chunk[: resamples - start]
        np.copyto(weights, drawn[start : start + len(chunk)])
        first, second, mixed, whole, whole2 = np.split(weights @ parts, [m, 2 * m, 3 * m, 3 * m + 1], axis=1)
        shift = first / whole
        error = np.sqrt(np.maximum(second - 2 * shift * mixed + shift**2 * whole2, 0.0) * (g / (g - 1)))
        still = error <= _STILL * own
        error = np.where(still, np.where(farthest > 0, farthest, 1.0), error)
        found.append(first / error)
    return np.concatenate(found)


def get_ready(units: int, *, seed: int) -> None:
    """Draw ahead what `bootstrap` will need for so many units and this seed: most of its time, none of its input."""
    _draws(min(units, GROUPS), seed, RESAMPLES)


@functools.lru_cache(maxsize=2)  # two holdouts (or the rows and the holdout) take turns in a comparison
def _draws(g: int, seed: int, resamples: int) -> NDArray[np.uint8]:
    """How often each of g units is drawn in each resample (resamples, g): 20 MB, as nothing is drawn more than 255 times."""
    rng = np.random.default_rng([seed, 2])
    drawn = np.empty((resamples, g), dtype=np.uint8)
    for start in range(0, resamples, _rows(g)):
        units = rng.integers(0, g, size=(min(_rows(g), resamples - start), g), dtype=np.uint32)
        for number, indices in enumerate(units):
            drawn[start + number] = np.bincount(indices, minlength=g)
    return drawn


def _rows(g: int) -> int:
    """Resamples of one chunk."""
    return max(1, _CHUNK // g)


def _quantiles(t: Floats, tail: float, freedom: int) -> Floats:
    """Of each column the value that a share `tail` of the t lies above, continued beyond what the resamples show."""
    seen = min(0.25, max(tail, _BEYOND / len(t)))
    shown: Floats = np.quantile(t, 1 - seen, axis=0)
    if seen <= tail:
        return shown
    here, there = _student(seen, freedom), _student(tail, freedom)
    skew = (shown - here) / (2 * here**2 + 1)
    return np.maximum(np.maximum(shown, 0.0) * (there / here), there + skew * (2 * there**2 + 1))


def _student(tail: float, freedom: int) -> float:
    """Student's quantile that a share `tail` lies above (Abramowitz and Stegun 26.7.5).

    >>> round(_student(0.025, 29), 3)
    2.045
    """
    z = NormalDist().inv_cdf(1 - tail)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
