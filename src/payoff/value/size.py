"""Is a holdout large enough for what is asked of it?"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST = 30
_PER_SKEWNESS = 6.25


def rows_needed(differences: NDArray[np.float64], *, confidence: float) -> int:
    """Rows below which an interval of the mean difference cannot be trusted at this confidence.

    `differences` (n,) is the money per decision (or per cluster: then clusters are counted), model minus best common solution.

    Formula: the larger of 30 and 6.25 g^2 (z / 1.96)^2, where g is the skewness of the differences and z the normal quantile of the
    two-sided confidence. Cochran ("Sampling techniques", 3rd ed. 1977, p. 42) asks for 25 g^2 rows for the normal interval at 95 %. Its
    error falls with g / sqrt(n), that of bootstrap-t with the square of it, so that a quarter of these rows is asked for here;
    `tests/value/test_coverage.py` shows what coverage that gives. For money that k of n decisions bring in equal parts it means k of 7 or more.
    As the skewness seen in few rows understates the true one, the answer may grow with the holdout. Without any variation: 30.

    >>> import numpy as np
    >>> rows_needed(np.array([-1.0, 1.0] * 100), confidence=0.95)
    30
    >>> rows_needed(np.array([0.0] * 9_990 + [1.0] * 10), confidence=0.95)
    6232
    """
    spread = float(differences.std())
    if spread == 0:
        return FEWEST
    skewness = float((((differences - differences.mean()) / spread) ** 3).mean())
    z = NormalDist().inv_cdf(0.5 + confidence / 2) / NormalDist().inv_cdf(0.975)
    return max(FEWEST, math.ceil(round(_PER_SKEWNESS * skewness**2 * z**2, 6)))


def rows_to_decide(rows: int, *, mean: float, low: float, asked: float) -> int | None:
    """How many rows of holdout would bring the lower bound up to `asked` if the mean stayed what it is.

    The distance from mean to bound shrinks with the square root of the rows. None when the mean itself does not exceed what is asked:
    more rows would not help then. `mean`, `low`, `asked` in the same money.

    >>> rows_to_decide(100, mean=30.0, low=-10.0, asked=10.0)
    400
    >>> rows_to_decide(100, mean=5.0, low=-10.0, asked=10.0)
    """
    if mean <= asked:
        return None
    return max(rows, math.ceil(rows * ((mean - low) / (mean - asked)) ** 2))
