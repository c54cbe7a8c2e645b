"""Where tables come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from payoff.records.label import Label


class Source(Protocol):
    """One table outside. Made by wiring from the adapter's `Options`; opening a connection waits until a method is called.

    Methods may be called from any thread, one at a time. What a method opens it closes; a reader is closed by who asked for it.
    Failures are `UserError` (the address, the table or the file is wrong) or `OutsideError` (the world failed;
    `may_retry` says whether to try again). No message holds a data value or a secret.
    """

    def schema(self) -> pa.Schema:
        """Names and Arrow types of all columns, without reading rows (types of CSV and JSON may be inferred from the first block)."""
        ...

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The rows as a stream of Arrow batches, only the columns asked for (None: all)."""
        ...

    def version(self) -> str | None:
        """A cheap token that changes whenever the content may have changed (files: paths, sizes, modification times and inodes).

        None when there is no such token: then the table is read again on every run.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """The address without secrets, for the run record: at least `kind` and `address`."""
        ...


@runtime_checkable
class Positioned(Protocol):
    """A source that can say how far into something that grows its last `read` went: it is kept in the run's record."""

    def positions(self) -> dict[str, Any]:
        """For a stream: `commit` of its landing, `offsets`, `rows`, messages `set_aside`."""
        ...


@runtime_checkable
class Labelling(Protocol):
    """A source that knows the labels of its columns (said by `"labels": True` in its adapter's CAPABILITIES): where it comes from somebody keeps them."""

    def labels(self) -> Mapping[str, Label]:
        """Column -> label, for those that have one there; `(rows)` and `(order)` stand for which rows the table has, and their order. Places are zones, by name."""
        ...
