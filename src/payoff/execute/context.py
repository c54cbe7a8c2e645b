"""What the handlers of one run share: adapters, what was made so far, and how an outcome is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.clock import stopwatch
from payoff.plan import keys
from payoff.plan.stages import (
    Audit,
    Call,
    Check,
    Inline,
    Read,
    Refit,
    Score,
    SetAside,
    Split,
    Transform,
    TryOut,
    Value,
    Write,
)
from payoff.records.artifact import Artifact, Field
from payoff.records.evidence import CheckResult, Leak, StepOutcome, Valuation
from payoff.records.state import Remembered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from threading import Thread

    from payoff.plan.stages import Plan, Stage
    from payoff.ports.kit import Kit
    from payoff.ports.observer import Observer
    from payoff.records.label import Label
    from payoff.records.project import Project
    from payoff.records.state import State
    from payoff.records.task import TaskResult


class Sandbox(msgspec.Struct, frozen=True):
    """A handler's wish: run this task in its sandbox and hand back the `TaskResult`."""

    task: Any


class Work(msgspec.Struct, frozen=True):
    """A handler's wish: call this beside the others (in a thread) and hand back what it returns."""

    call: Any


class Context:
    """The state of one run while it runs. Handlers run in one thread; only what is wrapped in `Work` runs in others."""

    def __init__(
        self, project: Project, plan: Plan, kit: Kit, state: State, *, run: str, tell: Observer, system: dict[str, str]
    ) -> None:
        self.project = project
        self.plan = plan
        self.kit = kit
        self.state = state
        self.run = run
        self.tell = tell
        self.artifacts: dict[str, Artifact] = {}
        self.early: dict[str, Path] = {}
        self.compiled: dict[str, str] = {}
        self.schemas: dict[str, Any] = {}
        self.given: dict[str, Mapping[str, Label]] = {}  # labels that came with sources' columns
        self.system = system
        self.shapes: dict[str, tuple[Field, ...]] = {}
        self.outcomes: dict[str, StepOutcome] = {}
        self.errors: dict[str, Exception] = {}
        self.checks: list[CheckResult] = []
        self.valuation: Valuation | None = None
        self.leaks: tuple[Leak, ...] | None = None
        self.holdout_rows = 0
        self.looks = 0
        self.at = ""  # the time that freshness is held against; empty: now
        self.started: dict[str, float] = {}
        self.beside: Thread | None = None  # gets ready for the verdict while the model trains

    def knows(self, seen: Context) -> None:
        """Take over what is known of tables and queries before they are made."""
        self.schemas, self.shapes, self.compiled = dict(seen.schemas), dict(seen.shapes), dict(seen.compiled)
        self.given = dict(seen.given)

    # -- what was made

    def file(self, name: str) -> Path:
        """Where a table or object can be read: its place in the store, or before it is there the file that was just written."""
        if name in self.artifacts:
            return self.kit.store.path(self.artifacts[name])
        return self.early[name]

    def content(self, name: str) -> str:
        """The identity of a table's or object's content."""
        return self.artifacts[name].id

    def keep_table(self, file: Path) -> Artifact:
        """Name a finished table file by its content and hand it to the store."""
        return self.kit.store.put_table(file, self.kit.engine.identify(file))

    # -- how a stage ends

    def again(self, stage: Stage, facts: dict[str, Any]) -> Remembered | None:
        """What is remembered of the same work, if it can be read still."""
        if stage.state == "reuse" and stage.hit is not None:
            return stage.hit
        if stage.because == ("asked for by --force",):
            return None
        key = keys.key(stage.name, facts)
        hit = self.kit.ledger.recall([key]).get(key)
        return hit if hit and self.kit.store.has(hit.output) else None

    def reused(self, stage: Stage, hit: Remembered) -> StepOutcome:
        """The outcome of a stage that was done before."""
        return StepOutcome(
            name=label(stage),
            state="reused",
            key=hit.key,
            output=hit.output,
            metrics=hit.metrics,
            extra=hit.extra,
            fingerprint=hit.fingerprint,
        )

    def done(
        self,
        stage: Stage,
        facts: dict[str, Any],
        output: Artifact,
        *,
        result: TaskResult | None = None,
        extra: dict[str, Any] | None = None,
    ) -> StepOutcome:
        """Write a finished stage into the journal, so that a kill after this moment loses nothing, and make its outcome."""
        because = stage.because
        if stage.state == "maybe":
            because = keys.reasons(facts, self.state.latest.get(stage.name))
        outcome = StepOutcome(
            name=label(stage),
            state="ran",
            because=because,
            seconds=stopwatch() - self.started.get(stage.name, stopwatch()),
            key=keys.key(stage.name, facts),
            output=output,
            metrics=result.metrics if result else {},
            fingerprint=result.fingerprint if result else {},
            extra={**(result.extra if result else {}), **(extra or {})},
            log=result.log if result else "",
            peak_memory_bytes=result.peak_memory_bytes if result else 0,
        )
        remembered = Remembered(
            step=stage.name,
            key=outcome.key,
            run=self.run,
            output=output,
            facts=facts,
            seconds=outcome.seconds,
            metrics=outcome.metrics,
            extra=outcome.extra,
            fingerprint=outcome.fingerprint,
        )
        self.kit.ledger.journal(
            self.project.id, self.run, "step", {"subject": stage.name, **msgspec.to_builtins(remembered)}
        )
        return outcome


def label(stage: Stage) -> str:
    """A stage's name as people see it: a step by its own name."""
    match stage:
        case Transform() | Inline() | Call():
            return stage.step.name
        case Read() | Check() | Split() | Audit() | SetAside() | Refit() | Score() | TryOut() | Value() | Write():
            return stage.name


def fields(schema: Any) -> tuple[Field, ...]:
    """Our words for an Arrow schema."""
    return tuple(Field(each.name, str(each.type)) for each in schema)
