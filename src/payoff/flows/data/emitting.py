"""What is told of a recorded run to lineage services. It never fails a run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import PayoffError
from payoff.data.labels.flow import ORDER, ROWS
from payoff.records.emission import Dataset, Emission, Job, Parent
from payoff.records.finding import Finding, from_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.data.labels import Labelled
    from payoff.flows.opening import Opened
    from payoff.ports.tracker import Emitter
    from payoff.records.evidence import StepOutcome
    from payoff.records.project import Step
    from payoff.records.run import RunRecord

_THERE = {ROWS: "filter", ORDER: "sort"}  # which rows a table has, and their order, as if it were columns of it
_NAME = re.compile(r"[\w.-]+")


def emit(opened: Opened, record: RunRecord) -> tuple[Finding, ...]:
    """Tell of a run; the answer is warnings."""
    return _warned(lambda emitter: emitter.emit(emission(opened, record)), opened)


def catch_up(opened: Opened) -> tuple[Finding, ...]:
    """Tell of earlier runs that could not be told."""
    return _warned(lambda emitter: emitter.catch_up(), opened)


def _warned(tell: Callable[[Emitter], Finding | None], opened: Opened) -> tuple[Finding, ...]:
    """Whatever goes wrong is a warning: the run is recorded, and stands."""
    try:
        emitter = opened.kit.emitter
        found = tell(emitter) if emitter is not None else None
    except PayoffError as error:
        return tuple(msgspec.structs.replace(each, severity="warning") for each in from_error(error))
    except Exception as error:
        return (
            Finding(
                code="PO-O004",
                severity="warning",
                what=f"the run could not be told as lineage ({type(error).__name__})",
                expected="events made of any run's record",
                try_="please report this; the run itself is recorded: payoff show latest",
            ),
        )
    return (found,) if found is not None else ()


def emission(opened: Opened, record: RunRecord) -> Emission:
    """The facts of a run that are told."""
    from payoff.execute import governing  # brings sqlglot, and few projects come to this

    project = opened.project
    columns, queries = governing.recorded(record)
    schemas = {name: governing.Names(names) for name, names in columns.items()}
    queries = {step.name: step.sql for step in project.steps if step.sql and step.join is None} | queries
    labelled = governing.label(
        project, governing.Facts(schemas=schemas, compiled=queries, given=governing.came(project, record))
    )
    made = [step.name for step in project.steps if step.name in record.tables]
    return Emission(
        project=record.project,
        name=record.name,
        run=record.run,
        started=record.started,
        finished=record.finished,
        version=record.version,
        documentation=record.charter.objective.statement if record.charter else "",
        git=record.git,
        inputs=tuple(source.table for source in project.sources if source.table in record.tables),
        outputs=tuple(made),
        jobs=tuple(
            _job(step, each)
            for each in record.steps
            if each.state in ("ran", "failed") and (step := project.step(each.name)) is not None
        ),
        datasets={name: _dataset(opened, record, labelled, name) for name in record.tables},
        error=_error(record),
    )


def _error(record: RunRecord) -> str:
    if record.errors:
        return "; ".join(f"{each.code} {record.status}" for each in record.errors)
    refused = [f"{each.code} {each.title}" for each in record.verdicts if not each.passed]
    return "; ".join(refused) if record.status != "passed" else ""


def _job(step: Step, outcome: StepOutcome) -> Job:
    return Job(
        name=step.name,
        language=step.kind,
        file=step.file,
        inputs=tuple(each.name for each in step.inputs),
        output=step.name,
        sql=step.sql or "" if step.join is None else "",
        error="the step failed" if outcome.state == "failed" else "",
    )


def _dataset(opened: Opened, record: RunRecord, labelled: Labelled, name: str) -> Dataset:
    project, table = opened.project, record.tables[name]
    contract = project.contract(name)
    address, there = _address(opened, name) if project.source(name) is not None else ("", "")
    return Dataset(
        name=name,
        address=address,
        there=there,
        version=table.id,
        rows=table.rows,
        bytes=table.bytes,
        documentation=contract.description if contract is not None else "",
        fields=tuple((field.name, field.type) for field in table.fields),
        parents={column: _parents(labelled, name, column) for column in table.columns},
        labels={column: labelled.label(name, column).classification for column in table.columns},
        checks=tuple(check for check in record.checks if check.table == name),
    )


def _parents(labelled: Labelled, table: str, column: str) -> tuple[Parent, ...]:
    values, others = labelled.parents((table, column))
    direct = [Parent(table=at[0], column=at[1], control=False) for at in sorted(values)]
    made = labelled.made.get(table)
    flows = made.flows if made is not None else None
    flow = flows.of(column) if flows is not None else None

    def ways(at: tuple[str, str]) -> tuple[str, ...]:
        if at[1] in _THERE:
            return (_THERE[at[1]],)
        return flows.ways(flow, at) if flows is not None and flow is not None else ()

    return tuple(
        direct + [Parent(table=at[0], column=at[1], control=True, ways=ways(at)) for at in sorted(others - values)]
    )


def _address(opened: Opened, table: str) -> tuple[str, str]:
    """The kind and the address, without user, password and options; and the table's name there, where it is a name and no query."""
    said = opened.kit.source(table).describe()
    address = str(said.get("address") or said.get("path") or "").partition("?")[0]
    address = re.sub(r"//[^/]*@", "//", address)
    kind, there = str(said.get("kind", "source")), str(said.get("table") or "")
    shown = address if "://" in address else f"{kind}://{address}" if address else kind
    return shown, there if _NAME.fullmatch(there) else ""
