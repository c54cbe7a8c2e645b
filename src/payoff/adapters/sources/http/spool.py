"""All rows of an answer on disk, and the types that fit all of them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import UserError
from payoff.ports.columns import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    import pyarrow.compute as pc

    from payoff.adapters.sources.http.options import Told
else:
    pa, pc = lazy.Module("pyarrow"), lazy.Module("pyarrow.compute")

_ROWS, _BYTES = 1 << 16, 4 << 20  # of a batch, about
_ZEROS = r"^[+-]?0[0-9]"  # 01234 is a text: a postcode, a number of an article


class Spool:
    """Batches with the types of their own page, written one after the other to a file without a name; read from any number of times.

    `declared`: types that the user says. `textual`: all columns are text (CSV), and what they are is found by trying.
    """

    def __init__(self, told: Told, declared: Mapping[str, pa.DataType]) -> None:
        self._told = told
        self._declared = declared
        with contextlib.ExitStack() as stack:
            self._file = stack.enter_context(tempfile.TemporaryFile())
            self._stack = stack.pop_all()  # closed with the spool
        self._pieces: list[tuple[int, int, int, int]] = []  # page, first row, offset, length
        self._types: dict[str, pa.DataType] = {}
        self._tried: dict[str, list[pa.DataType]] = {}
        self.rows = 0

    def __del__(self) -> None:
        self._stack.close()

    def add(self, batch: pa.RecordBatch, page: int, *, textual: bool = False) -> None:
        """Keep a batch."""
        for field, column in zip(batch.schema, batch.columns, strict=True):
            self._learn(field, page)
            if textual and field.name not in self._declared:
                left = self._tried.get(field.name)
                self._tried[field.name] = _fitting(column, _candidates() if left is None else left)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_batch(batch)
        data = sink.getvalue()
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        self._pieces.append((page, self.rows, offset, data.size))
        self.rows += batch.num_rows

    def schema(self) -> pa.Schema:
        """Columns in the order in which they first came, then what is only declared."""
        kinds = {name: self._kind(name, found) for name, found in self._types.items()}
        return plain(pa.schema([*{**kinds, **self._declared}.items()]))

    def seen(self) -> pa.Schema:
        """The columns that came, with the types of the pages."""
        return pa.schema([*self._types.items()])

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows with these columns, from the file."""
        self._file.flush()
        waiting: list[pa.RecordBatch] = []
        for page, row, offset, length in self._pieces:
            with pa.ipc.open_stream(pa.py_buffer(os.pread(self._file.fileno(), length, offset))) as reader:
                waiting += [self._cast(batch, schema, page, row) for batch in reader]
            if sum(b.num_rows for b in waiting) >= _ROWS or sum(b.nbytes for b in waiting) >= _BYTES:
                yield pa.concat_batches(waiting)
                waiting = []
        if any(batch.num_rows for batch in waiting):
            yield pa.concat_batches(waiting)

    def _learn(self, field: pa.Field, page: int) -> None:
        """Widen what is known of a column by what another batch has."""
        name, new = field.name, field.type
        old = self._types.setdefault(name, new)
        if name in self._declared or old == new or pa.types.is_null(new):
            return
        if pa.types.is_null(old):
            self._types[name] = new
        elif {old, new} == {pa.int64(), pa.float64()}:
            self._types[name] = pa.float64()
        else:
            raise clash(self._told, name, [_word(old), _word(new)], page)

    def _kind(self, name: str, found: pa.DataType) -> pa.DataType:
        if name in self._tried:
            left = self._tried[name]
            return left[0] if left and left != _candidates() else pa.string()  # all still fit: there was no value
        return pa.string() if pa.types.is_null(found) else found

    def _cast(self, batch: pa.RecordBatch, schema: pa.Schema, page: int, row: int) -> pa.RecordBatch:
        arrays = []
        for field in schema:
            position = batch.schema.get_field_index(field.name)
            array = pa.nulls(batch.num_rows, field.type) if position < 0 else batch.column(position)
            if array.type != field.type:
                try:
                    array = array.cast(field.type)
                except pa.ArrowException:
                    raise self._told.wrong(
                        f"a value of column {field.name} is not {field.type} (page {page:,}, rows {row + 1:,} to {row + batch.num_rows:,})",
                        "PO-S230",
                        f'{field.type} in every row, or a declared type: types = {{ {field.name} = "string" }}',
                    ) from None
            arrays.append(array)
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def clash(told: Told, column: str, kinds: list[str], page: int) -> UserError:
    """The error of a column that has values of several types."""
    return told.wrong(
        f"column {column} has values of several types ({' and '.join(sorted(kinds))}; page {page:,})",
        "PO-S230",
        f'one type in every row, or a declared one: types = {{ {column} = "string" }}',
    )


def _word(kind: Any) -> str:
    return "objects or lists" if pa.types.is_large_string(kind) else str(kind)


def _candidates() -> list[pa.DataType]:
    naive, zoned = pa.timestamp("us"), pa.timestamp("us", "UTC")
    return [pa.int64(), pa.float64(), pa.bool_(), pa.date32(), naive, zoned]


def _fitting(texts: pa.Array, kinds: list[pa.DataType]) -> list[pa.DataType]:
    """Those types that all texts of a batch can be read as."""
    if texts.null_count == len(texts):
        return kinds
    padded = bool(pc.any(pc.match_substring_regex(texts, _ZEROS)).as_py())
    found: list[pa.DataType] = []
    for kind in kinds:
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if (pa.types.is_floating(kind) and pa.int64() in found) or (not (number and padded) and _casts(texts, kind)):
            found.append(kind)
    return found


def _casts(texts: pa.Array, kind: pa.DataType) -> bool:
    try:
        texts.cast(kind)
    except pa.ArrowException:
        return False
    return True
