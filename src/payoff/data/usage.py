"""Which columns of its tables a query uses, so that only those are read.

The answer may be too large, never too small: where sqlglot cannot say (stars over unknown tables, UNION BY NAME, PIVOT, struct
fields, a query it does not parse), every column counts as used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from payoff.base.text import DIALECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UNSURE = (exp.Pivot, exp.Lateral, exp.Unnest, exp.Columns, exp.Dot)


class Names(Protocol):
    """What has columns: a schema."""

    @property
    def names(self) -> Sequence[str]:
        """Their names, in order."""
        ...


def used_columns(sql: str, tables: Mapping[str, Names]) -> dict[str, list[str]]:
    """Per table the columns that the query needs, in the table's order.

    A table of which no column is named (`select count(*)`) keeps its first column, so that its rows can be counted.
    """
    everything = {name: list(schema.names) for name, schema in tables.items()}
    try:
        found = _found(sql, everything)
    except (SqlglotError, KeyError, RecursionError):
        return everything
    if found is None:
        return everything
    return {
        name: [column for column in columns if column in found.get(name, set())] or columns[:1]
        for name, columns in everything.items()
    }


def _found(sql: str, tables: Mapping[str, list[str]]) -> dict[str, set[str]] | None:
    tree = sqlglot.parse_one(sql, dialect=DIALECT)
    parts = (star for star in tree.find_all(exp.Star) if any(star.args.values()))
    if any(tree.find(kind) for kind in _UNSURE) or any(parts):
        return None  # `* exclude (b)` needs b to be there although it uses it not
    if any(union.args.get("by_name") for union in tree.find_all(exp.SetOperation)):
        return None
    folded = {name.lower(): name for name in tables}
    if len(folded) != len(tables):
        return None
    schema = {name: dict.fromkeys(columns, "unknown") for name, columns in tables.items()}
    tree = qualify(
        tree, schema=schema, dialect=DIALECT, validate_qualify_columns=True, expand_stars=True, quote_identifiers=False
    )
    used: dict[str, set[str]] = {name: set() for name in tables}
    for scope in traverse_scope(tree):
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table):
                table = folded.get(source.name.lower())
                if table is None:
                    continue
                match = [name for name in tables[table] if name.lower() == column.name.lower()]
                if not match:
                    return None
                used[table] |= set(match)
            elif source is None and not column.table:
                return None
    return used
