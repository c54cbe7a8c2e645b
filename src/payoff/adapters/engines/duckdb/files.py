"""Arrow and Parquet files: read mapped into memory, written whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from payoff.base.errors import OutsideError, Where

if TYPE_CHECKING:
    from collections.abc import Callable


def open_table(file: Path) -> pa.Table:
    """A memory-mapped table: pages come from the file as they are needed."""
    try:
        with pa.memory_map(str(file)) as source:
            return pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        gone = isinstance(error, FileNotFoundError)
        raise OutsideError(
            "a table is no longer in the store" if gone else "a table in the store cannot be read: its file is damaged",
            code="PO-E003",
            expected="the files under .payoff/store as Payoff left them",
            where=Where(file),
            remedy="payoff run --force makes it again",
        ) from error


def ipc(reader: pa.RecordBatchReader, part: Path) -> None:
    """Stream batches into an Arrow IPC file, uncompressed, so that it can be mapped into memory."""
    with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, reader.schema.remove_metadata()) as writer:
        for batch in reader:
            writer.write_batch(batch.replace_schema_metadata(None))


def parquet(reader: pa.RecordBatchReader, part: Path) -> None:
    """Stream batches into a Parquet file."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(str(part), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def write(reader: pa.RecordBatchReader, output: Path, way: Callable[[pa.RecordBatchReader, Path], None]) -> None:
    """Write a file whole or not at all."""
    part = output.with_name(output.name + ".part")
    try:
        way(reader, part)
        part.replace(output)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and (
            error.errno == errno.ENOSPC or re.search(r"No space left|errno 28\b", str(error))
        ):
            raise full(output.parent) from error
        raise


def full(folder: Path) -> OutsideError:
    """The error of a disk that is full at `folder`, with what is free there."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), None)
    stat = os.statvfs(there) if there else None
    free = f": {stat.f_bavail * stat.f_frsize / 2**20:,.1f} MB free" if stat else ""
    return OutsideError(
        f"the disk is full at {folder}{free}",
        code="PO-E005",
        expected="free space under .payoff/",
        remedy="free some space (du -sh .payoff/*), then payoff run: finished steps are not repeated",
    )
