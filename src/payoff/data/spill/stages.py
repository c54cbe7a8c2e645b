"""A query in stages and passes: the same rows with less in memory at a time.

What an engine cannot spill is what the groups of some aggregates keep (`list`, `string_agg`, `median`, `mode`, quantiles) and the sides of
EXCEPT and INTERSECT. Both can be cut by the hash of what decides which rows belong together: each pass takes some of the groups, whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from payoff.base.text import DIALECT
from payoff.data.names import column

if TYPE_CHECKING:
    from collections.abc import Iterable

# Aggregates of which a group's state has one size, however many rows it has; all others keep what they have seen.
_SMALL = (
    exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.CountIf, exp.LogicalAnd, exp.LogicalOr, exp.AnyValue, exp.First, exp.Last,
    exp.ArgMax, exp.ArgMin, exp.Variance, exp.VariancePop, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.ApproxDistinct, exp.Corr,
)  # fmt: skip
_KEEPING = {
    "mode",
    "mad",
    "histogram",
    "entropy",
    "list",
    "array_agg",
    "group_concat",
    "listagg",
    "quantile",
    "string_agg",
    "median",
}
_UNSTEADY = (exp.Rand, exp.Randn, exp.Uuid)
_SAMPLE = 20_000  # rows of which the ranges of a sort are told
_IN_THE_WAY = ("order", "limit", "offset", "qualify", "distinct", "sample", "windows", "pivots", "laterals")


class Sort(msgspec.Struct, frozen=True):
    """Rows of `table` by `order` (SQL). Its first key is the column `key`, or where that is empty the one in `place` (from 0)."""

    table: str
    order: str
    key: str = ""
    place: int = 0
    descending: bool = False
    nulls_first: bool = False

    def bounds(self, key: str, count: int) -> str:
        """The query for where the ranges begin, of a sample of the rows: (n from 1, v)."""
        sample = f"select {column(key)} as v from {column(self.table)} where {column(key)} is not null"
        tiles = f"select v, ntile({count}) over (order by v) as n from (select v from ({sample}) using sample {_SAMPLE} rows)"
        return f"select n, min(v) as v from ({tiles}) group by n"

    def passes(self, key: str, count: int, bounds: str) -> tuple[str, ...]:
        """Queries whose answers, one below the other, are the sorted rows; `bounds` is the table of that query's answer."""
        name, start = column(key), f"select * from {column(self.table)} where "
        limits = {n: f"(select v from {column(bounds)} where n = {n})" for n in range(1, count + 2)}
        ranges = []
        for n in range(1, count + 1):
            above = f"{name} >= {limits[n]}" if n > 1 else f"{name} is not null"
            below = f"coalesce({name} < {limits[n + 1]}, true)"
            ranges.append(f"{start}{above} and {below} order by {self.order}")
        if self.descending:
            ranges.reverse()
        without = f"{start}{name} is null order by {self.order}"
        return (without, *ranges) if self.nulls_first else (*ranges, without)


class Stage(msgspec.Struct, frozen=True):
    """One query of several: its answer is the table `name` of those after it (empty: it is the whole query's answer).

    `sort` says how its rows are sorted, where that is all that it does to the table before it.
    `cut` is the text of the query with `{condition}` where a pass says which of the groups it takes; empty when it cannot be cut.
    `keeps`: the parts that hold in memory what they have seen.
    """

    name: str
    sql: str
    cut: str = ""
    keeps: tuple[str, ...] = ()
    sort: Sort | None = None

    def passes(self, count: int) -> tuple[str, ...]:
        """Queries whose answers, one below the other, are this one's."""
        return tuple(self.cut.replace(_PLACE, f"% {count} = {each}") for each in range(count))


_PLACE = "/*payoff:pass*/"


def stages(sql: str, tables: Iterable[str]) -> tuple[Stage, ...]:
    """The query (DuckDB's dialect) over `tables` in stages, the last of which gives its answer. Empty where it cannot be taken apart surely.

    >>> [each.name for each in stages("with a as (select k, median(x) as m from t group by k) select * from a order by k", ["t"])]
    ['a', '']
    """
    try:
        tree = sqlglot.parse_one(sql, dialect=DIALECT)
    except (SqlglotError, RecursionError):
        return ()
    if not isinstance(tree, exp.Query) or any(tree.find(kind) for kind in _UNSTEADY):
        return ()
    taking = _Taking({name.lower() for name in tables})
    try:
        taking.query(tree, "")
    except _Whole:
        return ()
    return tuple(taking.found)


def kept(sql: str) -> tuple[str, ...]:
    """The parts of a query that hold in memory what they have seen, as they are written in it.

    >>> kept("select k, median(x) as m, sum(x) as s from t group by k except select * from u")
    ('median(x)', 'EXCEPT')
    """
    try:
        tree = sqlglot.parse_one(sql, dialect=DIALECT)
    except (SqlglotError, RecursionError):
        return ()
    return _kept(tree)


class _Whole(Exception):
    """The query is not taken apart."""


class _Taking:
    """Takes a query apart from the inside out."""

    def __init__(self, tables: set[str]) -> None:
        self.names = tables
        self.found: list[Stage] = []

    def query(self, node: exp.Expression, name: str) -> None:
        """Make a query the stage `name`, after the stages that it is made of."""
        clause = node.args.get("with_") or node.args.get("with")
        if clause is not None:
            if clause.args.get("recursive"):
                raise _Whole
            for each in clause.expressions:
                if each.args["alias"].columns:
                    raise _Whole
                self.query(each.this, self.new(each.alias))
            clause.pop()
        order = node.args.get("order")
        if order is not None and not node.args.get("limit") and not node.args.get("offset"):
            self.sort(node, order, name)
        elif isinstance(node, exp.Select):
            self.select(node, name)
        elif isinstance(node, exp.Except | exp.Intersect):
            self.sides(node, name)
        else:
            self.found.append(Stage(name, _text(node), keeps=_kept(node)))

    def sort(self, node: exp.Expression, order: exp.Order, name: str) -> None:
        """The rows as a table first, then in their order."""
        first = order.expressions[0]
        key = first.this if isinstance(first, exp.Ordered) else first
        if not all(_of_result(each) for each in order.expressions):
            raise _Whole
        order.pop()
        part = _as_it_is(node)
        if not part:
            part = self.new(f"payoff_part_{len(self.names)}")
            self.query(node, part)
        text = ", ".join(each.sql(dialect=DIALECT) for each in order.expressions)
        nulls_first, descending = bool(first.args.get("nulls_first")), bool(first.args.get("desc"))
        named = key.name if isinstance(key, exp.Column) else ""
        place = int(key.name) - 1 if isinstance(key, exp.Literal) else 0
        sort = Sort(part, text, named, place, descending, nulls_first)
        self.found.append(Stage(name, f"select * from {column(part)} order by {text}", sort=sort))

    def new(self, name: str) -> str:
        """A name that nothing else has: the same twice could mean two tables."""
        if name.lower() in self.names:
            raise _Whole
        self.names.add(name.lower())
        return name

    def select(self, node: exp.Select, name: str) -> None:
        start = node.args.get("from_") or node.args.get("from")
        for holder in [start, *(node.args.get("joins") or [])]:
            inner = holder.this if holder is not None else None
            if isinstance(inner, exp.Subquery) and inner.alias and not inner.args["alias"].args.get("columns"):
                part = self.new(f"payoff_part_{len(self.names)}")
                self.query(inner.this, part)
                table = exp.Table(this=exp.to_identifier(part, quoted=True))
                table.set("alias", inner.args["alias"].copy())
                holder.set("this", table)
            elif isinstance(inner, exp.Subquery) and not node.args.get("joins"):
                part = self.new(f"payoff_part_{len(self.names)}")
                self.query(inner.this, part)
                holder.set("this", exp.Table(this=exp.to_identifier(part, quoted=True)))
        self.found.append(Stage(name, _text(node), _cut(node), _kept(node)))

    def sides(self, node: exp.SetOperation, name: str) -> None:
        """Both sides of EXCEPT or INTERSECT as tables, cut by the hash of their rows in the types that both share."""
        if (
            not node.args.get("distinct")
            or node.args.get("by_name")
            or node.args.get("order")
            or node.args.get("limit")
        ):
            self.found.append(Stage(name, _text(node), keeps=_kept(node)))
            return
        left, right = (self.new(f"payoff_part_{len(self.names)}_{side}") for side in "lr")
        self.query(node.this, left)
        self.query(node.expression, right)
        word, condition = node.key, f"where hash(*columns(*)) {_PLACE}"
        both = [
            f"select * from {column(a)} union all (select * from {column(b)} limit 0)"
            for a, b in ((left, right), (right, left))
        ]
        # The names are the left side's, on both sides.
        named = f"select * from (select * from {column(left)} limit 0) union all ({both[1]})"
        cut = f"select * from ({both[0]}) {condition} {word} select * from ({named}) {condition}"
        whole = f"select * from {column(left)} {word} select * from {column(right)}"
        self.found.append(Stage(name, whole, cut, (node.key.upper(),)))


def _as_it_is(node: exp.Expression) -> str:
    """The table of which a query gives all rows and columns; empty where it does more."""
    start = node.args.get("from_") or node.args.get("from")
    given = {name for name, value in node.args.items() if value} - {"from_", "from", "expressions"}
    if given or not isinstance(start, exp.From) or not isinstance(start.this, exp.Table) or start.this.db:
        return ""
    star = node.expressions == [exp.Star()] and not {n for n, v in start.this.args.items() if v} - {"this", "alias"}
    return start.this.name if star else ""


def _of_result(ordered: exp.Expression) -> bool:
    """True when a key is a column of the result, by its name or number, or all of them."""
    key = ordered.this if isinstance(ordered, exp.Ordered) else ordered
    if isinstance(key, exp.Literal):
        return not key.is_string and key.name.isdigit()
    return (isinstance(key, exp.Column) and not key.table) or key.sql(dialect=DIALECT).upper() == "ALL"


def _cut(node: exp.Select) -> str:
    """The select with a place for which of its groups a pass takes; empty when its groups are not told by its keys alone."""
    group = node.args.get("group")
    if group is None or any(value for name, value in group.args.items() if name != "expressions"):
        return ""
    if any(node.args.get(name) for name in _IN_THE_WAY) or any(_own(each, node) for each in node.find_all(exp.Window)):
        return ""
    keys = []
    for given in group.expressions:
        key = given
        if isinstance(key, exp.Literal):
            if not key.name.isdigit() or not 0 < int(key.name) <= len(node.expressions):
                return ""
            key = node.expressions[int(key.name) - 1].unalias()
        if key.find(exp.Star):
            return ""
        keys.append(key.copy())
    if not keys:
        return ""
    made = node.copy()
    made.where(exp.EQ(this=exp.func("HASH", *keys, dialect=DIALECT), expression=exp.Literal.string(_PLACE)), copy=False)
    return _text(made).replace(f"= '{_PLACE}'", _PLACE)


def _kept(node: exp.Expression) -> tuple[str, ...]:
    found = []
    for each in node.walk():
        named = isinstance(each, exp.Anonymous) and each.name.lower() in _KEEPING
        if named or isinstance(each, exp.List) or (isinstance(each, exp.AggFunc) and not isinstance(each, _SMALL)):
            text = each.sql(dialect=DIALECT, normalize_functions="lower")
            found.append(text.replace("listagg(", "string_agg(", 1) if isinstance(each, exp.GroupConcat) else text)
        elif isinstance(each, exp.Except | exp.Intersect):
            found.append(each.key.upper())
    return tuple(dict.fromkeys(found))


def _own(node: exp.Expression, select: exp.Select) -> bool:
    """True when an expression is of this select, not of a query inside of it."""
    return node.find_ancestor(exp.Select) is select


def _text(node: exp.Expression) -> str:
    return node.sql(dialect=DIALECT, unsupported_level=sqlglot.ErrorLevel.RAISE)
