"""A version of a table that is kept in the store, in the place of the source it was once read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payoff.base.errors import UserError
from payoff.ports.store import was

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from payoff.ports.store import Store
    from payoff.records.artifact import Artifact


class SnapshotSource:
    """See `ports.source.Source`. It has the columns that the run read, no more."""

    def __init__(self, table: str, artifact: Artifact, store: Store, run: str) -> None:
        self._table = table
        self._artifact = artifact
        self._store = store
        self._run = run

    def schema(self) -> pa.Schema:
        """The columns of the snapshot."""
        with self._open() as file:
            schema: pa.Schema = file.schema
        return schema

    def read(self, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """The rows of the snapshot, in the order in which they were read."""
        import pyarrow as pa

        file = self._open()
        names = list(columns) if columns is not None else file.schema.names
        schema = pa.schema([file.schema.field(name) for name in names])

        def batches() -> Iterator[pa.RecordBatch]:
            with file:
                for number in range(file.num_record_batches):
                    yield file.get_batch(number).select(names)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def version(self) -> str | None:
        """The identity of the content."""
        return self._artifact.id

    def describe(self) -> dict[str, Any]:
        """Which snapshot it is."""
        return {"kind": "snapshot", "address": self._artifact.id}

    def _open(self) -> pa.ipc.RecordBatchFileReader:
        import pyarrow as pa  # and NumPy with it, which must not be loaded before the run's switches are set

        return pa.ipc.open_file(pa.memory_map(str(kept(self._table, self._artifact, self._store, self._run))))


def kept(table: str, artifact: Artifact, store: Store, run: str) -> Any:
    """The path of a snapshot that is still there."""
    if not store.has(artifact):
        raise UserError(
            f"the snapshot of {table} that run {run} read ({artifact.id[:12]}) {was(store, artifact)}",
            code="PO-Q004",
            expected="the rows that the run was made of: snapshots that were removed or expired cannot be read again",
            remedy=f"payoff data history {table} says which versions are kept; restore .payoff/store from a backup, or name another run",
        )
    return store.path(artifact)
