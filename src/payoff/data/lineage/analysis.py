"""Column flows of an SQL query: what each output column depends on, explicitly and implicitly.

The answer may be too large, never too small. What is not understood exactly makes everything depend on everything, and says so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlglot import Dialect, TokenType, exp
from sqlglot.errors import SqlglotError

from payoff.base.text import DIALECT
from payoff.data.lineage.flow import Flow, Flows, Source
from payoff.data.lineage.queries import Queries
from payoff.data.lineage.relation import Cell, Relation, UnsureError, whole
from payoff.data.lineage.trees import bare, nodes, part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ODD = (AttributeError, TypeError, KeyError, IndexError, ValueError)  # a tree of a shape that was not foreseen


class Parsed(NamedTuple):
    """A query's tree, never changed. `words`: those of the text; `names`: the identifiers that the parser kept of them."""

    tree: exp.Expression
    words: frozenset[str]
    names: frozenset[str]
    columns: frozenset[int]  # ids of the column nodes
    spread: bool


@lru_cache(maxsize=4096)
def parse(sql: str) -> Parsed:
    """Parse a query once; raises SqlglotError, RecursionError or UnsureError where that cannot be done."""
    dialect = Dialect.get_or_raise(DIALECT)
    tokens = dialect.tokenize(sql)
    trees = [tree for tree in dialect.parser().parse(tokens, sql) if tree is not None]
    if len(trees) != 1:
        raise UnsureError("more than one statement" if trees else "no statement")
    names: set[str] = set()
    columns: set[int] = set()
    spread = False
    stack: list[Any] = [trees[0]]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
            continue
        if not isinstance(node, exp.Expression):
            continue
        kind = type(node)
        if kind is exp.Identifier:
            names.add(node.args["this"].lower())
            continue
        if kind is exp.Column:
            columns.add(id(node))
        elif kind is exp.Columns:
            spread = True
        elif kind is exp.Star and not isinstance(node.parent, exp.Select | exp.Column | exp.Func | exp.Columns):
            raise UnsureError("a star inside an expression")
        stack.extend(node.args.values())
    words = frozenset(token.text.lower() for token in tokens if token.token_type is not TokenType.STRING)
    return Parsed(trees[0], words, frozenset(names), frozenset(columns), spread)


def flows(sql: str, tables: Mapping[str, Sequence[str]]) -> Flows:
    """The flow of each output column of a DuckDB query over tables with these columns.

    Never raises: what cannot be understood depends on everything, and `unsure` says why.

    >>> found = flows("select a + 1 as x from t where b > 0", {"t": ["a", "b", "c"]}).of("x")
    >>> sorted(found.data), sorted(found.control), found.how
    ([('t', 'a')], [('t', 'b')], ('add', 'where'))
    """
    try:
        parsed = parse(sql)
    except (SqlglotError, RecursionError, UnsureError) as error:
        reason = str(error) if isinstance(error, UnsureError) else "the query cannot be parsed"
        return _unsure(reason, tables, ())
    try:
        return _exact(parsed, tables)
    except (UnsureError, RecursionError) as error:
        reason = str(error) if isinstance(error, UnsureError) else "the query is nested too deeply"
    except _ODD as error:
        reason = f"the query has a part that was not foreseen ({type(error).__name__})"
    return _unsure(reason, tables, _listed_names(parsed.tree))


def _exact(parsed: Parsed, tables: Mapping[str, Sequence[str]]) -> Flows:
    queries = Queries(tables)
    queries.reader.spread = parsed.spread
    result = queries.query(parsed.tree, None)
    if not parsed.columns <= queries.reader.visited:
        raise UnsureError("a part of the query was not looked at")
    sources, ways = Sources(queries.names.meaning), queries.reader.ways
    lost = 0  # columns whose names are in the text but not in the tree: the parser dropped them, wherever they were
    for relation in queries.names.relations.values():
        for name, cell in zip(relation.names, relation.cells, strict=True):
            low = str(name).lower()
            if low in parsed.words and low not in parsed.names:
                lost |= whole([cell])
    how = _clauses(parsed.tree)
    expressions = _expressions(parsed.tree, result)
    made = []
    for number, (name, (data, control)) in enumerate(zip(result.names, result.cells, strict=True)):
        node = expressions[number] if expressions else None
        text = name if name is not None else node.sql(DIALECT) if node is not None else f"column{number}"
        inside = sources.columns(control)
        made.append(sources.flow(text, (data | lost, control | result.rows), (*_operation(node), *how), inside))
    return Flows(
        tuple(made),
        clauses={way: sources.columns(mask) for way, mask in ways.clauses.items()},
        inside={way: sources.columns(mask) for way, mask in ways.expressions.items()},
        others=None
        if result.others is None
        else sources.flow("", (result.others[0] | lost, result.others[1] | result.rows), how),
        rows=sources.flow("", (0, result.rows | lost), how),
        order=sources.flow("", (0, result.order | lost), how),
    )


class Sources:
    """Turns bits back to names; many columns share what decides their rows."""

    def __init__(self, meaning: list[tuple[str, str | None, str]]) -> None:
        self.meaning = meaning
        self.known: dict[int, tuple[frozenset[Source], frozenset[str], frozenset[str]]] = {}

    def columns(self, mask: int) -> frozenset[Source]:
        """The columns of a set of bits."""
        return self._of(mask)[0]

    def flow(self, name: str, cell: Cell, how: tuple[str, ...], inside: frozenset[Source] = frozenset()) -> Flow:
        """A flow as it is told."""
        data, _, _ = self._of(cell[0])
        control, tables, ordered = self._of(cell[1])
        _, more, sorted_ = self._of(cell[0])
        return Flow(name, data, control, how, tables | more, ordered | sorted_, inside)

    def _of(self, mask: int) -> tuple[frozenset[Source], frozenset[str], frozenset[str]]:
        if mask not in self.known:
            kinds: dict[str, set[Any]] = {"column": set(), "rows": set(), "order": set(), "pending": set()}
            left = mask
            while left:
                low = left & -left
                table, column, kind = self.meaning[low.bit_length() - 1]
                kinds[kind].add((table, column) if kind == "column" else table)
                left ^= low
            self.known[mask] = frozenset(kinds["column"]), frozenset(kinds["rows"]), frozenset(kinds["order"])
        return self.known[mask]


def _unsure(reason: str, tables: Mapping[str, Sequence[str]], names: tuple[str, ...]) -> Flows:
    every = frozenset((table, column) for table, columns in tables.items() for column in columns)
    whole_flow = Flow("", every, every, ("everything",), frozenset(tables), frozenset(tables))
    return Flows(
        tuple(Flow(name, every, every, ("everything",), frozenset(tables), frozenset(tables)) for name in names),
        unsure=reason,
        others=whole_flow,
        rows=whole_flow,
        order=whole_flow,
    )


def _listed_names(tree: exp.Expression) -> tuple[str, ...]:
    """The output's names as far as the text says them, for a query that was not understood."""
    select: Any = tree
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    if not isinstance(select, exp.Select):
        return ()
    names = [each.output_name for each in select.expressions]
    return tuple(names) if all(name and name != "*" for name in names) else ()


def _expressions(tree: exp.Expression, result: Relation) -> list[exp.Expression]:
    select: Any = tree
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    listed = select.expressions if isinstance(select, exp.Select) else []
    return list(listed) if len(listed) == len(result.cells) and not any(each.is_star for each in listed) else []


def _operation(node: exp.Expression | None) -> tuple[str, ...]:
    """The word for what an expression does last; none for a column that is only copied."""
    inner = bare(node) if node is not None else None
    while isinstance(inner, exp.Paren | exp.Window | exp.Filter | exp.Cast):
        inner = inner.this
    if inner is None or isinstance(inner, exp.Column | exp.Star | exp.Literal | exp.Null | exp.Boolean):
        return ()
    return (str(inner.this).lower() if isinstance(inner, exp.Anonymous) else inner.key,)


def _clauses(tree: exp.Expression) -> tuple[str, ...]:
    words: list[str] = []
    if isinstance(tree, exp.SetOperation):
        words.append(tree.key)
    clauses = {"where": "where", "group": "group by", "having": "having", "qualify": "qualify", "distinct": "distinct",
               "order": "order by", "limit": "limit"}  # fmt: skip
    if nodes(tree, "joins"):
        words.append("join")
    words += [word for key, word in clauses.items() if part(tree, key) is not None]
    return tuple(words)
