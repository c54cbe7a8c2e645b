"""What a source can do besides, whose database runs queries: `Database`, said by `"pushdown": True` in an adapter's CAPABILITIES."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from payoff.records.placement import Location, Relation


class Database(Protocol):
    """The database that a source's table is in. Failures are those of `Source`; no message holds a data value or a secret."""

    def place(self) -> Location | None:
        """Which database this is, without connecting to it; None when this source's rows cannot be queried there."""
        ...

    def relation(self) -> Relation:
        """The table as a query there, with exactly the values that `Source.read` gives."""
        ...

    def prepare(self, sql: str) -> None:
        """Have a query looked at, not run; `UserError` when the database does not take it."""
        ...

    def run(self, sql: str, schema: pa.Schema) -> pa.RecordBatchReader:
        """A query's rows, streamed, out of a transaction that can only read. Columns come in the order of `schema`, and as its types,
        exactly: a value that does not fit is an `OutsideError`, never a rounded one.
        """
        ...
