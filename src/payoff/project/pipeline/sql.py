"""SQL as text in a project: the queries in `sql/*.sql`, and expressions over a row. Read as DuckDB's dialect."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from payoff.base import hashing, lazy
from payoff.base.text import DIALECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlglot
    from sqlglot import exp
else:
    sqlglot, exp = lazy.Module("sqlglot"), lazy.Module("sqlglot.expressions")

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # what it warns of, we say as a finding
Problems = tuple[tuple[str, int, str, str], ...]


def query(text: str) -> tuple[str, tuple[str, ...], str, Problems]:
    """Look into the query in a `.sql` file.

    Gives the text without what follows the query, the tables it reads, the digest of what it means, and what is wrong with it as
    (code, line, what, expected).
    """
    one_query = "one query (select ..., from ..., with ...)"
    try:
        parsed = sqlglot.parse(text, dialect=DIALECT)
        trees = [tree for tree in parsed if tree is not None and not isinstance(tree, exp.Semicolon)]
        end = _end(text)
    except Exception as error:  # the parser fails in more ways than its own errors
        line, why = _reason(error)
        return "", (), "", (("PO-P060", line, f"the SQL cannot be read: {why}", one_query),)
    if len(trees) != 1 or not isinstance(trees[0], (exp.Query, exp.Pivot)):
        found = (
            f"{len(trees)} statements"
            if len(trees) > 1
            else "no query"
            if not trees
            else "a statement that is no query"
        )
        return "", (), "", (("PO-P061", 1, f"the file holds {found}", one_query),)
    tree = trees[0]
    problems = []
    names = []
    for table in _tables(tree):
        line = _line(table)
        if isinstance(table.this, exp.Identifier) and not table.db and "." not in table.name and "/" not in table.name:
            names.append(table.name)
        elif isinstance(table.this, exp.Identifier):
            what = f"the query reads {table.db + '.' if table.db else ''}{table.name}, which is no table of the project"
            problems.append(("PO-P062", line, what, "the plain name of a step or of a source in payoff.toml"))
        elif _reads_outside(table.this):
            what = "the query opens a file or a database itself"
            problems.append(("PO-P062", line, what, "a source in payoff.toml, and its name here"))
    meaning = hashing.of_text(tree.sql(dialect=DIALECT, comments=False))
    return text[:end], tuple(dict.fromkeys(names)), meaning, tuple(problems)


def _end(text: str) -> int:
    """Where the last thing that matters ends: no closing semicolon, no comment behind it."""
    tokens = [token for token in sqlglot.tokenize(text, dialect=DIALECT) if token.token_type.name != "SEMICOLON"]
    return tokens[-1].end + 1 if tokens else 0


def _tables(tree: exp.Expression) -> Iterator[exp.Table]:
    """The tables that are not common table expressions, in the order of the text."""
    found = [table for table in tree.find_all(exp.Table) if not _is_local(table)]
    return iter(sorted(found, key=_start))


def _is_local(table: exp.Table) -> bool:
    """True when the name stands for a common table expression that is visible there."""
    if table.db or not isinstance(table.this, exp.Identifier):
        return False
    name = table.name.lower()
    child: exp.Expression = table
    parent = table.parent
    inside: exp.CTE | None = None
    while parent is not None:
        if isinstance(child, exp.CTE):
            inside = child
        if isinstance(parent, exp.With):
            for cte in parent.expressions:
                if cte is inside and not parent.recursive:
                    break
                if cte.alias.lower() == name:
                    return True
                if cte is inside:
                    break
        elif not isinstance(child, exp.With):
            clause = parent.args.get("with_") or parent.args.get("with")
            if clause is not None and any(cte.alias.lower() == name for cte in clause.expressions):
                return True
        child, parent = parent, parent.parent
    return False


def _start(node: exp.Expression) -> int:
    for each in node.walk():
        if "start" in each.meta:
            return int(each.meta["start"])
    return 0


def _line(node: exp.Expression) -> int:
    return next((int(each.meta["line"]) for each in node.walk() if "line" in each.meta), 1)


def _reads_outside(node: exp.Expression) -> bool:
    """True for table functions that open something (`read_csv`, `postgres_scan`), false for `range` and the like."""
    name = node.name if isinstance(node, exp.Anonymous) else node.key if isinstance(node, exp.Func) else ""
    name = name.lower()
    return (
        name.startswith("read") or name.endswith(("_scan", "_query", "_attach")) or name in ("glob", "parquet_metadata")
    )


def expression(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """What is wrong with an SQL expression over one row (nothing: empty), the texts it can result in, its columns."""
    try:
        trees = sqlglot.parse(text, dialect=DIALECT)
    except Exception as error:  # the parser fails in more ways than its own errors
        return _reason(error)[1], (), ()
    tree = trees[0]
    wrong = ""
    if len(trees) != 1 or tree is None or not isinstance(tree, exp.Condition):
        wrong = "it is not one expression"
        if isinstance(tree, exp.Alias):
            wrong = f"it gives itself the name {tree.alias!r}"
    elif tree.find(exp.Query):
        wrong = "it reads a table"
    elif tree.find(exp.AggFunc, exp.Window):
        wrong = "it looks at more than one row"
    elif any(node.comments for node in tree.walk()):
        wrong = "it holds a comment"
    if wrong or tree is None:
        return wrong, (), ()
    columns = tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column)))
    return "", tuple(dict.fromkeys(_results(tree))), columns


def _results(tree: exp.Expression | None) -> Iterator[str]:
    """The texts an expression can result in, as far as they are written in it."""
    if isinstance(tree, exp.Literal) and tree.is_string:
        yield str(tree.this)
    elif isinstance(tree, exp.Case):
        for branch in tree.args["ifs"]:
            yield from _results(branch.args.get("true"))
        yield from _results(tree.args.get("default"))
    elif isinstance(tree, exp.If):
        yield from _results(tree.args.get("true"))
        yield from _results(tree.args.get("false"))
    elif isinstance(tree, exp.Coalesce):
        for part in (tree.this, *tree.expressions):
            yield from _results(part)
    elif isinstance(tree, exp.Paren):
        yield from _results(tree.this)


def _reason(error: Exception) -> tuple[int, str]:
    """The line, and the reason without a piece of the text."""
    parts = getattr(error, "errors", None)
    if isinstance(error, RecursionError):
        return 1, "it is nested too deeply"
    if not isinstance(error, sqlglot.errors.SqlglotError):
        return 1, "the SQL parser cannot make anything of it"
    if not parts:
        return 1, "a text or a comment in it does not end"
    first = parts[0]
    why = str(first.get("description") or "it is incomplete")
    if why.startswith("Required keyword"):
        why = "something is missing"
    return int(
        first.get("line") or 1
    ), f"{why[:1].lower()}{why[1:]} at line {first.get('line')}, column {first.get('col')}"


def promise(text: str, table: str, column: str) -> tuple[str, str]:
    """The query of a contract's SQL rule with `{table}` for its table, and what is wrong with it (nothing: empty).

    The standard's `${table}`, `${object}`, `${column}` and `${property}` are understood, and the table's own name.
    """
    stand_in = "__payoff_table__"
    quoted = '"' + column.replace('"', '""') + '"'
    for word in ("table", "object", "schema"):
        text = text.replace(f"${{{word}}}", stand_in).replace(f"{{{word}}}", stand_in)
    for word in ("column", "property"):
        text = text.replace(f"${{{word}}}", quoted).replace(f"{{{word}}}", quoted)
    found, tables, _, problems = query(text)
    if problems:
        return "", problems[0][2]
    others = [name for name in tables if name.lower() not in (stand_in, table.lower())]
    if others:
        return "", f"it reads another table, {others[0]}"
    tree = sqlglot.parse_one(found, dialect=DIALECT)
    for node in _tables(tree):
        if node.name.lower() != stand_in and not node.alias:
            node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name)))
        node.set("this", exp.to_identifier(stand_in))
    return tree.sql(dialect=DIALECT, comments=False).replace(stand_in, "{table}"), ""
