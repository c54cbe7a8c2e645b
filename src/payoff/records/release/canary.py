"""What was seen of a release that is tried beside the one that runs, and what is to be done with it."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

WIDTH = 1.1  # of a bucket of latencies
MOST = 1e100  # beyond it a payoff is no amount of money, and its square could not be added up


class Sum(msgspec.Struct, kw_only=True):
    """Numbers that were added up: how many, their mean, and the sum of squared differences from it (Welford 1962)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    @property
    def finite(self) -> bool:
        """Whether it is a number still; what is none, or too large, makes all that is added to it none."""
        return math.isfinite(self.mean) and math.isfinite(self.squares)

    @property
    def variance(self) -> float:
        """The sample's variance; 0 for fewer than two."""
        return self.squares / (self.count - 1) if self.count > 1 else 0.0


class Arm(msgspec.Struct, kw_only=True):
    """What was seen of one release. `payoff` is the expected payoff of each decision, as `/decide` said it; `latency` counts answers in buckets: number k is
    from `WIDTH ** k` ms on, and 0 is all below. `errors` are answers of 500 and above, those that did not come, those of `/decide` that tell no payoffs
    that can be added up, and of the one that is tried also those that refuse what the other one takes. `refused` are answers of 400 to 499, whether they are errors
    or the client's fault.
    """

    release: int
    image: str
    requests: int = 0
    errors: int = 0
    refused: int = 0
    payoff: Sum = msgspec.field(default_factory=Sum)
    latency: dict[int, int] = msgspec.field(default_factory=dict)

    @property
    def told(self) -> str:
        """What came of the requests, in words."""
        refused = f"{self.refused:,} of them refused, " if self.refused else ""
        return f"{self.requests:,} answers, {refused}{self.errors:,} failed"

    def answered(self, seconds: float, *, failed: bool, refused: bool = False) -> None:
        """One more answer, or none that came."""
        at = math.floor(math.log(seconds * 1e3, WIDTH)) if seconds > 1e-3 else 0
        self.requests += 1
        self.errors += failed
        self.refused += refused
        self.latency[at] = self.latency.get(at, 0) + 1


class Seen(msgspec.Struct, kw_only=True):
    """Both arms since the canary began. `pairs` are the differences canary - stable of decisions that both were asked for (shadow)."""

    since: str
    mode: Literal["canary", "shadow"]
    stable: Arm
    canary: Arm
    pairs: Sum = msgspec.field(default_factory=Sum)


class CanarySpec(msgspec.Struct, frozen=True, kw_only=True):
    """`[deployments.NAME.canary]`. `steps` are the shares that a canary goes through before it gets all. Money: it goes on when, with `confidence`, it loses
    no more than `tolerance` (in the charter's currency, per decision) against what runs, after `decisions` of each; it goes back when it loses for
    sure. It goes back, too, when for sure more than `errors` of its answers fail beyond what fails anyway, or when its 99th percentile is `slower` times that of
    the other after `requests` of each.
    """

    steps: tuple[float, ...] = (0.1, 0.5)
    decisions: int = 500
    tolerance: float = 0.0
    confidence: float = 0.95
    errors: float = 0.01
    slower: float = 2.0
    requests: int = 200


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """`verdict`: `advance`, `back`, or `wait` for more. `gain` is the canary's mean expected payoff per decision less the other's, with bounds that hold however
    often one looks; null before both have decided.
    """

    verdict: Literal["advance", "back", "wait"]
    because: tuple[str, ...]
    gain: float | None = None
    low: float | None = None
    high: float | None = None
