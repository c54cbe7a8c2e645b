"""What an outermost GROUP BY promises: which columns are keys, which are aggregates, and how many rows each group has at least."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError

from payoff.base.text import DIALECT
from payoff.data.lineage.analysis import parse
from payoff.data.lineage.expressions import is_aggregate
from payoff.data.lineage.flow import Grouping, Threshold
from payoff.data.lineage.relation import UnsureError
from payoff.data.lineage.trees import bare, nodes, part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LEAST: dict[type[exp.Expression], int] = {exp.GTE: 0, exp.GT: 1, exp.EQ: 0}
_TURNED: dict[type[exp.Expression], type[exp.Expression]] = {exp.LTE: exp.GTE, exp.LT: exp.GT, exp.EQ: exp.EQ}


def grouped(sql: str, tables: Mapping[str, Sequence[str]]) -> Grouping | None:
    """The facts of a query's outermost GROUP BY; None where it has none, or one that is not understood exactly.

    >>> facts = grouped("select city, avg(pay) as pay from t group by city having count(*) > 9", {"t": ["city", "pay"]})
    >>> facts.keys, facts.k, facts.columns
    (('city',), 10, {'city': 'key', 'pay': 'aggregate:avg'})
    """
    try:
        tree = parse(sql).tree
    except (SqlglotError, RecursionError, UnsureError):
        return None
    if not isinstance(tree, exp.Select) or any(_spread(each) for each in tree.expressions):
        return None
    group = part(tree, "group")
    if group is None or any(group.args.get(key) for key in ("rollup", "cube", "grouping_sets", "totals")):
        return None
    known = {column.lower() for columns in tables.values() for column in columns}
    items = {_name(each): bare(each) for each in tree.expressions}
    if len(items) < len(tree.expressions):
        return None
    named = list(items.items())
    keys = {name for name, each in named if not _holds_aggregate(each)} if group.args.get("all") else set()
    hidden = []
    for key in group.expressions:
        found = _outputs(key, named, known)
        keys |= found
        if not found:
            hidden.append(key.sql(DIALECT))
    counts = tuple(_promises(part(tree, "having"), items, known))
    return Grouping(
        keys=tuple(name for name in items if name in keys),
        k=max([each.k for each in counts if each.kind == "rows"], default=0),
        counts=counts,
        columns={name: "key" if name in keys else _use(each) for name, each in items.items()},
        table=_one_table(tree, tables),
        hidden=tuple(hidden),
    )


def _spread(item: exp.Expression) -> bool:
    """Whether an item of the select list may become several columns."""
    return any(
        isinstance(each, exp.Columns) or not isinstance(each.parent, exp.Count)
        for each in item.find_all(exp.Star, exp.Columns)
    )


def _name(node: exp.Expression) -> str:
    return node.alias or (node.name if isinstance(node, exp.Column) else node.sql(DIALECT))


def _outputs(key: exp.Expression, items: list[tuple[str, exp.Expression]], known: set[str]) -> set[str]:
    """The output columns that a group key is: by number, by alias (where no column bears the name), or the same expression."""
    if isinstance(key, exp.Paren | exp.Tuple):
        return {name for each in key.iter_expressions() for name in _outputs(each, items, known)}
    if isinstance(key, exp.Literal) and not key.is_string and key.name.isdigit():
        number = int(key.name)
        return {items[number - 1][0]} if 0 < number <= len(items) else set()
    found = {name for name, each in items if _same(each, key)}
    if not found and isinstance(key, exp.Column) and not key.table and key.name.lower() not in known:
        found = {name for name, each in items if name.lower() == key.name.lower()}
    return found


def _same(one: exp.Expression, two: exp.Expression) -> bool:
    if isinstance(one, exp.Column) and isinstance(two, exp.Column):
        return one.name.lower() == two.name.lower() and (
            not one.table or not two.table or one.table.lower() == two.table.lower()
        )
    return one == two


def _holds_aggregate(node: exp.Expression) -> bool:
    return any(is_aggregate(each) for each in node.walk())


def _use(node: exp.Expression) -> str:
    """`aggregate:<function>` of a bare column; everything else could single a row out, and is `other`."""
    while isinstance(node, exp.Paren | exp.Cast | exp.Round | exp.IgnoreNulls):
        if isinstance(node, exp.Round) and not isinstance(node.args.get("decimals"), exp.Literal | None):
            return "other"
        node = node.this
    if isinstance(node, exp.Filter | exp.WithinGroup) or not is_aggregate(node):
        return "other"
    function = str(node.this).lower() if isinstance(node, exp.Anonymous) else _function(node)
    inner = list(node.iter_expressions()) if not isinstance(node, exp.Anonymous) else list(node.expressions)
    plain = all(isinstance(each, exp.Column | exp.Star | exp.Literal) for each in _arguments(inner))
    return f"aggregate:{function}" if plain else "other"


def _arguments(given: list[exp.Expression]) -> Iterator[exp.Expression]:
    for each in given:
        if isinstance(each, exp.Distinct | exp.Order):
            yield from _arguments([e for e in each.iter_expressions() if not isinstance(e, exp.Ordered)])
        else:
            yield each


def _function(node: exp.Expression) -> str:
    from_key = node.sql(DIALECT).partition("(")[0].strip().lower()
    return from_key or node.key


def _promises(having: exp.Expression | None, items: dict[str, exp.Expression], known: set[str]) -> Iterator[Threshold]:
    """What holds of each group: only parts joined by AND count."""
    if having is None:
        return
    stack = [having.this]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Paren):
            stack.append(node.this)
        elif isinstance(node, exp.And):
            stack += [node.this, node.expression]
        elif isinstance(node, exp.Between):
            yield from _threshold(exp.GTE, node.this, node.args["low"], items, known)
        elif type(node) in _LEAST and not isinstance(node.this, exp.Literal):
            yield from _threshold(type(node), node.this, node.expression, items, known)
        elif type(node) in _TURNED:
            yield from _threshold(_TURNED[type(node)], node.expression, node.this, items, known)


def _threshold(
    kind: type[exp.Expression],
    call: exp.Expression,
    bound: exp.Expression,
    items: dict[str, exp.Expression],
    known: set[str],
) -> Iterator[Threshold]:
    if not isinstance(bound, exp.Literal) or bound.is_string:
        return
    while isinstance(call, exp.Paren):
        call = call.this
    if (
        isinstance(call, exp.Column) and not call.table and call.name.lower() not in known
    ):  # an alias of the select list
        same = [each for name, each in items.items() if name.lower() == call.name.lower()]
        call = same[0] if len(same) == 1 else call
    value = float(bound.name)
    k = math.floor(value) + 1 if _LEAST[kind] else math.ceil(value)
    if type(call) is not exp.Count or call.expressions:
        return
    inner = call.this
    if inner is None or isinstance(inner, exp.Literal | exp.Star):
        yield Threshold("rows", k)
    elif isinstance(inner, exp.Column) and not isinstance(inner.this, exp.Star):
        yield Threshold("values", k, inner.sql(DIALECT))
    elif (
        isinstance(inner, exp.Distinct) and len(inner.expressions) == 1 and isinstance(inner.expressions[0], exp.Column)
    ):
        yield Threshold("distinct", k, inner.expressions[0].sql(DIALECT))


def _one_table(tree: exp.Select, tables: Mapping[str, Sequence[str]]) -> str:
    source = part(tree, "from")
    table = source.this if source is not None else None
    if not isinstance(table, exp.Table) or part(tree, "with") is not None or nodes(tree, "joins"):
        return ""
    if not isinstance(table.this, exp.Identifier) or any(
        table.args.get(key) for key in ("joins", "pivots", "sample", "db")
    ):
        return ""
    found = [name for name in tables if name.lower() == table.name.lower()]
    return found[0] if len(found) == 1 else ""
