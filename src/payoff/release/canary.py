"""Whether a canary goes on, goes back or waits: on money first, then on errors and latency. Looked at again and again, so its bounds must hold at every look."""

from __future__ import annotations

import math

from payoff.records.release.canary import WIDTH, Arm, CanarySpec, Judgement, Seen, Sum

_TUNED = 500  # decisions at which the bounds are as narrow as they can be made
_FEWEST = 50  # of which the bounds, which hold in the limit, hold well enough


def judge(seen: Seen, spec: CanarySpec) -> Judgement:
    """What was seen so far, by the rules of the deployment. What says `back` goes before what says `advance`.

    Every comparison that lets a canary go on must be true; with a NaN none is. Where the canary's own sums are no numbers it goes back: what runs is as it was, and
    money cannot speak for it any more. Where those of the other one are none, or only the differences, that is not the canary's: it waits, and never goes on.
    """
    if not seen.canary.payoff.finite:
        return Judgement(verdict="back", because=("its expected payoffs add up to no number",))
    if not (seen.stable.payoff.finite and seen.pairs.finite):
        return Judgement(
            verdict="wait", because=("what is expected of both adds up to no number, and cannot be compared",)
        )
    gain, half = _gain(seen, 1 - spec.confidence)
    low, high = (None, None) if gain is None else (gain - half, gain + half)
    back: list[str] = []
    wait: list[str] = []
    fewest = seen.pairs.count if seen.mode == "shadow" else min(seen.stable.payoff.count, seen.canary.payoff.count)
    if low is not None and high is not None and fewest >= _FEWEST and high < -spec.tolerance:
        back.append(f"it loses money: {gain:.4g} per decision, at most {high:.4g}")
    worse = _errors(seen, spec)
    if worse:
        back.append(worse)
    slower = _slower(seen, spec)
    if slower:
        back.append(slower)
    if fewest < spec.decisions:
        wait.append(f"{fewest} of {spec.decisions} decisions of each were seen")
    elif low is None:
        wait.append("too few decisions were seen to tell what it brings")
    elif not low >= -spec.tolerance:
        wait.append(f"it may still lose {-low:.4g} per decision, more than {spec.tolerance:.4g}")
    few = min(seen.stable.requests, seen.canary.requests)
    if few < spec.requests:
        wait.append(f"{few} of {spec.requests} answers of each were seen")
    facts = {"gain": gain, "low": low, "high": high}
    if back:
        return Judgement(verdict="back", because=tuple(back), **facts)
    if wait:
        return Judgement(verdict="wait", because=tuple(wait), **facts)
    said = f"it brings {gain:.4g} per decision, at least {low:.4g}; errors and latency are as they were"
    return Judgement(verdict="advance", because=(said,), **facts)


def next_share(share: float, spec: CanarySpec) -> float:
    """The share after this one; 1 after the last step.

    >>> [next_share(each, CanarySpec(steps=(0.1, 0.5))) for each in (0.05, 0.1, 0.5)]
    [0.1, 0.5, 1.0]
    """
    return next((each for each in sorted(spec.steps) if each > share), 1.0)


def _gain(seen: Seen, alpha: float) -> tuple[float | None, float]:
    """The difference of means, and half the width of its confidence sequence."""
    if seen.mode == "shadow":
        return (seen.pairs.mean, half_width(seen.pairs, alpha)) if seen.pairs.count > 1 else (None, 0.0)
    one, other = seen.stable.payoff, seen.canary.payoff
    if min(one.count, other.count) < 2:
        return None, 0.0
    return other.mean - one.mean, half_width(one, alpha / 2) + half_width(other, alpha / 2)


def half_width(total: Sum, alpha: float) -> float:
    """Half the width of an asymptotic confidence sequence for a mean: it covers at all times at once with probability 1 - alpha, so that looking often and
    stopping when it pleases does no harm (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory, 2021, eq. 8).
    """
    if total.count < 2:
        return math.inf
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / _TUNED
    n = total.count
    inner = 2 * (n * rho2 + 1) / (n * n * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha)
    return math.sqrt(total.variance * inner)


def _errors(seen: Seen, spec: CanarySpec) -> str:
    """Why the canary's errors are too many; empty while they may not be. Each share of errors is bounded as the mean of zeros and ones is."""
    one, other = _rate(seen.stable), _rate(seen.canary)
    if min(one.count, other.count) < _FEWEST:
        return ""
    alpha = 1 - spec.confidence
    least = other.mean - one.mean - half_width(one, alpha / 2) - half_width(other, alpha / 2)
    if least <= spec.errors:
        return ""
    return f"{other.mean:.1%} of its answers fail, and {one.mean:.1%} of the other's"


def _rate(arm: Arm) -> Sum:
    # Half a success and half a failure more: of few answers that all were good, the variance is not taken to be none.
    n = arm.requests + 1
    mean = (arm.errors + 0.5) / n
    return Sum(count=n, mean=mean, squares=n * mean * (1 - mean)) if arm.requests else Sum()


def _slower(seen: Seen, spec: CanarySpec) -> str:
    if min(seen.stable.requests, seen.canary.requests) < spec.requests:
        return ""
    one, other = quantile(seen.stable.latency, 0.99), quantile(seen.canary.latency, 0.99)
    if other <= spec.slower * one:
        return ""
    return f"its 99th percentile is {1000 * other:.1f} ms, and the other's {1000 * one:.1f} ms"


def quantile(counts: dict[int, int], level: float) -> float:
    """Seconds that a share of the latencies stays below, to a tenth."""
    total, so_far = sum(counts.values()), 0
    for at in sorted(counts):
        so_far += counts[at]
        if so_far >= level * total:
            return 1e-3 * WIDTH ** (at + 1)
    return 0.0
