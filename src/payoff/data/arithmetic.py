"""Money that is plain arithmetic over a row, without an engine: sums, differences and products of columns and numbers, exactly as the engine computes them.

The engine's own call takes milliseconds, whatever the number of rows; a server has one row. Arrays are whatever follows Python's operators; this room knows none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from payoff.base.text import DIALECT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EXACT = 2**53  # up to it every whole number is a double, so that a decimal divided by its power of ten is rounded once
_WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
_MOST_DIGITS = 18  # behind the point


class Decimals(NamedTuple):
    """Whole numbers (n,) by a power of ten: `units / 10 ** scale`. `most` is the largest of their absolute values."""

    units: Any
    scale: int
    most: int


class TooLarge(Exception):
    """A number beyond what is computed exactly here."""


Value = Any  # Decimals, or an array of doubles
Compiled = "Callable[[Mapping[str, Any]], Value]"


def compiled(sql: str, types: Mapping[str, str]) -> tuple[Callable[[Mapping[str, Any]], Any], tuple[str, ...]] | None:
    """A function from columns (name -> array (n,) of int64 or float64 without missing values) to doubles (n,), and the columns that it takes; None
    where the expression is more than plain arithmetic. `types` are the columns' Arrow types.

    The function raises `TooLarge` where the engine has to be asked.

    >>> plain, names = compiled("0.3 * worth - 5", {"worth": "double"})
    >>> plain({"worth": 100.0}), names
    (25.0, ('worth',))
    """
    try:
        tree = sqlglot.parse_one(f"select {sql}", dialect=DIALECT).expressions[0]
    except (SqlglotError, IndexError, RecursionError):
        return None
    known = {name.lower(): (name, kind) for name, kind in types.items()}
    used: dict[str, None] = {}
    made = _node(tree, known, used)
    if made is None or not used:
        return None
    return (lambda columns: _double(made(columns))), tuple(used)


def _node(node: exp.Expression, known: Mapping[str, tuple[str, str]], used: dict[str, None]) -> Any:
    match node:
        case exp.Paren():
            return _node(node.this, known, used)
        case exp.Neg():
            inner = _node(node.this, known, used)
            return None if inner is None else lambda columns: _negative(inner(columns))
        case exp.Add() | exp.Sub() | exp.Mul():
            left, right = _node(node.this, known, used), _node(node.expression, known, used)
            if left is None or right is None:
                return None
            do = {exp.Add: _add, exp.Sub: _subtract, exp.Mul: _multiply}[type(node)]
            return lambda columns: do(left(columns), right(columns))
        case exp.Literal() if not node.is_string:
            return _number(str(node.this))
        case exp.Column() if not node.table and node.name.lower() in known:
            return _column(*known[node.name.lower()], used)
    return None


def _number(text: str) -> Any:
    whole, point, part = text.partition(".")
    digits = f"{whole}{part}"
    if not digits.isdecimal() or len(part) > _MOST_DIGITS or int(digits) >= EXACT or (point and not part):
        return None
    value = Decimals(int(digits), len(part), int(digits))
    return lambda _: value


def _column(name: str, kind: str, used: dict[str, None]) -> Any:
    used[name] = None
    if kind == "double":
        return lambda columns: columns[name]
    if kind not in _WHOLE:
        return None

    def whole(columns: Mapping[str, Any]) -> Decimals:
        units = columns[name]
        most = max(abs(int(units.max())), abs(int(units.min()))) if hasattr(units, "max") else abs(int(units))
        return _checked(Decimals(units, 0, most))

    return whole


def _checked(value: Decimals) -> Decimals:
    if value.most >= EXACT or value.scale > _MOST_DIGITS:
        raise TooLarge
    return value


def _scaled(value: Decimals, scale: int) -> Decimals:
    factor = 10 ** (scale - value.scale)
    _checked(Decimals(0, scale, value.most * factor))
    return Decimals(value.units * factor, scale, value.most * factor)


def _add(left: Value, right: Value) -> Value:
    if isinstance(left, Decimals) and isinstance(right, Decimals):
        scale = max(left.scale, right.scale)
        a, b = _scaled(left, scale), _scaled(right, scale)
        _checked(Decimals(0, scale, a.most + b.most))
        return Decimals(a.units + b.units, scale, a.most + b.most)
    return _double(left) + _double(right)


def _subtract(left: Value, right: Value) -> Value:
    if isinstance(left, Decimals) and isinstance(right, Decimals):
        return _add(left, _negative(right))
    return _double(left) - _double(right)


def _multiply(left: Value, right: Value) -> Value:
    if isinstance(left, Decimals) and isinstance(right, Decimals):
        _checked(Decimals(0, left.scale + right.scale, left.most * right.most))
        return Decimals(left.units * right.units, left.scale + right.scale, left.most * right.most)
    return _double(left) * _double(right)


def _negative(value: Value) -> Value:
    return Decimals(-value.units, value.scale, value.most) if isinstance(value, Decimals) else -value


def _double(value: Value) -> Any:
    return value.units / float(10**value.scale) if isinstance(value, Decimals) else value
