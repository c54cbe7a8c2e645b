"""What is said of a query's columns."""

from __future__ import annotations

import msgspec

Source = tuple[str, str]  # (table, column)


class Flow(msgspec.Struct, frozen=True):
    """What one output column depends on. `data`: its values are copied, computed or aggregated from these. `control`: they decide which rows or which
    values there are (a filter, a key, a CASE, an order, a group). `how`: the last operations, in short words.
    """

    column: str
    data: frozenset[Source]
    control: frozenset[Source]
    how: tuple[str, ...] = ()


class Flows(msgspec.Struct, frozen=True):
    """The output columns in their order. `unsure` says why everything was taken to depend on everything; empty when it is exact."""

    columns: tuple[Flow, ...]
    unsure: str = ""

    def of(self, column: str) -> Flow | None:
        """The flow of an output column, if it is known."""
        return next((flow for flow in self.columns if flow.column == column), None)


class Grouping(msgspec.Struct, frozen=True):
    """The outermost GROUP BY: output columns that are its `keys`, the fewest rows `k` that HAVING leaves in a group, and per output column
    `key`, `aggregate:FUNCTION` or `other`.
    """

    keys: tuple[str, ...] = ()
    k: int = 0
    roles: dict[str, str] = {}
