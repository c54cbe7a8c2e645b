"""The few messages of Flight SQL that a reader needs, in Protocol Buffers' wire format: fields by number, texts and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}


def read(message: bytes) -> dict[int, list[bytes | int]]:
    """Field number -> its values, as often as it stands there. `UserError` (PO-H017) for what is no message."""
    found: dict[int, list[bytes | int]] = {}
    for number, value in _fields(message):
        found.setdefault(number, []).append(value)
    return found


def text(fields: Mapping[int, list[bytes | int]], number: int) -> str:
    """The last value of a text field; empty where there is none."""
    value = fields.get(number, [b""])[-1]
    if isinstance(value, int):
        raise broken("a number where a text should be")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise broken("a text that is not UTF-8") from None


def broken(why: str) -> UserError:
    """What is no message."""
    return UserError(
        f"a message cannot be read: it has {why}",
        code="PO-H017",
        expected="a whole message of Flight SQL",
        remedy="see docs/gateway.md for clients that are known to work",
    )


def write(fields: Mapping[int, bytes]) -> bytes:
    """A message of texts.

    >>> read(write({1: b"one", 2: b"two" * 100}))[1]
    [b'one']
    """
    return b"".join(_varint(number << 3 | _BYTES) + _varint(len(value)) + value for number, value in fields.items())


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _number(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _number(message, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise broken("an unknown wire type")
        if number == 0 or at + length > len(message):
            raise broken("a field that is not whole")
        yield number, message[at : at + length]
        at += length


def _number(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise broken("a number without its end")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
