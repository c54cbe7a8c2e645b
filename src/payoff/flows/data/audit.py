"""`payoff data audit`: who, or which run, read which columns, when and for which purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.clock import now
from payoff.data.labels import epsilon
from payoff.flows.data.opened import MOST_RUNS, Catalog
from payoff.flows.watching import who
from payoff.records.catalog import Access

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from payoff.records.catalog import Told
    from payoff.records.run import RunRecord


def audit(project: str | None, name: str | None = None) -> Sequence[Access]:
    """Every access, the newest first: reads of sources and of steps' tables by runs, samples, and reads through a gateway.

    `name` is a TABLE or TABLE.COLUMN; none for all.
    """
    catalog = Catalog(project)
    table, _, column = (name or "").partition(".")
    if table:
        catalog.known(table)
    found = [access for record in catalog.records for access in _of(catalog, record)]
    events = catalog.opened.kit.ledger.read(catalog.opened.id, event="access", limit=10 * MOST_RUNS).events
    found += [msgspec.convert({k: v for k, v in body.items() if k != "subject"}, Access) for _, body in events]
    found += _noise(catalog)
    wanted = [each for each in found if (not table or each.table == table) and (not column or column in each.columns)]
    return tuple(sorted(wanted, key=lambda each: each.at, reverse=True))


def write_down(catalog: Catalog, access: Access) -> None:
    """Keep an access in the ledger, flushed to the disk, before anything is shown."""
    body = {"subject": access.table, **msgspec.to_builtins(access)}
    catalog.opened.kit.ledger.journal(catalog.opened.id, access.run, "access", body)


def by_hand(catalog: Catalog, table: str, columns: Sequence[str], how: str, rows: int) -> Access:
    """An access of this moment by whoever typed the command."""
    return Access(
        at=now(),
        who=who(),
        table=table,
        columns=tuple(columns),
        how=how,
        purpose=catalog.project.charter.objective.purpose,
        zone=catalog.project.zone,
        rows=rows,
    )


def _noise(catalog: Catalog) -> Iterable[Access]:
    """What was made with noise, and what it cost of its table's budget."""
    by = {record.run: record.by for record in catalog.records}
    tables: dict[str, list[Told]] = {}
    for each in catalog.told(""):
        tables.setdefault(each.table, []).append(each)
    for events in tables.values():
        for spent in epsilon.spent(events):
            told = spent.told
            rest = max(0.0, (told.budget or 0.0) - spent.total)
            left = "no budget" if told.budget is None else f"{rest:g} of {told.budget:g} left"
            yield Access(
                at=told.at,
                who=by.get(told.run, ""),
                table=told.table,
                columns=told.columns,
                how=f"noise, epsilon {spent.epsilon:g} ({left})",
                run=told.run,
                zone=catalog.project.zone,
                refused="" if spent.let else "PO-F030",
            )


def _of(catalog: Catalog, record: RunRecord) -> Iterable[Access]:
    """What a run read that it did not have from before: sources, and what its steps took of each other's tables."""
    seen = Access(
        at=record.started,
        who=record.by,
        table="",
        columns=(),
        how="read",
        run=record.run,
        purpose=record.charter.objective.purpose if record.charter is not None else "",
        commit=record.git.commit if record.git is not None else None,
        zone=catalog.project.zone,
    )
    for stage in record.stages:
        kind, _, table = stage.name.partition(":")
        if kind == "read" and stage.state == "ran" and stage.output is not None:
            columns = tuple(stage.extra.get("columns", stage.output.columns))
            yield msgspec.structs.replace(seen, table=table, columns=columns, rows=stage.output.rows)
    for outcome in record.steps:
        step = catalog.project.step(outcome.name)
        if outcome.state != "ran" or step is None:
            continue
        for each in step.inputs:
            taken = record.tables.get(each.name)
            if taken is not None:
                columns = each.columns or taken.columns
                how = f"step {step.name}"
                yield msgspec.structs.replace(seen, table=each.name, columns=columns, how=how, rows=taken.rows)
