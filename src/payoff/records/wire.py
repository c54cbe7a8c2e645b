"""Records as bytes: JSON that always reads back, whatever numbers and texts a step came up with."""

from __future__ import annotations

import math
from typing import Any

import msgspec


def encode(value: Any, kind: type | None) -> bytes:
    """JSON that can be read back as `kind`: NaN and infinity become "nan" and "inf", stray surrogates escapes."""
    try:
        body = msgspec.json.encode(value)
        if kind is not None:
            msgspec.json.decode(body, type=kind)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return msgspec.json.encode(_plain(msgspec.to_builtins(value)))
    return body


def decode(body: bytes, kind: type[Any]) -> Any:
    """What `encode` wrote, fields that came later at their defaults, fields of a later version passed over."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        # Reads "nan" as a number, but other texts too: not the first choice.
        return msgspec.json.decode(body, type=kind, strict=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
