"""How good must a model be to pay? Money as a function of a score's quality, on the rows that are there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from payoff.records.answers.worth import BreakEven, Quality
from payoff.value import decide
from payoff.value.capacity import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from payoff.value.capacity import Capacity

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

GRID = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
BEST = 0.999  # beyond it nobody should plan
_ROWS, _MOST = 100_000, 300_000  # rows are repeated with fresh noise up to the first, and thinned out above the second
_HALVINGS = 12


@dataclass(frozen=True, slots=True)
class Scored:
    """What a simulated model decides on: payoffs (n, a, k) in money per decision, outcomes (n,) as codes, the base money (n,) of the best
    common solution, the capacity of the rows.
    """

    payoffs: Floats
    outcomes: Codes
    common: Floats
    capacity: Capacity | None = None


def break_even(rows: Scored, *, asked: float, per_year: int, seed: int) -> BreakEven:
    """The curve of money over quality, and the least quality whose gain a year over the common solution reaches `asked` (money a year).

    A score of quality `auc` is simulated: with d = the normal quantile of `auc`, each row gets for each outcome a signal that is normal with
    variance 1 and mean d for the outcome that came, 0 for the others. Two outcomes are then ranked rightly with probability `auc` (the
    binormal model, Swets 1986, Psychological Bulletin 99; Hand and Till 2001, Machine Learning 45, for pairs of more outcomes). The
    probabilities follow by Bayes' rule from the base rates, so that they are calibrated, and decisions are taken by expected payoff with
    each row's own amounts.

    Assumes that the score says as much about rows with large amounts as about others: a model that is better where the money is needs
    less, one that is worse there needs more. The same noise serves all qualities, so that the curve is smooth.
    """
    score = _Score(rows, seed)

    def at(auc: float) -> Quality:
        return score.quality(auc, per_year)

    curve = [(auc, at(auc)) for auc in GRID]
    return BreakEven(
        asked_per_year=asked,
        curve=tuple(each for _, each in curve),
        needed=least(at, [*curve, (BEST, at(BEST))], asked),
    )


def least(at: Callable[[float], Quality], curve: Sequence[tuple[float, Quality]], asked: float) -> Quality | None:
    """The least quality that brings what is asked, by halving between the last point of the curve below it and the next."""
    low = curve[0][0]
    for high, found in curve:
        if found.gain >= asked:
            break
        low = high
    else:
        return None
    for _ in range(_HALVINGS if low < high else 0):
        middle = (low + high) / 2
        quality = at(middle)
        if quality.gain >= asked:
            high, found = middle, quality
        else:
            low = middle
    return found


class _Score:
    """Fixed noise over the rows, as often as makes the answer steady."""

    def __init__(self, rows: Scored, seed: int) -> None:
        rng = np.random.default_rng([seed, 3])
        n, k = len(rows.outcomes), rows.payoffs.shape[2]
        if n > _MOST:
            chosen = np.sort(rng.choice(n, _MOST, replace=False))
            rows = Scored(
                rows.payoffs[chosen], rows.outcomes[chosen], rows.common[chosen], _thinned(rows.capacity, chosen, n)
            )
            n = _MOST
        self.rows = rows
        known, others = decide.in_hindsight(rows.payoffs, rows.outcomes), rows.outcomes != 0
        # What one would do who knew that it is not the case that matters: whatever else is done is acting.
        self.idle = int((known[others] if others.any() else known).mean(axis=0).argmax())
        self.noise = [rng.normal(size=(n, k)) for _ in range(math.ceil(_ROWS / n))]
        counts = np.bincount(rows.outcomes, minlength=k)
        self.seen = counts > 0
        with np.errstate(divide="ignore"):
            self.base = np.where(self.seen, np.log(counts / n), -np.inf)
        self.came = np.eye(k)[rows.outcomes]

    def quality(self, auc: float, per_year: int) -> Quality:
        d = NormalDist().inv_cdf(auc)
        money, acted, hits, alarms = 0.0, 0, 0, 0
        positive = self.rows.outcomes == 0
        for noise in self.noise:
            actions = self._act(d, noise)
            money += float(decide.realised(self.rows.payoffs, actions, self.rows.outcomes).mean())
            other = actions != self.idle
            acted += int(other.sum())
            hits += int((other & positive).sum())
            alarms += int((other & ~positive).sum())
        times, n = len(self.noise), len(positive)
        mean = money / times
        found = Quality(
            auc=auc,
            per_year=mean * per_year,
            gain=(mean - float(self.rows.common.mean())) * per_year,
            acted=acted / (times * n),
        )
        if len(self.base) != 2:
            return found
        ones = int(positive.sum())
        return Quality(
            auc=found.auc,
            per_year=found.per_year,
            gain=found.gain,
            acted=found.acted,
            precision=hits / acted if acted else None,
            recall=hits / (times * ones) if ones else None,
            false_alarms=alarms / (times * (n - ones)) if ones < n else None,
        )

    def _act(self, d: float, noise: Floats) -> Codes:
        log = self.base + d * (noise + d * self.came)
        log -= log.max(axis=1, keepdims=True)
        chance = np.exp(log)
        chance /= chance.sum(axis=1, keepdims=True)
        return choose(decide.expected(chance, self.rows.payoffs), self.rows.capacity)


def _thinned(capacity: Capacity | None, chosen: Codes, rows: int) -> Capacity | None:
    if capacity is None:
        return None
    groups = None if capacity.groups is None else capacity.groups[chosen]
    costs = None if capacity.costs is None else capacity.costs[chosen]
    return replace(capacity.scaled(len(chosen) / rows), groups=groups, costs=costs)
