"""The numbers that a charter's payoffs are made of, and the same payoffs with one of them moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlglot
from sqlglot import exp

from payoff.base.text import DIALECT
from payoff.records.charter import Cell

if TYPE_CHECKING:
    from payoff.records.charter import Charter

_WIDTH = 40
# Where a number of an expression is an amount that may be moved: not an index, not a number of digits.
_THROUGH = (
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Paren, exp.Neg, exp.Coalesce, exp.Least, exp.Greatest, exp.Nullif, exp.Pow, exp.Exp, exp.Ln, exp.Sqrt,
)  # fmt: skip
# Of these only what they are done to.
_FIRST = (exp.Cast, exp.Round, exp.Abs, exp.Floor, exp.Ceil)
# Where it is the bound of a condition.
_CONDITIONS = (exp.And, exp.Or, exp.Not, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """One number of the payoffs: its value and the cells that it stands in, as (action, outcome, index among the cell's numbers).

    The same number in several cells of one action (what the action costs, say) is one assumption; the bound of a condition is another.
    """

    name: str
    value: float
    line: int
    places: tuple[tuple[str, str, int], ...]


def knobs(charter: Charter) -> tuple[Knob, ...]:
    """All numbers of the payoffs but zero, in the order of the charter."""
    found: dict[tuple[str, float, bool], list[tuple[Cell, int]]] = {}
    for cell in _cells(charter):
        for index, (value, bound) in enumerate(_values(cell)):
            if value:
                found.setdefault((cell.action, value, bound), []).append((cell, index))
    return tuple(
        Knob(
            name=_name(action, value, [cell for cell, _ in places], charter) + (" (a bound)" if bound else ""),
            value=value,
            line=places[0][0].line,
            places=tuple((cell.action, cell.outcome, index) for cell, index in places),
        )
        for (action, value, bound), places in found.items()
    )


def moved(charter: Charter, knob: Knob, factor: float) -> dict[tuple[str, str], str]:
    """SQL of the cells that the number stands in, with the number times `factor`."""
    answer: dict[tuple[str, str], str] = {}
    for action, outcome, index in knob.places:
        cell = next(each for each in _cells(charter) if (each.action, each.outcome) == (action, outcome))
        sql = answer.get((action, outcome)) or _sql(cell)
        answer[action, outcome] = _with(sql, index, factor)
    return answer


def _cells(charter: Charter) -> tuple[Cell, ...]:
    """The payoff cells; the money of a quantity as if it were one."""
    if charter.quantity is None:
        return charter.cells
    return (Cell(action="quantity", outcome="", sql=charter.quantity.sql, line=charter.quantity.line),)


def _name(action: str, value: float, cells: list[Cell], charter: Charter) -> str:
    if charter.quantity is not None:
        return f"payoff: {_around(charter.quantity.sql, value)}"
    outcomes = list(dict.fromkeys(cell.outcome for cell in cells))
    whole = len(outcomes) == len(charter.outcomes)
    return f"{action}{'' if whole else '.' + ', '.join(outcomes)}: {value:.7g}"


def _around(sql: str, value: float) -> str:
    """A number with what it is multiplied by, as far as that says which one it is."""
    literal = next((each for each in _numbers(_tree(f"({sql})")) if float(each.this) == value), None)
    if literal is None or not isinstance(literal.parent, exp.Mul | exp.Div):
        return f"{value:.7g}"
    text = literal.parent.sql(dialect=DIALECT, normalize_functions="lower")
    return text if len(text) <= _WIDTH else f"{value:.7g}"


def _sql(cell: Cell) -> str:
    return f"({cell.amount})" if cell.amount is not None else f"({cell.sql})"


def _values(cell: Cell) -> list[tuple[float, bool]]:
    """The numbers of a cell, and whether each is the bound of a condition."""
    if cell.amount is not None:
        return [(abs(float(cell.amount)), False)]
    return [(float(each.this), _is_bound(each)) for each in _numbers(_tree(_sql(cell)))]


def _is_bound(literal: exp.Expression) -> bool:
    node = literal
    while node.parent is not None and not isinstance(node.parent, exp.Case | exp.If):
        node = node.parent
        if isinstance(node, _CONDITIONS):
            return True
    return False


def _tree(sql: str) -> exp.Expression:
    tree: exp.Expression = sqlglot.parse_one(f"select {sql}", dialect=DIALECT).expressions[0]
    return tree


def _numbers(node: exp.Expression) -> list[exp.Literal]:
    if isinstance(node, exp.Literal):
        return [] if node.is_string else [node]
    parts: list[exp.Expression | None]
    if isinstance(node, exp.Case):
        compares = (
            node.args.get("this") is not None
        )  # `case x when 3`: what x is compared with is a name, not an amount
        parts = [part for each in node.args["ifs"] for part in (None if compares else each.this, each.args["true"])]
        parts.append(node.args.get("default"))
    elif isinstance(node, exp.If):
        parts = [node.this, node.args["true"], node.args.get("false")]
    elif isinstance(node, _FIRST):
        parts = [node.this]
    elif isinstance(node, (*_THROUGH, *_CONDITIONS)):
        parts = list(node.iter_expressions())
    else:
        return []
    return [number for part in parts if part is not None for number in _numbers(part)]


def _with(sql: str, index: int, factor: float) -> str:
    tree = _tree(sql)
    literal = _numbers(tree)[index]
    # The factor is written as a text that is cast, so that it is no number of the payoff when the next one is moved.
    times = exp.cast(exp.Literal.string(repr(factor)), "double")
    literal.replace(exp.Paren(this=exp.Mul(this=literal.copy(), expression=times)))
    return tree.sql(dialect=DIALECT)
