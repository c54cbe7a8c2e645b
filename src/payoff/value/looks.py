"""Looks at the holdout: each one is a chance to be lucky, so each one must be surer than the one before."""

from __future__ import annotations


def adjusted_confidence(confidence: float, looks: int) -> float:
    """The confidence of the two-sided interval at this look, so that all looks ever taken hold together.

    Parameters: `confidence` 0-1, what the charter asks for; `looks` how many models were valued on this holdout, this one included.

    Formula: with a = 1 - confidence, look j has the two-sided interval of confidence 1 - 2 a / (j (j + 1)). The first look has what was
    asked for. Of each interval only the lower bound makes the claim "it is worth at least this"; it is wrong with half of the rest,
    a / (j (j + 1)), and these add up to less than a however many looks there are (1/2 + 1/6 + 1/12 + ... = 1). So whoever tries model
    after model until one passes is wrongly let pass with a probability of at most 1 - confidence: Bonferroni's inequality with unequal
    weights (Dunn 1961, JASA 56; Rosenthal and Rubin 1983, Psychological Bulletin 94), spent as the looks come (Foster and Stine 2008,
    JRSS B 70). Equal shares a / j would not do: nobody knows at the first look how many there will be, and 1 + 1/2 + 1/3 + ... has no limit.

    Assumes nothing about what the models have in common. Fails when a model is chosen by more than "the last one was refused", such as
    when its parameters are tuned on the amounts shown for this holdout (Dwork et al. 2015, Science 349); a fresh holdout starts again at 1.

    >>> adjusted_confidence(0.95, 1)
    0.95
    >>> round(adjusted_confidence(0.95, 2), 4), round(adjusted_confidence(0.95, 10), 5)
    (0.9833, 0.99909)
    """
    if not 0 < confidence < 1 or looks < 1:
        raise ValueError(f"confidence must be in (0, 1) and looks at least 1, not {confidence} and {looks}")
    return confidence if looks == 1 else 1 - 2 * (1 - confidence) / (looks * (looks + 1))
