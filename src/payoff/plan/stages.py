"""The entries of a plan, as frozen data. `execute` has one handler per kind; `explain` one line per kind."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from payoff.records.placement import Location, Placement
from payoff.records.project import SinkSpec, Step
from payoff.records.state import Remembered


class _Stage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """`needs` are the names of the stages that must have ended well before this one starts.

    `state`: `reuse` (the same was done before: `hit`), `run` (stale, for the reasons in `because`), `maybe` (something it depends on
    runs again; decided when that is done).
    """

    name: str
    needs: tuple[str, ...] = ()
    state: Literal["reuse", "run", "maybe"] = "run"
    because: tuple[str, ...] = ()
    hit: Remembered | None = None
    facts: dict[str, Any] = {}


class Read(_Stage, frozen=True, kw_only=True):
    """Bring a source's table into the store: only the columns that are used."""

    table: str


class Check(_Stage, frozen=True, kw_only=True):
    """Hold a table against its contract; with `at`, the `columns` of a source that is not read, in its database."""

    table: str
    at: Location | None = None
    columns: tuple[str, ...] = ()


class Transform(_Stage, frozen=True, kw_only=True):
    """A lazy step: its query runs in the engine (an ibis step is compiled in its sandbox first), or with `at` where its data is."""

    step: Step
    compiled_early: bool = False
    at: Placement | None = None


class Inline(_Stage, frozen=True, kw_only=True):
    """A lazy step that is no table of its own: it is part of the queries of other steps, where its data is."""

    step: Step
    at: Placement


class Call(_Stage, frozen=True, kw_only=True):
    """A Python step: its function runs in its sandbox."""

    step: Step


class SetAside(_Stage, frozen=True, kw_only=True):
    """Cut train once more: a part is set aside, on which a model fitted to the rest is compared with what happened."""

    examples: str


class Refit(_Stage, frozen=True, kw_only=True):
    """A step between train and the model, or the model's own, once more: on what is left of train."""

    step: Step
    inputs: dict[str, str]


class Split(_Stage, frozen=True, kw_only=True):
    """Cut the examples into `train` and the holdout."""

    examples: str


class Audit(_Stage, frozen=True, kw_only=True):
    """Search the split examples for what a model must not know."""


class Score(_Stage, frozen=True, kw_only=True):
    """Let the model predict the holdout, in its sandbox; counted as a look."""

    step: Step


class TryOut(_Stage, frozen=True, kw_only=True):
    """Let the model's second fit predict what was set aside of train."""

    step: Step


class Value(_Stage, frozen=True, kw_only=True):
    """Decisions and money over the holdout."""

    step: Step


class Write(_Stage, frozen=True, kw_only=True):
    """Write a table to a sink; `deferred`: only after the gates have passed the run."""

    sink: SinkSpec

    @property
    def deferred(self) -> bool:
        """True when it waits for the verdict."""
        return self.sink.when == "passed"


Stage = Read | Check | Transform | Inline | Call | Split | Audit | SetAside | Refit | Score | TryOut | Value | Write


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Stages in an order in which they could run one after another. `parameters` maps each step to its values."""

    stages: tuple[Stage, ...]
    parameters: dict[str, dict[str, Any]]

    @property
    def nothing_to_do(self) -> bool:
        """True when every stage has been done before (those that wait for a verdict apart)."""
        return all(stage.state == "reuse" or (isinstance(stage, Write) and stage.deferred) for stage in self.stages)

    @property
    def deferred(self) -> tuple[Write, ...]:
        """What is to be written once the gates have passed the run."""
        return tuple(stage for stage in self.stages if isinstance(stage, Write) and stage.deferred)
