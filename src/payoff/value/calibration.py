"""Are probabilities what they say? Found out, and corrected where they are not, on rows that the model did not learn from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from payoff.base.threads import one_thread
from payoff.records.evidence import Calibration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

LEVEL = 0.01  # of the test that nothing needs correction
_MOST = 200_000  # rows; more say the same
_LOWEST, _HIGHEST = 1e-9, 1e-3
_STEEPEST, _FARTHEST = 50.0, 50.0
_STEPS = 500
_NEAR, _FLAT = (
    1e-9,
    1e-14,
)  # how far a step along the slope still leads, and what a step still brings, when the search ends
_LEAST, _GREATEST = 1e-12, 1e12  # of the damping


def examine(chances: Mapping[str, Floats], outcomes: Codes) -> Calibration:
    """How far probabilities, per outcome (n,), are from what happened, (n,) codes in the same order; and the correction where they are.

    The correction multiplies odds: each probability p becomes exp(w log p + b) over the sum of all, with one w >= 0 and one b per outcome,
    fitted by maximum likelihood. With two outcomes this is beta calibration (Kull, Silva Filho, Flach 2017, "Beyond sigmoids", Electronic
    Journal of Statistics 11), with more Dirichlet calibration with a diagonal matrix (Kull et al. 2019, NeurIPS). It keeps the order of
    each outcome's probabilities (with two outcomes) and holds the identity: w = 1, b = 0. Whether that is what it should be is tested by the
    likelihood ratio, chi-squared with 2 k - 1 degrees of freedom; only when it is not, at a level of 1 %, is anything corrected: a
    correction that is not needed adds noise.

    Probabilities are kept above half of the smallest that is not zero (and between 10^-9 and 10^-3): of a zero no odds can be computed.
    """
    given = np.stack(list(chances.values()), axis=1)
    if len(given) > _MOST:
        kept = np.linspace(0, len(given) - 1, _MOST).astype(np.int64)
        given, outcomes = given[kept], outcomes[kept]
    n, k = given.shape
    positive = given[given > 0]
    floor = float(np.clip(positive.min() / 2, _LOWEST, _HIGHEST)) if positive.size else _HIGHEST
    logs = np.log(np.maximum(given, floor))
    fit = _Fit(logs, np.eye(k)[outcomes])
    before = fit.loss(fit.identity)
    found = fit.best()
    after = fit.loss(found)
    p_value = _above((2 * k - 1) / 2, max(0.0, n * (before - after)))
    weights, intercepts = found[:k].tolist(), [*found[k:].tolist(), 0.0]
    return Calibration(
        rows=n,
        applied=p_value < LEVEL,
        p_value=p_value,
        weights=dict(zip(chances, weights, strict=True)),
        intercepts=dict(zip(chances, intercepts, strict=True)),
        floor=floor,
        log_loss=before,
        corrected_log_loss=after,
    )


class _Fit:
    """Multinomial logistic regression on `logs` (n, k), one weight and (but for the last outcome) one intercept each, towards `came` (n, k).

    The loss is convex. Found by Newton's method with damping (Levenberg 1944, Marquardt 1963), each step projected into the bounds: where a
    step gains nothing, more damping makes it shorter and turns it to the projected gradient, which gains until there is nothing to gain.
    """

    def __init__(self, logs: Floats, came: Floats) -> None:
        self.logs, self.came = logs, came
        self.n, self.k = logs.shape
        self.identity = np.concatenate([np.ones(self.k), np.zeros(self.k - 1)])
        self.low = np.concatenate([np.zeros(self.k), np.full(self.k - 1, -_FARTHEST)])
        self.high = np.concatenate([np.full(self.k, _STEEPEST), np.full(self.k - 1, _FARTHEST)])

    def loss(self, at: Floats) -> float:
        """The mean log loss."""
        log = self._log_odds(at)
        return float((np.log(np.exp(log).sum(axis=1)) - (log * self.came).sum(axis=1)).mean())

    @one_thread()
    def best(self) -> Floats:
        """The parameters (2 k - 1,) of the least loss."""
        at, loss, damping = self.identity, self.loss(self.identity), 1e-6
        for _ in range(_STEPS):
            slope, curve = self._slopes(at)
            if np.abs(at - np.clip(at - slope, self.low, self.high)).max() < _NEAR:
                break
            held = ((at <= self.low) & (slope > 0)) | ((at >= self.high) & (slope < 0))
            curve[held, :] = curve[:, held] = 0.0
            gained = 0.0
            while damping <= _GREATEST:
                step = np.linalg.solve(curve + damping * np.eye(len(at)), np.where(held, 0.0, slope))
                there = np.clip(at - step, self.low, self.high)
                then = self.loss(there)
                if loss - then >= 1e-4 * float(slope @ (at - there)) > 0:
                    gained, at, loss = loss - then, there, then
                    damping = max(_LEAST, damping / 10)
                    break
                damping *= 10
            if gained <= _FLAT:
                break
        return at

    def _log_odds(self, at: Floats) -> Floats:
        log: Floats = self.logs * at[: self.k] + np.append(at[self.k :], 0.0)
        log -= log.max(axis=1, keepdims=True)
        return log

    def _slopes(self, at: Floats) -> tuple[Floats, Floats]:
        """The first (m,) and second (m, m) derivatives of the loss."""
        chance = np.exp(self._log_odds(at))
        chance /= chance.sum(axis=1, keepdims=True)
        far, both = chance - self.came, np.concatenate([chance * self.logs, chance[:, :-1]], axis=1)
        slope = np.concatenate([(far * self.logs).sum(axis=0), far.sum(axis=0)[:-1]]) / self.n
        curve = -(both.T @ both) / self.n
        k, within = self.k, range(self.k - 1)
        curve[range(k), range(k)] += (both[:, :k] * self.logs).sum(axis=0) / self.n
        mixed = both[:, : k - 1].sum(axis=0) / self.n
        curve[within, range(k, 2 * k - 1)] += mixed
        curve[range(k, 2 * k - 1), within] += mixed
        curve[range(k, 2 * k - 1), range(k, 2 * k - 1)] += chance[:, :-1].sum(axis=0) / self.n
        return slope, curve


def _above(a: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(a, x) for a = 1/2, 3/2, ...; chi-squared with 2 a degrees of freedom is above 2 x so often.

    Q(1/2, x) = erfc(sqrt x), Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1) (Abramowitz and Stegun 1964, 6.5.17 and 6.5.21).

    >>> round(_above(1.5, 3.907), 3)
    0.05
    """
    if x <= 0:
        return 1.0
    terms = (math.exp(b * math.log(x) - x - math.lgamma(b + 1)) for b in (i + 0.5 for i in range(int(a))))
    return math.erfc(math.sqrt(x)) + math.fsum(terms)
