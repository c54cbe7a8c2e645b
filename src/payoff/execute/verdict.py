"""The handlers of the verdict: let the model predict the holdout, then decide and count the money."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.execute import aside, predict
from payoff.execute.context import Context, Sandbox, Work
from payoff.plan import graph
from payoff.plan.build import score_facts, value_facts
from payoff.records.evidence import Valuation

if TYPE_CHECKING:
    from collections.abc import Generator

    from payoff.plan.stages import Score, Value
    from payoff.records.artifact import Artifact
    from payoff.records.evidence import StepOutcome

    Handler = Generator[Sandbox | Work, Any, StepOutcome]


def score(context: Context, stage: Score) -> Handler:
    """Let the model predict the holdout's features in its own sandbox; the look is written down before it is taken."""
    project, step = context.project, stage.step
    model, holdout = context.artifacts[step.name], context.artifacts["holdout"]
    facts = score_facts(project, model.id, holdout.id)
    if hit := context.again(stage, facts):
        context.artifacts[graph.SCORES] = hit.output
        return context.reused(stage, hit)
    look(context)
    result, artifact = yield from predict.rows(context, stage, model=step.name, table="holdout")
    context.artifacts[graph.SCORES] = artifact
    extra = {"form": predict.form(step), "environment": step.environment}
    return context.done(stage, facts, artifact, result=result, extra=extra)


def get_ready(context: Context) -> None:
    """Import and draw what the verdict needs while the model trains, a second that would otherwise come after it."""
    try:
        import pyarrow as pa

        from payoff.data import expressions

        money = importlib.import_module("payoff.execute.money")
        expressions.check_charter(context.project.charter, None)
        context.kit.engine.columns("select a from t", {"t": pa.schema([("a", pa.int64())])})
        money.get_ready(context.project.charter, context.artifacts["holdout"])
    except Exception:
        return  # what is wrong will be said when it is needed


def look(context: Context) -> int:
    """Count a look of this model at this holdout; the same model looking again is not another look."""
    from payoff.data import split  # brings sqlglot

    charter = context.project.charter
    holdout = context.artifacts["holdout"]
    subject = split.holdout_identity(charter, context.artifacts[charter.decision.examples])
    context.holdout_rows = holdout.rows or 0
    model = context.artifacts[charter.model_step].id
    if charter.recalibrate == "never":  # other probabilities, other decisions
        model += " as it is"
    context.looks = context.kit.ledger.journal(
        context.project.id, context.run, "look", {"subject": subject, "model": model}
    )
    return context.looks


def value(context: Context, stage: Value) -> Handler:
    """Decide and count the money; the scored rows become the table of predictions."""
    from payoff.data import expressions, groups  # bring sqlglot; the value room brings numpy
    from payoff.execute import money, quantities
    from payoff.value.quantities import refuse_many

    project, kit = context.project, context.kit
    charter = project.charter
    holdout, scores = context.artifacts["holdout"], context.artifacts[graph.SCORES]
    tried = context.artifacts.get(graph.TRIED)
    facts = value_facts(project, scores.id, holdout.id, tried.id if tried else "")
    if stage.state == "reuse" and stage.hit is not None:
        context.valuation = msgspec.convert(stage.hit.extra["valuation"], Valuation)
        context.holdout_rows, context.looks = context.valuation.rows, context.valuation.looks
        context.artifacts[graph.PREDICTIONS] = stage.hit.output
        return context.reused(stage, stage.hit)
    looked = look(context)
    sql = expressions.payoff_query(charter, holdout.columns, project.contracts)
    files = {"holdout": context.file("holdout"), "scores": context.file(graph.SCORES)}
    trial = aside.trial(context)
    classes = context.outcomes["score"].extra.get("classes")
    output = kit.store.scratch("predictions")

    def work() -> tuple[Valuation, Artifact]:
        if charter.quantity is not None:
            refuse_many(charter, holdout.rows or 0)
        rows = kit.engine.query(sql, files)
        expressions.refuse_unusable(charter, rows)
        predicted = kit.engine.query("select * from scores", files)
        labels = groups.named(charter, holdout, lambda sql: kit.engine.query(sql, files))
        scored = money.Scored(rows, predicted, classes, trial())
        how: dict[str, Any] = {"looked": looked, "holdout": holdout.id, "labels": labels}
        if charter.quantity is None:
            valued, reader = money.value(charter, stage.step, scored, **how)
        else:
            table = kit.engine.query("select * from holdout", files)
            valued, reader = quantities.value(charter, stage.step, scored, kit, table, **how)
        kit.engine.write(reader, output)
        return valued, context.keep_table(output)

    context.valuation, artifact = yield Work(work)
    context.artifacts[graph.PREDICTIONS] = artifact
    return context.done(stage, facts, artifact, extra={"valuation": msgspec.to_builtins(context.valuation)})
