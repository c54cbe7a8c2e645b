"""Which columns and rows of a table a reader may have: the labels decide, each time anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from payoff.base.errors import PayoffError, Refused, Where
from payoff.base.text import count
from payoff.data import usage
from payoff.data.labels import Labels, Use, breaches, join
from payoff.data.labels.flow import THERE
from payoff.data.labels.lattice import PUBLIC
from payoff.data.names import column as quoted
from payoff.execute import governing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from payoff.data.labels import Labelled
    from payoff.records.label import Label
    from payoff.records.project import Project, ReaderSpec


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader may have of a table: these columns, of the rows that meet the condition (empty: all rows). `refused`: column -> why not."""

    reader: str
    table: str
    columns: tuple[str, ...]
    refused: dict[str, PayoffError]
    rows: str = ""

    def chosen(self, columns: Sequence[str] | None) -> tuple[str, ...]:
        """The columns asked for (None: all that may be read); `Refused` by the rule for one that may not be."""
        for name in columns or ():
            if name in self.refused:
                raise self.refused[name]
            if name not in self.columns:
                raise Refused(
                    f"{self.table} has no column {name!r} for reader {self.reader!r}",
                    code="PO-H011",
                    expected=f"columns among {', '.join(self.columns)}",
                    remedy="ask for columns that the schema has",
                )
        return self.columns if columns is None else tuple(columns)

    def select(self, table: str) -> str:
        """The query that leaves nothing else of a table."""
        where = f" where ({self.rows}\n)" if self.rows else ""
        return f"select {', '.join(quoted(name) for name in self.columns)} from {quoted(table)}{where}"


def permit(
    project: Project, labelled: Labelled, reader: ReaderSpec, purpose: str, *, table: str, schema: pa.Schema
) -> Permit:
    """What a reader may have of a table with this schema, for a purpose (empty: for all of the reader's at once).

    Raises `Refused` when no column may be read, or when the rows are chosen by a column that may not be.
    """
    if project.source(table) is not None:
        _know(project, labelled, table, schema)
    refused: dict[str, PayoffError] = {}
    for name in schema.names:
        reason = _forbidden(project, labelled, reader, purpose, node=(table, name))
        if reason is not None:
            refused[name] = reason
    columns = tuple(name for name in schema.names if name not in refused)
    if not columns:
        first = next(iter(refused.values()), None)
        raise Refused(
            f"no column of {table} may be read by {reader.name!r}" + (f"; the first: {first.what}" if first else ""),
            code=first.code if first else "PO-H011",
            expected="a table with columns that may be read in the reader's zone, at its clearance, for its purposes",
            remedy="lower what is to be read in a query of the project that holds the data (docs/labels.md)",
        )
    rows = reader.rows.get(table, "")
    if rows:
        _check_condition(reader, table, schema, refused, rows)
    return Permit(reader=reader.name, table=table, columns=columns, refused=refused, rows=rows)


def labels(labelled: Labelled, permit: Permit, schema: pa.Schema) -> dict[str, Label]:
    """What goes along with the columns that a reader may have; which rows come tells of the columns that choose them."""
    table = permit.table
    told = {name: labelled.label(table, name) for name in permit.columns}
    there = {what: labelled.labels.get((table, what), PUBLIC) for what in THERE}
    if permit.rows:
        query = f"select 1 as one from {quoted(table)} where ({permit.rows}\n)"
        choosing = [labelled.label(table, name) for name in usage.used_columns(query, {table: schema})[table]]
        there = {what: join((label, *choosing)) for what, label in there.items()}
    return told | there


def _know(project: Project, labelled: Labelled, table: str, schema: pa.Schema) -> None:
    """Of a source that no step uses, and of columns that came since, nobody has asked for labels yet."""
    new = [name for name in schema.names if (table, name) not in labelled.labels]
    if new:
        known = Labels(project, labelled.given)
        for name in new:
            labelled.labels[table, name] = known.source(table, name)


def _forbidden(
    project: Project, labelled: Labelled, reader: ReaderSpec, purpose: str, *, node: tuple[str, str]
) -> PayoffError | None:
    purposes = (purpose,) if purpose else reader.purposes or ("",)
    uses = [
        Use(
            kind="placed",
            node=node,
            says=f"read by {reader.name!r} in zone {reader.zone!r}" + (f" for {each!r}" if each else ""),
            zone=reader.zone,
            purpose=each,
            clearance=reader.clearance,
            line=reader.line,
        )
        for each in purposes
    ]
    found = breaches(labelled, uses, project.zones)
    if not found:
        return None
    said = governing.finding(project, labelled, found[0])
    more = f" (and {count(len(found) - 1, 'more reason')})" if found[1:] else ""
    return Refused(
        said.what + more,
        code=said.code,
        expected="columns that may be read there, at that clearance, for that purpose",
        remedy="leave the column out, or lower it in a query of the project that holds the data (docs/labels.md)",
    )


def _check_condition(
    reader: ReaderSpec, table: str, schema: pa.Schema, refused: dict[str, PayoffError], rows: str
) -> None:
    """The rows that a reader gets tell about the columns that choose them: those must be the reader's to read."""
    used = usage.used_columns(f"select 1 as one from {quoted(table)} where ({rows}\n)", {table: schema})[table]
    hidden = [name for name in used if name in refused]
    if hidden:
        raise Refused(
            f"the rows of {table} for {reader.name!r} would be chosen by {', '.join(hidden)}, which the reader may not read",
            code="PO-H012",
            expected="a condition over columns that the reader may read: which rows come tells their values",
            remedy=f"change [gateway.readers.{reader.name}.rows] in payoff.toml, or choose the rows in a query with a lowered label",
            where=Where("payoff.toml", reader.line),
        )
