"""What `payoff worth` finds out: before a model exists what one could be worth, and after a run what carries the money."""

from __future__ import annotations

from typing import Literal

import msgspec

from payoff.records.evidence import Interval


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a given quality: what deciding by it would be worth a year, and where on its ROC curve it would stand.

    `auc` is the probability (0-1) that it ranks a pair of rows with different outcomes rightly (null where the outcome is a quantity: there `error` is
    the mean absolute error of its forecasts, in the outcome's unit, and `error_share` that by the mean outcome), `per_year` its money before running cost,
    `gain` the same against the best common solution. `acted` is the share of rows that get another action than the one that is best when it is not the case that matters (of quantities: than
    the most frequent one); with two
    outcomes `precision` is the share of the positive ones among them, `recall` the share of positive ones found (true positive rate) and
    `false_alarms` the share of the others among which it acts (false positive rate).
    """

    auc: float | None
    per_year: float
    gain: float
    acted: float = 0.0
    precision: float | None = None
    recall: float | None = None
    false_alarms: float | None = None
    error: float | None = None
    error_share: float | None = None


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model must be to pay. `needed` is the quality from which on it does, null when not even a nearly perfect one does."""

    asked_per_year: float
    curve: tuple[Quality, ...]
    needed: Quality | None = None


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """Before a model: money a year of doing what is possible without one, and of knowing the future.

    `ceiling` is perfect foresight minus the best common solution, a year, before any cost. `asked_per_year` is what a model must bring
    above `best` to pay: its running cost and the larger of the promised gain and a year's part of the building cost. `build` is false when the
    upper bound of the ceiling is below that, or is nothing. `payback_years` is the time after which the building cost is back if the whole ceiling were
    reached, null when it never is. Where the action is a quantity (counted in `unit`), `shares` is empty and `quantities` maps each alternative to
    its `mean` quantity and the tenth and ninetieth percentile (`low`, `high`).
    """

    currency: str
    rows: int
    confidence: float
    per_year: dict[str, Interval]
    per_decision: dict[str, Interval]
    shares: dict[str, dict[str, float]]
    best: str
    ceiling: Interval
    asked_per_year: float
    run_per_year: float
    build_cost: float
    years: float
    promised: float
    build: bool
    payback_years: float | None
    break_even: BreakEven
    base_rates: dict[str, float]
    method: str = ""
    unit: str = ""
    quantities: dict[str, dict[str, float]] = {}


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Following the model for a share of the rows, those where it expects the most from doing so; `gain` a year over the best common solution."""

    share: float
    gain: float
    low: float
    high: float


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Rows with one value of a column: how many, and what the model gains on them a year over the best common solution.

    `loses` is true when the whole interval lies below zero (adjusted for the number of segments looked at).
    """

    column: str
    value: str
    rows: int
    gain: Interval
    loses: bool


class Assumption(msgspec.Struct, frozen=True, kw_only=True):
    """A number of the charter, and how far it may move before the verdict flips.

    `flips_at` is the nearest value at which it does (null: nowhere between a tenth or nothing and ten times); `change` the relative move
    (-0.25: a quarter less). `lower` and `upper` are the gains a year (means) when it is a fifth smaller or larger.
    """

    name: str
    value: float
    line: int
    flips_at: float | None
    change: float | None
    lower: float
    upper: float


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """After a run: what carries the gain, and what it hangs on. Money a year, net of the running cost where it says gain.

    `over` is the common solution that is best on the holdout, which the gain is counted against (`best` of the prospect is the best one on the
    rows that are not held out). `captured` is the share of the ceiling that the model reaches (before the running cost).
    """

    run: str
    gain: Interval
    asked: float
    passed: bool
    captured: Interval | None
    curve: tuple[CurvePoint, ...]
    segments: tuple[Segment, ...]
    segment_columns: tuple[str, ...]
    assumptions: tuple[Assumption, ...]
    payback_years: float | None
    over: str = ""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A look at the holdout in the past: which run, under which version of the charter, what was promised and what was found."""

    run: str
    started: str
    charter: str
    looks: int
    promised: float
    gain: Interval
    status: Literal["passed", "refused", "failed"]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The holdout as a budget: looks taken, and the confidence that each of the next looks would need.

    `after_runs` is the charter's kill rule, `left` the looks until it applies (null: no rule).
    """

    looks: int
    confidence: float
    next_confidence: float
    widening: float
    after_runs: int | None = None
    left: int | None = None
    stopped: str = ""


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `payoff worth`; of a run all of it is by the charter of that run, and `charter_changed` says that there is another one now."""

    project: str
    question: str
    objective: str
    owner: str
    decisions_per_year: int
    prospect: Prospect
    budget: Budget
    findings: Findings | None = None
    history: tuple[Past, ...] = ()
    says: dict[str, str] = {}
    page: str = ""
    charter_changed: bool = False
    exit_code: int = 0
