"""The handlers of what is found out on train alone: a part is set aside, the model fitted to the rest, and tried out on that part.

Nothing here can fail a run: where the model cannot be fitted once more, its probabilities are taken as they are, and it is said so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.errors import PayoffError
from payoff.execute import predict
from payoff.execute.context import Context, Sandbox, Work, label
from payoff.execute.failures import raise_failure
from payoff.execute.steps import call_task, identified, keep, query
from payoff.plan import graph, keys
from payoff.plan.build import aside_facts, score_facts
from payoff.plan.stages import Refit, SetAside, TryOut
from payoff.records.artifact import Artifact
from payoff.records.evidence import StepOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from payoff.plan.stages import Stage
    from payoff.records.project import Step
    from payoff.records.task import TaskResult

    Handler = Generator[Sandbox | Work, Any, StepOutcome]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What happened on the part set aside (`outcomes`, a table), what the second fit predicted there, or the reason why that is not known."""

    outcomes: Any = None
    scores: Any = None
    classes: list[Any] | None = None
    reason: str = ""


_FIT = f"{graph.FIT}{graph.TRAIN}"


def set_aside(context: Context, stage: SetAside) -> Handler:
    """Cut train once more, and see whether the part says something."""
    from payoff.data import aside, known  # bring sqlglot, which an unchanged run does without

    charter, kit = context.project.charter, context.kit
    examples = context.artifacts[stage.examples]
    facts = aside_facts(context.project, examples.id)
    if hit := context.again(stage, facts):
        context.artifacts[graph.ASIDE] = msgspec.convert(hit.extra["rows"], Artifact)
        context.artifacts[_FIT] = hit.output
        return context.reused(stage, hit)
    queries = aside.compile_aside(charter, known.features(charter, context.project.contracts, examples.columns))
    files = {stage.examples: context.file(stage.examples)}

    def cut(name: str, sql: str) -> Artifact:
        output = kit.store.scratch(name)
        kit.engine.transform(sql, files, output)
        return context.keep_table(output)

    def outcomes(name: str) -> dict[str, int]:
        answer = kit.engine.query(aside.census(charter, "cut"), {"cut": context.file(name)})
        return dict(zip(answer["outcome"].to_pylist(), answer["rows"].to_pylist(), strict=True))

    context.artifacts[_FIT] = yield Work(lambda: cut("fit", queries.fit))
    context.artifacts[graph.ASIDE] = yield Work(lambda: cut("aside", queries.rows))
    fit, rows = yield Work(lambda: (outcomes(_FIT), outcomes(graph.ASIDE)))
    extra = {"rows": msgspec.to_builtins(context.artifacts[graph.ASIDE]), "too few": aside.too_few(charter, fit, rows)}
    return context.done(stage, facts, context.artifacts[_FIT], extra=extra)


def refit(context: Context, stage: Refit) -> Handler:
    """Run a step of the model's once more, on what is left of train."""
    if few := context.outcomes["set aside"].extra.get("too few"):
        return _skipped(stage, few)
    step = stage.step
    facts = keys.step_facts(
        step,
        context.project.environment(step.environment),
        context.plan.parameters.get(step.name, {}),
        {name: context.content(made) for name, made in stage.inputs.items()},
        context.system,
    ) | keys.promised(context.project.contract(step.name))
    if hit := context.again(stage, facts):
        context.artifacts[stage.name] = hit.output
        return context.reused(stage, hit)
    try:
        if step.lazy:
            _, artifact = yield from query(context, step, stage.inputs)
            result = None
        else:
            _get_ready(context, step)
            result = yield Sandbox(call_task(context, stage.name, step, stage.inputs))
            if result.failure:
                raise_failure(step, result.failure, result)
            kept = yield from keep(context, stage.name, result)
            artifact = identified(context, step, kept, result, stage.inputs)
            result = msgspec.structs.replace(result, metrics={})  # those of the run are the model's own
    except PayoffError as error:
        return _skipped(stage, f"the model could not be fitted to a part of train: {error.code}: {error.what}")
    context.artifacts[stage.name] = artifact
    return context.done(stage, facts, artifact, result=result)


def _get_ready(context: Context, step: Step) -> None:
    """A sandbox gets ready for trying the model out while it is fitted."""
    stage = next((each for each in context.plan.stages if isinstance(each, TryOut)), None)
    if stage is not None and step.name == stage.step.name:
        task = predict.task_of(context, stage)
        context.kit.executor.prepare(task.environment, lambda _line: None, soon=task)


def try_out(context: Context, stage: TryOut) -> Handler:
    """Let the second fit predict what was set aside."""
    model = f"{graph.FIT}{stage.step.name}"
    facts = score_facts(context.project, context.artifacts[model].id, context.artifacts[graph.ASIDE].id)
    if hit := context.again(stage, facts):
        context.artifacts[graph.TRIED] = hit.output
        return context.reused(stage, hit)
    try:
        result: TaskResult
        result, artifact = yield from predict.rows(context, stage, model=model, table=graph.ASIDE)
    except PayoffError as error:
        return _skipped(stage, f"the model could not predict a part of train: {error.code}: {error.what}")
    context.artifacts[graph.TRIED] = artifact
    return context.done(stage, facts, artifact, result=result)


def trial(context: Context) -> Callable[[], Trial | None]:
    """What was found out on the part set aside, to be called beside the run; gives None where the charter does not want it."""
    charter, kit = context.project.charter, context.kit
    outcome = context.outcomes.get("try out")
    if graph.TRIED not in context.artifacts or outcome is None:
        reason = _reason(context)
        return lambda: Trial(reason=reason) if reason else None
    files = {"rows": context.file(graph.ASIDE), "scores": context.file(graph.TRIED)}

    def read() -> Trial:
        from payoff.data import expressions

        return Trial(
            outcomes=kit.engine.query(f"select {expressions.outcome_sql(charter)} as outcome from rows", files),
            scores=kit.engine.query("select * from scores", files),
            classes=outcome.extra.get("classes"),
        )

    return read


def _reason(context: Context) -> str:
    """Why nothing could be found out; empty when nothing was to be."""
    for stage in context.plan.stages:
        if isinstance(stage, SetAside | Refit | TryOut) and stage.name in context.outcomes:
            outcome = context.outcomes[stage.name]
            if outcome.extra.get("too few"):
                return str(outcome.extra["too few"])
            if outcome.state == "skipped":
                return outcome.because[0]
    return ""


def _skipped(stage: Stage, reason: str) -> StepOutcome:
    return StepOutcome(name=label(stage), state="skipped", because=(reason,))
