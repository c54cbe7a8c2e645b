"""Where one more measurement is expected."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Sequence


def prediction(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Where one more value is expected after these, with this confidence (0-1): Student's prediction interval for normal values.

    With a single value, or values that are all equal, it is that value.

    >>> low, high = prediction([9.0, 10.0, 11.0], 0.95)
    >>> round(low, 2), round(high, 2)
    (5.03, 14.97)
    """
    count, mean = len(values), math.fsum(values) / len(values)
    if len(set(values)) == 1:
        return values[0], values[0]
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1) * (1 + 1 / count))
    half = float(stdtrit(count - 1, 0.5 + confidence / 2)) * spread
    return mean - half, mean + half
