"""How good must a forecast be to pay? Money as a function of its error, on the rows that are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from payoff.base import lazy
from payoff.records.answers.worth import BreakEven, Quality
from payoff.value.worth.breakeven import least

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

special = lazy.Module("scipy.special")  # half a second, for charters whose action is a quantity
GRID = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.87, 0.92, 0.96, 0.98, 0.99)
BEST = 0.9995  # beyond it nobody should plan
MOST = 20_000_000  # amounts: rows times quantities times outcomes
_VALUES, _FEWEST = 64, 2000


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to simulate on: `chosen` (n,) are their places among all, `values` (m,) outcomes that can come, in their order, with the `edges`
    (m + 1,) between them as shares of all rows; `payoffs` (n, a, m): the money of each quantity when each of them comes.
    """

    chosen: Codes
    values: Floats
    edges: Floats
    payoffs: Floats


def plan(outcomes: Floats, actions: int) -> tuple[Codes, Floats, Floats]:
    """Which rows to simulate on, which outcomes can come, and the edges between them: as many as there is room for.

    Few different outcomes are taken as they are, of many the middles of 64 parts of equal size.
    """
    different, counts = np.unique(outcomes, return_counts=True)
    if len(different) <= _VALUES:
        values, edges = different, np.concatenate([[0.0], np.cumsum(counts) / len(outcomes)])
    else:
        edges = np.linspace(0.0, 1.0, _VALUES + 1)
        values = np.quantile(outcomes, (edges[1:] + edges[:-1]) / 2)
    rows = min(len(outcomes), max(_FEWEST, MOST // (actions * len(values))))
    return np.linspace(0, len(outcomes) - 1, rows).astype(np.int64), values, edges


def everywhere(chosen: Codes, values: Floats) -> Floats:
    """The same outcomes supposed for every row, (n, m)."""
    return np.tile(values, (len(chosen), 1))


def sample(chosen: Codes, values: Floats, edges: Floats, parts: Sequence[Floats]) -> Sample:
    """What to simulate on; `parts` (n, some, a) have the money under the outcomes, in their order."""
    return Sample(chosen, values, edges, np.concatenate(parts, axis=1).transpose(0, 2, 1))


def break_even(
    given: Sample, outcomes: Floats, known: Floats, common: Floats, *, asked: float, per_year: int, seed: int
) -> BreakEven:
    """The curve of money over the error of a forecast, and the largest error whose gain a year over the common solution reaches `asked`.

    Parameters: `outcomes` (n,), `known` (n, a) and `common` (n,) of all rows: what was needed, the money of each quantity, that of the best
    common solution.

    A forecast is simulated that knows the outcome up to noise: with z the normal quantile of the outcome's place among all, the signal is
    r z + sqrt(1 - r^2) e, e normal; what it says of the outcome is then normal with mean r times the signal and variance 1 - r^2 on that scale
    (the Gaussian copula: Sklar 1959; Nelsen 2006, "An Introduction to Copulas", ch. 2.3), and right on average by construction. Decisions maximise
    the expected payoff under it, with each row's own amounts. Its error is that of its median.

    Assumes that the forecast knows as much about rows with large amounts as about others.
    """
    forecast = _Forecast(given, outcomes, known, common, per_year, seed)
    curve = [(r, forecast.quality(r)) for r in GRID]
    needed = least(forecast.quality, [*curve, (BEST, forecast.quality(BEST))], asked)
    return BreakEven(asked_per_year=asked, curve=tuple(each for _, each in curve), needed=needed)


class _Forecast:
    def __init__(
        self, sample: Sample, outcomes: Floats, known: Floats, common: Floats, per_year: int, seed: int
    ) -> None:
        rng = np.random.default_rng([seed, 5])
        n = len(outcomes)
        order = np.lexsort((rng.random(n), outcomes))  # of equal outcomes any may be the larger one
        place = np.empty(n)
        place[order] = (np.arange(n) + 0.5) / n
        self.sample, self.per_year = sample, per_year
        self.outcomes, self.known = outcomes[sample.chosen], known[sample.chosen]
        self.common = float(common[sample.chosen].mean())
        self.z = special.ndtri(place[sample.chosen])
        self.noise = rng.normal(size=len(sample.chosen))
        self.sorted = np.sort(outcomes)
        with np.errstate(divide="ignore"):
            self.edges = special.ndtri(sample.edges)

    def quality(self, r: float) -> Quality:
        middle = r * (r * self.z + np.sqrt(1 - r * r) * self.noise)
        below = special.ndtr((self.edges[None, :] - middle[:, None]) / np.sqrt(1 - r * r))
        weights = np.diff(below, axis=1)
        actions = np.einsum("nam,nm->na", self.sample.payoffs, weights).argmax(axis=1)
        mean = float(self.known[np.arange(len(actions)), actions].mean())
        said = np.quantile(self.sorted, special.ndtr(middle))
        error = float(np.abs(said - self.outcomes).mean())
        whole = float(np.abs(self.outcomes).mean())
        usual = int(np.bincount(actions).argmax())
        return Quality(
            auc=None,
            error=error,
            error_share=error / whole if whole else None,
            per_year=mean * self.per_year,
            gain=(mean - self.common) * self.per_year,
            acted=float((actions != usual).mean()),
        )
