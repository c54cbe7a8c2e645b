"""Avro's types as names of Arrow's."""

from __future__ import annotations

from typing import Any

_PLAIN = {
    "boolean": "bool",
    "int": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "string",
    "enum": "string",
    "bytes": "binary",
    "fixed": "binary",
}
_LOGICAL = {
    ("int", "date"): "date32",
    ("int", "time-millis"): "time32[ms]",
    ("long", "time-micros"): "time64[us]",
    ("long", "timestamp-millis"): "timestamp[us, tz=UTC]",
    ("long", "timestamp-micros"): "timestamp[us, tz=UTC]",
    ("long", "local-timestamp-millis"): "timestamp[us]",
    ("long", "local-timestamp-micros"): "timestamp[us]",
    ("string", "uuid"): "string",
}
_DIGITS = 38  # of a decimal that Arrow holds in 128 bits


def arrow_types(record: dict[str, Any]) -> dict[str, str]:
    """Of each field of a parsed record; what has no type of its own there is `json`."""
    named: dict[str, Any] = {}
    _collect(record, named)
    return {field["name"]: _type(field["type"], named) for field in record["fields"]}


def _type(kind: Any, named: dict[str, Any]) -> str:
    if isinstance(kind, list):
        left = [each for each in kind if each != "null"]
        return _type(left[0], named) if len(left) == 1 else "json"
    if isinstance(kind, str):
        return _PLAIN.get(kind) or (_type(named[kind], named) if kind in named else "json")
    base, logical = kind["type"], kind.get("logicalType")
    if isinstance(base, (dict, list)):
        return _type(base, named)
    if logical == "decimal" and base in ("bytes", "fixed"):
        precision, scale = kind["precision"], kind.get("scale", 0)
        return f"decimal({precision}, {scale})" if precision <= _DIGITS else "json"
    return _LOGICAL.get((base, logical)) or _PLAIN.get(base) or (_type(named[base], named) if base in named else "json")


def _collect(kind: Any, named: dict[str, Any]) -> None:
    """Types that are named where they are first written, and used by their names later."""
    if isinstance(kind, list):
        for each in kind:
            _collect(each, named)
    elif isinstance(kind, dict):
        if kind.get("type") in ("enum", "fixed") and "name" in kind:
            named[kind["name"]] = kind
        for inner in (kind.get("items"), kind.get("values"), *(each["type"] for each in kind.get("fields", ()))):
            _collect(inner, named)
        if isinstance(kind.get("type"), (dict, list)):
            _collect(kind["type"], named)
