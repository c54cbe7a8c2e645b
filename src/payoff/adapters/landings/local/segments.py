"""The files of a landing: rows that landed together, one record batch for each partition. Written once, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, Where
from payoff.base.files import place_durably
from payoff.base.ids import new_run_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa, pc = lazy.Module("pyarrow"), lazy.Module("pyarrow.compute")

ENDING = ".arrow"


class Segment(NamedTuple):
    """A file that was written; `parts` are its partitions with their rows, `oldest` and `newest` times in microseconds since 1970."""

    file: str
    rows: int
    bytes: int
    digest: str
    parts: tuple[tuple[str, int], ...]
    oldest: int | None
    newest: int | None


def in_order(partition: str) -> tuple[int, str]:
    """Partitions in the order of their numbers."""
    return len(partition), partition


def write(folder: Path, table: pa.Table) -> Segment:
    """Write rows into a new file that is on the disk when this returns, each partition in one batch, in the order of the table.

    `FileNotFoundError` when somebody who tidied up took the unfinished file away.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{new_run_id()}-{new_run_id()[-6:]}"
    part = folder / f".{name}.part"
    parts: list[tuple[str, int]] = []
    try:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
            for partition in sorted(pc.unique(table["_partition"]).to_pylist(), key=in_order):
                rows = table.filter(pc.equal(table["_partition"], partition)).combine_chunks()
                writer.write_table(rows)
                parts.append((partition, rows.num_rows))
        digest, size = hashing.of_file(part), part.stat().st_size
        file = place_durably(part, folder / f"{name}{ENDING}")
    finally:
        part.unlink(missing_ok=True)
    oldest, newest = _times(table)
    return Segment(file.name, table.num_rows, size, digest, tuple(parts), oldest, newest)


def _times(table: pa.Table) -> tuple[int | None, int | None]:
    ends: Any = pc.min_max(table["_time"].cast(pa.int64()))
    return ends["min"].as_py(), ends["max"].as_py()


def read(path: Path, size: int) -> pa.RecordBatchFileReader:
    """A file mapped into memory; its batches are read when they are asked for. `FileNotFoundError` when it is gone."""
    if path.stat().st_size != size:
        raise damaged(path)
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid:
        raise damaged(path) from None


def joined(readers: Sequence[pa.RecordBatchFileReader]) -> pa.Table:
    """The rows of several files in their order. Columns that came later are NULL before."""
    tables = [reader.read_all() for reader in readers]
    return pa.concat_tables(tables, promote_options="default")


def older(reader: pa.RecordBatchFileReader, before: int) -> int:
    """How many rows are older than a time (microseconds since 1970)."""
    return int(
        sum(pc.sum(_is_older(reader.get_batch(n), before)).as_py() or 0 for n in range(reader.num_record_batches))
    )


def younger(reader: pa.RecordBatchFileReader, before: int) -> pa.Table:
    """The rows that are not; one without a time stays."""
    table = reader.read_all()
    return table.filter(pc.invert(_is_older(table, before)))


def _is_older(rows: Any, before: int) -> Any:
    return pc.fill_null(pc.less(rows["_time"].cast(pa.int64()), before), False)


def damaged(path: Path) -> OutsideError:
    """The error of a file that is gone or not what it was."""
    return OutsideError(
        "a file of a landing is gone or damaged",
        code="PO-M011",
        expected="the files under .payoff/landing as Payoff left them",
        where=Where(path),
        remedy="restore it from a copy, or remove the table's folder under .payoff/landing: its stream is read from the beginning then",
    )
