"""A segment of the log of predictions becomes a Parquet file: up to where a kill, or a fault of the disk, left it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOGETHER = 1 << 17  # rows of a group of Parquet
_LARGEST = 1 << 20  # bytes of the description of a batch; more says something that is none
_BEGINS = b"\xff\xff\xff\xff"  # each message of an Arrow stream


class Unreadable(Exception):
    """Bytes that no kill leaves."""


class Read(NamedTuple):
    """`rows` that were turned into Parquet; `fault` says what ended it before the segment's end, if something did that is no kill."""

    rows: int
    fault: str = ""


def convert(path: Path, part: Path) -> Read:
    """Write the whole messages of a segment as Parquet. `OSError` where it cannot be written."""
    segment = _Segment(path)
    try:
        if segment.schema is None:
            return Read(0, segment.fault)
        rows = 0
        with pq.ParquetWriter(str(part), segment.schema, compression="zstd") as writer:
            for table in segment.tables():
                writer.write_table(table)
                rows += table.num_rows
        return Read(rows, segment.fault)
    finally:
        segment.close()


class _Segment:
    """Its batches, as long as they are sound; then `fault` says why there are no more, where a kill does not explain it."""

    def __init__(self, path: Path) -> None:
        self.fault = ""
        self._source = pa.OSFile(str(path))  # a mapped file of a disk that fails would end this process
        self._reader: Any = None
        self.schema: pa.Schema | None = None
        try:
            self._reader = pa.ipc.open_stream(self._source)
            self.schema = self._reader.schema
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self._ended(0, error)

    def close(self) -> None:
        """Done with it."""
        self._source.close()

    def tables(self) -> Iterator[pa.Table]:
        """Batches together."""
        held: list[pa.RecordBatch] = []
        rows = 0
        while (batch := self._next()) is not None:
            held.append(batch)
            rows += batch.num_rows
            if rows >= _TOGETHER:
                yield pa.Table.from_batches(held, self.schema)
                held, rows = [], 0
        if held:
            yield pa.Table.from_batches(held, self.schema)

    def _next(self) -> pa.RecordBatch | None:
        at = self._source.tell()
        try:
            batch = self._reader.read_next_batch()
            batch.validate(full=True)  # Arrow believes offsets and texts as they come
        except StopIteration:
            self._ended(at, None)
        except (pa.ArrowException, OSError) as error:
            self._ended(at, error)
        else:
            return batch
        return None

    def _ended(self, at: int, error: Exception | None) -> None:
        """Look at what is left: nothing, nothing but zeros (a machine that stopped), or the beginning of a message (a kill) is no fault."""
        try:
            self._source.seek(at)
            left = self._source.read()
            if left.strip(b"\0") and (_end(left) <= len(left) or _goes_on(left)):
                self.fault = f"{error or 'what comes there is no message'}"[:200]
        except (Unreadable, OSError) as unreadable:
            self.fault = f"{unreadable}"[:200]


def _end(left: bytes) -> int:
    """How long the message is that begins there; more than there is where it is not whole.

    As https://arrow.apache.org/docs/format/Columnar.html has it: a mark, the length of the description, the description (a Flatbuffer whose fourth field is the length of
    the body), the body.
    """
    if len(left) < 8 and _BEGINS.startswith(left[:4]):
        return len(left) + 1
    mark, length = left[:4], int.from_bytes(left[4:8], "little")
    if mark != _BEGINS or not 0 < length < _LARGEST:
        raise Unreadable("what comes there is no message")
    if len(left) < 8 + length:
        return len(left) + 1
    said = left[8 : 8 + length]
    try:
        (root,) = struct.unpack_from("<I", said, 0)
        (back,) = struct.unpack_from("<i", said, root)
        (place,) = struct.unpack_from("<H", said, root - back + 4 + 2 * 3)
        body = struct.unpack_from("<q", said, root + place)[0] if place else 0
    except struct.error:
        raise Unreadable("the description of a batch is none") from None
    if body < 0:
        raise Unreadable("the description of a batch is none")
    return 8 + length + int(body)


def _goes_on(left: bytes) -> bool:
    """Whether another message begins after the one that seems not to be whole: then its length is damaged. Messages begin at multiples of eight bytes."""
    at = left.find(_BEGINS, 8)
    while at >= 0:
        if at % 8 == 0:
            try:
                if _end(left[at : at + 8 + _LARGEST]) > 8:
                    return True
            except Unreadable:
                pass
        at = left.find(_BEGINS, at + 1)
    return False
