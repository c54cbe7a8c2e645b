"""What an expression depends on: one walk over its tree, with the few kinds of nodes in which something decides without being in the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from payoff.data.lineage.relation import NOTHING, Cell, Relation, Scope, UnsureError, both, whole
from payoff.data.lineage.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Aggregates that sqlglot knows as no class of its own, or not as an aggregate; a test compares them with the engine's list.
AGGREGATES = {
    "any_value", "approx_count_distinct", "approx_quantile", "approx_top_k", "arbitrary", "arg_max", "arg_max_null",
    "arg_max_nulls_last", "arg_min", "arg_min_null", "arg_min_nulls_last", "argmax", "argmin", "array_agg", "avg",
    "bit_and", "bit_or", "bit_xor", "bitstring_agg", "bool_and", "bool_or", "corr", "count", "count_if", "count_star",
    "countif", "covar_pop", "covar_samp", "entropy", "favg", "first", "fsum", "geomean", "geometric_mean",
    "group_concat", "histogram", "histogram_exact", "kahan_sum", "kurtosis", "kurtosis_pop", "last", "list",
    "listagg", "mad", "max", "max_by", "mean", "median", "min", "min_by", "mode", "product", "quantile",
    "quantile_cont", "quantile_disc", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2",
    "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "reservoir_quantile", "sem", "skewness", "stddev", "stddev_pop",
    "stddev_samp", "string_agg", "sum", "sum_no_overflow", "sumkahan", "var_pop", "var_samp", "variance",
    "histogram_values",
}  # fmt: skip
_AGGREGATES: tuple[type, ...] = (
    exp.AggFunc, exp.List, exp.ArrayAgg, exp.WithinGroup, exp.Filter,
    *{kind for name, kind in exp.FUNCTION_BY_NAME.items() if name.lower() in AGGREGATES},
)  # fmt: skip
# Whose answer does not depend on the order of the rows (rounding of sums aside, see docs/known-flaws.md).
_UNORDERED = (
    exp.Count, exp.Min, exp.Max, exp.Sum, exp.Avg, exp.CountIf, exp.LogicalAnd, exp.LogicalOr, exp.Stddev, exp.StddevPop,
    exp.StddevSamp, exp.Variance, exp.VariancePop,
)  # fmt: skip
_RANKS = {"rank", "dense_rank", "percent_rank", "cume_dist"}
_SILENT = (
    exp.Literal, exp.Null, exp.Boolean, exp.DataType, exp.Placeholder, exp.Parameter, exp.JSONPath, exp.TableAlias,
)  # fmt: skip


def is_aggregate(node: exp.Expression) -> bool:
    """Whether a node is a call of an aggregate, as far as its name says."""
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower() in AGGREGATES
    return isinstance(node, _AGGREGATES)


class Reader:
    """Reads expressions; `query` evaluates a query inside one."""

    def __init__(self, query: Callable[[exp.Expression, Scope], Relation]) -> None:
        self.query = query
        self.visited: set[int] = set()
        self.asked = 0  # how many subqueries of expressions were read
        self.spread = False  # whether COLUMNS(...) occurs anywhere
        self.ways = Ways()
        self._kinds: dict[type, Callable[[exp.Expression, Scope], Cell] | None] = {}

    def cell(self, node: exp.Expression, scope: Scope) -> Cell:
        """What the value of an expression depends on."""
        kind = type(node)
        if kind not in self._kinds:
            self._kinds[kind] = self._handler(kind)
        handler = self._kinds[kind]
        return handler(node, scope) if handler else self.children(node, scope)

    def mask(self, nodes: Iterable[exp.Expression], scope: Scope) -> int:
        """All that these depend on, explicitly or implicitly."""
        return whole(self.cell(node, scope) for node in nodes)

    def children(self, node: exp.Expression, scope: Scope) -> Cell:
        """An operation that computes its value of all its parts."""
        data = control = 0
        for child in node.iter_expressions():
            one, two = self.cell(child, scope)
            data |= one
            control |= two
        return data, control

    def _handler(self, kind: type) -> Callable[[exp.Expression, Scope], Cell] | None:
        for base, handler in (
            (exp.Column, self.column), (exp.Identifier, self._word), (exp.Var, self._word), (exp.Star, self._star),
            (exp.Columns, self._columns), (exp.Case, self._case), (exp.If, self._case), (exp.Filter, self._filter),
            (exp.Window, self._window), (exp.Order, self._order), (exp.WithinGroup, self.children), (exp.Lambda, self._lambda),
            (exp.Comprehension, self._comprehension), (exp.Exists, self._exists), (exp.In, self._in), (exp.Query, self._subquery),
            (exp.Values, self._subquery), (exp.Dot, self._dot), (exp.PropertyEQ, self._property), (exp.ToMap, self._map),
            (exp.Distinct, self._distinct), (exp.Explode, self._unnest), (exp.Unnest, self._unnest), (exp.PositionalColumn, self._position), (exp.Alias, self._alias),
        ):  # fmt: skip
            if issubclass(kind, base):
                return handler
        if issubclass(kind, _SILENT):
            return lambda _node, _scope: NOTHING
        if issubclass(kind, exp.AggFunc | exp.Func | exp.Anonymous) and not issubclass(
            kind, exp.And | exp.Or | exp.Cast
        ):
            return self._call
        if issubclass(kind, exp.DDL | exp.Command | exp.Table | exp.Pivot | exp.Join):
            raise UnsureError(f"{kind.__name__.lower()} inside an expression")
        return None

    def column(self, node: exp.Expression, scope: Scope) -> Cell:
        """A column by its name, `t.*` inside a call, or a field of a struct."""
        self.visited.add(id(node))
        args = node.args
        this, table = args["this"], args.get("table")
        if isinstance(this, exp.Star):
            return self._rows_of(table, scope)
        name = this.name.lower()
        if table is None:
            if name in scope.params:
                return NOTHING
            return self._known(scope, [name])
        if args.get("join_mark"):
            raise UnsureError("an old outer join mark")
        parts = [part.name.lower() for key in ("catalog", "db", "table", "this") if (part := args.get(key)) is not None]
        if parts[0] in scope.params:
            return NOTHING
        return self._known(scope, parts)

    def _known(self, scope: Scope, parts: list[str]) -> Cell:
        try:
            return scope.one(parts[0]) if len(parts) == 1 else scope.dotted(parts)
        except UnsureError:
            if scope.tolerant:
                return NOTHING
            raise

    def _rows_of(self, table: exp.Expression | None, scope: Scope) -> Cell:
        return scope.everything() if table is None else scope.one(table.name.lower())

    def _word(self, node: exp.Expression, scope: Scope) -> Cell:
        """A bare word: a parameter, a unit of time - or a column that the parser did not take for one."""
        name = node.name.lower()
        if name in scope.params or (isinstance(node, exp.Var) and isinstance(node.parent, exp.Interval | exp.Extract)):
            return NOTHING
        try:
            return scope.one(name)
        except UnsureError:
            return NOTHING

    def _star(self, node: exp.Expression, scope: Scope) -> Cell:
        return NOTHING if isinstance(node.parent, exp.Count) else both(scope.everything(), self.children(node, scope))

    def _columns(self, node: exp.Expression, scope: Scope) -> Cell:
        self.seen(node)
        return scope.everything() if scope.bound is None or node.args.get("unpack") else scope.bound

    def seen(self, node: exp.Expression) -> None:
        """Say of all columns in a part of the tree that they were looked at."""
        self.visited.update(id(column) for column in node.find_all(exp.Column))

    def _case(self, node: exp.Expression, scope: Scope) -> Cell:
        data = control = 0
        for name, value in node.args.items():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, exp.Expression):
                    one, two = self.cell(each, scope)
                    if name == "this":
                        two |= self.ways.inside("conditional", one | two)
                        one = 0
                    data |= one
                    control |= two
        return data, control

    def _filter(self, node: exp.Expression, scope: Scope) -> Cell:
        data, control = self.cell(node.this, scope)
        return data, control | self.ways.inside("filter", self.mask([node.expression], scope))

    def _call(self, node: exp.Expression, scope: Scope) -> Cell:
        data, control = self.children(node, scope)
        if not isinstance(node, _UNORDERED) and is_aggregate(node):
            control |= self.ways.inside("sort", scope.order) | scope.pending
        return data, control

    def _distinct(self, node: exp.Expression, scope: Scope) -> Cell:
        """Distinct values are found by a grouping of their own, which may leave the rows in another order."""
        cell = self.children(node, scope)
        scope.keys |= whole([cell])
        return cell

    def _window(self, node: exp.Expression, scope: Scope) -> Cell:
        data, control = self.cell(node.this, scope)
        keys = self.mask(node.args.get("partition_by") or [], scope)
        order = node.args.get("order")
        if order is not None:
            keys |= self.mask(order.expressions, scope)
        spec = node.args.get("spec")
        bounds = self.mask([spec], scope) if spec is not None else 0
        if node.args.get("alias") is not None:
            keys |= scope.windows
        scope.keys |= keys
        call = node.this
        while isinstance(call, exp.Filter | exp.IgnoreNulls | exp.RespectNulls):
            call = call.this
        name = str(call.this).lower() if isinstance(call, exp.Anonymous) else call.key
        ranks = name.replace("_", "") in {each.replace("_", "") for each in _RANKS}
        if spec is not None or not (ranks or isinstance(call, _UNORDERED)):
            control |= self.ways.inside("sort", scope.order) | scope.pending
        return data, control | self.ways.inside("window", keys | bounds)

    def _order(self, node: exp.Expression, scope: Scope) -> Cell:
        """ORDER BY inside an aggregate; of a quantile it is the value that counts."""
        data, control = self.cell(node.this, scope) if node.this is not None else NOTHING
        keys = both(*(self.cell(each, scope) for each in node.expressions))
        if node.this is None or isinstance(node.this, exp.Literal):
            return both((data, control), keys)
        return data, control | self.ways.inside("sort", whole([keys]))

    def _lambda(self, node: exp.Expression, scope: Scope) -> Cell:
        inner = scope.within(each.name for each in node.expressions)
        cell = self.cell(node.this, inner)
        scope.rows, scope.keys = inner.rows, inner.keys
        return cell

    def _comprehension(self, node: exp.Expression, scope: Scope) -> Cell:
        words = [node.expression, *([p] if isinstance(p := node.args.get("position"), exp.Expression) else [])]
        for word in words:
            self.seen(word)
        inner = scope.within(each.name for each in words)
        data, control = both(self.cell(node.args["iterator"], scope), self.cell(node.this, inner))
        condition = node.args.get("condition")
        return data, control | (
            self.ways.inside("filter", self.mask([condition], inner)) if condition is not None else 0
        )

    def _exists(self, node: exp.Expression, scope: Scope) -> Cell:
        if not isinstance(node.this, exp.Query):
            return self.children(node, scope)
        self.asked += 1
        rows = self.query(node.this, scope).rows
        scope.keys |= rows
        return 0, self.ways.inside("conditional", rows)

    def _in(self, node: exp.Expression, scope: Scope) -> Cell:
        data = control = 0
        for name, value in node.args.items():
            for each in value if isinstance(value, list) else [value]:
                if not isinstance(each, exp.Expression):
                    continue
                if name == "query":
                    control |= self.ways.inside("conditional", self.mask([each], scope))
                else:
                    data, control = both((data, control), self.cell(each, scope))
        if node.args.get("query") is not None:
            scope.keys |= data
        return data, control

    def _subquery(self, node: exp.Expression, scope: Scope) -> Cell:
        self.asked += 1
        relation = self.query(node, scope)
        data, control = relation.all()
        control |= self.ways.inside("conditional", relation.rows | relation.order)
        scope.keys |= data | control  # it is joined to the rows, which may come in another order then
        return data, control

    def _dot(self, node: exp.Expression, scope: Scope) -> Cell:
        cell = self.cell(node.this, scope)
        field = node.expression
        return cell if isinstance(field, exp.Identifier) else both(cell, self.cell(field, scope))

    def _property(self, node: exp.Expression, scope: Scope) -> Cell:
        named = isinstance(node.this, exp.Identifier)
        cell = self.cell(node.expression, scope)
        return cell if named else both(cell, self.cell(node.this, scope))

    def _map(self, node: exp.Expression, scope: Scope) -> Cell:
        """`map {a: b}`: the keys are expressions, though the parser takes them for names."""
        keys = [each.this for each in node.find_all(exp.PropertyEQ) if isinstance(each.this, exp.Identifier)]
        return both(self.children(node, scope), *(self._word(each, scope) for each in keys))

    def _unnest(self, node: exp.Expression, scope: Scope) -> Cell:
        cell = self.children(node, scope)
        scope.rows |= whole([cell])
        return cell

    def _position(self, node: exp.Expression, scope: Scope) -> Cell:
        return scope.everything()

    def _alias(self, node: exp.Expression, scope: Scope) -> Cell:
        cell = self.cell(node.this, scope)
        scope.aliases[node.alias.lower()] = cell
        return cell
