"""The handler of sinks: a table goes out, when it is not there already."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.errors import UserError, Where
from payoff.execute.context import Context, Sandbox, Work, label
from payoff.execute.failures import CONFIG, At
from payoff.execute.schedule import Node, Scheduler
from payoff.plan.build import write_facts
from payoff.records.evidence import StepOutcome

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    import pyarrow as pa

    from payoff.plan.stages import Plan, Write
    from payoff.ports.kit import Kit
    from payoff.ports.observer import Observer
    from payoff.records.artifact import Artifact, Written
    from payoff.records.project import Project
    from payoff.records.state import State

    Handler = Generator[Sandbox | Work, Any, StepOutcome]


def write(context: Context, stage: Write) -> Handler:
    """Write a table to its sink, unless it was written before and is there still."""
    sink = stage.sink
    artifact = context.artifacts[sink.table]
    if stage.state == "reuse" and stage.hit is not None:
        return context.reused(stage, stage.hit)
    if artifact.kind != "table":
        raise UserError(
            f"the sink {sink.name} is to get {sink.table}, which turned out to be an object",
            code="PO-N002",
            expected="a step that returns a table",
            remedy=f"name another table in [sinks.{sink.name}], or let {sink.table} return a table",
            where=Where(CONFIG, sink.line),
        )
    target = context.kit.sink(sink.name)
    facts = write_facts(sink, target.describe(), artifact.id)
    hit = context.again(stage, facts) if stage.state == "maybe" else None
    with At(Where(CONFIG, sink.line)):
        if hit and (yield Work(target.written)) == artifact.id:
            return context.reused(stage, hit)
        file = context.file(sink.table)

        def work() -> Written:
            with batches(file) as reader:
                return target.write(reader, artifact)

        written: Written = yield Work(work)
    extra = {"sink": sink.name, "table": sink.table, "to": _shown(facts["address"]), **msgspec.to_builtins(written)}
    return context.done(stage, facts, artifact, extra=extra)


def after_verdict(
    project: Project,
    plan: Plan,
    kit: Kit,
    state: State,
    *,
    run: str,
    tell: Observer,
    tables: dict[str, Artifact],
    passed: bool,
) -> tuple[tuple[StepOutcome, ...], dict[str, Exception]]:
    """Write what waited for the gates, once they have passed the run; else say that it was not written."""
    if not passed:
        skipped = ("the gates did not pass the run",)
        return tuple(StepOutcome(name=label(each), state="skipped", because=skipped) for each in plan.deferred), {}
    context = Context(project, plan, kit, state, run=run, tell=tell, system={})
    context.artifacts |= tables
    nodes = []
    for stage in plan.deferred:

        def start(stage: Write = stage) -> Handler:
            return write(context, stage)

        nodes.append(Node(name=stage.name, needs=(), start=start, shown=label(stage)))
    Scheduler(context, nodes, workers=1).run()
    return tuple(context.outcomes[each.name] for each in plan.deferred), context.errors


@contextlib.contextmanager
def batches(file: Path) -> Iterator[pa.RecordBatchReader]:
    """The rows of a table in the store, one batch after the other."""
    import pyarrow as pa  # only when something is written

    with pa.memory_map(str(file)) as mapped:
        opened = pa.ipc.open_file(mapped)
        rows = (opened.get_batch(number) for number in range(opened.num_record_batches))
        with pa.RecordBatchReader.from_batches(opened.schema, rows) as reader:
            yield reader


def _shown(address: dict[str, Any]) -> str:
    parts = [str(address[name]) for name in ("address", "table") if address.get(name)]
    return " ".join(parts)
