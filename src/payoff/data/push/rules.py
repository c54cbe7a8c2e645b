"""Expressions that mean the same in DuckDB and in another database, rewritten so that they do.

Everything here is an allow-list. What is not in it is `Unlike`: the step then runs here, for the reason given. Kinds are coarser than
types: `int` (of any width), `double`, `text`, `bool`, `date`, `timestamp` (no zone), `instant`, `number` (a literal with a fraction,
exact in DuckDB), `null`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payoff.records.placement import Dialect

# What a database may have with DuckDB's meaning; an adapter says which of them it has.
OPTIONAL = frozenset(
    {"length", "substring", "floor", "like", "calendar", "date_arithmetic", "date_trunc", "greatest", "float_to_int", "narrow_int", "window", "moments", "full_join"}
)  # fmt: skip
_DIGITS = 15  # a decimal literal with at most so many is the same number in binary everywhere
_DAY = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
_MOMENT = re.compile(_DAY.pattern + r"[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?")


class Unlike(Exception):
    """The query could mean something else in the other database; the text says what of it."""


def kind_of(arrow: str) -> str:
    """The kind of an Arrow type given as text; empty for those that stay here."""
    if re.fullmatch(r"u?int(8|16|32|64)", arrow) or re.fullmatch(r"decimal128\([0-9]+, 0\)", arrow):
        return "int"
    if arrow.startswith("timestamp["):
        return "instant" if "tz=" in arrow else "timestamp"
    return {
        "double": "double", "string": "text", "large_string": "text", "string_view": "text", "bool": "bool", "date32[day]": "date",
    }.get(arrow, "")  # fmt: skip


Handler = Callable[["Expressions", Any], str]


class Expressions:
    """Walks expressions, rewrites them in place, and answers their kinds. `query` walks the queries inside of them."""

    def __init__(
        self,
        dialect: Dialect,
        lookup: Callable[[exp.Column], str],
        query: Callable[[exp.Expression], Sequence[tuple[str, str]]],
        handlers: Mapping[type[exp.Expression], Handler],
    ) -> None:
        self.dialect = dialect
        self.handlers = handlers
        self.lookup = lookup
        self.query = query
        self._swapped: dict[int, tuple[exp.Expression, exp.Expression]] = {}

    def kind(self, node: exp.Expression) -> str:
        """The kind of an expression, which is then rewritten for the other database."""
        handler = self.handlers.get(type(node))
        if handler is None:
            raise Unlike(f"{named(node)} is not known to mean the same there")
        return handler(self, node)

    def swap(self, node: exp.Expression, by: exp.Expression) -> None:
        """Put another expression in a node's place."""
        node.replace(by)
        self._swapped[id(node)] = (node, by)

    def now(self, node: exp.Expression) -> exp.Expression:
        """What is in a node's place now."""
        while id(node) in self._swapped:
            node = self._swapped[id(node)][1]
        return node

    def needs(self, name: str, node: exp.Expression) -> None:
        """Refuse what this database does not have with the same meaning."""
        if name not in self.dialect.functions:
            raise Unlike(f"{named(node)} means something else there, or nothing")

    def truth(self, node: exp.Expression) -> None:
        """A condition: a number is none."""
        if self.kind(node) not in ("bool", "null"):
            raise Unlike("a condition is no truth value")

    def collated(self, node: exp.Expression, kind: str) -> None:
        """Have texts ordered by their code points."""
        if kind == "text" and self.dialect.collation:
            node = self.now(node)
            collation = exp.Identifier(this=self.dialect.collation, quoted=True)
            collated = exp.Collate(this=exp.Paren(this=node.copy()), expression=collation)
            self.swap(node, exp.Paren(this=collated))  # BETWEEN takes none without parentheses

    def alike(self, nodes: Sequence[exp.Expression], *, ordered: bool = False) -> str:
        """Values that are compared with each other, or of which one is the result: all of one kind, whole numbers made doubles beside doubles."""
        kinds = [self.kind(node) for node in nodes]
        real = {kind for kind in kinds if kind != "null"}
        if not real:
            return "null"
        if real & {"date", "timestamp"} and "text" in real:
            (kind,) = real - {"text"} if len(real) == 2 else ("",)
            for node, each in zip(nodes, kinds, strict=True):
                if each == "text":
                    self._moment(node, kind)
            return kind
        if real in ({"double", "int"}, {"double", "number"}, {"double", "int", "number"}):
            for node, kind in zip(nodes, kinds, strict=True):
                self.as_double(node, kind)
            return "double"
        if real == {"int", "number"} and ordered:
            for node, kind in zip(nodes, kinds, strict=True):
                if kind == "number":
                    short(self.now(node))
            return "int"
        if len(real) > 1:
            raise Unlike(f"{' and '.join(sorted(real))} are mixed")
        (kind,) = real
        if ordered:
            for node in nodes:
                self.collated(node, kind)
        return kind

    def _moment(self, node: exp.Expression, kind: str) -> None:
        node, pattern = self.now(node), _DAY if kind == "date" else _MOMENT
        if not (isinstance(node, exp.Literal) and pattern.fullmatch(node.name)):
            raise Unlike(f"a text is taken for a {kind}")
        if kind == "timestamp":
            self.needs("moments", node)
        if not self.dialect.dates_are_text:
            to = exp.DataType.Type.DATE if kind == "date" else exp.DataType.Type.TIMESTAMP
            self.swap(node, exp.cast(node.copy(), to))
        elif kind != "date":
            raise Unlike("a text is taken for a time")

    def as_double(self, node: exp.Expression, kind: str) -> None:
        """Say that a number is to be counted in doubles."""
        node = self.now(node)
        if kind == "number":
            short(node)
        if kind in ("int", "number"):
            self.swap(node, exp.cast(node.copy(), exp.DataType.Type.DOUBLE))

    def order(self, order: exp.Order) -> None:
        """The columns by which rows are ordered."""
        for each in order.expressions:
            if not isinstance(each, exp.Ordered) or each.args.get("with_fill"):
                raise Unlike("ORDER BY of something else than columns")
            self.collated(each.this, self.kind(each.this))


def short(node: exp.Expression) -> None:
    """Refuse a literal of which a double cannot hold all digits."""
    for literal in node.find_all(exp.Literal):
        mantissa = literal.name.lower().partition("e")[0].replace(".", "").strip("0")
        if not literal.is_string and len(mantissa) > _DIGITS:
            raise Unlike("a number has more digits than a double")


def named(node: exp.Expression) -> str:
    """What people call an expression."""
    name = node.name if isinstance(node, exp.Anonymous) else node.key
    return name.upper() + ("()" if isinstance(node, exp.Func) else "")


def numeric(kind: str) -> str:
    """The kind of a number; whatever else is no number is refused."""
    if kind not in ("int", "double", "number"):
        raise Unlike(f"arithmetic with {kind or 'an unknown type'}")
    return kind
