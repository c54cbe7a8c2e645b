"""A table as bytes that say the same for the same rows: an Arrow IPC stream."""

from __future__ import annotations

import pyarrow as pa


def encoded(table: pa.Table) -> bytes:
    """The table's bytes, without what other libraries wrote into its schema."""
    sink = pa.BufferOutputStream()
    plain = table.replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def decoded(data: bytes) -> pa.Table:
    """The table of such bytes."""
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return reader.read_all()
