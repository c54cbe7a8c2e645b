"""What is known of queries before a run: lazy steps compiled, one after another, over the schemas of their sources. No row is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from payoff.execute import steps
from payoff.execute.context import Context, Sandbox, Work
from payoff.execute.failures import at_source
from payoff.plan import graph

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from payoff.ports.executor import Executor
    from payoff.ports.source import Labelling
    from payoff.records.task import Task, TaskResult


def look(context: Context, only: Sequence[str] = ()) -> None:
    """Fill in the context's schemas and queries, as far as they can be known: of all sources, and of lazy steps over those and each other."""
    project = context.project
    wanted = graph.needed_steps(project, tuple(only))
    early = graph.compiled_early(project, wanted)
    for step in wanted:
        if step.name in early and step.name not in context.compiled:
            drive(context.kit.executor if step.sql is None else None, steps.compile_early(context, step))
    for source in project.sources:
        if source.table not in context.schemas and _is_used(context, source.table, only):
            drive(None, steps.look_at(context, source.table))
        if context.kit.capable(source.table, "labels") and _is_used(context, source.table, only):
            with at_source(project, source.table):
                context.given[source.table] = cast("Labelling", context.kit.source(source.table)).labels()


def _is_used(context: Context, table: str, only: Sequence[str]) -> bool:
    return table in graph.sources_of(context.project, graph.needed_steps(context.project, tuple(only)))


def drive(executor: Executor | None, handler: Generator[Sandbox | Work, Any, Any]) -> Any:
    """Do what a handler wishes for, here and now, instead of beside others."""
    value: Any = None
    try:
        while True:
            wish = handler.send(value)
            if isinstance(wish, Work):
                value = wish.call()
            else:
                assert executor is not None, "only the queries of functions need a sandbox"  # noqa: S101 - tells mypy
                value = _run(executor, wish.task)
    except StopIteration as end:
        return end.value


def _run(executor: Executor, task: Task) -> TaskResult:
    executor.prepare(task.environment, lambda _line: None)
    executor.submit(task)
    while True:
        for result in executor.wait():
            if result.id == task.id:
                return result
