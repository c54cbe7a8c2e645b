"""Plan + Kit -> Result: every stage's outcome, and the evidence for the gates."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from payoff.base.errors import OutsideError, PayoffError
from payoff.execute import aside, predict, steps, tables, verdict
from payoff.execute.context import Context, label
from payoff.execute.delivery import write
from payoff.execute.pushdown import handlers
from payoff.execute.schedule import Node, Scheduler
from payoff.plan import graph
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
from payoff.records.evidence import Evidence, StepOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from payoff.execute.context import Sandbox, Work
    from payoff.plan.stages import Plan, Stage
    from payoff.ports.kit import Kit
    from payoff.ports.observer import Observer
    from payoff.records.project import Project
    from payoff.records.state import State


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a run runs on: `workers` is how many stages may run at once, `system` the facts that steps' results may depend on.

    `at`: the time that promises of freshness are held against, where an earlier run is executed again; empty: now.
    """

    workers: int
    system: dict[str, str]
    at: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`steps` are the project's own, `stages` what was done around them; `errors` by stage, for those that failed."""

    steps: tuple[StepOutcome, ...]
    stages: tuple[StepOutcome, ...]
    evidence: Evidence
    errors: dict[str, Exception]
    interrupted: bool = False


def execute(
    project: Project,
    plan: Plan,
    kit: Kit,
    state: State,
    *,
    run: str,
    tell: Observer,
    machine: Machine,
    seen: Context | None = None,
) -> Result:
    """Run the stages of a plan side by side, and answer with what came of them; ctrl-C ends everything and is said in the result.

    `seen` is what was found out about the run's queries before it: those very queries run.
    """
    context = Context(project, plan, kit, state, run=run, tell=tell, system=machine.system)
    context.at = machine.at
    if seen is not None:
        context.knows(seen)
    _prepare(context)
    interrupted = False
    if not context.errors:
        try:
            Scheduler(context, _nodes(context), workers=machine.workers).run()
        except KeyboardInterrupt:
            interrupted = True
            context.errors["the run"] = _stopped()
            if kit.made("executor"):
                kit.executor.close()
    for early in context.early.values():
        early.unlink(missing_ok=True)
    if context.beside is not None:
        # A process that ends in the middle of an import of compiled code is aborted, and its exit code says nothing true.
        context.beside.join()
    return _result(context, interrupted=interrupted)


def _stopped() -> OutsideError:
    return OutsideError(
        "the run was stopped before its end, by ctrl-C or a signal",
        code="PO-R010",
        expected="a run that may go on to its verdict",
        remedy="payoff run: finished steps are not repeated",
    )


def _prepare(context: Context) -> None:
    """Make the environments real that the stages which may run will use."""
    names = {
        stage.step.environment
        for stage in context.plan.stages
        if stage.state != "reuse"
        and (
            isinstance(stage, Call | Score | TryOut)
            or (isinstance(stage, Transform) and stage.step.kind == "python" and not stage.at)
        )
    }
    for name in sorted(names):
        environment = context.project.environment(name)
        if environment is None:
            continue
        context.tell("environment", name=name, state="started")
        try:
            context.kit.executor.prepare(environment, functools.partial(_progress, context, name))
        except PayoffError as error:
            context.errors[f"environment:{name}"] = error
            context.tell("environment", name=name, state="failed", because=(error.what,))
        else:
            context.tell("environment", name=name, state="done")


def _unheard(line: str) -> None:
    """Nobody waits for this."""


def _progress(context: Context, name: str, line: str) -> None:
    context.tell("environment", name=name, state="progress", line=line)


def _nodes(context: Context) -> list[Node]:
    nodes: list[Node] = []
    compiled: set[str] = set()
    stages = {stage.name: stage for stage in context.plan.stages}
    reading = any(isinstance(stage, Read) and stage.state != "reuse" for stage in context.plan.stages)
    if reading:
        for stage in context.plan.stages:
            if isinstance(stage, Transform) and stage.compiled_early:
                needs = tuple(f"compile:{i.name}" for i in stage.step.inputs if f"compile:{i.name}" in compiled)
                name = f"compile:{stage.step.name}"
                compiled.add(name)
                start = functools.partial(steps.compile_early, context, stage.step)
                nodes.append(Node(name=name, needs=needs, start=start, shown=stage.step.name))
    for stage in context.plan.stages:
        if isinstance(stage, Write) and stage.deferred:
            continue
        needs, soft = _needs(stage, stages, compiled)
        # Without what is set aside there is a verdict still.
        after = tuple(name for name in needs if isinstance(stage, Value) and isinstance(stages.get(name), TryOut))
        needs = tuple(name for name in needs if name not in after)
        made = Node(name=stage.name, needs=needs, soft=soft, start=_handler(context, stage), shown=label(stage))
        made.after = after
        nodes.append(made)
    return nodes


def _needs(stage: Stage, stages: dict[str, Stage], compiled: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What must be stored before a stage starts, and what need only be written.

    A function whose own code, parameters or environment changed cannot find an earlier result, so it need not wait for the identity
    of its inputs: it starts while they are being stored.
    """
    if isinstance(stage, Read):
        users = graph.consumers(
            tuple(s.step for s in stages.values() if isinstance(s, Transform) and not s.at), stage.table
        )
        return tuple(f"compile:{step.name}" for step in users if f"compile:{step.name}" in compiled), ()
    if isinstance(stage, Call) and stage.state == "run" and stage.because != ("asked for by --force",):
        soft = {name for name in stage.needs if isinstance(stages.get(name), Call)}
        return tuple(n for n in stage.needs if n not in soft), tuple(n for n in stage.needs if n in soft)
    return stage.needs, ()


def _handler(context: Context, stage: Stage) -> Callable[[], Generator[Sandbox | Work, Any, StepOutcome]]:
    match stage:
        case Read():
            return functools.partial(tables.read, context, stage)
        case Check() if stage.at is not None:
            return functools.partial(handlers.check, context, stage, stage.at)
        case Check():
            return functools.partial(tables.check, context, stage)
        case Transform() if stage.at is not None:
            return functools.partial(handlers.transform, context, stage, stage.at)
        case Inline():
            return functools.partial(handlers.inline, context, stage)
        case Transform():
            return functools.partial(steps.transform, context, stage)
        case Call() if stage.step.name == context.project.charter.model_step:
            return functools.partial(_train, context, stage)
        case Call():
            return functools.partial(steps.call, context, stage)
        case Split():
            return functools.partial(tables.split, context, stage)
        case Audit():
            return functools.partial(tables.audit, context, stage)
        case SetAside():
            return functools.partial(aside.set_aside, context, stage)
        case Refit():
            return functools.partial(aside.refit, context, stage)
        case Score():
            return functools.partial(verdict.score, context, stage)
        case TryOut():
            return functools.partial(aside.try_out, context, stage)
        case Value():
            return functools.partial(verdict.value, context, stage)
        case Write():
            return functools.partial(write.write, context, stage)
        case _:
            assert_never(stage)


def _train(context: Context, stage: Call) -> Generator[Sandbox | Work, Any, StepOutcome]:
    """Run the model's step; a sandbox gets ready for scoring meanwhile, and we for judging."""
    score = next((each for each in context.plan.stages if isinstance(each, Score)), None)
    if score is not None and stage.state == "run":
        task = predict.task_of(context, score)
        context.kit.executor.prepare(task.environment, _unheard, soon=task)
        context.beside = threading.Thread(target=verdict.get_ready, args=(context,), daemon=True)
        context.beside.start()
    return steps.call(context, stage)


def _result(context: Context, *, interrupted: bool) -> Result:
    outcomes = []
    for stage in context.plan.stages:
        if isinstance(stage, Write) and stage.deferred:
            continue
        outcome = context.outcomes.get(stage.name)
        if outcome is None:
            outcome = StepOutcome(name=label(stage), state="skipped", because=("the run ended before",))
        # A query that could not be compiled is its step's failure.
        outcomes.append((stage, context.outcomes.get(f"compile:{label(stage)}", outcome)))
    own = tuple(o for stage, o in outcomes if isinstance(stage, Call | Transform | Inline))
    project = context.project
    made = {n: a for n, a in context.artifacts.items() if a.kind == "table" and n != "holdout" and ":" not in n}
    metrics = {f"{o.name}.{name}": value for o in own for name, value in o.metrics.items()}
    metrics |= {name: value for o in own for name, value in o.metrics.items()}
    metrics |= context.valuation.metrics if context.valuation else {}
    evidence = Evidence(
        steps=own,
        checks=tuple(context.checks),
        tables=made,
        model=context.artifacts.get(project.charter.model_step),
        predictions=context.artifacts.get(graph.PREDICTIONS),
        valuation=context.valuation,
        leaks=context.leaks,
        holdout_rows=context.holdout_rows,
        looks=context.looks,
        metrics=metrics,
    )
    return Result(
        steps=own,
        stages=tuple(o for stage, o in outcomes if not isinstance(stage, Call | Transform | Inline)),
        evidence=evidence,
        errors=context.errors,
        interrupted=interrupted,
    )
