"""The reading side of Flight SQL: queries, prepared queries, and what there is to read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from payoff import __version__
from payoff.base.errors import UserError
from payoff.gateway import protobuf
from payoff.gateway.words import ReadOnly

if TYPE_CHECKING:
    from payoff.gateway.reading import Reading

_TYPE = "type.googleapis.com/arrow.flight.protocol.sql."
ACTIONS = {
    "CreatePreparedStatement": "prepare a query",
    "ClosePreparedStatement": "forget a prepared query (nothing is kept of it)",
}
_QUERIES = {
    "CommandStatementQuery": 1,
    "CommandPreparedStatementQuery": 1,
}  # the handle of a prepared query is the query
_SCHEMAS = {
    "CommandGetCatalogs": pa.schema([pa.field("catalog_name", pa.string(), nullable=False)]),
    "CommandGetDbSchemas": pa.schema(
        [pa.field("catalog_name", pa.string()), pa.field("db_schema_name", pa.string(), nullable=False)]
    ),
    "CommandGetTableTypes": pa.schema([pa.field("table_type", pa.string(), nullable=False)]),
    "CommandGetTables": pa.schema(
        [
            pa.field("catalog_name", pa.string()),
            pa.field("db_schema_name", pa.string()),
            pa.field("table_name", pa.string(), nullable=False),
            pa.field("table_type", pa.string(), nullable=False),
        ]
    ),
}
_INFO = {0: "Payoff gateway", 1: __version__, 2: pa.__version__, 3: True, 4: True, 8: 0}
_VALUES = [
    ("string_value", pa.string()),
    ("bool_value", pa.bool_()),
    ("bigint_value", pa.int64()),
    ("int32_bitmask", pa.int32()),
    ("string_list", pa.list_(pa.string())),
    ("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.int32()))),
]


class Meta(msgspec.Struct, frozen=True):
    """A question about what there is; `whole` is the message as it came."""

    name: str
    fields: dict[int, list[bytes | int]]
    whole: bytes


def command(message: bytes) -> str | Meta | None:
    """The SQL of a query, or a question about what there is; None for what is no command of Flight SQL. `UserError` for one that writes."""
    try:
        outer = protobuf.read(message)
        kind, body = protobuf.text(outer, 1), outer.get(2, [b""])[-1]
        if not kind.startswith(_TYPE) or isinstance(body, int):
            return None
        fields = protobuf.read(body)
        name = kind.removeprefix(_TYPE)
        if name in _QUERIES:
            return protobuf.text(fields, _QUERIES[name])
    except UserError:
        return None
    if name in _SCHEMAS or name == "CommandGetSqlInfo":
        return Meta(name, fields, message)
    raise ReadOnly(name)


def to_prepare(message: bytes) -> str:
    """The SQL of a request to prepare it."""
    body = protobuf.read(message).get(2, [b""])[-1]
    return protobuf.text(protobuf.read(body if isinstance(body, bytes) else b""), 1)


def prepared(query: str, schema: pa.Schema) -> bytes:
    """What answers it: the handle and the schema; there are no parameters."""
    result = protobuf.write(
        {1: query.encode(), 2: schema.serialize().to_pybytes(), 3: pa.schema([]).serialize().to_pybytes()}
    )
    kind = f"{_TYPE}ActionCreatePreparedStatementResult".encode()
    return protobuf.write({1: kind, 2: result})


def answer(meta: Meta, reading: Reading) -> pa.Table:
    """What there is, as far as the reader may know of it."""
    if meta.name == "CommandGetSqlInfo":
        return _info({each for each in meta.fields.get(1, []) if isinstance(each, int)} or set(_INFO))
    schema = _SCHEMAS[meta.name]
    if meta.name == "CommandGetTables":
        return _tables(meta, reading)
    rows = {"CommandGetTableTypes": [{"table_type": "TABLE"}], "CommandGetDbSchemas": [{"db_schema_name": ""}]}
    return pa.Table.from_pylist(rows.get(meta.name, []), schema)


def _tables(meta: Meta, reading: Reading) -> pa.Table:
    schema = _SCHEMAS[meta.name]
    found = reading.tables()
    if 3 in meta.fields and (pattern := protobuf.text(meta.fields, 3)):
        found = {name: each for name, each in found.items() if _like(pattern).fullmatch(name)}
    types = [each for each in meta.fields.get(4, []) if isinstance(each, bytes)]
    if types and b"TABLE" not in types:
        found = {}
    rows = [{"table_name": name, "table_type": "TABLE", "db_schema_name": ""} for name in found]
    if meta.fields.get(5, [0])[-1]:
        schema = schema.append(pa.field("table_schema", pa.binary(), nullable=False))
        for row, each in zip(rows, found.values(), strict=True):
            row["table_schema"] = each.serialize().to_pybytes()
    return pa.Table.from_pylist(rows, schema)


def _like(pattern: str) -> re.Pattern[str]:
    """A pattern of SQL's LIKE."""
    return re.compile("".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern), re.IGNORECASE)


def _info(wanted: set[int]) -> pa.Table:
    """Facts of the server: a union with a column for each type of value."""
    known = {code: value for code, value in _INFO.items() if code in wanted}
    columns: list[list[object]] = [[] for _ in _VALUES]
    kinds, offsets = [], []
    for value in known.values():
        place = 0 if isinstance(value, str) else 1 if isinstance(value, bool) else 3
        kinds.append(place)
        offsets.append(len(columns[place]))
        columns[place].append(value)
    union = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()),
        pa.array(offsets, pa.int32()),
        [pa.array(values, kind) for values, (_, kind) in zip(columns, _VALUES, strict=True)],
        [name for name, _ in _VALUES],
    )
    schema = pa.schema([pa.field("info_name", pa.uint32(), nullable=False), pa.field("value", union.type)])
    return pa.Table.from_arrays([pa.array(list(known), pa.uint32()), union], schema=schema)
