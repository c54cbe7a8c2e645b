"""The handlers of what runs where the data is: pushed queries, contracts checked there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from payoff.base.clock import now
from payoff.base.errors import OutsideError, PayoffError, UserError, Where
from payoff.execute.context import Context, Sandbox, Work
from payoff.execute.pushdown import here
from payoff.execute.tables import refuse_broken
from payoff.plan import graph
from payoff.records.artifact import Artifact
from payoff.records.evidence import CheckResult, StepOutcome

if TYPE_CHECKING:
    from collections.abc import Generator

    import pyarrow as pa

    from payoff.plan.stages import Check, Inline, Transform
    from payoff.ports.pushdown import Database
    from payoff.records.contract import Contract
    from payoff.records.placement import Location, Placement
    from payoff.records.project import Step

    Handler = Generator[Sandbox | Work, Any, StepOutcome]


class Failing:
    """What the database says of a pushed query, with the step's name and place in the project."""

    def __init__(self, step: Step, place: Location) -> None:
        self.step = step
        self.place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, PayoffError):
            return
        same: dict[str, Any] = {
            "code": "PO-R030",
            "expected": error.expected,
            "remedy": f'{error.remedy}; or run it here: push = "never" in [run] of payoff.toml',
            "where": Where(self.step.file, self.step.line),
        }
        what = f"step {self.step.name}, in {self.place.dialect.title} at {self.place.address}: {error.what}"
        if isinstance(error, OutsideError):
            raise OutsideError(what, retryable=error.may_retry, **same) from None
        raise UserError(what, **same) from None


def transform(context: Context, stage: Transform, at: Placement) -> Handler:
    """Run a step's query in the database of its tables; only the answer comes here."""
    if stage.state == "reuse" and stage.hit is not None:
        context.artifacts[stage.step.name] = stage.hit.output
        return context.reused(stage, stage.hit)
    step, kit = stage.step, context.kit
    place = cast("Location", at.place)
    database = cast("Database", kit.source(at.tables[0]))
    output = kit.store.scratch(step.name)
    schema = shape_of(at)

    def work() -> Artifact:
        with Failing(step, place):
            reader = database.run(at.sql, schema)
            try:
                kit.engine.write(reader, output)
            finally:
                reader.close()
        return context.keep_table(_settled(context, at, step, output))

    artifact: Artifact = yield Work(work)
    context.artifacts[step.name] = artifact
    facts = stage.facts
    if not all(facts["inputs"].values()):
        facts = {**facts, "inputs": {**facts["inputs"], "answer": artifact.id}}
    return context.done(stage, facts, artifact, extra={"sql": at.sql, "at": place.address})


def shape_of(at: Placement) -> pa.Schema:
    """The schema of a step's answer."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(at.shape))


def _settled(context: Context, at: Placement, step: Step, output: Any) -> Any:
    """The answer in an order that is the same wherever the query ran, when a function gets it."""
    from payoff.data import order  # brings sqlglot, which a run without queries does without

    if all(consumer.lazy for consumer in graph.consumers(context.project.steps, step.name)):
        return output
    if order.settled(at.query) == at.query:
        return output
    ordered = context.kit.store.scratch(step.name)
    here.transform(
        context.kit.engine, context.kit.store, "select * from answer order by all", {"answer": output}, ordered
    )
    output.unlink(missing_ok=True)
    return ordered


def inline(context: Context, stage: Inline) -> Handler:
    """A step that is part of other steps' queries: there is nothing to do for it alone."""
    yield from ()
    state: Literal["reused", "ran"] = "reused" if stage.state == "reuse" else "ran"
    place = stage.at.place.address if stage.at.place else ""
    extra = {"sql": stage.at.sql, "at": place, "within": list(stage.at.within)}
    return StepOutcome(name=stage.step.name, state=state, because=stage.because, extra=extra)


def check(context: Context, stage: Check, place: Location) -> Handler:
    """Hold a source's table against its contract in its own database."""
    contract = cast("Contract", context.project.contract(stage.table))
    hit = stage.hit if stage.state == "reuse" else None
    if hit is not None:
        results = tuple(msgspec.convert(each, CheckResult) for each in hit.extra["results"])
        outcome = context.reused(stage, hit)
    else:
        results, artifact = yield Work(lambda: _checked(context, stage, place))
        facts = stage.facts
        if not all(facts["inputs"].values()):
            facts = {**facts, "inputs": {stage.table: artifact.id}, "at": now()}
        extra = {"results": [msgspec.to_builtins(each) for each in results], "at": place.address}
        outcome = context.done(stage, facts, artifact, extra=extra)
    refuse_broken(context, contract, results)
    return outcome


def _checked(context: Context, stage: Check, place: Location) -> tuple[tuple[CheckResult, ...], Artifact]:
    """The results, and a small table of them, which stands for the check in the store."""
    import pyarrow as pa

    from payoff.data import checks
    from payoff.data.push.queries import translate
    from payoff.data.push.rules import Unlike, kind_of
    from payoff.plan.place import check_plan, with_tables

    table, kit = stage.table, context.kit
    contract = cast("Contract", context.project.contract(table))
    database = cast("Database", kit.source(table))
    schema = kit.source(table).schema()
    relation = database.relation()
    given = {field.name: kind_of(field.type) for field in relation.fields}
    kinds = {table: {name: given.get(name.lower(), "") for name in schema.names}}

    plan = check_plan(contract, schema, stage.columns, now=now())
    counted, source = set(checks.queries(plan)), context.project.source(table)
    abroad = source is not None and source.zone not in (None, context.project.zone)

    def ask(sql: str) -> pa.Table:
        try:
            if abroad and sql not in counted:
                raise Unlike("ids of rows stay in their zone")
            translated = translate(sql, kinds, place.dialect, sample=True)
        except Unlike:  # rows that fail are counted in any case; which ones they are, this database cannot say
            return pa.table({"id": pa.array([], pa.string())})
        expected = kit.engine.columns(sql, {table: schema})
        with database.run(with_tables(translated.sql, {table: relation.sql}), expected) as reader:
            return reader.read_all()

    results = checks.run(plan, ask)
    output = kit.store.scratch(f"{table}-checks")
    rows = pa.table({"check": [each.check for each in results], "failed": [each.failed for each in results]})
    kit.engine.write(rows.to_reader(), output)
    return results, context.keep_table(output)
