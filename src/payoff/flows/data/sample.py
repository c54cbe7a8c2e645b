"""`payoff data sample TABLE`: a few rows, with every column masked that may not be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import UserError
from payoff.data.names import column as quoted
from payoff.flows.data import audit
from payoff.flows.data.opened import Catalog
from payoff.ports.store import was
from payoff.records.catalog import Sample

if TYPE_CHECKING:
    from payoff.records.artifact import Artifact

MASK = "•••"


def sample(project: str | None, table: str, rows: int = 10) -> Sample:
    """Rows drawn evenly over the newest version, the same for the same version; the access is written down first."""
    catalog = Catalog(project)
    catalog.known(table)
    newest = catalog.newest(table)
    store = catalog.opened.kit.store
    if newest is None or not store.has(newest[1]):
        raise UserError(
            f"no run has made {table} yet, so that there is nothing to show"
            if newest is None
            else f"the newest version of {table} {was(store, newest[1])}",
            code="PO-R142",
            expected="a table that a run had",
            remedy=f"payoff run --only {table}, then: payoff data sample {table}",
        )
    artifact = newest[1]
    listed, masked = masking(catalog, table, artifact)
    shown = [name for name in artifact.columns if name not in masked]
    audit.write_down(catalog, audit.by_hand(catalog, table, shown, "sample", min(rows, artifact.rows or 0)))
    every = max(1, (artifact.rows or 0) // rows)
    sql = (
        f"select {listed} from (select *, row_number() over () - 1 as payoff_row from t) "
        f"where payoff_row % {every} = 0 order by payoff_row limit {rows}"
    )
    answer = catalog.opened.kit.engine.query(sql, {"t": store.path(artifact)})
    return Sample(
        table=table,
        version=artifact.id,
        columns=artifact.columns,
        masked=masked,
        rows=tuple(tuple(row.values()) for row in answer.to_pylist()),
    )


def masking(catalog: Catalog, table: str, artifact: Artifact) -> tuple[str, tuple[str, ...]]:
    """A table's columns as a query lists them, those masked that may not be shown; and the names of these."""
    masked = tuple(name for name in artifact.columns if not catalog.shows(catalog.labelled.label(table, name)))
    listed = ", ".join(
        f"case when {quoted(name)} is null then null else '{MASK}' end as {quoted(name)}"
        if name in masked
        else quoted(name)
        for name in artifact.columns
    )
    return listed, masked
