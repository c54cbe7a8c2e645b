"""The tables of FROM: base tables, common table expressions, subqueries, functions, and their joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from payoff.data.lineage.pivots import pivoted
from payoff.data.lineage.relation import NOTHING, Cell, Relation, Scope, UnsureError, both, whole
from payoff.data.lineage.trees import nodes, part, refuse_others

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.data.lineage.expressions import Reader

_JSON = {"json_each", "json_tree"}


class Names:
    """The base tables, and the bits that stand for their columns, their rows and the order of their rows."""

    def __init__(self, tables: Mapping[str, Sequence[str]]) -> None:
        self.tables = tables
        self.folded: dict[str, list[str]] | None = None
        self.relations: dict[str, Relation] = {}
        self.meaning: list[tuple[str, str | None, str]] = []  # (table, column, "column" | "rows" | "order") of each bit

    def bit(self, table: str, column: str | None, kind: str) -> int:
        """A new bit."""
        self.meaning.append((table, column, kind))
        return 1 << (len(self.meaning) - 1)

    def base(self, node: exp.Table) -> Relation:
        """A table of the project's; one that is not known could hold anything."""
        name = node.name
        schema = part(node, "db")
        if part(node, "catalog") is not None or (schema is not None and schema.name.lower() != "main"):
            raise UnsureError(f"{node.sql()} is in a schema that is not known")
        if self.folded is None:
            self.folded = {}
            for each in self.tables:
                self.folded.setdefault(each.lower(), []).append(each)
        found = self.folded.get(name.lower(), [])
        if len(found) != 1:
            raise UnsureError(f"{name} is {'more than one table' if found else 'not a table that is known'}")
        if found[0] not in self.relations:
            self.relations[found[0]] = self._made(found[0])
        return self.relations[found[0]]

    def _made(self, table: str) -> Relation:
        rows, order = self.bit(table, None, "rows"), self.bit(table, None, "order")
        columns: list[str | None] = list(self.tables[table])
        return Relation(columns, [(self.bit(table, each, "column"), 0) for each in columns], rows, order)


class Tables:
    """Reads FROM and its joins into a scope."""

    def __init__(self, reader: Reader, names: Names) -> None:
        self.reader = reader
        self.names = names

    def add(self, node: exp.Expression, scope: Scope) -> None:
        """Put a table of FROM, with what is joined to it inside the same item, into the scope."""
        alias, relation = self.read(node, scope)
        if relation is not None:
            scope.add(alias, relation)
        for each in nodes(node, "joins") if isinstance(node, exp.Table) else ():
            self.join(each, scope)

    def read(self, node: exp.Expression, scope: Scope) -> tuple[str, Relation | None]:
        """A table and the name it goes by; none when it was a group in brackets whose tables are now in the scope."""
        if isinstance(node, exp.Lateral):
            refuse_others(node, {"this", "view", "outer", "alias"})
            node, outer = node.this, node
            alias, columns = _alias(outer)
            inner_alias, relation = self.read(node, scope)
            if relation is None:
                raise UnsureError("a lateral group of tables")
            return (alias or inner_alias), relation.inside(columns)
        if isinstance(node, exp.Subquery):
            return self._subquery(node, scope)
        if isinstance(node, exp.Unnest):
            return self._unnest(node, scope)
        alias, columns = _alias(node)
        if isinstance(node, exp.Values):
            refuse_others(node, {"expressions", "alias"})
            return alias, self.values(node, scope).inside(columns)
        if not isinstance(node, exp.Table):
            raise UnsureError(f"{type(node).__name__.lower()} in FROM")
        refuse_others(node, {"this", "alias", "db", "catalog", "joins", "pivots", "sample"})
        if isinstance(node.this, exp.Identifier):
            relation = scope.ctes.get(node.name.lower()) if part(node, "db") is None else None
            relation = (relation or self.names.base(node)).inside(columns)
        else:
            relation = self._function(node.this, scope).inside(columns)
        return self._treated(node, alias or node.name, relation, scope)

    def _treated(self, node: exp.Expression, alias: str, relation: Relation, scope: Scope) -> tuple[str, Relation]:
        """After PIVOT, UNPIVOT and TABLESAMPLE, where there are any."""
        for pivot in nodes(node, "pivots"):
            relation = pivoted(pivot, relation, self.reader, Scope(parent=scope, ctes=scope.ctes))
            named, columns = _alias(pivot)
            alias, relation = named or alias, relation.inside(columns)
        if part(node, "sample") is not None:
            relation = Relation(
                relation.names,
                relation.cells,
                relation.rows | relation.order,
                relation.order,
                relation.others,
                relation.clash,
            )
        return alias, relation

    def _subquery(self, node: exp.Subquery, scope: Scope) -> tuple[str, Relation | None]:
        alias, columns = _alias(node)
        if not isinstance(node.this, exp.Table):
            bare = {"this", "alias", "pivots", "sample", "joins"}
            own = {key for key, value in node.args.items() if value and key not in bare}
            query = node if own else node.this
            relation = self.reader.query(query, scope).inside(columns)
            alias, relation = self._treated(node, alias, relation, scope)
            if not nodes(node, "joins"):
                return alias, relation
            scope.add(alias, relation)
            for each in nodes(node, "joins"):
                self.join(each, scope)
            return alias, None
        refuse_others(
            node, {"this", "alias", "joins"}
        )  # the engine does not heed such an alias: the tables keep their names
        group = Scope(parent=scope, ctes=scope.ctes)
        self.add(node.this, group)
        for each in nodes(node, "joins"):
            self.join(each, group)
        start = len(scope.sources)
        if scope.joined.keys() & group.joined.keys():
            raise UnsureError("a group of tables that are joined by the same column as others")
        for name, relation in group.sources:
            scope.add(name, relation)
        scope.rows |= group.rows
        scope.order |= group.order
        scope.joined.update(group.joined)
        scope.hidden |= {(start + number, name) for number, name in group.hidden}
        return "", None

    def _unnest(self, node: exp.Unnest, scope: Scope) -> tuple[str, Relation]:
        refuse_others(node, {"expressions", "alias", "offset"})
        alias, columns = _alias(node)
        cells = [self.reader.cell(each, scope) for each in node.expressions]
        offset = part(node, "offset")
        names: list[str | None] = ["unnest"] * len(cells)
        every = both(*cells)
        rows = whole(cells)
        if offset is not None:
            return alias, Relation(
                [*(columns or names), "ordinality", offset.name], [every] * (len(columns or names) + 2), rows, 0, every
            )
        return alias, Relation(names, cells, rows, 0, every if len(cells) > 1 else None).inside(columns)

    def _function(self, call: exp.Expression, scope: Scope) -> Relation:
        cell = self.reader.children(call, scope) if isinstance(call, exp.Func) else NOTHING
        if isinstance(call, exp.GenerateSeries):
            name = "range" if call.args.get("is_end_exclusive") else "generate_series"
            return Relation([name], [cell], whole([cell]))
        if isinstance(call, exp.Anonymous) and str(call.this).lower() in _JSON:
            return Relation([], [], whole([cell]), 0, cell)
        name = str(call.this) if isinstance(call, exp.Anonymous) else call.key
        raise UnsureError(f"table function {name} could read anything")

    def values(self, node: exp.Values, scope: Scope) -> Relation:
        """The rows of VALUES."""
        rows = [each.expressions if isinstance(each, exp.Tuple) else [each] for each in node.expressions]
        cells = [both(*(self.reader.cell(each, scope) for each in column)) for column in zip(*rows, strict=True)]
        return Relation([f"col{number}" for number in range(len(cells))], cells)

    def join(self, node: exp.Join, scope: Scope) -> None:
        """Join a table to those in the scope."""
        refuse_others(node, {"this", "on", "side", "kind", "using", "method"})
        method, kind, side = (str(node.args.get(key) or "").upper() for key in ("method", "kind", "side"))
        if {method, kind, side} - {
            "", "POSITIONAL", "ASOF", "NATURAL", "INNER", "OUTER", "CROSS", "SEMI", "ANTI", "LEFT", "RIGHT", "FULL",
        }:  # fmt: skip
            raise UnsureError(f"a {method} {side} {kind} join")
        start = len(scope.sources)
        target = scope
        if {kind, side} & {"SEMI", "ANTI"}:  # what is on the right is not seen afterwards
            target = Scope(**vars(scope))
            target.sources, target.joined = list(scope.sources), dict(scope.joined)
            target.hidden = set(scope.hidden)
        if method == "POSITIONAL":
            target.rows |= target.order
        self.add(node.this, target)
        if method in {"POSITIONAL", "ASOF"}:
            target.rows |= target.order
        shared = self._shared(target, start) if method == "NATURAL" else [each.name for each in nodes(node, "using")]
        for each in shared:
            self._using(each.lower(), target, start, keep=not (method == "ASOF" or side in {"RIGHT", "FULL"}))
        on = part(node, "on")
        if on is not None:
            keys = self.reader.ways.clause("join", self.reader.mask([on], target))
            target.rows |= keys
            target.order |= keys
        scope.rows, scope.order = target.rows, target.order

    def _shared(self, scope: Scope, start: int) -> list[str]:
        if any(relation.others is not None or None in relation.names for _, relation in scope.sources):
            raise UnsureError("a natural join of tables whose columns are not all known")
        left = {str(name).lower() for _, relation in scope.sources[:start] for name in relation.names}
        return [str(n) for _, relation in scope.sources[start:] for n in relation.names if str(n).lower() in left]

    def _using(self, name: str, scope: Scope, start: int, *, keep: bool) -> None:
        cells: tuple[list[Cell], list[Cell]] = ([], [])
        for number, (_, relation) in enumerate(scope.sources):
            cell, _ = relation.find(name)
            if cell is not None:
                cells[number >= start].append(cell)
                if number >= start:
                    scope.hidden.add((number, name))
        if not cells[0] or not cells[1]:
            raise UnsureError(f"column {name} of USING is not known")
        left = scope.joined.get(name) or both(*cells[0])
        right = both(*cells[1])
        scope.joined[name] = left if keep else both(left, right)
        keys = self.reader.ways.clause("join", whole([left, right]))
        scope.rows |= keys
        scope.order |= keys


def _alias(node: exp.Expression) -> tuple[str, list[str]]:
    alias = part(node, "alias")
    if alias is None:
        return "", []
    if not isinstance(alias, exp.TableAlias):
        return alias.name, []
    return alias.name, [each.name for each in nodes(alias, "columns")]
