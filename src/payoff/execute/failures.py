"""What went wrong in a sandbox, in the words of an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from payoff.base.errors import OutsideError, UserError, Where

if TYPE_CHECKING:
    from payoff.records.project import Project, Step
    from payoff.records.task import Failure, TaskResult


CONFIG = "payoff.toml"


class At:
    """What the user wrote wrong says this place, unless it knows better."""

    def __init__(self, where: Where | None) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UserError) and error.where is None:
            error.where = self.where


def at_source(project: Project, table: str) -> At:
    """Where a source is declared."""
    source = project.source(table)
    return At(Where(CONFIG, source.line) if source else None)


def at_step(step: Step) -> At:
    """Where a step is written."""
    return At(Where(step.file, step.line))


class StepFailed(UserError):
    """A step's own code failed; `failure` has its traceback, `fingerprint` what was loaded when it did."""

    failure: Failure
    fingerprint: dict[str, Any]


class StepEnded(OutsideError):
    """A step's process was ended from outside; `failure` says how."""

    failure: Failure
    fingerprint: dict[str, Any]


def raise_failure(step: Step, failure: Failure, result: TaskResult, *, scoring: bool = False) -> NoReturn:
    """Raise what a task's failure means to the user; `scoring` when it was to predict."""
    log = result.log
    where = Where(*failure.where) if failure.where else Where(step.file, step.line)
    words = _WORDS["model" if scoring and failure.kind == "type" else failure.kind]
    remedy = words[2].format(step=step.name, see=f"see {log}; " if log else "", environment=step.environment)
    what = words[1].format(step=step.name, error=failure.error, message=failure.message, signal=failure.signal)
    error: StepFailed | StepEnded
    if failure.kind in {"killed", "memory", "cancelled"}:
        error = StepEnded(what, code=words[0], remedy=remedy, where=where, expected=words[3])
    else:
        error = StepFailed(what, code=words[0], remedy=remedy, where=where, expected=words[3])
    error.failure, error.fingerprint = failure, result.fingerprint
    raise error


# kind -> code, what, remedy, expected
_WORDS: dict[str, tuple[str, str, str, str]] = {
    "exception": (
        "PO-R001",
        "step {step} raised {error}",
        "mend the step, then payoff run: finished steps are not repeated",
        "a step that returns",
    ),
    "exit": (
        "PO-R002",
        "step {step} ended its process ({message})",
        "return from the step instead of calling exit",
        "a step that returns",
    ),
    "killed": (
        "PO-R003",
        "step {step} was ended by signal {signal} ({error}): {message}",
        "{see}a crash in compiled code is often two libraries that do not fit: payoff run again",
        "a step that returns",
    ),
    "memory": (
        "PO-R004",
        "step {step} ran out of memory",
        'take fewer columns (Annotated[..., payoff.columns("a", "b")]), or raise [environments.{environment}] memory',
        "a step that fits into memory",
    ),
    "type": (
        "PO-R005",
        "step {step}: {message}",
        "return what the step's annotation says",
        "a table (pyarrow, pandas, polars), a path to a Parquet file, or an object that can be pickled",
    ),
    "model": (
        "PO-R009",
        "step {step}: {message}",
        "return a fitted model from step {step}",
        "a model with predict_proba or predict, or a function of the rows, that answers with one number per row and outcome",
    ),
    "environment": (
        "PO-R006",
        "step {step}: {message}",
        "uv add the missing package, commit uv.lock, then payoff run",
        "an environment that has what the step's forms need",
    ),
    "cancelled": ("PO-R007", "step {step} was cancelled", "payoff run: finished steps are not repeated", ""),
}
