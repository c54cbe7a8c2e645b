"""Arrow column types (as text) -> MLflow's column types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from payoff.records.artifact import Field

_PLAIN = {
    "bool": "boolean",
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "uint8": "integer",
    "uint16": "integer",
    "int64": "long",
    "uint32": "long",
    "uint64": "long",
    "halffloat": "float",
    "float": "float",
    "float32": "float",
    "double": "double",
    "float64": "double",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "utf8": "string",
    "binary": "binary",
    "large_binary": "binary",
}
_LIST = re.compile(r"(?:large_|fixed_size_)?list(?:_view)?<\w+: (.+?)>(?:\[\d+\])?$")
_DICTIONARY = re.compile(r"dictionary<values=(.+?), indices=")


def specification(fields: Iterable[Field]) -> list[dict[str, Any]]:
    """MLflow's column specification of a table: type, name, required.

    >>> from payoff.records.artifact import Field
    >>> specification([Field("balance", "int64")])
    [{'type': 'long', 'name': 'balance', 'required': True}]
    """
    return [{**of_type(field.type), "name": field.name, "required": True} for field in fields]


def of_type(arrow: str) -> dict[str, Any]:
    """MLflow's type of an Arrow type; `any` where MLflow has no word for it (decimals, structs, durations)."""
    if arrow in _PLAIN:
        return {"type": _PLAIN[arrow]}
    if arrow.startswith(("timestamp", "date")):
        return {"type": "datetime"}
    if found := _DICTIONARY.match(arrow):
        return of_type(found[1])
    if found := _LIST.match(arrow):
        inner = of_type(found[1])
        return {"type": "array", "items": inner} if inner["type"] not in ("any", "array") else {"type": "any"}
    return {"type": "any"}
