"""`payoff data ls`: the tables of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.flows.data.opened import Catalog
from payoff.records.catalog import TableLine

if TYPE_CHECKING:
    from collections.abc import Sequence


def ls(project: str | None) -> Sequence[TableLine]:
    """A line for each table: what it is, how openly it may be shown, where it is, its newest version."""
    catalog = Catalog(project)
    return tuple(line(catalog, name) for name in catalog.names)


def line(catalog: Catalog, table: str) -> TableLine:
    """What there is to say of one table."""
    project, labelled = catalog.project, catalog.labelled
    source, step, contract = project.source(table), project.step(table), project.contract(table)
    newest = catalog.newest(table)
    known = [name for name in labelled.columns.get(table, ()) if name != "*"]
    kind = source.kind if source is not None else "split" if step is None else "query" if step.lazy else "function"
    return TableLine(
        table=table,
        kind=kind,
        classification=labelled.whole(table).classification,
        zone=(source.zone if source is not None else None) or project.zone,
        columns=len(newest[1].columns) if newest else len(known) or None,
        rows=newest[1].rows if newest else None,
        version=newest[1].id if newest else None,
        run=newest[0].run if newest else None,
        made=newest[0].finished if newest else None,
        contract=contract.file if contract is not None else None,
    )
