"""What a run found out: outcomes of steps, results of checks, the value of the model; and the verdicts on it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from payoff.records.artifact import Artifact
from payoff.records.task import Failure


class StepOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """`because` holds the reasons why the step was stale (why it ran), or why it failed or was skipped.

    `fingerprint` is what was really loaded when its output was computed: of a step that was reused, in the earlier run.
    """

    name: str
    state: Literal["ran", "reused", "failed", "skipped"]
    because: tuple[str, ...] = ()
    seconds: float = 0.0
    key: str = ""
    output: Artifact | None = None
    failure: Failure | None = None
    metrics: dict[str, float] = {}
    fingerprint: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    log: str = ""
    peak_memory_bytes: int = 0


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of a contract, measured. `failed` counts rows (or is 1 for a table check); `sample` are ids of failing rows."""

    table: str
    check: str
    column: str | None
    passed: bool
    failed: int
    rows: int
    reason: str = ""
    sample: tuple[str, ...] = ()
    severity: Literal["error", "warning"] = "error"
    file: str = ""
    line: int = 0


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """A way in which a model could know what it must not.

    `kind`: `duplicates` (rows held out that are in train too), `foretells` (a column that tells the outcome apart alone; `figure` is its AUC),
    `time` (times after the decision), `group` (keys with rows on both sides). Else `figure` is the share `rows` of `of`. `refused` is false
    when a contract explains it.
    """

    kind: str
    column: str
    rows: int
    of: int
    figure: float
    reason: str
    refused: bool = True


class Interval(msgspec.Struct, frozen=True):
    """A mean with the bounds of its confidence interval, in the charter's currency."""

    mean: float
    low: float
    high: float


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """Model minus the best common solution, per year, net of the running cost; `over` is that solution's name."""

    over: str
    mean: float
    low: float
    high: float
    confidence: float


class GroupValue(msgspec.Struct, frozen=True, kw_only=True):
    """A group of decisions: what the model gains on it a year over the best common solution (before running cost), and how often it is wrong.

    `wrong` is the share (0-1) of decisions for which another action would have brought more, `gap` that share minus the others'. `missed`
    and `false_alarms` are the same share among rows with the outcome in focus and among all others. Where the action is a
    quantity, `wrong` is the share with too little, `false_alarms` that with too much, and `missed` is null.
    """

    column: str
    value: str
    rows: int
    gain: Interval
    wrong: Interval
    gap: Interval
    missed: float | None = None
    false_alarms: float | None = None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How far the model's probabilities could be trusted on `rows` of train that a second fit of it was kept from.

    `p_value` is that of a likelihood ratio test that they need no correction. Where `applied`, each probability p of an outcome became
    exp(weight * log p + intercept), with p at least `floor`, divided by the sum over the outcomes; `weights` and `intercepts` are by outcome.
    `log_loss` and `corrected_log_loss` (nats) are those of the rows set aside. `reason` says why nothing was found out, where that is so.
    """

    rows: int = 0
    applied: bool = False
    p_value: float | None = None
    weights: dict[str, float] = {}
    intercepts: dict[str, float] = {}
    floor: float = 0.0
    log_loss: float | None = None
    corrected_log_loss: float | None = None
    reason: str = ""


class Valuation(msgspec.Struct, frozen=True, kw_only=True):
    """Money over the holdout. `per_decision` and `per_year` map model, perfect and every common solution to intervals.

    `confidence` is the nominal one, `adjusted` the one used after counting the looks. `exact` maps the same names to the exact
    total over the holdout (decimal text) where every payoff in it is a fixed number of cents. `shares` maps each
    alternative to the share of decisions per action. `best` is the best common solution. Where the
    action is a quantity, `shares` is empty and `quantities` maps each alternative to its `mean` quantity and the tenth and ninetieth percentile. `groups` are those of the charter's segments.
    """

    currency: str
    rows: int
    looks: int
    confidence: float
    adjusted: float
    per_decision: dict[str, Interval]
    per_year: dict[str, Interval]
    difference_per_decision: dict[str, Interval]
    gain: Gain
    best: str
    exact: dict[str, str] = {}
    shares: dict[str, dict[str, float]] = {}
    method: str = ""
    resamples: int = 0
    metrics: dict[str, float] = {}
    groups: tuple[GroupValue, ...] = ()
    calibration: Calibration | None = None
    quantities: dict[str, dict[str, float]] = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said."""

    gate: str
    passed: bool
    reason: str
    code: str = ""
    title: str = ""
    remedy: str = ""
    numbers: dict[str, float] = {}


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the gates may look at. `holdout_rows` and `looks` are 0 when the run did not get that far.

    `tables` maps each table read or made to its version. `predictions` is the table of scored holdout rows. `leaks` is null when the examples were
    not searched for them.
    """

    steps: tuple[StepOutcome, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    tables: dict[str, Artifact] = {}
    model: Artifact | None = None
    predictions: Artifact | None = None
    valuation: Valuation | None = None
    holdout_rows: int = 0
    looks: int = 0
    metrics: dict[str, float] = {}
    problems: tuple[dict[str, Any], ...] = ()
    leaks: tuple[Leak, ...] | None = None
