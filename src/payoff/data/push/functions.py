"""Functions, aggregates and windows that mean the same in DuckDB and in another database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from payoff.base.text import DIALECT
from payoff.data.push.operators import OPERATORS
from payoff.data.push.rules import Expressions, Unlike, named, numeric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.data.push.rules import Handler

_UNITS = {"YEAR", "MONTH", "DAY", "QUARTER"}
_OVER = (exp.Rank, exp.DenseRank, exp.Sum, exp.Count, exp.Min, exp.Max, exp.Avg, exp.Filter)


def _text_join(self: Expressions, node: exp.DPipe) -> str:
    if {self.kind(node.left), self.kind(node.right)} - {"text"}:
        raise Unlike("|| of something else than texts")
    return "text"


def _length(self: Expressions, node: exp.Length) -> str:
    self.needs("length", node)
    if self.kind(node.this) != "text":
        raise Unlike("the length of something else than a text")
    return "int"


def _substring(self: Expressions, node: exp.Substring) -> str:
    self.needs("substring", node)
    start, long = node.args.get("start"), node.args.get("length")
    fixed = [each for each in (start, long) if each is not None]
    if self.kind(node.this) != "text" or not all(
        isinstance(each, exp.Literal) and each.name.isdigit() for each in fixed
    ):
        raise Unlike("a part of a text whose place is counted")
    if start is None or start.name == "0":
        raise Unlike("a part of a text from before its start")
    return "text"


def _absolute(self: Expressions, node: exp.Abs) -> str:
    kind = numeric(self.kind(node.this))
    if kind == "number":
        raise Unlike("decimal numbers are counted with")
    if kind == "double":  # of -0 some databases leave the sign
        zero = exp.cast(exp.Literal.number(0), exp.DataType.Type.DOUBLE)
        self.swap(node, exp.Paren(this=exp.Add(this=node.copy(), expression=zero)))
    return kind


def _floor(self: Expressions, node: exp.Expression) -> str:
    self.needs("floor", node)
    if self.kind(node.this) != "double" or node.args.get("decimals") or node.args.get("to"):
        raise Unlike("rounding of something else than a double")
    return "double"


def _extreme(self: Expressions, node: exp.Expression) -> str:
    self.needs("greatest", node)
    kind = self.alike([node.this, *node.expressions])
    if kind not in ("int", "double", "date", "timestamp"):
        raise Unlike(f"{named(node)} of {kind}")
    return kind


def _like(self: Expressions, node: exp.Like) -> str:
    self.needs("like", node)
    pattern = node.expression
    if (
        not (isinstance(pattern, exp.Literal) and pattern.is_string and "\\" not in pattern.name)
        or self.kind(node.this) != "text"
    ):
        raise Unlike("LIKE with a pattern that is not written out, or has a backslash")
    return "bool"


def _calendar(self: Expressions, node: exp.Expression) -> str:
    self.needs("calendar", node)
    unit, what = (node.name, node.expression) if isinstance(node, exp.Extract) else (node.key, node.this)
    while isinstance(what, exp.TsOrDsToDate):
        what = what.this
    if unit.upper() not in _UNITS or self.kind(what) not in ("date", "timestamp"):
        raise Unlike(f"{unit} of something else than a day")
    part = exp.Extract(this=exp.var(unit.upper()), expression=what.copy())
    self.swap(node, exp.cast(part, exp.DataType.Type.BIGINT))
    return "int"


def _truncate(self: Expressions, node: exp.Expression) -> str:
    self.needs("date_trunc", node)
    unit = node.args.get("unit")
    what = node.this
    while isinstance(what, exp.TsOrDsToDate):
        what = what.this
    if (
        unit is None
        or unit.name.upper() not in _UNITS | {"HOUR", "MINUTE"}
        or self.kind(what) not in ("date", "timestamp")
    ):
        raise Unlike("a part of a time that may be cut otherwise")
    moment = exp.cast(what.copy(), exp.DataType.Type.TIMESTAMP)
    self.swap(node, exp.func("TIMESTAMP_TRUNC", moment, exp.var(unit.name.upper())))
    return "timestamp"


def _count(self: Expressions, node: exp.Count) -> str:
    inner = node.this
    if node.expressions or (isinstance(inner, exp.Distinct) and (inner.args.get("on") or len(inner.expressions) != 1)):
        raise Unlike("COUNT of several columns")
    if isinstance(inner, exp.Distinct):
        self.kind(inner.expressions[0])
    elif inner is not None and not isinstance(inner, exp.Star):
        self.kind(inner)
    return "int"


def _sum(self: Expressions, node: exp.Sum) -> str:
    kind = self.kind(node.this)
    if kind not in ("int", "double"):
        raise Unlike(f"the sum of {kind or 'an unknown type'}")
    return kind


def _average(self: Expressions, node: exp.Avg) -> str:
    kind = self.kind(node.this)
    if kind not in ("int", "double"):
        raise Unlike(f"the average of {kind or 'an unknown type'}")
    if kind == "int" and self.dialect.name != DIALECT:  # DuckDB adds whole numbers exactly, others in doubles
        if isinstance(node.parent, exp.Window | exp.Filter):
            raise Unlike("the average of whole numbers, in a window or with FILTER")
        double, inner = exp.DataType.Type.DOUBLE, self.now(node.this)
        total = exp.cast(exp.Sum(this=inner.copy()), double)
        many = exp.Nullif(this=exp.Count(this=inner.copy()), expression=exp.Literal.number(0))
        self.swap(node, exp.Paren(this=exp.Div(this=total, expression=exp.cast(many, double), typed=True, safe=False)))
    return "double"


def _least_most(self: Expressions, node: exp.Expression) -> str:
    kind = self.kind(node.this)
    if node.expressions or kind in ("bool", "null", "number"):
        raise Unlike(f"{named(node)} of {kind}, or of several values")
    self.collated(node.this, kind)
    return kind


def _filter(self: Expressions, node: exp.Filter) -> str:
    self.truth(node.expression.this)
    return self.kind(node.this)


def _rank(self: Expressions, node: exp.Expression) -> str:
    return "int"


def _window(self: Expressions, node: exp.Window) -> str:
    self.needs("window", node)
    if node.args.get("spec") or node.args.get("alias") or node.args.get("first") is not None:
        raise Unlike("a window with a frame: which rows are in it may be open")
    if type(node.this) not in _OVER:
        raise Unlike(f"{named(node.this)} OVER: which of equal rows comes first is open")
    if node.this.find(exp.Distinct):
        raise Unlike("DISTINCT in a window")
    for part in node.args.get("partition_by") or []:
        self.kind(part)
    if node.args.get("order"):
        self.order(node.args["order"])
    return self.kind(node.this)


def _exists(self: Expressions, node: exp.Exists) -> str:
    self.query(node.this)
    return "bool"


def _one_value(self: Expressions, node: exp.Subquery) -> str:
    inner = node.this
    if (
        not isinstance(inner, exp.Select)
        or inner.args.get("group")
        or len(inner.expressions) != 1
        or inner.args.get("having")
    ):
        raise Unlike("a query for one value that may find several rows")
    if not isinstance(inner.expressions[0].unalias(), exp.AggFunc):
        raise Unlike("a query for one value that may find several rows")
    return self.query(inner)[0][1]


HANDLERS: Mapping[type[exp.Expression], Handler] = {
    **OPERATORS,
    exp.DPipe: _text_join, exp.Length: _length, exp.Substring: _substring, exp.Abs: _absolute, exp.Floor: _floor,
    exp.Ceil: _floor, exp.Greatest: _extreme, exp.Least: _extreme, exp.Like: _like, exp.Extract: _calendar,
    exp.Year: _calendar, exp.Month: _calendar, exp.Day: _calendar, exp.Quarter: _calendar,
    exp.TimestampTrunc: _truncate, exp.DateTrunc: _truncate, exp.Count: _count, exp.Sum: _sum, exp.Avg: _average,
    exp.Min: _least_most, exp.Max: _least_most, exp.Filter: _filter, exp.Rank: _rank, exp.DenseRank: _rank,
    exp.Window: _window, exp.Exists: _exists, exp.Subquery: _one_value,
}  # fmt: skip
