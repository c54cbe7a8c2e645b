"""`payoff data lineage TABLE.COLUMN`: what a column is made of, and what depends on it, to the models and where they are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import UserError
from payoff.base.text import did_you_mean
from payoff.data.labels.flow import THERE
from payoff.flows.data.opened import Catalog
from payoff.records.catalog import Lineage, Link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from payoff.data.labels import Labelled

    Node = tuple[str, str]


def lineage(project: str | None, name: str) -> Lineage:
    """`name` is TABLE.COLUMN, or a model's name."""
    catalog = Catalog(project)
    labelled = catalog.labelled
    node = _node(catalog, labelled, name)
    down = list(_walk(labelled, node, lambda at: _users(labelled, at), "down"))
    reached = {node, *labelled.downstream(node)}
    model = catalog.project.charter.model_step
    models = (model,) if any(table == model for table, _ in reached) else ()
    unsure = {
        f"{made.table}: {made.flows.unsure}"
        for made in labelled.made.values()
        if made.flows is not None and made.flows.unsure and any(table == made.table for table, _ in reached)
    }
    return Lineage(
        table=node[0],
        column=node[1],
        label=labelled.label(*node),
        links=(*_walk(labelled, node, lambda at: _parents(labelled, at), "up"), *down),
        models=models,
        served=catalog.project.serving if models else (),
        unsure=tuple(sorted(unsure)),
    )


def _node(catalog: Catalog, labelled: Labelled, name: str) -> Node:
    table, _, column = name.partition(".")
    if table == catalog.project.charter.model_step and not column:
        return table, labelled.columns[table][0]
    catalog.known(table)
    columns = labelled.columns.get(table, ())
    if column not in columns:
        raise UserError(
            f"{table} has no column {column!r}" if column else f"{name} names a table, and no column",
            code="PO-R141",
            expected=f"TABLE.COLUMN, the column {did_you_mean(column, columns)}",
            remedy=f"payoff data show {table} lists them",
        )
    return table, column


def _parents(labelled: Labelled, node: Node) -> Iterable[tuple[Node, bool]]:
    values, others = labelled.parents(node)
    yield from ((each, False) for each in sorted(values))
    yield from ((each, True) for each in sorted(others - values))


def _users(labelled: Labelled, node: Node) -> Iterable[tuple[Node, bool]]:
    for each, (values, others) in labelled.links.items():
        if node in values:
            yield each, False
        elif node in others:
            yield each, True


def _walk(
    labelled: Labelled, start: Node, further: Callable[[Node], Iterable[tuple[Node, bool]]], direction: str
) -> Iterable[Link]:
    """Breadth first: each column once, by a shortest way; a way with an implicit part is implicit."""
    seen = {start}
    front = [(start, False)]
    distance = 0
    while front:
        distance += 1
        after = []
        for at, hidden in front:
            for node, implicit in further(at):
                if node in seen:
                    continue
                seen.add(node)
                after.append((node, hidden or implicit))
                if node[1] in THERE:  # told by what it leads to
                    continue
                yield Link(
                    direction="up" if direction == "up" else "down",
                    table=node[0],
                    column=node[1],
                    distance=distance,
                    implicit=hidden or implicit,
                    label=labelled.label(*node),
                    through=".".join(at),
                )
        front = after
