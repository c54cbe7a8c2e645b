"""Whole queries for another database: the same answer as DuckDB's, or the reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from payoff.base.text import DIALECT
from payoff.data.push.functions import HANDLERS
from payoff.data.push.rules import Expressions, Unlike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payoff.records.placement import Dialect

Columns = list[tuple[str, str]]

_SELECT = {
    "with_", "with", "expressions", "from_", "from", "joins", "where", "group", "having", "distinct", "order", "limit", "offset", "kind",
}  # fmt: skip
_SET = {"with_", "with", "this", "expression", "distinct", "order", "limit", "offset"}


class Translated(msgspec.Struct, frozen=True):
    """A query in another dialect over tables with names in small letters, and its columns as (name, kind)."""

    sql: str
    columns: tuple[tuple[str, str], ...]
    tables: tuple[str, ...]


def translate(
    sql: str, tables: Mapping[str, Mapping[str, str]], dialect: Dialect, *, sample: bool = False
) -> Translated:
    """The query (DuckDB's dialect) in another one. `tables` maps names to columns and their kinds; a column of no kind cannot be used.

    With `sample`, which rows a LIMIT leaves is of no matter. Raises `Unlike`.
    """
    known = {
        name.lower(): {column.lower(): kind for column, kind in columns.items()} for name, columns in tables.items()
    }
    if any(len(known[name.lower()]) != len(columns) for name, columns in tables.items()):
        raise Unlike("names of columns differ in capital letters only")
    try:
        tree = sqlglot.parse_one(sql, dialect=DIALECT)
        _clear_names(tree, {column for columns in known.values() for column in columns})
        schema = {name: dict.fromkeys(columns, "unknown") for name, columns in known.items()}
        tree = qualify(tree, schema=schema, dialect=DIALECT, identify=True, validate_qualify_columns=True)
        walk = _Queries(known, dialect, sample=sample)
        columns = walk.query(tree, {}, None)
        if dialect.flat:
            _flatten(tree)
        text = tree.sql(
            dialect=dialect.name, identify=True, comments=False, pretty=True, unsupported_level=sqlglot.ErrorLevel.RAISE
        )
    except (SqlglotError, RecursionError, KeyError) as error:
        raise Unlike(f"the query is not understood well enough ({type(error).__name__})") from None
    return Translated(text, tuple(columns), tuple(sorted(walk.used)))


def _flatten(tree: exp.Expression) -> None:
    """Put the queries of WITH where their names stand, from the inside out, so that an inner name goes before an outer one."""
    for node in reversed([each for each in tree.walk() if each.args.get("with_") or each.args.get("with")]):
        clause: exp.Expression = node.args.get("with_") or node.args["with"]
        clause.pop()
        for place, each in enumerate(clause.expressions):
            for holder in (*clause.expressions[place + 1 :], node):
                for table in list(holder.find_all(exp.Table)):
                    if table.name == each.alias and not table.db:
                        alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True))
                        table.replace(exp.Subquery(this=each.this.copy(), alias=alias))


def _clear_names(tree: exp.Expression, columns: set[str]) -> None:
    """Refuse a name that means both a column and a result of the same query, where that matters."""
    for select in tree.find_all(exp.Select):
        given = {
            each.alias.lower()
            for each in select.expressions
            if isinstance(each, exp.Alias)
            and not (isinstance(each.this, exp.Column) and each.this.name.lower() == each.alias.lower())
        }
        doubtful = given & columns
        if not doubtful:
            continue
        own = {each.alias.lower(): each for each in select.expressions if isinstance(each, exp.Alias)}
        for column in select.find_all(exp.Column):
            name = column.name.lower()
            if name in doubtful and not column.table and not _inside(column, own[name]):
                raise Unlike(f"the name {column.name} means a column and a result")


def _inside(node: exp.Expression, of: exp.Expression) -> bool:
    parent: exp.Expression | None = node
    while parent is not None:
        if parent is of:
            return True
        parent = parent.parent
    return False


class _Scope(msgspec.Struct):
    """The tables in FROM of one query, by their names there, and the query around it."""

    tables: dict[str, dict[str, str]]
    outer: _Scope | None


class _Queries:
    """Walks queries from the inside out, and rewrites them in place."""

    def __init__(self, tables: Mapping[str, dict[str, str]], dialect: Dialect, *, sample: bool) -> None:
        self.tables = tables
        self.dialect = dialect
        self.sample = sample
        self.used: set[str] = set()

    def query(self, node: exp.Expression, seen: dict[str, dict[str, str]], outer: _Scope | None) -> Columns:
        if isinstance(node, exp.Subquery):
            if set(_given(node)) - {"this", "alias"}:
                raise Unlike("a query in parentheses with more behind it")
            return self.query(node.this, seen, outer)
        if isinstance(node, exp.Select):
            return self._select(node, self._with(node, seen, outer), outer)
        if isinstance(node, exp.SetOperation):
            return self._set(node, self._with(node, seen, outer), outer)
        raise Unlike(f"{node.key.upper()} in place of a SELECT")

    def _with(
        self, node: exp.Expression, seen: dict[str, dict[str, str]], outer: _Scope | None
    ) -> dict[str, dict[str, str]]:
        clause = node.args.get("with_") or node.args.get("with")
        if clause is None:
            return seen
        if clause.args.get("recursive"):
            raise Unlike("WITH RECURSIVE")
        seen = dict(seen)
        for each in clause.expressions:
            if (
                each.alias in self.tables or each.alias in seen
            ):  # which of them is meant where is not the same everywhere
                raise Unlike(f"{each.alias} is a name of WITH and of a table, or of another WITH")
            seen[each.alias] = dict(self.query(each.this, seen, outer))
        return seen

    def _set(self, node: exp.SetOperation, seen: dict[str, dict[str, str]], outer: _Scope | None) -> Columns:
        if set(_given(node)) - _SET or node.args.get("by_name"):
            raise Unlike("a UNION by name")
        if not isinstance(node, exp.Union) and not node.args.get("distinct"):
            raise Unlike(f"{node.key.upper()} ALL")
        left, right = self.query(node.this, seen, outer), self.query(node.expression, seen, outer)
        if [kind for _, kind in left] != [kind for _, kind in right]:
            raise Unlike(f"{node.key.upper()} of different kinds of columns")
        for part in (node.this, node.expression):
            if part.args.get("order") or part.args.get("limit"):
                raise Unlike(f"{node.key.upper()} of ordered queries")
        if node.args.get("order"):
            self._ordered_by_result(node.args["order"], left)
        self._limit(node, left)
        return left

    def _ordered_by_result(self, order: exp.Order, columns: Columns) -> None:
        kinds = dict(columns)
        for each in order.expressions:
            name = each.this.name
            if not isinstance(each.this, exp.Column | exp.Identifier) or kinds.get(name, "text") == "text":
                raise Unlike("ORDER BY of texts behind a UNION")

    def _select(self, node: exp.Select, seen: dict[str, dict[str, str]], outer: _Scope | None) -> Columns:
        if extra := set(_given(node)) - _SELECT:
            raise Unlike(f"{min(extra).upper()} in a SELECT")
        scope = _Scope({}, outer)
        expressions = Expressions(self.dialect, _Lookup(scope), lambda inner: self.query(inner, seen, scope), HANDLERS)
        start = node.args.get("from_") or node.args.get("from")
        if start is None:
            raise Unlike("a SELECT without FROM")
        self._table(start.this, scope, seen, outer)
        for join in node.args.get("joins") or []:
            self._join(join, scope, seen, outer, expressions)
        if self.dialect.structs and any(name in columns for name in scope.tables for columns in scope.tables.values()):
            raise Unlike("a table and a column have one name")
        for name in ("where", "having"):
            if node.args.get(name):
                expressions.truth(node.args[name].this)
        self._group(node.args.get("group"), expressions)
        distinct = node.args.get("distinct")
        if distinct is not None and distinct.args.get("on"):
            raise Unlike("DISTINCT ON: which of several rows is kept is open")
        names = [each.alias_or_name for each in node.expressions]
        columns = [(name, expressions.kind(each)) for name, each in zip(names, node.expressions, strict=True)]
        if not columns or len({name for name, _ in columns}) != len(columns):
            raise Unlike("two results with one name")
        for name, kind in columns:
            if kind in ("number", "null", ""):
                raise Unlike(f"the result {name} is a decimal number, or always NULL")
        self._limit(node, columns)
        if node.args.get("order"):
            self._order(node.args["order"], columns, expressions)
        return columns

    def _table(
        self, node: exp.Expression, scope: _Scope, seen: dict[str, dict[str, str]], outer: _Scope | None
    ) -> None:
        if isinstance(node, exp.Subquery):
            if node.args.get("joins") or not node.alias:
                raise Unlike("joins in parentheses")
            scope.tables[node.alias] = dict(self.query(node, seen, outer))
            return
        if (
            not isinstance(node, exp.Table)
            or not isinstance(node.this, exp.Identifier)
            or set(_given(node)) - {"this", "alias"}
        ):
            raise Unlike(f"{node.sql(dialect=DIALECT)[:40]} in FROM")
        name = node.name
        if name not in seen:
            if name not in self.tables:
                raise Unlike(f"a table {name} that is not there")
            self.used.add(name)
        scope.tables[node.alias_or_name] = seen.get(name) or self.tables[name]

    def _join(
        self, node: exp.Join, scope: _Scope, seen: dict[str, dict[str, str]], outer: _Scope | None, of: Expressions
    ) -> None:
        kind, side = str(node.args.get("kind") or "").upper(), str(node.args.get("side") or "").upper()
        if (
            node.args.get("method")
            or node.args.get("using")
            or kind not in ("", "INNER", "CROSS", "OUTER")
            or node.args.get("match_condition")
        ):
            raise Unlike(f"a join that is {node.args.get('method') or kind or 'USING'}".upper())
        if (
            side == "FULL" and "full_join" not in self.dialect.functions
        ):  # else it would be written as a UNION, which loses rows
            raise Unlike("a FULL JOIN")
        self._table(node.this, scope, seen, outer)
        on = node.args.get("on")
        if on is not None:
            of.truth(on)
        elif side:
            raise Unlike("an outer join without ON")

    def _group(self, group: exp.Group | None, expressions: Expressions) -> None:
        if group is None:
            return
        if set(_given(group)) - {"expressions"}:
            raise Unlike("GROUP BY with sets or ALL")
        for each in group.expressions:
            if isinstance(each, exp.Literal):
                raise Unlike("GROUP BY of a constant")
            expressions.kind(each)

    def _order(self, order: exp.Order, columns: Columns, expressions: Expressions) -> None:
        kinds = dict(columns)
        for each in order.expressions:
            if not isinstance(each, exp.Ordered) or each.args.get("with_fill"):
                raise Unlike("ORDER BY of something else than columns")
            key = each.this
            if isinstance(key, exp.Column) and not key.table and key.name in kinds:
                if kinds[key.name] == "text":
                    self._order_of_text(each, order, expressions)
            else:
                expressions.collated(key, expressions.kind(key))

    def _order_of_text(self, ordered: exp.Ordered, order: exp.Order, expressions: Expressions) -> None:
        """Some databases take a result's name in ORDER BY only as it stands: the expression is written again."""
        if not self.dialect.collation:
            return
        select = order.parent
        name = ordered.this.name
        listed = select.expressions if isinstance(select, exp.Select) and not select.args.get("distinct") else []
        found = next((each for each in listed if each.alias_or_name == name), None)
        if found is None:
            raise Unlike("ORDER BY of texts behind DISTINCT")
        inner = exp.Paren(this=found.unalias().copy())
        ordered.set("this", inner)
        expressions.collated(inner, "text")

    def _limit(self, node: exp.Expression, columns: Columns) -> None:
        if not node.args.get("limit") and not node.args.get("offset"):
            return
        for name in ("limit", "offset"):
            clause = node.args.get(name)
            if clause is not None and not (
                isinstance(clause, exp.Limit | exp.Offset) and isinstance(clause.expression, exp.Literal)
            ):
                raise Unlike("a LIMIT that is counted")
        order = node.args.get("order")
        made = {each.unalias(): each.alias_or_name for each in node.expressions} if isinstance(node, exp.Select) else {}
        keys = {made.get(each.this) or _plain_name(each.this) for each in order.expressions} if order else set()
        if not self.sample and not {name for name, _ in columns} <= keys:
            raise Unlike("LIMIT: which of equal rows are kept is open (order by all columns)")


class _Lookup:
    """The kind of a column by its table's name, in this query or in one around it."""

    def __init__(self, scope: _Scope) -> None:
        self.scope = scope

    def __call__(self, column: exp.Column) -> str:
        scope: _Scope | None = self.scope
        while scope is not None:
            if column.table in scope.tables:
                kind = scope.tables[column.table].get(column.name)
                if kind is None:
                    raise Unlike(f"no column {column.name}")
                if not kind:
                    raise Unlike(f"the type of column {column.name} stays here")
                return kind
            scope = scope.outer
        raise Unlike(f"no table for column {column.name}")


def _plain_name(key: exp.Expression) -> str:
    """The name of a result in ORDER BY; nothing for a column of a table."""
    return key.name if isinstance(key, exp.Identifier) or (isinstance(key, exp.Column) and not key.table) else ""


def _given(node: exp.Expression) -> list[str]:
    return [name for name, value in node.args.items() if value not in (None, False, [])]
