"""What `payoff reproduce` answers."""

from __future__ import annotations

from typing import Literal

import msgspec

Sameness = Literal["exact", "equal", "varies", "differs"]


class ReproduceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`run` names a run. `replicates`: at most so many executions to measure noise by, where the first does not give the same."""

    project: str | None
    run: str
    replicates: int = 5
    command: tuple[str, ...] = ()


class StepAgain(msgspec.Struct, frozen=True, kw_only=True):
    """A stage of the run, held against the same stage executed again.

    `same`: `exact` (the same content to the last bit, or the same failure); `equal` (an object of other bytes, of which the same was made to the last
    bit: an object may hold a time or an address); `varies` (executions differ among themselves, so that nothing can be said of this one alone);
    `differs`. `a` is the identity of the run's output, `b` of what was made again. `what` says in words what differs.
    """

    name: str
    kind: Literal["table", "object", "none"]
    same: Sameness
    a: str | None = None
    b: str | None = None
    what: str = ""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number of the run and of the run executed again. `low` and `high`: where one more execution is expected to be, from those that were made;
    null where one was enough.
    """

    name: str
    a: float | None
    b: float | None
    low: float | None = None
    high: float | None = None
    within: bool = True


class Reproduced(msgspec.Struct, frozen=True, kw_only=True):
    """`again` names the record of the first execution, for `payoff diff` and `payoff why`. `executions` counts them.

    `figures` has the money and every metric of a step. `failed` says how both ended, where the run was a failure. `seconds` is the time the first execution took,
    `run_seconds` what the run took.
    """

    run: str
    again: str
    verdict: Literal["exact", "within-noise", "differs"]
    currency: str
    steps: tuple[StepAgain, ...]
    figures: tuple[Figure, ...] = ()
    executions: int = 1
    confidence: float = 0.99
    failed: str = ""
    seconds: float = 0.0
    run_seconds: float = 0.0
    notes: tuple[str, ...] = ()
