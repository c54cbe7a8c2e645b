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

# Where a number of an expression is an amount that may be moved: not a condition, an index, a number of digits.
_WIDTH = 40
_THROUGH = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Paren, exp.Neg, exp.Coalesce, exp.Least, exp.Greatest, exp.Nullif)


class Knob(msgspec.Struct, frozen=True, kw_only=True):
    """One number of the payoffs: its value and the cells that it stands in, as (action, outcome, index among the cell's numbers).

    The same number in several cells of one action (what the action costs, say) is one assumption.
    """

    name: str
    value: float
    line: int
    places: tuple[tuple[str, str, int], ...]


def knobs(charter: Charter) -> tuple[Knob, ...]:
    """All numbers of the payoffs but zero, in the order of the charter."""
    found: dict[tuple[str, float], list[tuple[Cell, int]]] = {}
    for cell in _cells(charter):
        for index, value in enumerate(_values(cell)):
            if value:
                found.setdefault((cell.action, value), []).append((cell, index))
    return tuple(
        Knob(
            name=_name(action, value, [cell for cell, _ in places], charter),
            value=value,
            line=places[0][0].line,
            places=tuple((cell.action, cell.outcome, index) for cell, index in places),
        )
        for (action, value), places in found.items()
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


def _values(cell: Cell) -> list[float]:
    if cell.amount is not None:
        return [abs(float(cell.amount))]
    return [float(each.this) for each in _numbers(_tree(_sql(cell)))]


def _tree(sql: str) -> exp.Expression:
    tree: exp.Expression = sqlglot.parse_one(f"select {sql}", dialect=DIALECT).expressions[0]
    return tree


def _numbers(node: exp.Expression) -> list[exp.Literal]:
    if isinstance(node, exp.Literal):
        return [] if node.is_string else [node]
    if isinstance(node, exp.Case):
        parts = [each.args["true"] for each in node.args["ifs"]] + [node.args.get("default")]
    elif isinstance(node, exp.If):
        parts = [node.args["true"], node.args.get("false")]
    elif isinstance(node, exp.Cast):
        parts = [node.this]
    elif isinstance(node, _THROUGH):
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
