"""Queries: SELECT, set operations and common table expressions, evaluated to what their columns and rows depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from payoff.data.lineage.expressions import Reader, is_aggregate
from payoff.data.lineage.pivots import pivoted
from payoff.data.lineage.relation import Cell, Relation, Scope, UnsureError, both, whole
from payoff.data.lineage.stars import listed
from payoff.data.lineage.tables import Names, Tables
from payoff.data.lineage.trees import bare, nodes, part, refuse_others

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TAIL = {"order", "limit", "offset"}
_SELECT = _TAIL | {
    "with", "expressions", "distinct", "from", "joins", "where", "group", "having", "qualify", "windows", "sample",
}  # fmt: skip
_AGGREGATES = (exp.Sum, exp.Count, exp.Avg, exp.Min, exp.Max)


class Queries:
    """One evaluation: the tables' bits and the readers of expressions and of FROM."""

    def __init__(self, tables: Mapping[str, Sequence[str]]) -> None:
        self.names = Names(tables)
        self.reader = Reader(self.query)
        self.tables = Tables(self.reader, self.names)

    def query(self, node: exp.Expression, outer: Scope | None) -> Relation:
        """What a query's columns and rows depend on."""
        parent = outer or Scope()
        if isinstance(node, exp.Select):
            return self._select(node, parent)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, parent)
        if isinstance(node, exp.Subquery):
            refuse_others(node, _TAIL | {"this", "alias", "with"})
            scope = Scope(parent=parent, ctes=self._ctes(node, parent))
            return self._tail(node, self.query(node.this, scope), scope)
        if isinstance(node, exp.Values):
            return self.tables.values(node, parent)
        if isinstance(node, exp.Pivot) and node.this is not None:
            scope = Scope(parent=parent, ctes=self._ctes(node, parent))
            _, relation = self.tables.read(node.this, scope)
            if relation is not None:
                return pivoted(node, relation, self.reader, Scope(parent=scope, ctes=scope.ctes))
        raise UnsureError(f"a statement that is no query ({type(node).__name__.lower()})")

    def _ctes(self, node: exp.Expression, parent: Scope) -> Mapping[str, Relation]:
        clause = part(node, "with")
        if clause is None:
            return parent.ctes
        refuse_others(clause, {"expressions", "recursive"})
        known = dict(parent.ctes)
        for each in clause.expressions:
            refuse_others(each, {"this", "alias", "materialized", "key_expressions"})
            scope = Scope(parent=parent, ctes=known)
            columns = [column.name for column in nodes(each.args["alias"], "columns")]
            name = each.alias.lower()
            mentions = (table for table in each.this.find_all(exp.Table) if table.name.lower() == name)
            if clause.args.get("recursive") and any(mentions):
                known[name] = self._recursive(each, columns, scope)
            else:
                known[name] = self.query(each.this, scope).inside(columns)
            known = dict(known)
        return known

    def _recursive(self, cte: exp.CTE, columns: list[str], scope: Scope) -> Relation:
        """Until nothing is added any more, which comes soon: what a column depends on only grows."""
        union = cte.this
        if not isinstance(union, exp.Union) or any(
            union.args.get(key) for key in ("by_name", "order", "limit", "offset", "with_", "with")
        ):
            raise UnsureError("a recursive query that is no plain union")
        found = self.query(union.this, scope).inside(columns)
        while True:
            inner = Scope(parent=scope.parent, ctes={**scope.ctes, cte.alias.lower(): found})
            step = self._combined(union, found, self.query(union.expression, inner))
            if cte.args.get("key_expressions"):
                step.rows |= whole(step.cells) | step.order
            if (step.cells, step.rows, step.order, step.others) == (found.cells, found.rows, found.order, found.others):
                return found
            found = step.inside()

    def _set_operation(self, node: exp.SetOperation, parent: Scope) -> Relation:
        refuse_others(node, _TAIL | {"with", "this", "expression", "distinct", "by_name"})
        scope = Scope(parent=parent, ctes=self._ctes(node, parent))
        left, right = self.query(node.this, scope), self.query(node.expression, scope)
        return self._tail(node, self._combined(node, left, right), scope)

    def _combined(self, node: exp.SetOperation, left: Relation, right: Relation) -> Relation:
        rows, order = left.rows | right.rows, left.order | right.order
        if node.args.get("distinct") or not isinstance(node, exp.Union):
            keys = self.reader.ways.clause("group by", whole([left.all(), right.all()]))
            rows |= keys
            order |= keys
        if (
            left.others is not None
            or right.others is not None
            or (node.args.get("by_name") and None in left.names + right.names)
        ):
            every = both(left.all(), right.all())
            return Relation(left.names, [every] * len(left.cells), rows, order, every)
        if node.args.get("by_name"):
            names = left.names + [name for name in right.names if left.find(str(name).lower())[0] is None]
            cells = [
                both(*(cell for side in (left, right) if (cell := side.find(str(name).lower())[0]) is not None))
                for name in names
            ]
            return Relation(names, cells, rows, order)
        if len(left.cells) != len(right.cells):
            raise UnsureError("a set operation of tables with different numbers of columns")
        pairs = zip(left.cells, right.cells, strict=True)
        return Relation(left.names, [both(one, two) for one, two in pairs], rows, order)

    def _tail(self, node: exp.Expression, result: Relation, scope: Scope) -> Relation:
        """ORDER BY, LIMIT and OFFSET of a set operation or of a query in brackets."""
        if not any(node.args.get(key) for key in _TAIL):
            return result
        inner = Scope(parent=scope, ctes=scope.ctes, rows=result.rows, order=result.order, late=True)
        inner.sources.append(("", result.inside()))
        self._sorted(node, inner, result)
        return Relation(result.names, result.cells, inner.rows, inner.order, result.others, result.clash)

    def _sorted(self, node: exp.Expression, scope: Scope, result: Relation) -> None:
        order = part(node, "order")
        if order is not None:
            keys = 0
            for each in order.expressions:
                refuse_others(each, {"this", "desc", "nulls_first"})
                keys |= self.reader.ways.clause("sort", self._key(each.this, scope, result))
            scope.rows |= keys
            scope.order |= keys
        limits = [
            each for each in (part(node, "limit"), part(node, "offset"), part(node, "sample")) if each is not None
        ]
        if limits:
            scope.rows |= self.reader.ways.clause("sort", scope.order) | scope.pending
            scope.rows |= self.reader.ways.clause("filter", self.reader.mask(limits, scope))

    def _key(self, node: exp.Expression, scope: Scope, result: Relation) -> int:
        """What a term of ORDER BY, GROUP BY or DISTINCT ON depends on: it may be a column's number, or ALL."""
        if isinstance(node, exp.Paren | exp.Tuple | exp.Rollup | exp.Cube | exp.GroupingSets):
            mask = 0
            for each in node.iter_expressions():
                mask |= self._key(each, scope, result)
            return mask
        if isinstance(node, exp.Literal) and not node.is_string:
            number = int(node.name) - 1 if node.name.isdigit() else -1
            if result.others is None and 0 <= number < len(result.cells):
                return whole([result.cells[number]])
            return whole([result.all()])
        if isinstance(node, exp.Var) and node.name.upper() == "ALL":
            return whole([result.all()])
        if isinstance(node, exp.Star | exp.Columns):
            self.reader.seen(node)
            return whole([result.all(), scope.everything()])
        return self.reader.mask([node], scope)

    def _select(self, node: exp.Select, parent: Scope) -> Relation:
        refuse_others(node, _SELECT)
        scope = Scope(parent=parent, ctes=self._ctes(node, parent))
        scope.pending = self.names.bit("", None, "pending")
        source = part(node, "from")
        if source is not None:
            refuse_others(source, {"this"})
            self.tables.add(source.this, scope)
        for each in nodes(node, "joins"):
            self.tables.join(each, scope)
        for each in nodes(node, "windows"):
            scope.windows |= self._named_window(each, scope)
        one_row = self._one_row(node, scope)
        result = listed(node.expressions, self.reader, scope)
        where = part(node, "where")
        if where is not None:
            scope.rows |= self.reader.ways.clause("filter", self.reader.mask([where], scope))
        scope.late = True
        self._grouped(node, scope, result)
        for clause in (part(node, "having"), part(node, "qualify")):
            if clause is not None:
                scope.rows |= self.reader.ways.clause("filter", self.reader.mask([clause], scope))
        if one_row:
            result.cells = [(data, control | scope.rows) for data, control in result.cells]
            scope.rows = scope.order = 0
        scope.order |= scope.keys
        self._distinct(node, scope, result)
        self._sorted(node, scope, result)
        return self._settled(scope, result)

    def _named_window(self, node: exp.Window, scope: Scope) -> int:
        refuse_others(node, {"this", "partition_by", "order", "spec", "alias", "over", "first"})
        parts = [*nodes(node, "partition_by"), *(e for e in (part(node, "order"), part(node, "spec")) if e is not None)]
        keys = self.reader.ways.inside("window", self.reader.mask(parts, scope))
        scope.keys |= keys
        return keys

    def _one_row(self, node: exp.Select, scope: Scope) -> bool:
        """Whether the query is one row, whatever the tables hold: aggregates over all rows, and nothing that could make it none or more."""
        if not scope.sources or any(
            node.args.get(key) for key in ("group", "having", "qualify", "limit", "offset", "sample", "distinct")
        ):
            return False
        calls = [bare(each) for each in node.expressions]
        inner = [call.this for call in calls if isinstance(call, _AGGREGATES)]
        if not inner or len(inner) < len(calls) or part(node, "order") is not None:
            return False
        for each in inner:
            if isinstance(each, exp.Column) and not isinstance(each.this, exp.Star):
                table, name = each.text("table").lower(), each.name.lower()
                if not any(table in {"", alias} and relation.find(name)[1] for alias, relation in scope.sources):
                    return False  # of an outer query's column: the aggregate may be that query's
            elif not (each is None or isinstance(each, exp.Star | exp.Literal)):
                return False
        counts = [each for each in inner if isinstance(each, exp.Column | exp.Star) or each is None]
        return len(counts) == len(inner)

    def _grouped(self, node: exp.Select, scope: Scope, result: Relation) -> None:
        group = part(node, "group")
        if group is None:
            return
        refuse_others(group, {"expressions", "rollup", "cube", "grouping_sets", "all"})
        keys = 0
        if group.args.get("all"):
            if result.others is not None or len(result.cells) != len(node.expressions):
                keys |= whole([result.all()])
            else:
                pairs = zip(node.expressions, result.cells, strict=True)
                keys |= whole(cell for each, cell in pairs if not is_aggregate(bare(each)))
        for kind in ("expressions", "rollup", "cube", "grouping_sets"):
            for each in nodes(group, kind):
                keys |= self._key(each, scope, result)
        scope.rows |= self.reader.ways.clause("group by", keys)
        scope.order |= keys

    def _distinct(self, node: exp.Select, scope: Scope, result: Relation) -> None:
        distinct = part(node, "distinct")
        if distinct is None:
            return
        refuse_others(distinct, {"on"})
        on = part(distinct, "on")
        if on is None:
            keys = whole([result.all()])
        else:
            keys = self._key(on, scope, result)
            scope.rows |= scope.order | scope.pending
            order = part(node, "order")
            if order is not None:
                keys |= self.reader.mask((each.this for each in order.expressions), scope)
        scope.rows |= self.reader.ways.clause("group by", keys)
        scope.order |= keys

    def _settled(self, scope: Scope, result: Relation) -> Relation:
        """Say what the windows of the select sort by, now that all are known."""
        bit, keys = scope.pending, scope.keys
        keys &= ~bit

        def plain(mask: int) -> int:
            return mask & ~bit | keys if mask & bit else mask

        def settled(cell: Cell) -> Cell:
            return (cell[0], plain(cell[1])) if cell[1] & bit else cell

        result.cells = [settled(cell) for cell in result.cells]
        result.others = settled(result.others) if result.others is not None else None
        result.rows, result.order = plain(scope.rows), plain(scope.order)
        return result
