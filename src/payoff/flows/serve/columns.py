"""The columns of a request: which the model takes, which decisions need besides, what is promised of each, which may be written to the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from payoff.base.errors import UserError
from payoff.data import checks, expressions, usage
from payoff.data.labels import Use, breaches
from payoff.data.names import column as quoted
from payoff.execute import governing
from payoff.plan import graph
from payoff.records.artifact import Artifact
from payoff.records.contract import Column, Contract
from payoff.records.serving.served import InputColumn, LogRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from payoff.flows.opening import Past
    from payoff.records.charter import Charter
    from payoff.records.evidence import StepOutcome
    from payoff.records.project import Project
    from payoff.records.run import RunRecord


_NONE = "payoff:none"


class Asked(NamedTuple):
    """`features` in the model's order, `more` what only decisions need, `id` the decision's own, which a request may have."""

    features: tuple[InputColumn, ...]
    more: tuple[InputColumn, ...]
    id: InputColumn | None


def asked(past: Past, project: Project, record: RunRecord, score: StepOutcome) -> Asked:
    """The columns with the promises that hold for them: those of the examples' own contract, else of the one source that has a column of that name.

    A promise is taken over only where the rows that the model learned from keep it: a join may leave values out that its source always has.
    """
    charter = project.charter
    rows = holdout(record)
    types = {field.name: field.type for field in rows.fields}
    names = [each["name"] for each in score.extra["signature"]["inputs"]]
    types |= {each["name"]: each["type"] for each in score.extra["signature"]["inputs"]}
    more = [name for name in needed(charter, rows.columns) if name not in names]
    wanted = [*names, *more, *([charter.decision.id] if charter.decision.id not in (*names, *more) else [])]
    kept = _kept(past, record, {name: _promise(project, name) for name in wanted}, types)
    made = {name: _column(name, types[name], *kept[name]) for name in wanted if name in types}
    if charter.decision.id in made and charter.decision.id not in (*names, *more):
        own = made[charter.decision.id]  # who asks need not say it
        made[charter.decision.id] = msgspec.structs.replace(
            own, promise=msgspec.structs.replace(own.promise, required=False)
        )
    return Asked(
        features=tuple(made[name] for name in names),
        more=tuple(made[name] for name in more if name in made),
        id=made.get(charter.decision.id),
    )


def needed(charter: Charter, columns: Sequence[str]) -> list[str]:
    """The columns that the charter's payoffs and its capacity are computed from."""
    parts = [f"({cell.sql}) as c" for cell in charter.cells if cell.sql is not None]
    if charter.quantity is not None:
        parts += expressions.quantity_money(charter, charter.quantity, "0")[:1]
    limit = charter.capacity
    if limit is not None:
        parts += [f"({limit.cost_sql}) as c"] if limit.cost_sql is not None else []
        parts += [f"{quoted(limit.within)} as c"] if limit.within is not None else []
    if not parts:
        return []
    # Of a query that names no column the first one is said to be used, so that its rows can be counted.
    known = governing.Names((_NONE, *columns))
    found = usage.used_columns(f"select {', '.join(parts)} from rows", {"rows": known})["rows"]
    return [name for name in found if name != _NONE]


def holdout(record: RunRecord) -> Artifact:
    """The rows that the model was valued on."""
    split = next(stage for stage in record.stages if stage.name == "split")
    return msgspec.convert(split.extra["holdout"], Artifact)


def silent(charter: Charter, record: RunRecord) -> str:
    """Why there are no decisions; empty where there are."""
    return "" if record.valuation is not None else "it was never valued"


def _promise(project: Project, name: str) -> tuple[Column | None, str]:
    """What is promised of a column of that name, and by which contract."""
    own = project.contract(project.charter.decision.examples)
    found = own.column(name) if own is not None else None
    if own is not None and found is not None and found.type is not None:
        return found, own.file
    others = [(c, contract.file) for contract in project.contracts if (c := contract.column(name)) is not None]
    return others[0] if len(others) == 1 else (None, "")


def _kept(
    past: Past, record: RunRecord, promises: Mapping[str, tuple[Column | None, str]], types: Mapping[str, str]
) -> dict[str, tuple[Column | None, str]]:
    """The promises that the rows of train keep; of a column without one, whether a value was ever missing."""
    train = record.tables[graph.TRAIN]
    known = {field.name for field in train.fields}
    alone = {
        name: _alone(found) if found is not None else Column(name=name, required=True)
        for name, (found, _) in promises.items()
        if name in types
    }
    fields = [field for field in train.fields if field.name in alone]
    contract = Contract(
        table=graph.TRAIN, file="", version="", columns=tuple(each for name, each in alone.items() if name in known)
    )
    plan = checks.compile_contract(
        contract, fields, promised_from=[field.name for field in fields], foreign={}, now="1970-01-01T00:00:00Z"
    )
    path = past.kit.store.path(train)
    results = checks.run(plan, lambda sql: past.kit.engine.query(sql, {graph.TRAIN: path}))
    broken = {result.column for result in results if not result.passed}
    kept: dict[str, tuple[Column | None, str]] = {}
    for name, (found, file) in promises.items():
        if name in alone and name not in broken:
            kept[name] = (alone[name], file)
        else:
            kept[name] = (Column(name=name, type=found.type) if found is not None else None, file)
    return kept


def _alone(promise: Column) -> Column:
    """The promise as far as a row can keep it by itself."""
    return msgspec.structs.replace(
        promise, unique=False, primary_key=False, references=None, required=promise.required or promise.primary_key
    )


def _column(name: str, kind: str, promise: Column | None, file: str) -> InputColumn:
    return InputColumn(name=name, type=kind, promise=promise or Column(name=name), source=file)


def log_rule(projects: Sequence[Project], record: RunRecord, given: Asked) -> LogRule:
    """Which of the columns may be written to the log, here, for the charter's purpose, up to the classification that the project says.

    `projects`: the project as it was at the run and as it is now; what the labels of one of them forbid is withheld. The settings are the last one's.
    """
    project = projects[-1]
    clearance = project.served.log
    if clearance == "nothing":
        why = "[serving] log is nothing"
        return LogRule(withheld={each.name: why for each in (*given.features, *given.more)})
    names, queries = governing.recorded(record)
    facts = governing.Facts(schemas={n: governing.Names(c) for n, c in names.items()}, compiled=queries)
    wanted = [each.name for each in (*given.features, *given.more, *([given.id] if given.id else []))]
    withheld: dict[str, str] = {}
    days: list[int] = []
    for each in projects:
        labelled = governing.label(each, facts)
        for name in wanted:
            node = (each.charter.decision.examples, name)
            use = Use(
                kind="placed",
                node=node,
                says="written to the log of predictions",
                zone=each.zone,
                clearance=clearance,
                purpose=each.charter.objective.purpose,
            )
            found = breaches(labelled, [use], each.zones)
            least = labelled.label(*node).retention
            if found:
                withheld.setdefault(name, found[0].forbids)
            elif least is not None:
                days.append(least)
    kept = tuple(dict.fromkeys(name for name in wanted if name not in withheld))
    return LogRule(clearance=clearance, columns=kept, withheld=withheld, days=min(days, default=None))


def refuse_unknown(names: Iterable[str], known: Sequence[str]) -> None:
    """A file of rows must have all columns."""
    absent = [name for name in known if name not in set(names)]
    if absent:
        raise UserError(
            f"the rows have no column {absent[0]!r}"
            + (f" (and {len(absent) - 1} more are missing)" if absent[1:] else ""),
            code="PO-J005",
            expected=f"the columns {', '.join(known)}",
            remedy="add the columns to the file, under the names that the model learned them by",
        )
