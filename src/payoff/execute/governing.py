"""Which column would go where in a run, and what its labels say to that: known before anything runs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from payoff.base.errors import Refused, Where
from payoff.base.text import count
from payoff.data import as_of, known, usage
from payoff.data.labels import Labelled, Labels, Made, Use, breaches, propagate
from payoff.data.labels.flow import ANY, THERE
from payoff.data.lineage import Flows, flows, grouped
from payoff.plan import graph
from payoff.records.contract import Column, Contract
from payoff.records.finding import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from payoff.data.labels import Breach
    from payoff.records.label import Label
    from payoff.records.project import Project, Step
    from payoff.records.run import RunRecord

MODEL = "model"  # the one column of a model


class Columns(Protocol):
    """What has columns: a schema."""

    @property
    def names(self) -> Sequence[str]:
        """Their names, in order."""
        ...


class Names(NamedTuple):
    """A schema of which only the names are known."""

    names: tuple[str, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before the run: schemas of tables, queries of lazy steps, for those that run elsewhere the zone, and the labels that came with
    sources' columns.
    """

    schemas: Mapping[str, Columns]
    compiled: Mapping[str, str]
    elsewhere: Mapping[str, str] = {}
    given: Mapping[str, Mapping[str, Label]] = {}


def label(project: Project, facts: Facts, only: Sequence[str] = ()) -> Labelled:
    """The labels of every column of the project."""
    return propagate(_tables(project, facts, only), Labels(project, facts.given))


def findings(project: Project, facts: Facts, only: Sequence[str] = ()) -> list[Finding]:
    """Everything that labels forbid of a run, and every lowering that does not hold."""
    labelled = label(project, facts, only)
    listed = [_unproven(project, node, reason) for node, reason in labelled.refused.items()]
    uses = list(_uses(project, facts, labelled, only))
    listed += _weaker(project, facts)
    return listed + [finding(project, labelled, breach) for breach in breaches(labelled, uses, project.zones)]


def refuse(found: Sequence[Finding]) -> None:
    """Refuse the plan for what was found, all of it in one error."""
    if not found:
        return
    first, more = found[0], len(found) - 1
    where = Where(first.where.file, first.where.line) if first.where else None
    raise Refused(
        first.what + (f" (and {more} more: payoff check lists them)" if more else ""),
        code=first.code,
        expected=first.expected,
        remedy=first.try_,
        where=where,
    )


def inherited(
    project: Project,
    columns: Mapping[str, Sequence[str]],
    queries: Mapping[str, str],
    given: Mapping[str, Mapping[str, Label]] | None = None,
) -> tuple[Contract, ...]:
    """The project's contracts, and one more for each table that steps (or the split) made: its columns with the classifications that they
    inherit. `columns` are those of the tables made so far, `queries` the lazy steps', `given` the labels that came with sources.
    """
    if not given and not any(column.personal for contract in project.contracts for column in contract.columns):
        return project.contracts
    labelled = label(project, Facts(schemas=_schemas(columns), compiled=queries, given=given or {}))
    made = [table for table in labelled.columns if project.source(table) is None and table in columns]
    return project.contracts + tuple(
        Contract(
            table=table,
            file="",
            version="",
            columns=tuple(
                Column(name=name, classification=labelled.label(table, name).classification) for name in columns[table]
            ),
        )
        for table in made
    )


def of_record(project: Project, record: RunRecord) -> tuple[Contract, ...]:
    """The same from what a run recorded."""
    return inherited(project, *recorded(record), came(project, record))


def came(project: Project, record: RunRecord) -> dict[str, dict[str, Label]]:
    """The labels that held for a run's sources, as far as they are more than what contracts say by themselves."""
    return {table: labels for table, labels in record.labels.items() if project.source(table) is not None}


def lasting(
    project: Project, record: RunRecord, given: Mapping[str, Mapping[str, Label]]
) -> dict[str, dict[str, Label]]:
    """What is to be kept with a run's tables: the labels of their columns, those apart that forbid nothing."""
    columns, queries = recorded(record)
    labelled = label(project, Facts(schemas=_schemas(columns), compiled=queries, given=given))
    found: dict[str, dict[str, Label]] = {}
    for table, names in columns.items():
        limits = {name: labelled.label(table, name) for name in (*names, *THERE)}
        found[table] = {name: each for name, each in limits.items() if each.limits}
    return {table: limits for table, limits in found.items() if limits}


def _schemas(columns: Mapping[str, Sequence[str]]) -> dict[str, Names]:
    return {table: Names(tuple(names)) for table, names in columns.items()}


def recorded(record: RunRecord) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The columns of a run's tables, and the queries of its lazy steps."""
    columns = {name: table.columns for name, table in record.tables.items()}
    return columns, {step.name: str(step.extra["sql"]) for step in record.steps if "sql" in step.extra}


# -- what is made of what


def _tables(project: Project, facts: Facts, only: Sequence[str]) -> Iterator[Made]:
    steps = graph.needed_steps(project, tuple(only))
    examples, split = project.charter.decision.examples, False
    for source in project.sources:
        schema = facts.schemas.get(source.table)
        yield Made(table=source.table, kind="source", columns=None if schema is None else tuple(schema.names))
    if project.source(examples) is not None:
        split = True
        yield _train(project, facts)
    for step in steps:
        yield _made(project, facts, step)
        if step.name == examples and not split:
            split = True
            yield _train(project, facts)


def _train(project: Project, facts: Facts) -> Made:
    examples = project.charter.decision.examples
    schema = facts.schemas.get(examples)
    names = tuple(schema.names) if schema is not None else (ANY,)
    return Made(
        table=graph.TRAIN,
        kind="copy",
        columns=known.features(project.charter, project.contracts, names),
        reads={examples: None},
        chosen=((examples, project.charter.split.on),),
    )


def _made(project: Project, facts: Facts, step: Step) -> Made:
    reads = {each.name: each.columns for each in step.inputs}
    contract = project.contract(step.name)
    if not step.lazy:
        model = step.name == project.charter.model_step
        return Made(
            table=step.name,
            kind="function",
            columns=(MODEL,) if model or step.output == "object" else None,
            reads=reads,
            depends=_depends(contract),
            file=step.file,
            line=step.line,
        )
    sql = facts.compiled.get(step.name)
    schemas = {each.name: facts.schemas[each.name].names for each in step.inputs if each.name in facts.schemas}
    exact = sql is not None and len(schemas) == len(step.inputs)
    wants = contract is not None and any(
        column.lowering is not None and column.lowering.operator == "aggregate" for column in contract.columns
    )
    return Made(
        table=step.name,
        kind="query",
        reads=reads,
        flows=_flows_of(step, facts, schemas, contract) if exact else None,
        grouping=grouped(sql, schemas) if exact and wants and sql is not None else None,
        file=step.file,
        line=step.line,
    )


def _flows_of(
    step: Step, facts: Facts, schemas: Mapping[str, Sequence[str]], contract: Contract | None
) -> Flows | None:
    """The flows of a lazy step whose inputs are known; a declared join has those of its rule."""
    if step.join is not None and step.join.rows in schemas:
        return as_of.flows(step.join, schemas[step.join.rows])
    sql = facts.compiled.get(step.name)
    return _flows(sql, schemas, facts.schemas.get(step.name), contract) if sql is not None else None


def _flows(sql: str, schemas: Mapping[str, Sequence[str]], answer: Columns | None, contract: Contract | None) -> Flows:
    """A query's flows, under the names that the engine gave its columns."""
    found = flows(sql, schemas)
    dropped = contract is not None and any(column.dropped for column in contract.columns)
    return found if answer is None or dropped else found.named(answer.names)


def _depends(contract: Contract | None) -> dict[str, tuple[tuple[str, str], ...]]:
    columns = contract.columns if contract is not None else ()
    return {column.name: column.depends for column in columns if column.depends is not None}


# -- where it goes


def _uses(project: Project, facts: Facts, labelled: Labelled, only: Sequence[str]) -> Iterator[Use]:
    steps = graph.needed_steps(project, tuple(only))
    yield from _brought(project, facts, steps)
    purpose = project.charter.objective.purpose
    tracking = project.tracking
    # In the project's own zone a metric says nothing that is not there already.
    told = tracking.zone if tracking.enabled and tracking.zone != project.zone else None
    for step in steps:
        if step.lazy:
            continue
        trains = step.name == project.charter.model_step
        for each in step.inputs:
            for name in each.columns or labelled.columns.get(each.name, ()):
                use = Use(
                    kind="used",
                    node=(each.name, name),
                    says=f"read by {step.name}",
                    purpose=purpose,
                    file=step.file,
                    line=step.line,
                )
                yield use
                if told is not None:
                    says = f"told to the tracker in zone {told!r}, as a metric of {step.name} could tell it"
                    key = "[tracking] zone"
                    yield msgspec.structs.replace(use, kind="tracked", purpose=None, zone=told, says=says, key=key)
                if trains:
                    says = f"learned by the model of {step.name}"
                    yield msgspec.structs.replace(use, kind="trained", purpose=None, says=says)
    yield from _named(project, facts, labelled, steps)
    if not only:
        yield from _written(project, labelled, purpose)
        yield from _money(project, labelled, purpose)
    if project.charter.model_step in {step.name for step in steps}:
        yield from _published(project, labelled)


def _brought(project: Project, facts: Facts, steps: Sequence[Step]) -> Iterator[Use]:
    """What comes into the project's own zone: the columns read of sources, and what queries that ran elsewhere answer."""
    here = project.zone
    for source in project.sources:
        for name in _read(project, facts, steps, source.table):
            says = f"brought to zone {here!r}, where the project runs"
            yield Use(
                kind="placed", node=(source.table, name), says=says, zone=here, key="[project] zone", line=source.line
            )
    for step in steps:
        zone = facts.elsewhere.get(step.name)
        users = graph.consumers(tuple(steps), step.name)
        inside = zone is not None and users and all(facts.elsewhere.get(user.name) == zone for user in users)
        if zone is None or inside:
            continue
        schema = facts.schemas.get(step.name)
        for name in schema.names if schema is not None else (ANY,):
            says = f"brought from zone {zone!r} to zone {here!r}, where the project runs"
            yield Use(
                kind="placed",
                node=(step.name, name),
                says=says,
                zone=here,
                key="[project] zone",
                file=step.file,
                line=step.line,
            )


def _read(project: Project, facts: Facts, steps: Sequence[Step], table: str) -> Sequence[str]:
    """The columns of a source that a run would bring here."""
    schema = facts.schemas.get(table)
    users = [step for step in graph.consumers(tuple(steps), table) if step.name not in facts.elsewhere]
    examples = table == project.charter.decision.examples
    contract = project.contract(table)
    if schema is None:
        return (ANY,) if users or examples else ()
    if examples:
        return tuple(schema.names)
    used: set[str] = set()
    for step in users:
        sql = facts.compiled.get(step.name)
        taken = next(each for each in step.inputs if each.name == table)
        if not step.lazy:
            used |= set(schema.names if taken.columns is None else taken.columns)
        elif sql is None:
            used |= set(schema.names)
        else:
            tables = {each.name: facts.schemas[each.name] for each in step.inputs if each.name in facts.schemas}
            used |= set(usage.used_columns(sql, tables).get(table, schema.names))
    if users and contract is not None:
        # Its promises are held against what was read.
        used |= {column.name for column in contract.columns}
    return [name for name in schema.names if name in used]


def _written(project: Project, labelled: Labelled, purpose: str) -> Iterator[Use]:
    """What goes into sinks: to their zones, for their purposes."""
    for sink in project.sinks:
        zone = sink.zone or project.zone
        for name in labelled.columns.get(sink.table, (ANY,)):
            use = Use(
                kind="sink",
                node=(sink.table, name),
                says=f"written to sink {sink.name} in zone {zone!r}",
                zone=zone,
                clearance=sink.clearance,
                key=f"[sinks.{sink.name}] zone",
                line=sink.line,
            )
            yield use
            for_ = sink.purpose or purpose
            yield msgspec.structs.replace(
                use, kind="used", zone=None, purpose=for_, says=f"written to sink {sink.name}"
            )


def _named(project: Project, facts: Facts, labelled: Labelled, steps: Sequence[Step]) -> Iterator[Use]:
    """Lineage that is told to another zone has no values in it, but names of columns: those of secrets are held against their labels."""
    zone = project.lineage_zone if project.lineage else None
    if zone in (None, project.zone):
        return
    read = [(source.table, name) for source in project.sources for name in _read(project, facts, steps, source.table)]
    made = [(step.name, name) for step in steps for name in labelled.columns.get(step.name, ()) if name != MODEL]
    for node in (*read, *made):
        if labelled.label(*node).classification == "secret":
            says = f"named to the lineage service in zone {zone!r}"
            yield Use(kind="named", node=node, says=says, zone=zone, key="[lineage] zone")


def _money(project: Project, labelled: Labelled, purpose: str) -> Iterator[Use]:
    """The decision itself is a use of the examples' columns that the charter names."""
    decision = project.charter.decision
    for name in dict.fromkeys((decision.id, decision.outcome.column)):
        if (decision.examples, name) in labelled.labels:
            says = "used for the charter's decision"
            yield Use(
                kind="used", node=(decision.examples, name), says=says, purpose=purpose, file=project.charter.file
            )


def _published(project: Project, labelled: Labelled) -> Iterator[Use]:
    """The model with its predictions and metrics, which inherit the labels of what it learned from."""
    model, decision = project.charter.model_step, project.charter.decision
    if not model:
        return
    nodes = [(model, MODEL), (decision.examples, decision.id), (decision.examples, decision.outcome.column)]
    tracked = [node for node in nodes if node in labelled.labels]
    if project.tracking.enabled:
        zone = project.tracking.zone or project.zone
        for node in tracked:
            says = f"tracked in zone {zone!r} (the model, its predictions, its metrics)"
            yield Use(kind="tracked", node=node, says=says, zone=zone, key="[tracking] zone")
    for zone in project.serving:
        says = f"served in zone {zone!r}, inside of the model"
        yield Use(kind="served", node=(model, MODEL), says=says, zone=zone, key="[serving] zones")


# -- how it is said


def finding(project: Project, labelled: Labelled, breach: Breach) -> Finding:
    """A breach in the form of a finding: the column, what would happen to it, the rule, the whole way, the smallest edits."""
    use, others = breach.use, len(breach.others)
    contract = project.contract(breach.origin[0])
    column = contract.column(breach.origin[1]) if contract is not None else None
    said = contract is not None and column is not None
    rule = f"{contract.file}:{column.line}" if said and contract and column else "[labels] of payoff.toml"
    if breach.origin[1] in labelled.given.get(breach.origin[0], {}):
        rule = f"so it came from its source{f', or {rule}' if said else ''}"
    more = f", and so {count(others, 'other column')} of what it is made of" if others else ""
    way = f"; its way: {_way(labelled, breach.path)}" if breach.path[1:] else ""
    return Finding(
        code=breach.code,
        what=f"{_name(use.node)} would be {use.says}, but {_name(breach.origin)} {breach.forbids} ({rule}){more}",
        where=Place(use.file, use.line),
        expected=f"columns that may{way}",
        try_="; or ".join(breach.remedies) or "leave the column out",
    )


def _name(node: tuple[str, str]) -> str:
    if node[1] in THERE:
        return f"the rows of {node[0]}"
    return ".".join(node).removesuffix(f".{MODEL}").removesuffix(f".{ANY}")


def _way(labelled: Labelled, path: Sequence[tuple[str, str]]) -> str:
    """`customers.age -> examples.age ~> examples.n`: `->` where values go on, `~>` where only a condition, a key or an order depends on it."""
    words = [_name(path[0])]
    for before, after in itertools.pairwise(path):
        values, _ = labelled.parents(after)
        words += ["->" if before in values else "~>", _name(after)]
    return " ".join(words)


def _weaker(project: Project, facts: Facts) -> list[Finding]:
    """Contracts that say less of a source's columns than what came with them."""
    labels = Labels(project, facts.given)
    found = []
    for contract in project.contracts:
        for column in contract.columns:
            less = labels.weaker(contract.table, column.name)
            if less is not None:
                found.append(
                    Finding(
                        code="PO-F013",
                        what=f"{contract.table}.{column.name} is {less[0]} by its contract, but {less[1]} where it comes from",
                        where=Place(contract.file, column.line),
                        expected="a label that is as strict as that of where it comes from, or none: then that one holds",
                        try_=f"take it out of {contract.file}:{column.line}, or have the steward there lower it in a query that is read instead",
                    )
                )
    return found


def _unproven(project: Project, node: tuple[str, str], reason: str) -> Finding:
    contract = project.contract(node[0])
    column = contract.column(node[1]) if contract is not None else None
    line = column.lowering.line if column is not None and column.lowering is not None else 0
    return Finding(
        code="PO-F010",
        what=f"{'.'.join(node)} keeps the labels of what it is made of: {reason}",
        where=Place(contract.file if contract is not None else "contracts", line),
        expected="a reviewed operator that the product can apply, or prove of the query",
        try_="change the query, or remove the lowering from the contract, then: payoff check",
    )
