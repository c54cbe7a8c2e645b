"""How good probabilities are, for people who ask: none of these figures decides anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from payoff.base.threads import one_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LEAST = 1e-15
_STEPS = 50


def metrics(probabilities: Floats, outcomes: NDArray[np.int64]) -> dict[str, float]:
    """Figures on probabilities (n, k) of outcomes (n,), coded 0..k-1; with two outcomes the first is the positive one.

    Always: `log_loss` (nats), `brier` (mean squared distance; with two outcomes of the positive one's probability alone), `accuracy` of
    the likeliest outcome. With two: `auc`, `base_rate`, `calibration_in_the_large` (mean probability minus base rate),
    `calibration_intercept` and `calibration_slope` of a logistic regression of the outcome on the log odds (Cox 1958, Biometrika 45):
    0 and 1 when calibrated; a slope below 1 says that the probabilities are too extreme. A figure that has no value for these rows (a slope
    when one outcome does not occur, or when probabilities part the outcomes without error) is left out.

    >>> seen = metrics(np.array([[0.1, 0.9], [0.9, 0.1]]), np.array([1, 0]))
    >>> seen["auc"], seen["accuracy"], round(seen["brier"], 2)
    (1.0, 1.0, 0.01)
    """
    n, k = probabilities.shape
    chance = probabilities[np.arange(n), outcomes]
    found = {
        "log_loss": float(-np.log(np.maximum(chance, _LEAST)).mean()),
        "accuracy": float((probabilities.argmax(axis=1) == outcomes).mean()),
    }
    if k != 2:
        found["brier"] = float(((probabilities - np.eye(k)[outcomes]) ** 2).sum(axis=1).mean())
        return found
    return found | _binary(probabilities[:, 0], outcomes == 0)


def _binary(chance: Floats, positive: NDArray[np.bool_]) -> dict[str, float]:
    base = float(positive.mean())
    found = {
        "brier": float(((chance - positive) ** 2).mean()),
        "base_rate": base,
        "calibration_in_the_large": float(chance.mean()) - base,
    }
    if 0 < base < 1:
        found["auc"] = _auc(chance, positive)
        line = _recalibration(chance, positive)
        if line is not None:
            found["calibration_intercept"], found["calibration_slope"] = line
    return found


def _auc(chance: Floats, positive: NDArray[np.bool_]) -> float:
    """The share of pairs of a positive and a negative row in which the positive one has the higher probability (ties: half)."""
    _, group, sizes = np.unique(chance, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    ones = int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(chance) - ones)))


@one_thread()
def _recalibration(chance: Floats, positive: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Intercept and slope by Newton's method, None when there is no finite answer."""
    clipped = np.clip(chance, 1e-6, 1 - 1e-6)
    odds = np.log(clipped / (1 - clipped))
    if odds.max() - odds.min() < 1e-9:
        return None
    centre, spread = float(odds.mean()), float(odds.std())
    odds = (odds - centre) / spread
    design = np.stack([np.ones_like(odds), odds], axis=1)
    line = np.zeros(2)  # from chance alone Newton's steps do not overshoot, however extreme the odds are
    for _ in range(_STEPS):
        fitted = 1 / (1 + np.exp(-np.clip(design @ line, -30, 30)))
        weight = fitted * (1 - fitted)
        matrix = design.T @ (design * weight[:, None])
        if np.linalg.cond(matrix) > 1e12:
            return None
        change = np.linalg.solve(matrix, design.T @ (positive - fitted))
        line += np.clip(change, -2, 2)
        if np.abs(change).max() < 1e-8:
            slope = float(line[1]) / spread
            return float(line[0]) - slope * centre, slope
    return None
