"""Arrow types: what the engine can read of them, and which of them are one and the same content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from payoff.base.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

_UTC = {"UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Etc/Universal", "Universal", "+00:00"}


def _nested(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """The same type with its parts changed; parts are named and nullable as is usual."""
    of = pa.types
    if of.is_fixed_size_list(kind):
        return pa.list_(pa.field("item", change(kind.value_type)), kind.list_size)
    if of.is_list(kind) or of.is_large_list(kind) or of.is_list_view(kind) or of.is_large_list_view(kind):
        return pa.list_(pa.field("item", change(kind.value_type)))
    if of.is_struct(kind):
        return pa.struct([pa.field(part.name, change(part.type)) for part in kind])
    if of.is_map(kind):
        return pa.map_(change(kind.key_type), change(kind.item_type))
    return kind


def plain(kind: pa.DataType) -> pa.DataType:
    """A type for the identity: text is text, however long its offsets are and whether or not encoded in a dictionary; so are the rest."""
    of = pa.types
    if of.is_dictionary(kind) or of.is_run_end_encoded(kind):
        return plain(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return plain(kind.storage_type)
    if of.is_large_string(kind) or of.is_string_view(kind):
        return pa.string()
    if of.is_large_binary(kind) or of.is_binary_view(kind):
        return pa.binary()
    if of.is_timestamp(kind) and kind.tz in _UTC:
        return pa.timestamp(kind.unit, "UTC")
    return _nested(kind, plain)


def decoded(kind: pa.DataType) -> pa.DataType:
    """A type without dictionaries in it; all else stays as it is."""
    if "dictionary<" not in str(kind):
        return kind
    return decoded(kind.value_type) if pa.types.is_dictionary(kind) else _nested(kind, decoded)


def hashed(name: str, kind: pa.DataType) -> str:
    """What to hash of a column. DuckDB's hash takes NULL, [] and [NULL] for one, and rounds intervals; these are told apart here."""
    kind = plain(kind)
    if pa.types.is_interval(kind):
        return f"{name}::varchar"
    if not pa.types.is_nested(kind):
        return name
    parts = [kind.field(place).type for place in range(kind.num_fields)]
    if pa.types.is_map(kind) or any(pa.types.is_nested(part) for part in parts):
        return f"{name}, {name}::varchar"
    return f"{name}, len({name})" if pa.types.is_list(kind) else f"{name}, {name} is null"


def exact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as DuckDB keeps every digit of it: it has no nanoseconds in instants and durations."""

    def fit(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_timestamp(kind) and kind.tz and kind.unit == "ns":
            return pa.timestamp("ns")
        if pa.types.is_duration(kind):
            return pa.int64()
        parts = _nested(kind, fit)
        return kind if parts == _nested(kind, lambda part: part) else parts

    wanted = fit(decoded(column.type))
    return column if wanted == column.type else column.cast(wanted)


def readable(name: str, table: pa.Table) -> pa.Table:
    """A table that DuckDB can scan: some types are of no use to it, a few of them (dictionaries in lists) break it."""
    schema = table.schema
    if not schema.names:
        raise UserError(
            f"the table {name} has no columns",
            code="PO-E007",
            expected="a table with one column or more",
            remedy=f"let {name} have columns, or leave it out of the query",
        )
    distinct(schema)

    def fit(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_float16(kind):
            return pa.float32()
        if pa.types.is_decimal256(kind) and kind.precision <= 38:
            return pa.decimal128(kind.precision, kind.scale)
        parts = _nested(kind, fit)
        return kind if parts == _nested(kind, lambda part: part) else parts

    for place, field in enumerate(schema):
        wanted = fit(field.type if pa.types.is_dictionary(field.type) else decoded(field.type))
        if wanted != field.type:
            table = table.set_column(place, field.name, table.column(place).cast(wanted))
        if pa.types.is_decimal256(wanted) or pa.types.is_union(wanted):
            raise UserError(
                f"the column {field.name} of {name} is {field.type}, which the engine cannot read",
                code="PO-E007",
                expected="decimals of 38 digits at most, and no unions",
                remedy=f"give {field.name} another type where {name} is made",
            )
    return table


def in_utc(reader: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The same rows with instants in `UTC`: DuckDB calls it `Etc/UTC`, so that a column that is handed on would change its type."""

    def fit(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_timestamp(kind) and kind.tz in _UTC:
            return pa.timestamp(kind.unit, "UTC")
        return _nested(kind, fit)

    return cast(reader, pa.schema([field.with_type(fit(field.type)) for field in reader.schema]))


def cast(reader: pa.RecordBatchReader, schema: pa.Schema) -> pa.RecordBatchReader:
    """The same rows under another schema. Names of lists' parts count: Arrow's own comparison leaves them out."""
    schema = schema.remove_metadata()
    if str(schema) == str(reader.schema.remove_metadata()):
        return reader
    return pa.RecordBatchReader.from_batches(
        schema, (batch.replace_schema_metadata(None).cast(schema) for batch in reader)
    )


def distinct(schema: pa.Schema) -> None:
    """Refuse a schema with two columns of one name: no query could tell them apart."""
    names = schema.names
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(
            f"two columns have the name {twice}",
            code="PO-E007",
            expected="each name once",
            remedy=f"rename one of them: {_name(twice)} as {_name(twice + '_2')}",
        )


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
