"""Whether the tables of a point-in-time join can be joined: its columns are there, and its times can be compared exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import UserError, Where
from payoff.base.text import did_you_mean
from payoff.data.lineage.flow import Flow, Flows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.records.artifact import Field
    from payoff.records.joins.as_of import AsOf, Join

_KINDS = {
    "date": "dates",
    "clock": "times without a zone",
    "instant": "times with a zone",
    "fine": "instants in nanoseconds",
}
_CASTS = {"date": "cast(X as date)", "clock": "cast(X as timestamp)", "instant": "X at time zone 'ZONE'"}


def query(join: Join, shapes: Mapping[str, Sequence[Field]]) -> str:
    """The query over tables of these shapes.

    Raises UserError where a column is missing, or where a time of a fact cannot be compared with the rows' own without a guess: a date is
    no moment, and a time without a zone is one only where somebody says in which zone.
    """
    check(join, shapes)
    return join.sql(tuple(field.name for field in shapes[join.rows]))


def flows(join: Join, columns: Sequence[str]) -> Flows:
    """What its columns depend on, by its rule and not by its query: the rows and `columns` are those of `join.rows`, whatever the facts are.

    Which fact is taken, the times and the keys of both tables decide; between facts of the same times, all the columns that are taken.
    """
    own = [Flow(name, frozenset({(join.rows, name)}), tables=frozenset({join.rows})) for name in columns]
    taken = []
    for facts in join.as_of:
        times = [name for name in (facts.valid, facts.known) if name]
        deciding = {(facts.table, name) for name in (*times, *(right for _, right in facts.by), *facts.columns)}
        deciding |= {(join.rows, name) for name in (join.at, *(left for left, _ in facts.by))}
        for name in facts.columns:
            data = (facts.table, name)
            control = frozenset(deciding - {data})
            tables = frozenset({join.rows, facts.table})
            taken.append(Flow(facts.prefix + name, frozenset({data}), control, ("asof join",), tables))
    every: frozenset[tuple[str, str]] = frozenset().union(*(flow.control for flow in taken))
    rows, order = Flow("", tables=frozenset({join.rows})), Flow("", ordered=frozenset({join.rows}))
    return Flows((*own, *taken), rows=rows, order=order, clauses={"join": every})


def check(join: Join, shapes: Mapping[str, Sequence[Field]]) -> None:
    """Raise what `query` would."""
    kinds = {table: {field.name: field.type for field in fields} for table, fields in shapes.items()}
    left = kinds[join.rows]
    _there(join, join.rows, [join.at], left, join.line)
    at = _kind(join, join.rows, join.at, left[join.at], join.line)
    for facts in join.as_of:
        right = kinds[facts.table]
        _there(join, join.rows, [name for name, _ in facts.by], left, facts.line)
        times = [name for name in (facts.valid, facts.known) if name]
        _there(join, facts.table, [*(name for _, name in facts.by), *times, *facts.columns], right, facts.line)
        for name in times:
            found = _kind(join, facts.table, name, right[name], facts.line)
            if found != at:
                raise _unlike(join, facts, name, found, at)
        taken = [facts.prefix + name for name in facts.columns]
        twice = [name for name in taken if name.lower() in {each.lower() for each in left}]
        if twice:
            raise UserError(
                f"the join {join.name} would have two columns named {twice[0]}: {join.rows} has it already",
                code="PO-D061",
                expected="names that the rows do not have",
                remedy=f'write prefix = "{facts.table}_" for the facts of {facts.table} in {join.file}:{facts.line}, then: payoff check',
                where=Where(join.file, facts.line),
            )


def _there(join: Join, table: str, names: Sequence[str], columns: Mapping[str, str], line: int) -> None:
    for name in names:
        if name not in columns:
            raise UserError(
                f"the join {join.name} names the column {name}, which {table} does not have",
                code="PO-D060",
                expected=did_you_mean(name, columns),
                remedy=f"correct the name in {join.file}:{line}, then: payoff check",
                where=Where(join.file, line),
            )


def _kind(join: Join, table: str, name: str, kind: str, line: int) -> str:
    """`date`, `clock` or `instant`."""
    if kind == "date32[day]":
        return "date"
    if kind.startswith("timestamp[") and not (kind.startswith("timestamp[ns") and "tz=" in kind):
        return "instant" if "tz=" in kind else "clock"
    raise UserError(
        f"the join {join.name} takes {name} of {table} as a time, but it is {kind}",
        code="PO-D062",
        expected="a date, or a timestamp (with a time zone: in microseconds at the finest, which is all that the engine keeps of an instant)",
        remedy=f"cast {name} where {table} is made, or name another column in {join.file}:{line}",
        where=Where(join.file, line),
    )


def _unlike(join: Join, facts: AsOf, name: str, found: str, at: str) -> UserError:
    cast = _CASTS[at].replace("X", name)
    return UserError(
        f"the join {join.name} compares {name} of {facts.table} ({_KINDS[found]}) with {join.at} of {join.rows} ({_KINDS[at]})",
        code="PO-D063",
        expected="times of one kind: only somebody who knows the data can say at which moment a date begins, or in which zone a clock was read",
        remedy=f"make a table in sql/ that says it, as select * replace ({cast} as {name}) from {facts.table}, and join that",
        where=Where(join.file, facts.line),
    )
