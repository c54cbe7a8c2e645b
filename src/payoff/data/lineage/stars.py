"""Select lists: stars with EXCLUDE, REPLACE and RENAME, COLUMNS(...), and the names that columns get."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from payoff.data.lineage.relation import Cell, Relation, Scope, UnsureError, both, whole
from payoff.data.lineage.trees import bare, nodes, refuse_others

if TYPE_CHECKING:
    from payoff.data.lineage.expressions import Reader

Item = tuple[str | None, Cell]
_NAMED: dict[type[exp.Expression], str] = {
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.Count: "count",
}
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


def listed(expressions: list[exp.Expression], reader: Reader, scope: Scope) -> Relation:
    """The columns of a select list, in order."""
    items: list[Item] = []
    result = Relation([], [])
    for node in expressions:
        asked, start = reader.asked, len(items)
        items += _columns_of(node, reader, scope, result)
        if (
            reader.asked != asked
        ):  # a subquery is joined to the rows by what it is compared with: they may come in another order
            scope.keys |= whole(cell for _, cell in items[start:])
    result.names = [name for name, _ in items]
    result.cells = [cell for _, cell in items]
    return result


def _columns_of(node: exp.Expression, reader: Reader, scope: Scope, result: Relation) -> list[Item]:
    star = _star(node)
    if star is not None:
        reader.seen(node)
        return _expanded(*star, reader, scope, result)
    columns = _columns(node) if reader.spread else None
    if columns is not None:
        return _repeated(node, columns, reader, scope, result)
    cell = reader.cell(node, scope)
    name = named(node)
    if name is not None and isinstance(node, exp.Column) and not name.islower():
        name = scope.spelled(name)
    if isinstance(bare(node), exp.Explode | exp.Unnest):  # a struct becomes as many columns as it has fields
        result.others = both(result.others or (0, 0), cell)
    return [(name, cell)]


def _star(node: exp.Expression) -> tuple[exp.Star, str | None] | None:
    if isinstance(node, exp.Star):
        return node, None
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
        if node.args.get("db") is not None:
            raise UnsureError("a star over a name in three parts")
        return node.this, node.args["table"].name.lower()
    return None


def _columns(node: exp.Expression) -> exp.Columns | None:
    spread = [each for each in node.find_all(exp.Columns) if not each.args.get("unpack")]
    if len(spread) > 1 or (spread and node.find(exp.Query)):
        raise UnsureError("COLUMNS more than once in an expression, or beside a subquery")
    return spread[0] if spread else None


def _expanded(star: exp.Star, table: str | None, reader: Reader, scope: Scope, result: Relation) -> list[Item]:
    refuse_others(star, {"except", "replace", "rename"})
    aliases = {alias for alias, _ in scope.sources}
    if table is not None and table not in aliases:  # the fields of a struct
        cell = scope.one(table)
        result.others = both(result.others or (0, 0), cell)
        return []
    left_out = [*nodes(star, "except"), *nodes(star, "except_")]
    for each in [star, *left_out]:
        reader.seen(each)
    if scope.joined and any(isinstance(each, exp.Column) and each.table for each in left_out):
        raise UnsureError("EXCLUDE of a column of one table beside USING")
    out = {(each.text("table").lower(), each.name.lower()) for each in left_out}
    replaced = {each.alias.lower(): reader.cell(each.this, scope) for each in nodes(star, "replace")}
    renamed = {each.this.name.lower(): each.alias for each in nodes(star, "rename")}
    items: list[Item] = []
    for alias, name, cell in scope.shown(table):
        low = (name or "").lower()
        if name is not None and (("", low) in out or (alias, low) in out):
            continue
        items.append((renamed.get(low, name), replaced.get(low, cell)))
    for alias, relation in scope.sources:
        if relation.others is not None and table in {None, alias}:
            result.others = both(result.others or (0, 0), relation.others, *replaced.values())
            result.clash &= relation.clash
    return items


def _repeated(node: exp.Expression, columns: exp.Columns, reader: Reader, scope: Scope, result: Relation) -> list[Item]:
    """COLUMNS(...) makes of one expression as many as it has columns."""
    star = _star(columns.this)
    if star is not None:
        items = _expanded(*star, reader, scope, result)
    elif isinstance(columns.this, exp.Literal) and columns.this.is_string:
        items = _matching(columns.this.name, scope)
    else:
        raise UnsureError("COLUMNS of what is neither a star nor a pattern")
    if any(relation.others is not None or None in relation.names for _, relation in scope.sources):
        raise UnsureError("COLUMNS over tables whose columns are not all known")
    made: list[Item] = []
    for name, cell in items:
        scope.bound = cell
        made.append((node.alias or name, reader.cell(bare(node), scope)))
    scope.bound = None
    return made


def _matching(pattern: str, scope: Scope) -> list[Item]:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise UnsureError("a pattern of COLUMNS that is not understood") from error
    return [(name, cell) for _, name, cell in scope.shown() if name is not None and wanted.search(name)]


def named(node: exp.Expression) -> str | None:
    """The engine's name of a column of the select list, where it is certain."""
    if isinstance(node, exp.Alias):
        return node.alias
    if isinstance(node, exp.Column):
        return node.name
    if isinstance(node, exp.Count) and (isinstance(node.this, exp.Star) or node.this is None):
        return "count_star()"
    function = _NAMED.get(type(node))
    inner = node.this
    if function and isinstance(inner, exp.Column) and not inner.table and not node.expressions:
        return f"{function}({inner.name})" if _PLAIN.fullmatch(inner.name) else None
    return None
