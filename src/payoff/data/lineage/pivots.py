"""PIVOT and UNPIVOT, as statements and as parts of FROM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from payoff.data.lineage.relation import Cell, Relation, Scope, UnsureError, both, whole
from payoff.data.lineage.trees import nodes, part, refuse_others

if TYPE_CHECKING:
    from payoff.data.lineage.expressions import Reader

_KNOWN = {
    "this",
    "alias",
    "expressions",
    "fields",
    "unpivot",
    "using",
    "group",
    "include_nulls",
    "into",
    "default_on_null",
    "columns",
    "with",
}


def pivoted(node: exp.Pivot, table: Relation, reader: Reader, scope: Scope) -> Relation:
    """The table after a PIVOT or UNPIVOT."""
    refuse_others(node, _KNOWN)
    inside = [*node.expressions, *nodes(node, "fields"), *nodes(node, "using"), part(node, "group"), part(node, "into")]
    for each in inside:
        if each is not None:
            reader.seen(each)
    scope.add("", table)
    scope.tolerant = True
    return _unpivot(node, table, scope) if node.args.get("unpivot") else _pivot(node, table, reader, scope)


def _pivot(node: exp.Pivot, table: Relation, reader: Reader, scope: Scope) -> Relation:
    """The columns made of values are named by the data: they are the ones not listed."""
    fields = nodes(node, "fields")
    on, using = (fields, node.expressions) if fields else (node.expressions, nodes(node, "using"))
    values = both(*(reader.cell(each, scope) for each in using))
    keys = reader.mask(on, scope)
    group = part(node, "group")
    names: list[str | None]
    if group is not None:
        refuse_others(group, {"expressions"})
        names = [each.name or None for each in group.expressions]
        cells = [reader.cell(each, scope) for each in group.expressions]
    else:
        used = {column.name.lower() for each in [*on, *using] for column in each.find_all(exp.Column)}
        kept = [(n, c) for n, c in zip(table.names, table.cells, strict=True) if n is None or n.lower() not in used]
        names, cells = [name for name, _ in kept], [cell for _, cell in kept]
        if table.others is not None:
            names.append(None)
            cells.append(table.others)
    keys = reader.ways.clause("group by", keys | whole(cells)) | scope.rows
    others = values[0], values[1] | keys | table.order
    return Relation(names, cells, keys, table.order | keys, others, clash=False)


def _unpivot(node: exp.Pivot, table: Relation, scope: Scope) -> Relation:
    fields, into = nodes(node, "fields"), part(node, "into")
    if table.others is not None or None in table.names:
        raise UnsureError("unpivot of a table whose columns are not all known")
    if fields:
        if len(fields) != 1 or not isinstance(fields[0], exp.In):
            raise UnsureError("unpivot of more than one kind of columns")
        name, values, on = fields[0].this.name, node.expressions, fields[0].expressions
    else:
        name, values, on = (
            (into.this.name, into.expressions, node.expressions) if into else ("name", [], node.expressions)
        )
    turned = {each for part_ in on for each in _turned(part_, table)}
    cells = [cell for n, cell in zip(table.names, table.cells, strict=True) if str(n).lower() in turned]
    value: Cell = both(*cells)
    kept = [(n, c) for n, c in zip(table.names, table.cells, strict=True) if str(n).lower() not in turned]
    flat = [column.name for each in values for column in each.find_all(exp.Column)] or ["value"]
    names = [*(n for n, _ in kept), name, *flat]
    result = [*(c for _, c in kept), (0, 0), *[value] * len(flat)]
    rows = scope.rows | whole([value])  # a null makes no row
    return Relation(names, result, rows, table.order | whole([value]), clash=False)


def _turned(node: exp.Expression, table: Relation) -> set[str]:
    if isinstance(node, exp.Columns) and isinstance(node.this, exp.Star):
        node = node.this
    if isinstance(node, exp.Star):
        refuse_others(node, {"except"})
        left_out = {each.name.lower() for each in [*nodes(node, "except_"), *nodes(node, "except")]}
        return {str(each).lower() for each in table.names} - left_out
    if isinstance(node, exp.Column):
        return {node.name.lower()}
    if isinstance(node, exp.Tuple | exp.Paren):
        return {name for each in node.iter_expressions() for name in _turned(each, table)}
    if isinstance(node, exp.PivotAlias):
        return _turned(node.this, table)
    raise UnsureError("unpivot of columns that are not named")
