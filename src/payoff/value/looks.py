"""Looks at the holdout: each one is a chance to be lucky, so each one widens the interval."""

from __future__ import annotations

import math


def adjusted_confidence(confidence: float, looks: int) -> float:
    """The confidence of each interval when all of `looks` intervals together shall hold with `confidence`.

    Bonferroni's inequality (Dunn 1961, JASA 56): 1 - (1 - confidence) / looks. It holds whatever the models have in common, also
    when each was chosen after seeing the verdict on the one before (Dwork et al. 2015, Science 349, on adaptive reuse), as long as
    each look shows no more than whether a claim was made; a fresh holdout starts again at 1.

    >>> adjusted_confidence(0.95, 1)
    0.95
    >>> round(adjusted_confidence(0.95, 10), 4)
    0.995
    """
    if not 0 < confidence < 1 or looks < 1 or math.isnan(confidence):
        raise ValueError(f"confidence must be in (0, 1) and looks at least 1, not {confidence} and {looks}")
    return confidence if looks == 1 else 1 - (1 - confidence) / looks
