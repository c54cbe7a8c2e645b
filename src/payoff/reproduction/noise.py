"""Whether two measurements are the same, given how far equal executions differ."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# Effects smaller than this share of the difference looked into are not told from nothing: other libraries round the last bits elsewhere.
SMALL = 1e-6


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """All executions of one hybrid: their `values`, or the `error` that they all end in; `unknown` where nothing could be executed, `mixed`
    where some fail and some do not.
    """

    state: Literal["value", "failed", "unknown", "mixed"]
    values: tuple[float, ...] = ()
    error: str = ""

    @property
    def mean(self) -> float:
        """Of the values; not a number where there are none."""
        return math.fsum(self.values) / len(self.values) if self.values else math.nan


class Ruler(msgspec.Struct, frozen=True, kw_only=True):
    """`deviation`: of equal executions, from `freedom` degrees of freedom (0: they are equal to the bit); `factor`: how many standard errors two
    means must be apart to be told apart; `floor`: differences up to it count as none, in the metric's unit.
    """

    deviation: float = 0.0
    freedom: int = 0
    factor: float = 0.0
    floor: float = 0.0

    def error(self, *counts: int) -> float:
        """Half the width of the interval of a difference of means over so many executions each."""
        return self.factor * self.deviation * math.sqrt(sum(1 / each for each in counts))

    def same(self, one: Reading, other: Reading) -> bool:
        """Whether two readings are the same outcome: values as near as noise, or failures that end the same way."""
        if one.state != "value" or other.state != "value":
            return (one.state, one.error) == (other.state, other.error)
        far = abs(one.mean - other.mean)
        return one.mean == other.mean or far <= max(self.floor, self.error(len(one.values), len(other.values)))

    def needed(self, difference: float, most: int) -> int:
        """Executions of each hybrid, so that an effect as large as the difference is told from both its ends."""
        if not self.deviation or not difference:
            return 1
        return max(1, min(most, math.ceil(2 * (2 * self.factor * self.deviation / abs(difference)) ** 2)))


def deviation(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within groups of equal executions, pooled, and its degrees of freedom."""
    freedom = sum(len(each) - 1 for each in groups)
    squares = math.fsum(
        (value - math.fsum(each) / len(each)) ** 2 for each in groups if len(each) > 1 for value in each
    )
    return (math.sqrt(squares / freedom) if freedom else 0.0), freedom


def quantile(level: float, freedom: int) -> float:
    """The `level` quantile (0.5 to 1) of Student's t (G. W. Hill, Algorithm 396, Communications of the ACM 13, 1970); exact for 1 and 2.

    >>> round(quantile(0.975, 10), 3), round(quantile(0.995, 4), 3), round(quantile(0.975, 2), 3)
    (2.228, 4.604, 4.303)
    """
    tails = 2 * (1 - level)
    if freedom <= 0 or tails <= 0:
        return math.inf
    if freedom == 1:
        return 1 / math.tan(tails * math.pi / 2)
    if freedom == 2:
        return math.sqrt(2 / (tails * (2 - tails)) - 2)
    n = float(freedom)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    x = d * tails
    y = x ** (2 / n)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tails / 2)
        y = x * x
        if freedom < 5:
            c += 0.3 * (n - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (n + 1) / (
            n + 2
        ) + 1 / y
    return math.sqrt(n * y)
