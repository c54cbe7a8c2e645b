"""What the figures of servers (Prometheus' text format) come to, as a judge of canaries takes it. Pure.

A server counts from its start on. So what is added up is what came since the last look at the same container; one that started anew counts from nothing.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from payoff.records.release.canary import WIDTH, Arm, Sum

if TYPE_CHECKING:
    from collections.abc import Mapping

# By name: `requests`, `errors` (answers of 400 and above: requests are shared out by chance, so that both get their share of those that nobody could answer well, and one
# that refuses or fails at what the other takes has more), `refused` (those below 500), `decisions` (whose payoff is known), `payoff` and `squares` (the sums), and `le:BOUND`, the answers within so many seconds.
Counters = dict[str, float]
_ASKED = {"decide", "infer", "invocations"}  # who only looks whether we are there asks nothing
_LINE = re.compile(r"payoff_(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SUMS = {
    "expected_payoffs_total": "decisions",
    "expected_payoff_total": "payoff",
    "expected_payoff_squares_total": "squares",
}
_MAY_BE_NONE = {"expected_payoff_total", "expected_payoff_squares_total"}  # no number: a judge has to know
_FALLS = {"payoff"}  # a payoff may be a loss; all else only grows


def read(text: str) -> Counters:
    """What a server says of itself."""
    found: Counters = {"requests": 0.0, "errors": 0.0, "refused": 0.0, "decisions": 0.0, "payoff": 0.0, "squares": 0.0}
    for line in text.split("\n"):  # and at nothing else that a name may hold
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        name, labels, value = match[1], dict(_LABEL.findall(match[2] or "")), _number(match[3])
        if not math.isfinite(value) and name not in _MAY_BE_NONE:
            continue
        if name in _SUMS:
            found[_SUMS[name]] += value
        elif labels.get("route") in _ASKED and name == "requests_total":
            found["requests"] += value
            status = labels.get("status", "")
            found["errors"] += value if status >= "400" else 0.0
            found["refused"] += value if "400" <= status < "500" else 0.0
        elif labels.get("route") in _ASKED and name == "request_seconds_bucket":
            key = f"le:{labels.get('le', '+Inf')}"
            found[key] = found.get(key, 0.0) + value
    return found


def since(now: Counters, last: Mapping[str, float]) -> Counters:
    """What came since a look; all of it, where the server has begun anew in between."""
    anew = any(now.get(key, 0.0) < value for key, value in last.items() if key not in _FALLS)
    return dict(now) if anew else {key: value - last.get(key, 0.0) for key, value in now.items()}


def summed(one: Mapping[str, float], other: Mapping[str, float]) -> Counters:
    """Both together."""
    return {key: one.get(key, 0.0) + other.get(key, 0.0) for key in {*one, *other}}


def arm(total: Mapping[str, float], release: int, image: str, *, slowest: bool) -> Arm:
    """As the judge takes it. A latency is known as that of a bucket: `slowest` takes its upper bound, else it is its lower one; so what is judged to be slower
    than that which is taken to be slow is so for sure.
    """
    count = int(total.get("decisions", 0.0))
    mean = total.get("payoff", 0.0) / count if count else 0.0
    spread = total.get("squares", 0.0) - count * mean * mean
    payoff = Sum(count=count, mean=mean, squares=max(spread, 0.0) if math.isfinite(spread) else spread)
    latency: dict[int, int] = {}
    before, bound = 0.0, 0.0
    for upper, within in sorted((_number(key[3:]), value) for key, value in total.items() if key.startswith("le:")):
        if within > before:
            at = _place(upper if slowest else bound, bound)
            latency[at] = latency.get(at, 0) + round(within - before)
        before, bound = max(before, within), upper
    return Arm(
        release=release,
        image=image,
        requests=int(total.get("requests", 0.0)),
        errors=int(total.get("errors", 0.0)),
        refused=int(total.get("refused", 0.0)),
        payoff=payoff,
        latency=latency,
    )


def _place(seconds: float, otherwise: float) -> int:
    """The bucket of the judge that ends there."""
    at = seconds if math.isfinite(seconds) else 2 * otherwise
    return max(0, round(math.log(at * 1e3, WIDTH)) - 1) if at > 1e-3 else 0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
