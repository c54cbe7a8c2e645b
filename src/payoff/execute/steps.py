"""The handlers of steps: queries in the engine, functions in their sandboxes."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base import hashing
from payoff.base.errors import OutsideError
from payoff.execute import perturb
from payoff.execute.context import Context, Sandbox, Work, fields
from payoff.execute.failures import at_source, at_step, raise_failure
from payoff.execute.privacy import spending
from payoff.execute.pushdown import cluster, here
from payoff.plan import graph, keys
from payoff.records.artifact import Artifact, Field
from payoff.records.task import Task, TaskInput, TaskResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from payoff.plan.stages import Call, Transform
    from payoff.records.evidence import StepOutcome
    from payoff.records.project import Environment, Step

    Handler = Generator[Sandbox | Work, Any, StepOutcome]


_NUMBERS = itertools.count()  # a step between train and the model may be compiled twice at a time
_PAUSE = 0.005  # seconds between two looks whether an input that is being stored is there


class InputLost(OutsideError):
    """An input that a step had begun to read could not be stored."""

    def __init__(self, step: Step) -> None:
        super().__init__(
            f"step {step.name} ran, but an input of it could not be stored",
            code="PO-R008",
            remedy="mend what kept the input from being stored (its own error says what), then payoff run",
        )


def facts_of(context: Context, step: Step) -> dict[str, Any]:
    """What the step's result depends on, now that its inputs are there."""
    return keys.step_facts(
        step,
        context.project.environment(step.environment),
        context.plan.parameters.get(step.name, {}),
        {each.name: context.content(each.name) for each in step.inputs},
        context.system,
    ) | keys.promised(context.project.contract(step.name))


def call(context: Context, stage: Call) -> Handler:
    """Run a step's function, unless the same was done before.

    When it cannot have been done before, it starts as soon as its inputs are written, while they are still being stored.
    """
    step = stage.step
    early = [each.name for each in step.inputs if each.name not in context.artifacts]
    if not early:
        facts = facts_of(context, step)
        if hit := context.again(stage, facts):
            context.artifacts[step.name] = hit.output
            return context.reused(stage, hit)
    result: TaskResult = yield Sandbox(call_task(context, stage.name, step, {}))
    if result.failure:
        raise_failure(step, result.failure, result)
    artifact = yield from keep(context, step.name, result)
    yield from perturb.verify(context, step, call_task(context, stage.name, step, {}), artifact)
    while any(name not in context.artifacts for name in early):
        if any(f"step:{name}" in context.errors for name in early):
            raise InputLost(step)
        yield Work(lambda: time.sleep(_PAUSE))
    context.artifacts[step.name] = artifact = identified(context, step, artifact, result, {})
    return context.done(stage, facts_of(context, step), artifact, result=result)


def identified(
    context: Context, step: Step, artifact: Artifact, result: TaskResult, instead: dict[str, str]
) -> Artifact:
    """An object of a class of the project's own is what its pickle says and what its class does: that is in the step's code, or came with
    an object that the step took.
    """
    if not result.extra.get("own_classes"):
        return artifact
    taken = [context.artifacts[instead.get(each.name, each.name)] for each in step.inputs]
    code = [step.code, *(each.id for each in taken if each.kind == "object")]
    return msgspec.structs.replace(artifact, id=hashing.of_json([artifact.id, *code]))


def call_task(context: Context, name: str, step: Step, instead: dict[str, str]) -> Task:
    """The call of a step's function; `instead` names the tables that stand in for some of its inputs."""
    return Task(
        id=name,
        kind="call",
        step=step.name,
        environment=environment_of(context, step),
        root=context.project.root,
        module=step.module,
        function=step.function,
        inputs=tuple(
            TaskInput(
                name=each.name,
                form=each.form,
                path=str(context.file(instead.get(each.name, each.name))),
                columns=each.columns,
            )
            for each in step.inputs
        ),
        parameters=context.plan.parameters.get(step.name, {}),
        output=str(context.kit.store.scratch(step.name)),
        seed=step.seed,
        deterministic=step.deterministic,
        threads=step.threads,
        options={"output_form": step.output},
    )


def keep(context: Context, name: str, result: TaskResult) -> Generator[Sandbox | Work, Any, Artifact]:
    """Store what a task wrote; others may read a table before it is stored."""
    written = Path(result.file)
    if result.kind != "table":
        return context.kit.store.put_object(written, result.python_type)
    early = written.with_name(written.name + ".early")
    os.link(written, early)
    context.early[name] = early
    artifact: Artifact = yield Work(lambda: context.keep_table(written))
    return artifact


def transform(context: Context, stage: Transform) -> Handler:
    """Run a lazy step's query in the engine, unless the same was done before."""
    step = stage.step
    facts = facts_of(context, step)
    if hit := context.again(stage, facts):
        context.artifacts[step.name] = hit.output
        return context.reused(stage, hit)
    sql, artifact = yield from query(context, step, {})
    context.artifacts[step.name] = artifact
    return context.done(stage, facts, artifact, extra={"sql": sql})


def query(
    context: Context, step: Step, instead: dict[str, str]
) -> Generator[Sandbox | Work, Any, tuple[str, Artifact]]:
    """Run a lazy step's query; `instead` names the tables that stand in for some of its inputs."""
    names = {each.name: instead.get(each.name, each.name) for each in step.inputs}
    shapes = {name: context.artifacts[of].fields for name, of in names.items()}
    sql = context.compiled.get(step.name) or (yield from compile_step(context, step, shapes))
    files = {name: context.file(of) for name, of in names.items()}
    output = context.kit.store.scratch(step.name)

    def kept(file: Path) -> Artifact:
        identity = context.kit.engine.identify(file)
        spending.pay(context, step, identity.name)
        return context.kit.store.put_table(file, identity)

    def work() -> Artifact:
        with at_step(step):
            asked = lowered(context, step, sql, lambda query: context.kit.engine.query(query, files).schema)
            wanted = _settled(context, step, asked)
            if not cluster.transform(context, asked, names, files, output):
                here.transform(context.kit.engine, context.kit.store, wanted, files, output)
            elif wanted != asked:  # in an order that is the same wherever the query ran
                ordered = context.kit.store.scratch(step.name)
                sql_ordered = "select * from answer order by all"
                here.transform(context.kit.engine, context.kit.store, sql_ordered, {"answer": output}, ordered)
                return kept(ordered)
        return kept(output)

    artifact = yield Work(work)
    return sql, artifact


def lowered(context: Context, step: Step, sql: str, schema_of: Callable[[str], Any]) -> str:
    """The query with the reviewed operators of its table's contract applied to its answer. It may hold a secret: it goes to the engine only."""
    contract = context.project.contract(step.name)
    if contract is None or not contract.applied:
        return sql
    from payoff.data.labels import operators  # brings sqlglot, see _settled

    names = schema_of(f"select * from (\n{sql.strip().rstrip(';').rstrip()}\n) limit 0").names
    return operators.wrap(sql, names, contract, os.environ.get)


def _settled(context: Context, step: Step, sql: str) -> str:
    """The query with its rows in an order that does not depend on threads, when a function gets them."""
    from payoff.data import order  # brings sqlglot, which a run without queries does without

    if all(consumer.lazy for consumer in graph.consumers(context.project.steps, step.name)):
        return sql
    return order.settled(sql)


def compile_step(
    context: Context, step: Step, shapes: dict[str, tuple[Field, ...]]
) -> Generator[Sandbox | Work, Any, str]:
    """The query of a lazy step over inputs of these shapes: its file's, or what its function makes of unbound tables."""
    if step.join is not None:
        from payoff.data import as_of  # only where there are such joins

        return as_of.query(step.join, shapes)
    if step.sql is not None:
        return step.sql
    task = Task(
        id=f"compile:{step.name}:{next(_NUMBERS)}",
        kind="compile",
        step=step.name,
        environment=environment_of(context, step),
        root=context.project.root,
        module=step.module,
        function=step.function,
        inputs=tuple(TaskInput(name=each.name, form=each.form, fields=shapes[each.name]) for each in step.inputs),
        parameters=context.plan.parameters.get(step.name, {}),
        output=str(context.kit.store.scratch(f"{step.name}-query")),
        seed=step.seed,
        options={"dialect": context.kit.engine.dialect},
    )
    result: TaskResult = yield Sandbox(task)
    if result.failure:
        raise_failure(step, result.failure, result)
    return result.sql


def compile_early(context: Context, step: Step) -> Generator[Sandbox | Work, Any, None]:
    """Compile a lazy step before its sources are read, so that only the columns it uses are read.

    Where a source lacks a column that its contract promises, the query is left for later: the contract's check says it better.
    """
    if step.name in context.compiled:
        return
    for each in step.inputs:
        if context.project.source(each.name) and each.name not in context.shapes:
            yield from look_at(context, each.name)
    if any(each.name not in context.shapes or _lacks_promised(context, each.name) for each in step.inputs):
        return
    sql = yield from compile_step(context, step, {each.name: context.shapes[each.name] for each in step.inputs})
    schemas = {each.name: context.schemas[each.name] for each in step.inputs}
    with at_step(step):
        answered = lowered(context, step, sql, lambda query: context.kit.engine.columns(query, schemas))
        schema = yield Work(lambda: context.kit.engine.columns(answered, schemas))
    context.compiled[step.name] = sql
    context.schemas[step.name] = schema
    context.shapes[step.name] = fields(schema)


def look_at(context: Context, table: str) -> Generator[Sandbox | Work, Any, None]:
    """Ask a source for its columns."""
    with at_source(context.project, table):
        schema = yield Work(context.kit.source(table).schema)
    context.shapes[table] = fields(schema)
    context.schemas[table] = schema


def _lacks_promised(context: Context, table: str) -> bool:
    contract = context.project.contract(table)
    names = {each.name for each in context.shapes[table]}
    return contract is not None and any(column.name not in names for column in contract.columns)


def environment_of(context: Context, step: Step) -> Environment:
    """The step's environment, as the loader found it."""
    environment = context.project.environment(step.environment)
    assert environment is not None, "the loader refuses a step whose environment is not declared"  # noqa: S101 - tells mypy
    return environment
