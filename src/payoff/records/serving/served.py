"""A model as it is served: everything that its answers hang on, besides its files."""

from __future__ import annotations

from typing import Any

import msgspec

from payoff.records.artifact import Field
from payoff.records.charter import Charter
from payoff.records.contract import Column
from payoff.records.evidence import Calibration
from payoff.records.label import Classification
from payoff.records.project import Form, Step


class InputColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a request. `type` is Arrow's name of its type in training; `promise` what is held against its values (a column that no
    contract promises anything of has one of its type alone); `source` the contract that promises it.
    """

    name: str
    type: str
    promise: Column
    source: str = ""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """From which advantage over the best other action on the scarce action is given, so that on the holdout the capacity was just used.

    In the charter's currency per decision; per unit of the budget where each row has a cost of its own (`by_cost`). `groups` has the bars of the
    groups that each have the capacity; one that the holdout did not have gets `every`. A bar of 0 means that the capacity did not bind.
    """

    every: float
    groups: dict[str, float] = {}
    by_cost: bool = False


class ForecastErrors(msgspec.Struct, frozen=True, kw_only=True):
    """How far the forecasts of a model were off on rows that it did not learn from, in the unit of the outcome.

    `edges` cut forecasts into bins, `off` has for each bin the errors (outcome minus forecast), equally likely. `positive`: no outcome was below zero;
    `whole`: all were whole numbers. `together` is how many supposed outcomes the run added up at a time: a sum in another order may differ in its last
    digit, and a decision that hangs by it.
    """

    edges: tuple[float, ...]
    off: tuple[tuple[float, ...], ...]
    positive: bool
    whole: bool
    together: int


class LogRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns of a request are written to the log of predictions, and why the others are not. `days`: how long it may be kept (None: any time)."""

    clearance: Classification = "internal"
    columns: tuple[str, ...] = ()
    withheld: dict[str, str] = {}
    days: int | None = None


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """`name` and `version` are how clients address it; `digest` names the content of the model, `bytes_digest` that of its file.

    `features` are the columns that the model takes, in its order; `more` those that decisions need besides, `id` the decision's own,
    which a request may have. `outputs` are the model's, `classes` the
    names of its probabilities (none where it gives a number). `errors` are those of its forecasts, where the action is a quantity. `silent` says why there are no decisions, where that is so. `schema` is the Arrow schema
    (as an IPC message) of `columns`, in their order.
    """

    name: str
    version: str
    run: str
    project: str
    digest: str
    bytes_digest: str
    python_type: str
    framework: str
    form: Form
    step: Step
    charter: Charter
    features: tuple[InputColumn, ...]
    more: tuple[InputColumn, ...] = ()
    id: InputColumn | None = None
    outputs: tuple[Field, ...] = ()
    classes: tuple[Any, ...] | None = None
    calibration: Calibration | None = None
    bar: Bar | None = None
    errors: ForecastErrors | None = None
    log: LogRule = LogRule()
    silent: str = ""
    schema: bytes = b""

    @property
    def columns(self) -> tuple[InputColumn, ...]:
        """All columns of a request for a decision."""
        return (*self.features, *self.more)
