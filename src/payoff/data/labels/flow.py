"""How labels flow: what a step makes has the labels of all that it depends on, implicit flows included."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

import msgspec

from payoff.data.labels.lattice import PUBLIC, Labels, join
from payoff.data.lineage import Flow, Flows, Grouping
from payoff.records.label import Label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Node = tuple[str, str]  # (table, column)
ANY = "*"  # the one column of a table of which nobody knows the columns before the run
ROWS = "(rows)"  # which rows a table has
ORDER = "(order)"  # in which order they come: it decides where a later step takes the first few
THERE = (ROWS, ORDER)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A table (or model) of the project, with what it is made of.

    `columns`: None when they are not known before the run. `reads`: per input the columns that are taken (None: all). A query has `flows`; a copy
    (what the split makes) takes each column from the one of the same name, and its rows by the columns `chosen`; a function makes each output of everything it reads, except where `depends` says of what.
    """

    table: str
    kind: Literal["source", "query", "function", "copy"]
    columns: tuple[str, ...] | None = None
    reads: dict[str, tuple[str, ...] | None] = {}
    flows: Flows | None = None
    grouping: Grouping | None = None
    depends: dict[str, tuple[Node, ...]] = {}
    chosen: tuple[Node, ...] = ()
    file: str = ""
    line: int = 0


class Labelled:
    """The labels of all columns, and what each is made of: `links` has per column what its values come from, and what they depend on otherwise."""

    def __init__(self) -> None:
        self.labels: dict[Node, Label] = {}
        self.columns: dict[str, tuple[str, ...]] = {}
        self.made: dict[str, Made] = {}
        self.given: Mapping[str, Mapping[str, Label]] = {}  # labels that came with sources' columns
        self.refused: dict[Node, str] = {}  # a lowering that does not hold, with the reason
        self.links: dict[Node, tuple[frozenset[Node], frozenset[Node]]] = {}

    def label(self, table: str, column: str) -> Label:
        """The label of a column; of one that is not known before the run, what holds for its whole table."""
        found = self.labels.get((table, column))
        return found if found is not None else self.whole(table)

    def whole(self, table: str) -> Label:
        """What holds for something made of all columns of a table."""
        nodes = [(table, name) for name in (*self.columns.get(table, ()), *THERE)]
        return join(self.labels[node] for node in nodes if node in self.labels)

    def parents(self, node: Node) -> tuple[frozenset[Node], frozenset[Node]]:
        """What the values of a column are made of, and what they depend on otherwise (a filter, a key, an order)."""
        return self.links.get(node, (frozenset(), frozenset()))

    def known(self, table: str, column: str) -> Node:
        """The node of a column that a step names; of a table whose columns are not known, that of the whole."""
        node = (table, column) if (table, column) in self.labels else (table, ANY)
        if node not in self.labels:
            # A name that its step is not known to make could be any of its columns.
            self.links[node] = (frozenset((table, name) for name in self.columns.get(table, ())), self.existing(table))
            self.labels[node] = self.whole(table)
        return node

    def existing(self, *tables: str) -> frozenset[Node]:
        """Which rows these tables have, and in which order."""
        return frozenset((table, what) for table in tables for what in THERE)

    def paths(self, node: Node, wrong: Callable[[Label], bool]) -> list[tuple[Node, ...]]:
        """A shortest way from each column that brings what is wrong to this one, (table, column) by (table, column); the shortest first."""
        users: dict[Node, Node | None] = {node: None}
        queue = deque([node])
        origins = []
        while queue:
            here = queue.popleft()
            values, others = self.parents(here)
            guilty = [each for each in (*sorted(values), *sorted(others)) if wrong(self.labels[each])]
            if not guilty:
                origins.append(here)
            for each in guilty:
                if each not in users:
                    users[each] = here
                    queue.append(each)
        return [_way(users, origin) for origin in origins]

    def downstream(self, node: Node) -> tuple[Node, ...]:
        """Every column that depends on this one, itself apart, in the order of making."""
        reached = {node}
        found = []
        for each, (values, others) in self.links.items():
            if each not in reached and not (reached.isdisjoint(values) and reached.isdisjoint(others)):
                reached.add(each)
                found.append(each)
        return tuple(found)


def _way(users: dict[Node, Node | None], origin: Node) -> tuple[Node, ...]:
    way = [origin]
    while (user := users[way[-1]]) is not None:
        way.append(user)
    return tuple(way)


def propagate(tables: Iterable[Made], labels: Labels) -> Labelled:
    """Label every column of every table; inputs come before their users."""
    known = Labelled()
    known.given = labels.given
    for made in tables:
        known.made[made.table] = made
        if made.kind == "source":
            _source(known, made, labels)
        else:
            _Step(known, made, labels).label()
    return known


def _source(known: Labelled, made: Made, labels: Labels) -> None:
    names = made.columns
    if names is None:
        contract = labels.contract(made.table)
        names = (*(each.name for each in contract.columns), ANY) if contract is not None else (ANY,)
    known.columns[made.table] = names
    known.labels.update({(made.table, what): labels.there(made.table, what) for what in THERE})
    for name in names:
        known.labels[made.table, name] = labels.source(made.table, name)


class _Step:
    """One step's output columns."""

    def __init__(self, known: Labelled, made: Made, labels: Labels) -> None:
        self.known = known
        self.made = made
        self.labels = labels
        self.controls: dict[tuple[frozenset[Node], frozenset[str], frozenset[str]], frozenset[Node]] = {}
        self.memo: dict[int, Label] = {}  # by set of parents, which many columns share

    def label(self) -> None:
        made = self.made
        everything = self._all()
        names = self._names()
        self.known.columns[made.table] = names
        for what, decides in zip(THERE, self._there(everything), strict=True):
            self._keep((made.table, what), frozenset(), decides)
        for name in names:
            node = (made.table, name)
            inherited = self._keep(node, *self._of(name, everything))
            self.known.labels[node] = self._after(node, inherited)

    def _keep(self, node: Node, values: frozenset[Node], others: frozenset[Node]) -> Label:
        self.known.links[node] = (values, others)
        label = self.known.labels[node] = join((self._joined(values), self._joined(others)))
        return label

    def _there(self, everything: frozenset[Node]) -> tuple[frozenset[Node], frozenset[Node]]:
        """What decides which rows the table has, and in which order they come."""
        made = self.made
        if made.kind == "query" and made.flows is not None:
            return self._all_of(made.flows.rows), self._all_of(made.flows.order)
        inputs = self.known.existing(*made.reads)
        if made.kind == "copy":
            chosen = frozenset(self.known.known(*each) for each in made.chosen)
            return inputs | chosen, inputs | chosen
        names = self.known.columns[made.table]
        if made.depends and all(name in made.depends for name in names):
            # It is tried that the rows stay as they are, too.
            stated = frozenset(self.known.known(*each) for name in names for each in made.depends[name])
            return inputs | stated, inputs | stated
        return everything | inputs, everything | inputs

    def _all_of(self, flow: Flow) -> frozenset[Node]:
        return self._nodes(flow.data) | self._control(flow)

    def _control(self, flow: Flow) -> frozenset[Node]:
        """What a column depends on implicitly, the rows of tables among it."""
        key = (flow.control, flow.tables, flow.ordered)
        if key not in self.controls:
            there = {(table, ROWS) for table in flow.tables} | {(table, ORDER) for table in flow.ordered}
            self.controls[key] = self._nodes(flow.control) | there
        return self.controls[key]

    def _names(self) -> tuple[str, ...]:
        if self.made.kind != "query":
            return self._listed()
        return tuple(name for name in self._listed() if not self._dropped(name))

    def _dropped(self, name: str) -> bool:
        contract = self.labels.contract(self.made.table)
        column = contract.column(name) if contract is not None else None
        return column is not None and column.dropped

    def _listed(self) -> tuple[str, ...]:
        made = self.made
        if made.kind == "query" and made.flows is not None and (made.flows.columns or made.flows.others is None):
            names = dict.fromkeys(flow.column for flow in made.flows.columns)
            return tuple(names) if made.flows.others is None else (*names, ANY)
        if made.columns is not None:
            return made.columns
        contract = self.labels.contract(made.table)
        # Other columns than those promised may be there, too.
        return (*(each.name for each in contract.columns), ANY) if contract is not None else (ANY,)

    def _all(self) -> frozenset[Node]:
        """Everything that the step reads."""
        found: set[Node] = set()
        for table, names in self.made.reads.items():
            listed = self.known.columns.get(table, (ANY,)) if names is None else names
            found |= {self.known.known(table, name) for name in listed}
        return frozenset(found)

    def _of(self, name: str, everything: frozenset[Node]) -> tuple[frozenset[Node], frozenset[Node]]:
        made = self.made
        if made.kind == "copy":
            table = next(iter(made.reads))
            return frozenset({self.known.known(table, name)}), frozenset({(made.table, ROWS)})
        flow = made.flows.of(name) if made.kind == "query" and made.flows is not None else None
        if flow is not None:
            return self._nodes(flow.data), self._control(flow)
        inputs = self.known.existing(*made.reads)
        if name in made.depends:
            return frozenset(self.known.known(*each) for each in made.depends[name]), inputs
        return everything, inputs

    def _nodes(self, sources: frozenset[Node]) -> frozenset[Node]:
        if all(each in self.known.labels for each in sources):
            return sources
        return frozenset(self.known.known(*each) for each in sources)

    def _joined(self, nodes: frozenset[Node]) -> Label:
        if id(nodes) not in self.memo:
            self.memo[id(nodes)] = join(self.known.labels[each] for each in nodes) if nodes else PUBLIC
        return self.memo[id(nodes)]

    def _after(self, node: Node, inherited: Label) -> Label:
        """What a column's label is after its contract was heard: stricter when it says so, lower only by a reviewed operator that holds."""
        declared = self.labels.declared(*node)
        lowering = self.labels.lowering(*node)
        if lowering is None:
            return join((inherited, declared)) if declared != PUBLIC else inherited
        reason = unproven(self.made, node[1], lowering.operator, lowering.k)
        if reason:
            self.known.refused[node] = reason
            return join((inherited, declared))
        return self.labels.lowered(join((inherited, declared)), lowering)


def least(grouping: Grouping) -> int:
    """The fewest individuals that HAVING leaves in a group: its rows, where they are those of one table; else the distinct values counted."""
    promised = [each.k for each in grouping.counts if each.kind == "distinct"]
    return max([grouping.k if grouping.table else 0, *promised])


SAFE = frozenset(
    {"count", "sum", "avg", "mean", "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop"}
)


def unproven(made: Made, column: str, operator: str, k: int) -> str:
    """Why an operator does not hold for a column; empty when it does. All but `aggregate` are applied by the product, to what a query makes."""
    if made.kind != "query":
        return f"{made.table} is not made by a query, so that the product cannot apply {operator} to it before anybody sees it"
    if operator != "aggregate":
        return ""
    grouping = made.grouping
    if grouping is None:
        return f"{made.table} is not grouped by its outermost select"
    role = grouping.columns.get(column, "other")
    if least(grouping) < k:
        needs = (
            f"HAVING count(*) >= {k}" if grouping.table else f"HAVING count(distinct ID) >= {k} (a join repeats rows)"
        )
        return f"groups of {least(grouping)} can be left: {made.table} lacks {needs}"
    if role == "key" or (role.startswith("aggregate:") and role.removeprefix("aggregate:").lower() in SAFE):
        return ""
    said = role.removeprefix("aggregate:")
    return f"{column} is made by {said}, which can show a single row's value: only {', '.join(sorted(SAFE))} and group keys do not"
