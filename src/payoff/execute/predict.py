"""A model's predictions for rows it was not fitted to, made in its own sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.execute.context import Context, Sandbox, Work
from payoff.execute.failures import raise_failure
from payoff.execute.steps import environment_of
from payoff.plan import graph
from payoff.records.artifact import Artifact
from payoff.records.task import Task, TaskInput, TaskResult

if TYPE_CHECKING:
    from collections.abc import Generator

    from payoff.plan.stages import Score, TryOut
    from payoff.records.project import Form, Step


def rows(
    context: Context, stage: Score | TryOut, *, model: str, table: str
) -> Generator[Sandbox | Work, Any, tuple[TaskResult, Artifact]]:
    """Let a model predict rows from their features, in its own sandbox."""
    step = stage.step
    outcome = context.project.charter.decision.outcome.column
    features = tuple(name for name in context.artifacts[graph.TRAIN].columns if name != outcome)
    task = msgspec.structs.replace(
        task_of(context, stage),
        inputs=(
            TaskInput(name="model", form="object", path=str(context.file(model))),
            TaskInput(name="rows", form=form(step), path=str(context.file(table)), columns=features),
        ),
        output=str(context.kit.store.scratch("scores")),
        options={"feature_columns": list(features), "id": context.project.charter.decision.id},
    )
    result: TaskResult = yield Sandbox(task)
    if result.failure:
        raise_failure(step, result.failure, result, scoring=True)
    artifact: Artifact = yield Work(lambda: context.keep_table(Path(result.file)))
    return result, artifact


def form(step: Step) -> Form:
    """How the model got its rows in training, and gets them in scoring."""
    return next((each.form for each in step.inputs if each.name == graph.TRAIN), "pandas")


def task_of(context: Context, stage: Score | TryOut) -> Task:
    """The scoring of a model that may not be there yet."""
    step = stage.step
    return Task(
        id=stage.name,
        kind="score",
        step=step.name,
        environment=environment_of(context, step),
        root=context.project.root,
        module=step.module,
        function=step.function,
        seed=step.seed,
        deterministic=step.deterministic,
        threads=step.threads,
    )
