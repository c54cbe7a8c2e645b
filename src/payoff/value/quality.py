"""How good probabilities are, for people who ask: none of these decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray


def binary_metrics(probability: NDArray[np.float64], positive: NDArray[np.bool_]) -> dict[str, float]:
    """Area under the ROC curve, log loss, Brier score, and calibration in the large (mean predicted minus base rate).

    >>> binary_metrics(np.array([0.1, 0.9]), np.array([False, True]))["auc"]
    1.0
    """
    ones = int(positive.sum())
    zeros = len(positive) - ones
    clipped = np.clip(probability, 1e-15, 1 - 1e-15)
    metrics = {
        "log_loss": float(-np.mean(np.where(positive, np.log(clipped), np.log1p(-clipped)))),
        "brier": float(np.mean((probability - positive) ** 2)),
        "calibration_in_the_large": float(probability.mean() - positive.mean()),
        "base_rate": float(positive.mean()),
    }
    if ones and zeros:
        ranks = stats.rankdata(probability)
        metrics["auc"] = float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
    return metrics
