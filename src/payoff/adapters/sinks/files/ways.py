"""The formats: each writes all rows of a reader into a file, and answers how many there were."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from payoff.base import lazy
from payoff.base.errors import UserError
from payoff.ports.sink import unfit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    from payoff.adapters.sinks.files.sink import Options
else:
    pacsv, pq = lazy.Module("pyarrow.csv"), lazy.Module("pyarrow.parquet")


def refuse(name: str, schema: pa.Schema, form: str) -> None:
    """Types that a text format cannot give back are refused by name."""
    of = pa.types
    for field in schema:
        if form == "csv" and (of.is_nested(field.type) or of.is_binary(field.type) or of.is_large_binary(field.type)):
            raise unfit(name, field.name, str(field.type), "columns of plain values in CSV; Parquet holds all types")
        if form == "json" and (of.is_binary(field.type) or of.is_large_binary(field.type) or of.is_map(field.type)):
            raise unfit(name, field.name, str(field.type), "values that JSON has; Parquet holds all types")


def _parquet(reader: pa.RecordBatchReader, file: Path, sink: str, options: Options) -> int:
    rows = 0
    with pq.ParquetWriter(str(file), reader.schema, compression=options.compression) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _arrow(reader: pa.RecordBatchReader, file: Path, sink: str, options: Options) -> int:
    rows = 0
    with pa.OSFile(str(file), "wb") as stream, pa.ipc.new_file(stream, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _csv(reader: pa.RecordBatchReader, file: Path, sink: str, options: Options) -> int:
    rows = 0
    tabs = options.path.lower().endswith(".tsv")
    form = pacsv.WriteOptions(delimiter="\t" if tabs else ",")
    with pacsv.CSVWriter(str(file), reader.schema, write_options=form) as writer:
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _json(reader: pa.RecordBatchReader, file: Path, sink: str, options: Options) -> int:
    rows = 0
    with open(file, "w", encoding="utf-8") as stream:
        for batch in reader:
            for row in batch.to_pylist():
                try:
                    stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False, default=str) + "\n")
                except ValueError:
                    raise _no_number(sink, row) from None
            rows += batch.num_rows
    return rows


def _no_number(name: str, row: dict[str, Any]) -> UserError:
    odd = (column for column, value in row.items() if isinstance(value, float) and not math.isfinite(value))
    return UserError(
        f"sink {name}: the column {next(odd, 'of lists')} holds NaN or infinity, which JSON does not have",
        code="PO-N003",
        expected="numbers, or NULL",
        remedy=f"make them NULL in a step, or write [sinks.{name}] as Parquet",
    )


WAYS: dict[str, Callable[[pa.RecordBatchReader, Path, str, Options], int]] = {
    "parquet": _parquet,
    "csv": _csv,
    "json": _json,
    "arrow": _arrow,
}
