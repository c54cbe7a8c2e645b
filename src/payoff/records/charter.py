"""The charter: why the project exists, in money. Read from `charter.toml`."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from payoff.base.money import plain

MOST_QUANTITIES = 1000


class Objective(msgspec.Struct, frozen=True):
    """What is to be reached, and who answers for it; `purpose` is the name under which columns may be used for it."""

    statement: str
    owner: str
    purpose: str = ""


class OutcomeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which column is the outcome and which of its values is the positive one (none where the outcome is a quantity).

    `name` is the outcome's name in the payoff cells (the column's name unless said otherwise): with
    `column = "churned"` the cells are `offer.churned` and `offer.<any other name>`.
    """

    column: str
    positive: bool | int | str | None
    means: str
    name: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided, on which rows (`examples` is a step or a source, `id` its key), how often a year; `at` is the column with its time.

    `private`: contracts label the id so that no message may show one.
    """

    question: str
    examples: str
    id: str
    outcome: OutcomeSpec
    per_year: int
    at: str | None = None
    private: bool = False


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The payoff of one action under one outcome, per decision: a number or an SQL expression over the row."""

    action: str
    outcome: str
    amount: Decimal | None = None
    sql: str | None = None
    line: int = 0


class CommonSolution(msgspec.Struct, frozen=True, kw_only=True):
    """What would be done without a model: always one action, or an SQL expression that names one per row."""

    name: str
    action: str | None = None
    sql: str | None = None
    says: str = ""
    line: int = 0


class SplitSpec(msgspec.Struct, frozen=True, kw_only=True):
    """`hash` and `group` keep a share of the ids (groups) in `on` as holdout; `time` keeps the rows from `from_` on."""

    by: Literal["hash", "group", "time"]
    on: str
    holdout: float | None = None
    from_: str | None = None
    salt: str = ""


class Costs(msgspec.Struct, frozen=True):
    """What building costs once and running costs a year, in the charter's currency; `years` is how long a model is expected to be used."""

    build: Decimal = Decimal(0)
    run_per_year: Decimal = Decimal(0)
    years: float | None = None


class Accept(msgspec.Struct, frozen=True):
    """The least gain a year that the lower bound must reach, at which confidence (0 to 1)."""

    confidence: float = 0.95
    min_gain_per_year: Decimal = Decimal(0)


class Stop(msgspec.Struct, frozen=True):
    """The kill rule: after how many models looked at to stop, unless the upper bound is above an amount a year (default: the promise)."""

    after_runs: int | None = None
    unless_upper_bound_above: Decimal | None = None


class SegmentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A column whose values (numbers: cut at `cut`, else at the quartiles) are groups that money and errors are looked at by, with limits."""

    column: str
    cut: tuple[float, ...] = ()
    min_gain_per_year: Decimal | None = None
    max_error_gap: float | None = None


class CapacitySpec(msgspec.Struct, frozen=True, kw_only=True):
    """An action that not everybody can have: `at_most` so many, or what a `budget` pays at a `cost` each (or `cost_sql`, an expression over the row),
    `per` period (for each value of the column `within`). `otherwise` is what a rule does with those it cannot serve.
    """

    action: str
    otherwise: str
    per: Literal["day", "week", "month", "quarter", "year"]
    at_most: int | None = None
    budget: Decimal = Decimal(0)
    cost: Decimal = Decimal(1)
    within: str | None = None
    cost_sql: str | None = None
    line: int = 0


class QuantitySpec(msgspec.Struct, frozen=True, kw_only=True):
    """An action that is a quantity: `least`, `least + step`, ... up to `most`; its money is `sql`, an expression over the row in which `action` is
    the quantity chosen and `outcome` the one that turned out to be needed.
    """

    sql: str
    least: Decimal
    most: Decimal
    step: Decimal
    unit: str = ""
    line: int = 0

    @property
    def permitted(self) -> tuple[Decimal, ...]:
        """The quantities to choose from, the smallest first."""
        return tuple(self.least + number * self.step for number in range(int((self.most - self.least) / self.step) + 1))


class Signed(msgspec.Struct, frozen=True):
    """Who stands for this version of the charter, since when (ISO date), and why it may go on."""

    by: str
    on: str
    why: str = ""


class Charter(msgspec.Struct, frozen=True, kw_only=True):
    """The business case: the decision, the money of each action under each outcome, what is done without a model, what is asked for."""

    objective: Objective
    decision: Decision
    currency: str
    cells: tuple[Cell, ...]
    common_solutions: tuple[CommonSolution, ...]
    split: SplitSpec
    model_step: str
    costs: Costs
    accept: Accept
    stop: Stop
    signed: Signed | None = None
    segments: tuple[SegmentSpec, ...] = ()
    capacity: CapacitySpec | None = None
    quantity: QuantitySpec | None = None
    gives: Literal["forecast", "action"] = "forecast"
    recalibrate: Literal["when poor", "never"] = "when poor"
    file: str
    digest: str

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions, in the order of the file; the permitted quantities as text where the action is one."""
        if self.quantity is not None:
            return tuple(plain(each) for each in self.quantity.permitted)
        return tuple(dict.fromkeys(cell.action for cell in self.cells))

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes, the positive one first; none where it is a quantity."""
        names = dict.fromkeys(cell.outcome for cell in self.cells)
        return tuple(sorted(names, key=lambda name: name != self.decision.outcome.name))

    def cell(self, action: str, outcome: str) -> Cell:
        """The cell of an action under an outcome (the loader saw to it that each exists)."""
        return next(c for c in self.cells if c.action == action and c.outcome == outcome)
