"""Flows through a whole pipeline: from the base tables to any column of any step, with the way they take."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from payoff.data.lineage.flow import Flow, Flows, Source
from payoff.data.lineage.relation import Cell, both, whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROWS = "*"  # in a path: which rows a table has, or in which order, rather than one of its columns


class Opaque(msgspec.Struct, frozen=True):
    """A step whose inside is not seen: each output depends on every column read.

    `reads`: the columns read of each table. `columns`: its output's, as far as they are known. `depends`: a declared map from an output column
    to what it depends on; an output that is not in it depends on everything read.
    """

    reads: dict[str, tuple[str, ...]]
    columns: tuple[str, ...] = ()
    depends: dict[str, tuple[Source, ...]] | None = None


def declared(depends: Mapping[str, Sequence[str]]) -> dict[str, tuple[Source, ...]]:
    """A map as it is written (`{"score": ["customers.age"]}`) as an opaque step takes it.

    >>> declared({"score": ["customers.age"]})
    {'score': (('customers', 'age'),)}
    """
    pairs = {out: [each.partition(".")[::2] for each in given] for out, given in depends.items()}
    return {out: tuple((table, column) for table, column in found) for out, found in pairs.items()}


class _Table:
    """What the columns and rows of a step's table depend on in the base tables."""

    __slots__ = ("cells", "order", "others", "rows", "step")

    def __init__(self, step: Flows) -> None:
        self.step = step
        self.cells: dict[str, Cell] = {}
        self.others: Cell | None = None
        self.rows = 0
        self.order = 0


class Lineage:
    """What every column of every step depends on in the base tables: those that no step makes."""

    def __init__(self, pipeline: Iterable[tuple[str, Flows | Opaque]]) -> None:
        self._bits: dict[tuple[str, str, str], int] = {}
        self._meaning: list[tuple[str, str, str]] = []
        self._tables: dict[str, _Table] = {}
        self._told: dict[int, tuple[frozenset[Source], frozenset[str], frozenset[str]]] = {}
        for name, step in pipeline:
            self._tables[name] = self._composed(step if isinstance(step, Flows) else _flows(step))

    def of(self, table: str, column: str) -> Flow | None:
        """The flow of a step's column from the base tables; None where the step has no such column, or is none."""
        made = self._tables.get(table)
        if made is None:
            return None
        cell = made.cells.get(column.lower(), made.others)
        step = made.step.of(column)
        return None if cell is None or step is None else self._flow(step.column, cell, step.how)

    def rows(self, table: str) -> Flow | None:
        """What decides which rows a step's table has."""
        made = self._tables.get(table)
        return None if made is None else self._flow("", (0, made.rows), made.step.rows.how)

    def columns(self, table: str) -> tuple[str, ...]:
        """The known columns of a step's table."""
        made = self._tables.get(table)
        return () if made is None else tuple(flow.column for flow in made.step.columns)

    def others(self, table: str) -> Flow | None:
        """The flow of a column that is not listed; None where the list is whole."""
        made = self._tables.get(table)
        return None if made is None or made.others is None else self._flow("", made.others, ())

    def path(self, table: str, column: str, source: Source) -> tuple[Source, ...]:
        """A shortest way from a base column to a step's column, both included; empty when there is none.

        A hop (table, "*") is through which rows the table has.
        """
        goal = (source[0], source[1].lower())
        start = (table, column.lower())
        before: dict[Source, Source | None] = {start: None}
        shown: dict[Source, Source] = {start: (table, column)}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            if node == goal and node[0] not in self._tables:
                return _walked(node, before, shown)
            for each in self._into(*node):
                key = (each[0], each[1].lower())
                if key not in before:
                    before[key] = node
                    shown[key] = each
                    queue.append(key)
        return ()

    def _into(self, table: str, column: str) -> list[Source]:
        """The columns and rows that one hop leads here from, what flows in values first."""
        made = self._tables.get(table)
        if made is None:
            return []
        flows = [made.step.rows, made.step.order] if column == ROWS else [made.step.of(column) or made.step.rows]
        found = [each for flow in flows for kind in (flow.data, flow.control) for each in sorted(kind)]
        return found + sorted((each, ROWS) for flow in flows for each in flow.tables | flow.ordered)

    def _composed(self, step: Flows) -> _Table:
        made = _Table(step)
        masks: dict[frozenset[Source], Cell] = {}
        rows: dict[tuple[frozenset[str], frozenset[str]], int] = {}
        for flow in step.columns:
            cell = self._cell(flow, masks, rows)
            low = flow.column.lower()
            made.cells[low] = both(made.cells[low], cell) if low in made.cells else cell
        made.others = None if step.others is None else self._cell(step.others, masks, rows)
        made.rows = whole([self._cell(step.rows, masks, rows)])
        made.order = whole([self._cell(step.order, masks, rows)])
        return made

    def _cell(
        self, flow: Flow, masks: dict[frozenset[Source], Cell], rows: dict[tuple[frozenset[str], frozenset[str]], int]
    ) -> Cell:
        for kind in (flow.data, flow.control):
            if kind not in masks:
                masks[kind] = both(*(self._source(*each) for each in kind))
        key = (flow.tables, flow.ordered)
        if key not in rows:
            mask = 0
            for table in flow.tables:
                made = self._tables.get(table)
                mask |= self._bit(table, "", "rows") if made is None else made.rows
            for table in flow.ordered:
                made = self._tables.get(table)
                mask |= self._bit(table, "", "order") if made is None else made.order
            rows[key] = mask
        data, control = masks[flow.data]
        return data, control | whole([masks[flow.control]]) | rows[key]

    def _source(self, table: str, column: str) -> Cell:
        made = self._tables.get(table)
        if made is None:
            return self._bit(table, column, "column"), 0
        found = made.cells.get(column.lower(), made.others)
        # A column that its step is not known to make could be any of them.
        return found if found is not None else both(*made.cells.values(), (0, made.rows))

    def _bit(self, table: str, column: str, kind: str) -> int:
        key = (table, column, kind)
        if key not in self._bits:
            self._bits[key] = 1 << len(self._meaning)
            self._meaning.append(key)
        return self._bits[key]

    def _flow(self, name: str, cell: Cell, how: tuple[str, ...]) -> Flow:
        data, *_ = self._of(cell[0])
        control, tables, ordered = self._of(cell[1])
        return Flow(name, data, control, how, tables, ordered)

    def _of(self, mask: int) -> tuple[frozenset[Source], frozenset[str], frozenset[str]]:
        if mask not in self._told:
            columns: list[Source] = []
            tables: dict[str, list[str]] = {"rows": [], "order": []}
            left = mask
            while left:
                low = left & -left
                table, column, kind = self._meaning[low.bit_length() - 1]
                if kind == "column":
                    columns.append((table, column))
                else:
                    tables[kind].append(table)
                left ^= low
            self._told[mask] = frozenset(columns), frozenset(tables["rows"]), frozenset(tables["order"])
        return self._told[mask]


def through(pipeline: Iterable[tuple[str, Flows | Opaque]]) -> Lineage:
    """Compose the steps of a pipeline, each after those whose tables it reads: (name of the table that it makes, its flows).

    >>> from payoff.data.lineage import flows
    >>> first = flows("select id, age from people where income > 0", {"people": ["id", "age", "income"]})
    >>> second = flows("select count(*) as n from first", {"first": ["id", "age"]})
    >>> lineage = through([("first", first), ("second", second)])
    >>> sorted(lineage.of("second", "n").control)
    [('people', 'income')]
    >>> lineage.path("second", "n", ("people", "income"))
    (('people', 'income'), ('first', '*'), ('second', 'n'))
    """
    return Lineage(pipeline)


def _flows(step: Opaque) -> Flows:
    """An opaque step's flows: all that it reads, but for outputs whose sources are declared."""
    every = frozenset((table, column) for table, columns in step.reads.items() for column in columns)
    tables = frozenset(step.reads)
    known = step.depends or {}
    names = [*step.columns, *(name for name in known if name not in step.columns)]
    whole_flow = Flow("", every, every, ("function",), tables, tables)
    columns = [
        Flow(
            name,
            frozenset(known[name]),
            frozenset(),
            ("declared",),
            tables | {table for table, _ in known[name]},
            tables,
        )
        if name in known
        else msgspec.structs.replace(whole_flow, column=name)
        for name in names
    ]
    if known and step.columns and all(name in known for name in step.columns):
        stated = frozenset(each for sources in known.values() for each in sources)
        rows = Flow("", frozenset(), stated, ("declared",), tables, tables)
        return Flows(tuple(columns), rows=rows, order=rows)
    others = None if step.columns else whole_flow
    return Flows(tuple(columns), others=others, rows=whole_flow, order=whole_flow)


def _walked(node: Source, before: dict[Source, Source | None], shown: dict[Source, Source]) -> tuple[Source, ...]:
    path = []
    at: Source | None = node
    while at is not None:
        path.append(shown[at])
        at = before[at]
    return tuple(path)
