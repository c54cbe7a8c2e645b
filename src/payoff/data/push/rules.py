"""Expressions that mean the same in DuckDB and in another database, rewritten so that they do.

Everything here is an allow-list. What is not in it is `Unlike`: the step then runs here, for the reason given. Kinds are coarser than
types: `int` (of any width), `double`, `text`, `bool`, `date`, `timestamp` (no zone), `instant`, `number` (a literal with a fraction,
exact in DuckDB), `null`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from payoff.records.placement import Dialect

# What a database may have with DuckDB's meaning; an adapter says which of them it has.
OPTIONAL = frozenset(
    {"length", "substring", "floor", "like", "calendar", "date_arithmetic", "date_trunc", "greatest", "float_to_int", "narrow_int", "window"}
)  # fmt: skip
_DIGITS = 15  # a decimal literal with at most so many is the same number in binary everywhere
_DAY = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
_MOMENT = re.compile(_DAY.pattern + r"[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?")
_UNITS = {"YEAR", "MONTH", "DAY", "QUARTER"}
_WIDTHS = {exp.DataType.Type.TINYINT, exp.DataType.Type.SMALLINT, exp.DataType.Type.INT, exp.DataType.Type.BIGINT}
_TEXTS = {exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT}


class Unlike(Exception):  # noqa: N818 - it is a finding, told and not raised to the user
    """The query could mean something else in the other database; the text says what of it."""


def kind_of(arrow: str) -> str:
    """The kind of an Arrow type given as text; empty for those that stay here."""
    if re.fullmatch(r"u?int(8|16|32|64)", arrow) or re.fullmatch(r"decimal128\([0-9]+, 0\)", arrow):
        return "int"
    if arrow.startswith("timestamp["):
        return "instant" if "tz=" in arrow else "timestamp"
    return {
        "double": "double", "string": "text", "large_string": "text", "string_view": "text", "bool": "bool", "date32[day]": "date",
    }.get(arrow, "")  # fmt: skip


class Expressions:
    """Walks expressions, rewrites them in place, and answers their kinds. `query` walks the queries inside of them."""

    def __init__(
        self, dialect: Dialect, lookup: Callable[[exp.Column], str], query: Callable[[exp.Expression], Sequence[tuple[str, str]]]
    ) -> None:
        self.dialect = dialect
        self.lookup = lookup
        self.query = query
        self._swapped: dict[int, tuple[exp.Expression, exp.Expression]] = {}

    def kind(self, node: exp.Expression) -> str:
        """The kind of an expression, which is then rewritten for the other database."""
        handler = HANDLERS.get(type(node))
        if handler is None:
            raise Unlike(f"{_named(node)} is not known to mean the same there")
        return handler(self, node)

    def swap(self, node: exp.Expression, by: exp.Expression) -> None:
        """Put another expression in a node's place."""
        node.replace(by)
        self._swapped[id(node)] = (node, by)

    def now(self, node: exp.Expression) -> exp.Expression:
        """What is in a node's place now."""
        while id(node) in self._swapped:
            node = self._swapped[id(node)][1]
        return node

    def needs(self, name: str, node: exp.Expression) -> None:
        """Refuse what this database does not have with the same meaning."""
        if name not in self.dialect.functions:
            raise Unlike(f"{_named(node)} means something else there, or nothing")

    def truth(self, node: exp.Expression) -> None:
        """A condition: a number is none."""
        if self.kind(node) not in ("bool", "null"):
            raise Unlike("a condition is no truth value")

    def collated(self, node: exp.Expression, kind: str) -> None:
        """Have texts ordered by their code points."""
        if kind == "text" and self.dialect.collation:
            node = self.now(node)
            collation = exp.Identifier(this=self.dialect.collation, quoted=True)
            self.swap(node, exp.Collate(this=exp.Paren(this=node.copy()), expression=collation))

    def alike(self, nodes: Sequence[exp.Expression], *, ordered: bool = False) -> str:
        """Values that are compared with each other, or of which one is the result: all of one kind, whole numbers made doubles beside doubles."""
        kinds = [self.kind(node) for node in nodes]
        real = {kind for kind in kinds if kind != "null"}
        if not real:
            return "null"
        if real & {"date", "timestamp"} and "text" in real:
            (kind,) = real - {"text"} if len(real) == 2 else ("",)
            for node, each in zip(nodes, kinds, strict=True):
                if each == "text":
                    self._moment(node, kind)
            return kind
        if real in ({"double", "int"}, {"double", "number"}, {"double", "int", "number"}):
            for node, kind in zip(nodes, kinds, strict=True):
                self.as_double(node, kind)
            return "double"
        if real == {"int", "number"} and ordered:
            for node, kind in zip(nodes, kinds, strict=True):
                if kind == "number":
                    _short(self.now(node))
            return "int"
        if len(real) > 1:
            raise Unlike(f"{' and '.join(sorted(real))} are mixed")
        (kind,) = real
        if ordered:
            for node in nodes:
                self.collated(node, kind)
        return kind

    def _moment(self, node: exp.Expression, kind: str) -> None:
        node, pattern = self.now(node), _DAY if kind == "date" else _MOMENT
        if not (isinstance(node, exp.Literal) and pattern.fullmatch(node.name)):
            raise Unlike(f"a text is taken for a {kind}")
        if not self.dialect.dates_are_text:
            to = exp.DataType.Type.DATE if kind == "date" else exp.DataType.Type.TIMESTAMP
            self.swap(node, exp.cast(node.copy(), to))
        elif kind != "date":
            raise Unlike("a text is taken for a time")

    def as_double(self, node: exp.Expression, kind: str) -> None:
        """Say that a number is to be counted in doubles."""
        node = self.now(node)
        if kind == "number":
            _short(node)
        if kind in ("int", "number"):
            self.swap(node, exp.cast(node.copy(), exp.DataType.Type.DOUBLE))

    def order(self, order: exp.Order) -> None:
        """The columns by which rows are ordered."""
        for each in order.expressions:
            if not isinstance(each, exp.Ordered) or each.args.get("with_fill"):
                raise Unlike("ORDER BY of something else than columns")
            self.collated(each.this, self.kind(each.this))


def _short(node: exp.Expression) -> None:
    for literal in node.find_all(exp.Literal):
        mantissa = literal.name.lower().partition("e")[0].replace(".", "").strip("0")
        if not literal.is_string and len(mantissa) > _DIGITS:
            raise Unlike("a number has more digits than a double")


def _named(node: exp.Expression) -> str:
    name = node.name if isinstance(node, exp.Anonymous) else node.key
    return name.upper() + ("()" if isinstance(node, exp.Func) else "")


def _column(self: Expressions, node: exp.Column) -> str:
    return self.lookup(node)


def _literal(self: Expressions, node: exp.Literal) -> str:
    if node.is_string:
        if "\x00" in node.name:
            raise Unlike("a text holds a NUL")
        return "text"
    return "int" if node.name.isdigit() else "number"


def _same(self: Expressions, node: exp.Expression) -> str:
    return self.kind(node.this)


def _negative(self: Expressions, node: exp.Expression) -> str:
    return _numeric(self.kind(node.this))


def _numeric(kind: str) -> str:
    if kind not in ("int", "double", "number"):
        raise Unlike(f"arithmetic with {kind or 'an unknown type'}")
    return kind


def _arithmetic(self: Expressions, node: exp.Binary) -> str:
    left, right = self.kind(node.left), self.kind(node.right)
    if left == "date" and right in ("int", "date"):
        self.needs("date_arithmetic", node)
        if right == "int" and not isinstance(node, exp.Mul):
            return "date"
        if isinstance(node, exp.Sub):
            return "int"
    kinds = {_numeric(left), _numeric(right)}
    if kinds == {"int"}:
        return "int"
    if "double" not in kinds:
        raise Unlike("decimal numbers are counted with")
    self.as_double(node.left, left)
    self.as_double(node.right, right)
    return "double"


def _nonzero(node: exp.Expression) -> bool:
    """True when the divisor cannot be zero."""
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    if isinstance(node, exp.Nullif):
        zero = node.expression
        while isinstance(zero, exp.Cast | exp.Paren):
            zero = zero.this
        return isinstance(zero, exp.Literal) and not zero.is_string and float(zero.name) == 0
    return isinstance(node, exp.Literal) and not node.is_string and float(node.name) != 0


def _divide(self: Expressions, node: exp.Div) -> str:
    safe = _nonzero(node.right)
    if not safe and not self.dialect.infinite:
        raise Unlike("a divisor may be zero (write nullif(divisor, 0))")
    for part in (node.left, node.right):
        self.as_double(part, _numeric(self.kind(part)))
    left, right = exp.Paren(this=node.left.copy()), exp.Paren(this=node.right.copy())
    divided = exp.Div(this=left, expression=right, typed=True, safe=False)
    if safe:
        self.swap(node, exp.Paren(this=divided))
        return "double"
    # As IEEE 754 has it: x / 0 is x * infinity, x / -0 is x * -infinity.
    endless = exp.cast(exp.Literal.string("Infinity"), exp.DataType.Type.DOUBLE)
    zero = exp.Literal.number(0)
    below = exp.EQ(this=exp.cast(right.copy(), exp.DataType.Type.TEXT), expression=exp.Literal.string("-0"))
    times = exp.Case().when(below, exp.Neg(this=endless.copy())).else_(endless)
    whole = exp.Case().when(exp.EQ(this=right.copy(), expression=zero), exp.Mul(this=left.copy(), expression=exp.Paren(this=times)))
    self.swap(node, exp.Paren(this=whole.else_(divided)))
    return "double"


def _remainder(self: Expressions, node: exp.Mod) -> str:
    if {self.kind(node.left), self.kind(node.right)} != {"int"}:
        raise Unlike("the remainder of what is no whole number")
    if not _nonzero(node.right):
        node.right.replace(exp.Nullif(this=exp.Paren(this=node.right.copy()), expression=exp.Literal.number(0)))
    return "int"


def _equal(self: Expressions, node: exp.Binary) -> str:
    self.alike([node.left, node.right], ordered=True)
    return "bool"


def _logic(self: Expressions, node: exp.Expression) -> str:
    for part in (node.this, node.args.get("expression")):
        if part is not None:
            self.truth(part)
    return "bool"


def _is(self: Expressions, node: exp.Is) -> str:
    kind = self.kind(node.this)
    if not isinstance(node.expression, exp.Null) and not (isinstance(node.expression, exp.Boolean) and kind == "bool"):
        raise Unlike("IS of something else than NULL, TRUE or FALSE")
    return "bool"


def _in(self: Expressions, node: exp.In) -> str:
    inner = node.args.get("query")
    if inner is not None:
        columns = self.query(inner)
        if len(columns) != 1 or self.kind(node.this) != columns[0][1]:
            raise Unlike("IN with another kind of values")
    elif node.args.get("unnest") or node.args.get("field") or not node.expressions:
        raise Unlike("IN of something else than a list or a query")
    else:
        self.alike([node.this, *node.expressions], ordered=True)
    return "bool"


def _between(self: Expressions, node: exp.Between) -> str:
    if node.args.get("symmetric"):
        raise Unlike("BETWEEN SYMMETRIC")
    self.alike([node.this, node.args["low"], node.args["high"]], ordered=True)
    return "bool"


def _case(self: Expressions, node: exp.Case) -> str:
    branches = node.args["ifs"]
    if node.this is not None:
        self.alike([node.this, *(each.this for each in branches)], ordered=True)
    else:
        for each in branches:
            self.truth(each.this)
    last = node.args.get("default")
    return self.alike([*(each.args["true"] for each in branches), *([last] if last is not None else [])])


def _if(self: Expressions, node: exp.If) -> str:
    self.truth(node.this)
    last = node.args.get("false")
    return self.alike([node.args["true"], *([last] if last is not None else [])])


def _coalesce(self: Expressions, node: exp.Coalesce) -> str:
    return self.alike([node.this, *node.expressions])


def _nullif(self: Expressions, node: exp.Nullif) -> str:
    first = _peek(self, node.this)
    kind = self.alike([node.this, node.expression])
    if kind != first:
        raise Unlike("NULLIF of two kinds of numbers")
    return kind


def _peek(self: Expressions, node: exp.Expression) -> str:
    """The kind of an expression that stays as it is."""
    holder = exp.Paren(this=node.copy())
    return self.kind(holder.this)


def _cast(self: Expressions, node: exp.Cast) -> str:
    to, inner = node.to, node.this
    kind = self.kind(inner)
    if to.this in _WIDTHS and kind == "int":
        if to.this != exp.DataType.Type.BIGINT and not isinstance(inner, exp.Literal):
            self.needs("narrow_int", node)
        if to.this == exp.DataType.Type.TINYINT:
            node.set("to", exp.DataType(this=exp.DataType.Type.SMALLINT))
        return "int"
    if to.this in _WIDTHS and kind == "bool":
        self.swap(node, exp.Case().when(inner.copy(), exp.Literal.number(1)).when(exp.Not(this=exp.Paren(this=inner.copy())), exp.Literal.number(0)))
        return "int"
    if to.this in _WIDTHS and kind == "double":
        self.needs("float_to_int", node)
        return "int"
    if to.this == exp.DataType.Type.DOUBLE and kind in ("int", "double", "number"):
        _short(inner)
        return "double"
    if to.this in _TEXTS and not to.expressions and kind in ("text", "int"):
        return "text"
    if to.this == exp.DataType.Type.DATE and kind == "text":
        holder = exp.Paren(this=inner.copy())
        self._moment(holder.this, "date")
        self.swap(node, holder.this)
        return "date"
    if to.this == exp.DataType.Type.DATE and kind == "date":
        self.swap(node, inner.copy())
        return "date"
    if to.this == exp.DataType.Type.TIMESTAMP and kind == "text":
        holder = exp.Paren(this=inner.copy())
        self._moment(holder.this, "timestamp")
        self.swap(node, holder.this)
        return "timestamp"
    raise Unlike(f"a cast of {kind or 'an unknown type'} to {to.sql().lower()}")


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
    if self.kind(node.this) != "text" or not all(isinstance(each, exp.Literal) and each.name.isdigit() for each in fixed):
        raise Unlike("a part of a text whose place is counted")
    if start is None or start.name == "0":
        raise Unlike("a part of a text from before its start")
    return "text"


def _absolute(self: Expressions, node: exp.Abs) -> str:
    kind = _numeric(self.kind(node.this))
    if kind == "number":
        raise Unlike("decimal numbers are counted with")
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
        raise Unlike(f"{_named(node)} of {kind}")
    return kind


def _like(self: Expressions, node: exp.Like) -> str:
    self.needs("like", node)
    pattern = node.expression
    if not (isinstance(pattern, exp.Literal) and pattern.is_string and "\\" not in pattern.name) or self.kind(node.this) != "text":
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
    if unit is None or unit.name.upper() not in _UNITS | {"HOUR", "MINUTE"} or self.kind(what) not in ("date", "timestamp"):
        raise Unlike("a part of a time that may be cut otherwise")
    moment = exp.cast(what.copy(), exp.DataType.Type.TIMESTAMP)
    self.swap(node, exp.TimestampTrunc(this=moment, unit=exp.var(unit.name.upper())))
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
    self.as_double(node.this, kind)
    return "double"


def _least_most(self: Expressions, node: exp.Expression) -> str:
    kind = self.kind(node.this)
    if node.expressions or kind in ("bool", "null", "number"):
        raise Unlike(f"{_named(node)} of {kind}, or of several values")
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
    if type(node.this) not in (exp.Rank, exp.DenseRank, exp.Sum, exp.Count, exp.Min, exp.Max, exp.Avg, exp.Filter):
        raise Unlike(f"{_named(node.this)} OVER: which of equal rows comes first is open")
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
    if not isinstance(inner, exp.Select) or inner.args.get("group") or len(inner.expressions) != 1 or inner.args.get("having"):
        raise Unlike("a query for one value that may find several rows")
    if not isinstance(inner.expressions[0].unalias(), exp.AggFunc):
        raise Unlike("a query for one value that may find several rows")
    return self.query(inner)[0][1]


HANDLERS: Mapping[type[exp.Expression], Callable[[Expressions, exp.Expression], str]] = {
    exp.Column: _column, exp.Literal: _literal, exp.Paren: _same, exp.Alias: _same, exp.Neg: _negative,
    exp.Boolean: lambda self, node: "bool", exp.Null: lambda self, node: "null",
    exp.Add: _arithmetic, exp.Sub: _arithmetic, exp.Mul: _arithmetic, exp.Div: _divide, exp.Mod: _remainder,
    exp.EQ: _equal, exp.NEQ: _equal, exp.LT: _equal, exp.LTE: _equal, exp.GT: _equal, exp.GTE: _equal,
    exp.And: _logic, exp.Or: _logic, exp.Not: _logic, exp.Is: _is, exp.In: _in, exp.Between: _between,
    exp.Case: _case, exp.If: _if, exp.Coalesce: _coalesce, exp.Nullif: _nullif, exp.Cast: _cast, exp.DPipe: _text_join,
    exp.Length: _length, exp.Substring: _substring, exp.Abs: _absolute, exp.Floor: _floor, exp.Ceil: _floor,
    exp.Greatest: _extreme, exp.Least: _extreme, exp.Like: _like,
    exp.Extract: _calendar, exp.Year: _calendar, exp.Month: _calendar, exp.Day: _calendar, exp.Quarter: _calendar,
    exp.TimestampTrunc: _truncate, exp.DateTrunc: _truncate,
    exp.Count: _count, exp.Sum: _sum, exp.Avg: _average, exp.Min: _least_most, exp.Max: _least_most, exp.Filter: _filter,
    exp.Rank: _rank, exp.DenseRank: _rank, exp.Window: _window, exp.Exists: _exists, exp.Subquery: _one_value,
}  # fmt: skip
