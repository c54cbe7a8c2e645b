"""What runs SQL over Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from payoff.records.artifact import Identity


class Engine(Protocol):
    """A query engine over Arrow IPC files. Tables are given by name -> file. Methods may be called from several threads at once.

    Wrong SQL is a `UserError` that says what the engine found, without data values.
    """

    dialect: str

    def identify(self, file: Path) -> Identity:
        """Content hash (independent of row order), number of rows and columns of an Arrow IPC file, in one scan."""
        ...

    def transform(self, sql: str, tables: Mapping[str, Path], output: Path) -> None:
        """Run a query and write its rows, streamed: Parquet when `output` ends in `.parquet`, else an Arrow IPC file."""
        ...

    def query(self, sql: str, tables: Mapping[str, Path | pa.Table]) -> pa.Table:
        """Run a query whose answer is small enough for memory; tables that are in memory are given as they are."""
        ...

    def write(self, reader: pa.RecordBatchReader, output: Path) -> None:
        """Stream batches into an Arrow IPC file."""
        ...

    def columns(self, sql: str, tables: Mapping[str, pa.Schema], options: Sequence[str] = ()) -> pa.Schema:
        """The schema a query would have over tables of these schemas; nothing runs."""
        ...
