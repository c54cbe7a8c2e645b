"""What an analysis of a query answers: which columns of its tables flow into which of its columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# How a column decides without being in the value. Distinct rows count as groups, EXISTS and IN inside an expression as conditions.
Way = Literal["join", "filter", "group by", "sort", "window", "conditional"]
Source = tuple[str, str]  # (table, column)
_NUMBERED = re.compile(r"_\d+$")


class Flow(msgspec.Struct, frozen=True):
    """What one output column depends on.

    `data`: its values are copied, computed or aggregated from these. `control`: these decide, without being in the value, what the value is
    or whether the row is there: filters, join keys, conditions of CASE, group keys, orderings and limits, windows, EXISTS and IN, DISTINCT,
    set operations. `tables`: tables of which it matters which rows they have; `ordered`: tables of which it matters in which order their rows
    come. (The rows of a table that a step made depend on more columns: `data.labels` follows that.) `how`: the last operation, for messages.
    `inside`: those of `control` that decide in the column's own expression, and not only which rows there are.
    """

    column: str
    data: frozenset[Source] = frozenset()
    control: frozenset[Source] = frozenset()
    how: tuple[str, ...] = ()
    tables: frozenset[str] = frozenset()
    ordered: frozenset[str] = frozenset()
    inside: frozenset[Source] = frozenset()

    @property
    def sources(self) -> frozenset[Source]:
        """All that the column depends on, explicitly or implicitly."""
        return self.data | self.control


class Flows(msgspec.Struct, frozen=True):
    """The flows of a query.

    `columns` are in the query's order. `unsure` says why everything was taken to depend on everything. `others` is the flow of any column that
    is not listed (a pivot's columns are named by the data); none where the list is whole. `rows` and `order`: what decides which rows there are,
    and in which order they come. `clauses` and `inside`: the columns that decide, by how they do it, in clauses of the query and in expressions.
    """

    columns: tuple[Flow, ...]
    unsure: str = ""
    others: Flow | None = None
    rows: Flow = Flow("")
    order: Flow = Flow("")
    clauses: Mapping[Way, frozenset[Source]] = {}
    inside: Mapping[Way, frozenset[Source]] = {}

    def ways(self, flow: Flow, source: Source) -> tuple[Way, ...]:
        """How a column decides over one of this query's; more ways than there are where a query inside of it uses the column in several.

        A condition where nothing else is known.

        >>> from payoff.data.lineage import flows
        >>> found = flows("select case when b then a end as x, a as y from t where c > b", {"t": ["a", "b", "c"]})
        >>> [found.ways(found.of(name), ("t", "b")) for name in "xy"]
        [('conditional', 'filter'), ('filter',)]
        """
        there = [way for way, sources in self.clauses.items() if source in sources]
        own = [way for way, sources in self.inside.items() if source in sources] if source in flow.inside else []
        return tuple(sorted({*there, *own})) or ("conditional",)

    def of(self, column: str) -> Flow | None:
        """The flow of an output column, whatever the case of its name; None where the query has no such column.

        >>> Flows((Flow("a", frozenset({("t", "x")})),)).of("A").data
        frozenset({('t', 'x')})
        """
        wanted = column.lower()
        found = [flow for flow in self.columns if flow.column.lower() == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            return merged(found[0].column, found)
        if self.others is None:
            return None
        if _NUMBERED.search(column):  # maybe a listed one whose name another bears too
            return merged(column, [self.others, *self.columns])
        return msgspec.structs.replace(self.others, column=column)

    def named(self, columns: Sequence[str]) -> Flows:
        """The same flows under the names that the engine gave: it names what the query does not (`sum(a)`), and knows a pivot's columns.

        By position where the list is whole and as long, else by name; a name that is not found depends on all that the query reads.
        """
        if self.others is None and len(columns) == len(self.columns):
            renamed = [msgspec.structs.replace(f, column=n) for f, n in zip(self.columns, columns, strict=True)]
            return msgspec.structs.replace(self, columns=tuple(renamed))
        every = merged("", [*self.columns, *([self.others] if self.others else []), self.rows])
        found = [self.of(name) or msgspec.structs.replace(every, column=name) for name in columns]
        return msgspec.structs.replace(self, columns=tuple(found), others=None)


class Threshold(msgspec.Struct, frozen=True):
    """A promise of HAVING: each group has at least `k` of these. `kind`: rows, values (not null) or distinct values of the column `of`."""

    kind: str
    k: int
    of: str = ""


class Grouping(msgspec.Struct, frozen=True):
    """Facts about the outermost select of a query that groups.

    `keys`: output columns that are group keys. `k`: the smallest number of rows that HAVING promises of each group, 0 where it promises none.
    `counts`: all promises, those about a column's values too. `columns`: of each output column `key`, `aggregate:<function>` or `other`; an
    aggregate is named only where its argument is a bare column and nothing filters it, since a condition could single one row out.
    `table`: the table where the select reads one and nothing else, else empty: then a row may stand for a part of a person, or for many.
    `hidden`: group keys that are not in the output.
    """

    keys: tuple[str, ...]
    k: int
    counts: tuple[Threshold, ...]
    columns: dict[str, str]
    table: str = ""
    hidden: tuple[str, ...] = ()


def merged(name: str, flows: Sequence[Flow]) -> Flow:
    """One flow of all of these."""
    return Flow(
        name,
        frozenset().union(*(flow.data for flow in flows)),
        frozenset().union(*(flow.control for flow in flows)),
        flows[0].how if flows else (),
        frozenset().union(*(flow.tables for flow in flows)),
        frozenset().union(*(flow.ordered for flow in flows)),
        frozenset().union(*(flow.inside for flow in flows)),
    )
