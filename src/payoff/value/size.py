"""Is a holdout large enough for what is asked of it?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 30


def rows_needed(differences: NDArray[np.float64], *, confidence: float) -> int:
    """Rows below which an interval of the mean difference cannot be trusted at this confidence.

    The mean of n skewed amounts is near enough to its limit when n > 25 * skewness^2 at 95 % (Cochran 1977, Sampling Techniques, p. 42);
    the studentised bootstrap corrects the first-order effect of skewness, so a quarter of that is asked for; it grows with the square
    of the normal quantile for other confidences. At least 30, and enough that the tail beyond the bound is not a single row: 2 / (1 - confidence).

    >>> rows_needed(np.array([-1.0, 1.0] * 100), confidence=0.95)
    40
    """
    spread = differences.std()
    skewness = float(np.mean(((differences - differences.mean()) / spread) ** 3)) if spread > 0 else 0.0
    quantile = stats.norm.ppf(1 - (1 - confidence) / 2) / stats.norm.ppf(0.975)
    by_skewness = 6.25 * skewness**2 * quantile**2
    return math.ceil(float(max(FEWEST, round(2 / (1 - confidence), 6), by_skewness)))
