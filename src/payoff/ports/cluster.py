"""What runs lazy steps when the data outgrows this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from payoff.records.placement import Location


class Cluster(Protocol):
    """A query engine on other machines, which reads and writes Parquet in a folder that both sides see. One query at a time per thread.

    Failures are `UserError` (the address is wrong, the query stops on a value) or `OutsideError`; no message holds a data value.
    """

    def place(self) -> Location:
        """Its address and dialect, without connecting."""
        ...

    def exchange(self) -> Path:
        """The folder that both sides see."""
        ...

    def run(self, sql: str, tables: Mapping[str, Path], schema: pa.Schema) -> pa.RecordBatchReader:
        """The rows of a query (its dialect) over Parquet files, by name, as exactly this schema."""
        ...

    def close(self) -> None:
        """End the session."""
        ...
