"""The handlers of tables: read a source, hold a table against its contract, split the examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.clock import now
from payoff.base.errors import InvalidInput, Refused, UserError, Where
from payoff.base.text import count
from payoff.execute.context import Context, Sandbox, Work
from payoff.execute.failures import CONFIG, at_source
from payoff.execute.pushdown import here
from payoff.plan import graph
from payoff.plan.build import audit_facts, split_facts, value_facts
from payoff.plan.stages import Call
from payoff.ports.source import Positioned
from payoff.records.artifact import Artifact
from payoff.records.evidence import CheckResult, Leak

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from payoff.plan.stages import Audit, Check, Read, Split
    from payoff.records.contract import Contract
    from payoff.records.evidence import StepOutcome
    from payoff.records.state import Remembered

    Handler = Generator[Sandbox | Work, Any, StepOutcome]


def read(context: Context, stage: Read) -> Handler:
    """Bring a source's table into the store, only the columns that steps and checks use."""
    table, kit = stage.table, context.kit
    if stage.hit is not None and stage.state == "reuse":
        context.artifacts[table] = stage.hit.output
        return context.reused(stage, stage.hit)
    source = kit.source(table)
    if table not in context.schemas:
        with at_source(context.project, table):
            context.schemas[table] = yield Work(source.schema)
    columns = yield Work(lambda: used_columns(context, table))
    output = kit.store.scratch(table)

    def work() -> Artifact:
        with at_source(context.project, table):
            reader = source.read(columns)
            try:
                kit.engine.write(reader, output)
            finally:
                reader.close()
        return context.keep_table(output)

    artifact: Artifact = yield Work(work)
    context.artifacts[table] = artifact
    facts = stage.facts
    if facts.get("version") is None:
        facts = {**facts, "version": artifact.id}
    extra: dict[str, Any] = {"columns": list(artifact.columns)}
    if isinstance(source, Positioned):
        extra["stream"] = source.positions()
    return context.done(stage, facts, artifact, extra=extra)


def used_columns(context: Context, table: str) -> list[str] | None:
    """The columns of a source that the run uses, in the source's order; None for all of them."""
    from payoff.data import usage  # brings sqlglot, which a run that reads nothing does without

    schema = context.schemas[table]
    steps = tuple(s for stage in context.plan.stages if (s := getattr(stage, "step", None)) is not None)
    used: set[str] = set()
    for step in graph.consumers(steps, table):
        if step.lazy:
            sql = context.compiled.get(step.name)
            if sql is None:
                return None
            schemas = {each.name: context.schemas[each.name] for each in step.inputs if each.name in context.schemas}
            answer = usage.used_columns(sql, schemas)
            used |= set(answer[table])
        else:
            taken = next(each for each in step.inputs if each.name == table)
            if taken.columns is None:
                return None
            used |= set(taken.columns)
    if table == context.project.charter.decision.examples or any(s.table == table for s in context.project.sinks):
        return None
    used |= _needed_by_checks(context, table)
    return [name for name in schema.names if name in used]


def _needed_by_checks(context: Context, table: str) -> set[str]:
    from payoff.data import checks  # see used_columns

    needed: set[str] = set()
    for contract in context.project.contracts:
        if contract.table == table:
            needed |= set(checks.needed_columns(contract, context.schemas[table]))
        needed |= {c.references[1] for c in contract.columns if c.references and c.references[0] == table}
    return needed


def check(context: Context, stage: Check) -> Handler:
    """Hold a table against its contract: all checks in one scan."""
    from payoff.data import checks  # see used_columns

    table = stage.table
    contract = context.project.contract(table)
    assert contract is not None, "the plan checks only tables that have a contract"  # noqa: S101 - tells mypy
    foreign = sorted({c.references[0] for c in contract.columns if c.references})
    inputs = {name: context.content(name) for name in [table, *foreign]}
    facts = {"contract": contract.digest, "inputs": inputs}
    timeless = not any(each.kind == "freshness" for each in contract.checks)
    hit = context.again(stage, facts) if timeless else None
    if hit:
        results = tuple(msgspec.convert(each, CheckResult) for each in hit.extra["results"])
        outcome = context.reused(stage, hit)
    else:
        artifact = context.artifacts[table]
        fields = {name: context.artifacts[name].fields for name in foreign}
        whole = context.schemas.get(table)
        names = tuple(whole.names) if whole is not None else artifact.columns
        plan = checks.compile_contract(
            contract, artifact.fields, promised_from=names, foreign=fields, now=context.at or now()
        )
        files = {name: context.file(name) for name in [table, *foreign]}
        results = yield Work(lambda: checks.run(plan, lambda sql: context.kit.engine.query(sql, files)))
        extra = {"results": [msgspec.to_builtins(each) for each in results]}
        outcome = context.done(stage, facts, artifact, extra=extra)
    refuse_broken(context, contract, results)
    return outcome


def refuse_broken(context: Context, contract: Contract, results: tuple[CheckResult, ...]) -> None:
    """Note the results of a contract's checks; a promise that is broken ends what needs the table."""
    context.checks += results
    broken = [each for each in results if not each.passed and each.severity == "error"]
    if broken:
        raise Refused(
            f"{contract.table} breaks {len(broken)} of its contract's {len(results)} promises: "
            + "; ".join(f"{each.check}: {each.reason}" for each in broken[:5]),
            code="PO-R020",
            expected=f"a table as {contract.file} promises it",
            remedy=f"mend the data, or change the promise in {contract.file} with the steward's consent; then payoff run",
            where=Where(contract.file, broken[0].line),
        )


def refuse_early(context: Context, examples: Artifact) -> None:
    """What would be refused after training is refused before: examples without rows, money that cannot be counted."""
    charter = context.project.charter
    if examples.rows == 0:
        name = charter.decision.examples
        step, source = context.project.step(name), context.project.source(name)
        inputs = [each.name for each in step.inputs] if step else []
        seen = ", ".join(f"{each} has {count(context.artifacts[each].rows or 0, 'row')}" for each in inputs)
        raise UserError(
            f"{name} has no rows" + (f" ({seen})" if seen else ""),
            code="PO-D021",
            expected="at least one decision",
            remedy=f"see why {step.file if step else 'its source'} gives no row, then payoff run",
            where=Where(step.file, step.line) if step else Where(CONFIG, source.line if source else 0),
        )
    if any(isinstance(stage, Call) and stage.state != "reuse" for stage in context.plan.stages):
        from payoff.data import expressions  # see used_columns

        wrong = expressions.check_charter(charter, examples.columns, context.project.contracts)
        if wrong:
            raise InvalidInput([finding.as_error() for finding in wrong])


def audit(context: Context, stage: Audit) -> Handler:
    """Search the split examples for what a model must not know, while it is being trained."""
    from payoff.data import leaks  # see used_columns

    train, holdout = context.artifacts[graph.TRAIN], context.artifacts["holdout"]
    facts = audit_facts(context.project, train.id, holdout.id)
    if hit := context.again(stage, facts):
        context.leaks = tuple(msgspec.convert(each, Leak) for each in hit.extra["leaks"])
        return context.reused(stage, hit)
    files = {graph.TRAIN: context.file(graph.TRAIN), "holdout": context.file("holdout")}
    search = leaks.Search(
        context.project.charter,
        context.project.contracts,
        train,
        holdout,
        lambda sql: context.kit.engine.query(sql, files),
    )
    context.leaks = yield Work(search.leaks)
    extra = {"leaks": [msgspec.to_builtins(each) for each in context.leaks or ()]}
    return context.done(stage, facts, train, extra=extra)


def _counted_before(context: Context, split_hit: Remembered) -> bool:
    """Whether the same charter counted money on the same holdout before: then nothing is refused now that was not refused then."""
    last = context.state.latest.get("value")
    if last is None:
        return False
    inputs = last.facts.get("inputs", {})
    tried = inputs.get("set aside", "")
    same = value_facts(context.project, inputs.get("predictions", ""), split_hit.extra["holdout"]["id"], tried)
    return same == last.facts


def split(context: Context, stage: Split) -> Handler:
    """Cut the examples into `train` and the holdout, after seeing that they can be judged on."""
    project, kit = context.project, context.kit
    charter = project.charter
    examples = context.artifacts[stage.examples]
    facts = split_facts(project, examples.id)
    hit = context.again(stage, facts)
    if not (hit and _counted_before(context, hit)):
        yield Work(lambda: refuse_early(context, examples))
    if hit:
        context.artifacts["holdout"] = msgspec.convert(hit.extra["holdout"], Artifact)
        context.artifacts[graph.TRAIN] = hit.output
        return context.reused(stage, hit)
    from payoff.data import known  # see used_columns
    from payoff.data import split as splitting

    features = known.features(charter, project.contracts, examples.columns)
    queries = splitting.compile_split(charter, examples.columns, features)
    files = {stage.examples: context.file(stage.examples)}
    yield Work(lambda: splitting.verify(queries, lambda sql: kit.engine.query(sql, files)))

    def cut(name: str, sql: str) -> Artifact:
        output = kit.store.scratch(name)
        here.transform(kit.engine, kit.store, sql, files, output)
        return context.keep_table(output)

    train = yield Work(lambda: cut("train", queries.train))
    holdout = yield Work(lambda: cut("holdout", queries.holdout))
    context.artifacts["holdout"] = holdout
    context.artifacts[graph.TRAIN] = train
    return context.done(stage, facts, train, extra={"holdout": msgspec.to_builtins(holdout)})


def schema_message(files: Sequence[Path], names: Sequence[str]) -> bytes:
    """The Arrow schema of columns of some table files, as an IPC message (names of types are not enough of nested ones); of two files with a column
    the last one's counts.
    """
    import pyarrow as pa

    fields: dict[str, pa.Field] = {}
    for file in files:
        with pa.memory_map(str(file)) as source:
            fields |= {each.name: each for each in pa.ipc.open_file(source).schema}
    found: bytes = pa.schema([fields[name] for name in names]).serialize().to_pybytes()
    return found


def first_rows(file: Path, names: Sequence[str], number: int) -> pa.Table:
    """The first rows of a table file, some of its columns."""
    import pyarrow as pa

    with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
        batches = [reader.get_batch(0)] if reader.num_record_batches else []
        return pa.Table.from_batches(batches, reader.schema).select(list(names)).slice(0, number).combine_chunks()
