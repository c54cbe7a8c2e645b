"""Columns by name and type, as sources are asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base import lazy
from payoff.base.errors import UserError
from payoff.base.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
else:
    pa = lazy.Module("pyarrow")

_LEAVES = {"string_view": "string", "binary_view": "binary", "large_string": "string", "large_binary": "binary"}


def chosen(table: str, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    """The part of a table's schema that is asked for, in the order asked for (None: all of it)."""
    for column in columns or ():
        if column not in schema.names:
            raise UserError(
                f"{table} has no column {column}",
                code="PO-S002",
                expected=did_you_mean(column, schema.names),
                remedy="correct the column's name where it is used",
            )
    return schema if columns is None else pa.schema([schema.field(column) for column in columns])


def declared(table: str, types: Mapping[str, str]) -> dict[str, pa.DataType]:
    """The Arrow types that a source's `types` name: `int64`, `string`, `date32`, `timestamp[us, tz=UTC]`, `decimal(12, 2)`."""
    try:
        return {name: _type(text) for name, text in types.items()}
    except ValueError as error:
        raise UserError(
            f"source {table}: a type in types is not known ({error})",
            code="PO-S006",
            expected="Arrow types such as int64, float64, string, bool, date32, timestamp[us, tz=UTC]",
            remedy=f"correct types in [sources.{table}] of payoff.toml",
        ) from None


def plain(schema: pa.Schema) -> pa.Schema:
    """The schema with ordinary texts and bytes in it, at any depth, for views, large ones and extension types; without metadata."""
    return pa.schema([pa.field(field.name, _plain(field.type)) for field in schema])


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch whose columns are those of a schema, in its order, with the schema's types."""
    pairs = [(batch.column(position), field.type) for position, field in enumerate(schema)]
    arrays = [array.storage if isinstance(array, pa.ExtensionArray) else array for array, _ in pairs]
    arrays = [a if a.type == kind else a.cast(kind) for a, (_, kind) in zip(arrays, pairs, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    if str(kind) in _LEAVES:
        return pa.type_for_alias(_LEAVES[str(kind)])
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, _plain(f.type), f.nullable) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(_plain(kind.key_type), _plain(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field(kind.value_field.name, _plain(kind.value_type), kind.value_field.nullable))
    return kind


def _type(text: str) -> pa.DataType:
    if text.startswith("timestamp["):
        unit, _, zone = text[len("timestamp[") : -1].partition(",")
        return pa.timestamp(unit.strip(), zone.strip().removeprefix("tz=") or None)
    if text.startswith("decimal("):
        precision, scale = text[len("decimal(") : -1].split(",")
        return pa.decimal128(int(precision), int(scale))
    return pa.type_for_alias(text)
