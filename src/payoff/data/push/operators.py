"""Operators, CASE and casts that mean the same in DuckDB and in another database."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from payoff.data.push.rules import Expressions, Handler, Unlike, numeric, short

_WIDTHS = {exp.DataType.Type.TINYINT, exp.DataType.Type.SMALLINT, exp.DataType.Type.INT, exp.DataType.Type.BIGINT}
_TEXTS = {exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT}


def _column(self: Expressions, node: exp.Column) -> str:
    return self.lookup(node)


def _literal(self: Expressions, node: exp.Literal) -> str:
    if node.is_string:
        if "\x00" in node.name:
            raise Unlike("a text holds a NUL")
        return "text"
    return "int" if node.name.isdigit() else "number"


def _boolean(self: Expressions, node: exp.Expression) -> str:
    return "bool"


def _null(self: Expressions, node: exp.Expression) -> str:
    return "null"


def _same(self: Expressions, node: exp.Expression) -> str:
    return self.kind(node.this)


def _negative(self: Expressions, node: exp.Expression) -> str:
    return numeric(self.kind(node.this))


def _arithmetic(self: Expressions, node: exp.Binary) -> str:
    left, right = self.kind(node.left), self.kind(node.right)
    if left == "date" and right in ("int", "date"):
        self.needs("date_arithmetic", node)
        if right == "int" and not isinstance(node, exp.Mul):
            return "date"
        if isinstance(node, exp.Sub):
            return "int"
    kinds = {numeric(left), numeric(right)}
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
        self.as_double(part, numeric(self.kind(part)))
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
    whole = exp.Case().when(
        exp.EQ(this=right.copy(), expression=zero), exp.Mul(this=left.copy(), expression=exp.Paren(this=times))
    )
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
        self.swap(
            node,
            exp.Case()
            .when(inner.copy(), exp.Literal.number(1))
            .when(exp.Not(this=exp.Paren(this=inner.copy())), exp.Literal.number(0)),
        )
        return "int"
    if to.this in _WIDTHS and kind == "double":
        self.needs("float_to_int", node)
        return "int"
    if to.this == exp.DataType.Type.DOUBLE and kind in ("int", "double", "number"):
        short(inner)
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


OPERATORS: Mapping[type[exp.Expression], Handler] = {
    exp.Column: _column, exp.Literal: _literal, exp.Paren: _same, exp.Alias: _same, exp.Neg: _negative,
    exp.Boolean: _boolean, exp.Null: _null, exp.Add: _arithmetic,
    exp.Sub: _arithmetic, exp.Mul: _arithmetic, exp.Div: _divide, exp.Mod: _remainder, exp.EQ: _equal,
    exp.NEQ: _equal, exp.LT: _equal, exp.LTE: _equal, exp.GT: _equal, exp.GTE: _equal, exp.And: _logic,
    exp.Or: _logic, exp.Not: _logic, exp.Is: _is, exp.In: _in, exp.Between: _between, exp.Case: _case, exp.If: _if,
    exp.Coalesce: _coalesce, exp.Nullif: _nullif, exp.Cast: _cast,
}  # fmt: skip
