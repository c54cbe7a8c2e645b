"""Everything that can be known without running a step, in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from payoff import project as projects
from payoff.base.errors import PayoffError
from payoff.execute.context import fields
from payoff.flows import parameters, watching
from payoff.flows.data import labels
from payoff.flows.opening import root_of
from payoff.plan import graph
from payoff.plan.stages import Plan
from payoff.records.finding import Finding, Place, from_error
from payoff.wiring import assemble, releasing

if TYPE_CHECKING:
    from payoff.ports.kit import Kit
    from payoff.records.project import Project, Step


def check(project: str | None, against: str | None = None) -> list[Finding]:
    """All findings at once: project files, adapters' sections, sources (reached, schema), contracts' columns, money expressions, labels.

    With `against` a commit: also what changed in the contracts since then that their readers or stewards must know of.
    """
    loaded, findings = projects.inspect(root_of(project))
    if loaded is None:
        return findings
    if against is not None:
        from payoff.project import earlier  # brings YAML and JSON schema

        findings += earlier.against(root_of(project), loaded.contracts, against)
    wrong = assemble.problems(loaded)
    findings += wrong + releasing.problems(loaded)
    if not wrong:
        kit = assemble.assemble(loaded)
        schemas, found = _schemas(loaded, kit)
        findings += found
        lacking = _contracts(loaded, schemas)
        findings += lacking
        findings += _queries(loaded, kit, schemas) if not lacking else []
        findings += _money(loaded, schemas)
        findings += labels.budgets(loaded)
        if labels.restricted(loaded, kit) and not any(finding.severity == "error" for finding in findings):
            findings += _labels(loaded, kit)
        if watching.limited(loaded) and not any(finding.severity == "error" for finding in findings):
            findings += _overdue(project)
    return findings


def _overdue(project: str | None) -> list[Finding]:
    """What is kept for longer than labels permit."""
    from payoff.flows.data import expire, opened  # bring sqlglot, and few projects come to this

    try:
        return list(expire.warnings(opened.Catalog(project)))
    except PayoffError as error:
        return [replace(each, severity="warning") for each in from_error(error)]


def _labels(project: Project, kit: Kit) -> list[Finding]:
    """Where columns would go that may not; the queries of functions are made for it in their sandboxes."""
    from payoff.execute.pushdown.locate import locate  # brings sqlglot, and few projects come to this

    plan = Plan(stages=(), parameters=parameters.resolve(project, {}))
    try:
        places = locate(project, kit, plan.parameters)
        return labels.found(labels.context_of(project, kit, plan), places.steps if places else {})
    except PayoffError as error:
        return from_error(error)
    finally:
        if kit.made("executor"):
            kit.executor.close()


def in_plain_words(project: str | None) -> str:
    """The charter's two questions in a paragraph that needs no knowledge of models; nothing when the charter cannot be read."""
    from payoff.project.aloud.wording import paragraph  # nobody else reads the charter aloud

    loaded, _ = projects.inspect(root_of(project))
    return paragraph(loaded.charter) if loaded is not None else ""


def _schemas(project: Project, kit: Kit) -> tuple[dict[str, Any], list[Finding]]:
    schemas: dict[str, Any] = {}
    findings: list[Finding] = []
    for source in project.sources:
        try:
            schemas[source.table] = kit.source(source.table).schema()
        except PayoffError as error:
            where = error.where and Place(error.where.file, error.where.line)
            findings += [
                replace(each, what=_named(source.table, each.what), where=where or Place("payoff.toml", source.line))
                for each in from_error(error)
            ]
    return schemas, findings


def _queries(project: Project, kit: Kit, schemas: dict[str, Any]) -> list[Finding]:
    """Hold the queries in files against the tables they name; what a query makes is known for those that use it."""
    findings: list[Finding] = []
    for step in graph.needed_steps(project):
        tables = {each.name: schemas[each.name] for each in step.inputs if each.name in schemas}
        if step.sql is None or len(tables) < len(step.inputs):
            continue
        try:
            schemas[step.name] = kit.engine.columns(_sql(step, tables), tables)
        except PayoffError as error:
            findings += [replace(each, where=each.where or Place(step.file, step.line)) for each in from_error(error)]
    return findings


def _sql(step: Step, tables: dict[str, Any]) -> str:
    if step.join is None:
        return step.sql or ""
    from payoff.data import as_of  # only where there are such joins

    return as_of.query(step.join, {name: fields(schema) for name, schema in tables.items()})


def _named(table: str, what: str) -> str:
    """An adapter's words, with the source they are about."""
    return what if f"source {table}" in what else f"source {table}: {what}"


def _contracts(project: Project, schemas: dict[str, Any]) -> list[Finding]:
    from payoff.base.text import did_you_mean  # only when there are contracts

    findings: list[Finding] = []
    for contract in project.contracts:
        schema = schemas.get(contract.table)
        if schema is None:
            continue
        findings += [
            Finding(
                code="PO-D001",
                what=f"{contract.table} has no column {column.name}, which its contract promises",
                where=Place(contract.file, column.line),
                expected=did_you_mean(column.name, schema.names),
                try_=f"correct the contract, or make the source deliver {column.name}",
            )
            for column in contract.columns
            if column.name not in schema.names and not column.dropped
        ]
    return findings


def _money(project: Project, schemas: dict[str, Any]) -> list[Finding]:
    from payoff.data import expressions  # brings sqlglot

    examples = schemas.get(project.charter.decision.examples)
    columns = tuple(examples.names) if examples is not None else None
    return expressions.check_charter(project.charter, columns, project.contracts)
