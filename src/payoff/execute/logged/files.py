"""The files of the log of predictions: from when their first row is, for how many days it may be kept, and their end. The server is `payoff.serving.log`.

Each file says itself for how long it may be kept, as labels were when it was written, so that it goes in time though the server that wrote it is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN, DONE, DAMAGED, PART = ".arrows", ".parquet", ".damaged", ".part"
FOLDER = Path(".payoff", "serving", "log")  # a folder for each version is in it
DAYS, RUN = b"payoff.days", b"payoff.run"
LONGEST = 3600.0  # seconds from a file's first row to its last
DAY = 86_400_000_000  # microseconds


class File(NamedTuple):
    """A file of the log. `first`: the time of its first row in microseconds since 1970; `days`: for how long that may be kept (None: it does not say); `columns`: the
    inputs that it has; `rows`: how many, where it is known.
    """

    path: Path
    first: int
    days: int | None
    run: str
    columns: tuple[str, ...]
    rows: int | None
    bytes: int

    def is_due(self, days: int, now: int) -> bool:
        """Whether its first row may not be kept any longer."""
        return self.first <= now - days * DAY


def versions(root: Path) -> list[Path]:
    """The folders of all versions that have been served."""
    return sorted(each for each in (root / FOLDER).glob("*") if each.is_dir())


def files(folder: Path) -> Iterator[File]:
    """The files of a folder that nobody writes to."""
    for path in sorted(folder.glob("*")):
        if path.suffix in {DONE, DAMAGED, PART} or (path.suffix == OPEN and is_free(path)):
            with contextlib.suppress(FileNotFoundError):
                yield looked_at(path)


def expire(folder: Path, now: int) -> None:
    """Remove those that may not be kept by what they say themselves."""
    for each in files(folder):
        if each.days is not None and each.is_due(each.days, now):
            each.path.unlink(missing_ok=True)


def looked_at(path: Path) -> File:
    """What a file is. One that cannot be read is as old as its first row may be by what the file system says."""
    stat = path.stat()
    try:
        first, rows, schema = (_parquet if path.suffix == DONE else _segment)(path)
    except (pa.ArrowException, AttributeError, ValueError, OSError):
        first, rows, schema = None, None, pa.schema([])
    facts = schema.metadata or {}
    days = facts.get(DAYS, b"").decode()
    place = schema.get_field_index("input")
    return File(
        path,
        stat.st_mtime_ns // 1000 - round(LONGEST * 1e6) if first is None else first,
        int(days) if days.isdigit() else None,
        facts.get(RUN, b"").decode(),
        tuple(each.name for each in schema.field(place).type) if place >= 0 else (),
        rows,
        stat.st_size,
    )


def _parquet(path: Path) -> tuple[int | None, int | None, Any]:
    with pq.ParquetFile(str(path)) as file:
        groups = file.metadata
        found = [groups.row_group(each).column(0).statistics.min for each in range(groups.num_row_groups)]
        return round(min(found).timestamp() * 1e6), groups.num_rows, file.schema_arrow


def _segment(path: Path) -> tuple[int | None, int | None, Any]:
    with pa.OSFile(str(path)) as source:
        reader = pa.ipc.open_stream(source)
        first = None
        with contextlib.suppress(StopIteration, pa.ArrowException, OSError):
            first = reader.read_next_batch().column(0)[0].value
        return first, None, reader.schema


def is_free(path: Path) -> bool:
    """Whether no process writes the segment."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)
