"""What `payoff why` answers."""

from __future__ import annotations

import msgspec

from payoff.records.hybrids.attribution import Attribution, Factor


class WhyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`a` and `b` name runs; `metric`: none for the model's gain a year; `max_runs`: at most so many executions; `plan`: say what would be done."""

    project: str
    a: str
    b: str
    metric: str | None = None
    max_runs: int | None = None
    plan: bool = False
    command: tuple[str, ...] = ()


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a search is expected to cost before it begins: executions (and the most for a single cause), and seconds for them."""

    factors: int
    executions: int
    bound: int
    seconds: float


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """`a` and `b` are the ids of the runs, `unit` the metric's currency where it is money. `attribution` is null when only the plan was asked for.

    `factors` are all that differs between the two. `seconds` is what the search took, `run_seconds` what the two runs took together.
    """

    a: str
    b: str
    metric: str
    unit: str
    factors: tuple[Factor, ...]
    expected: Expected
    attribution: Attribution | None = None
    seconds: float = 0.0
    run_seconds: float = 0.0
    notes: tuple[str, ...] = ()
