"""The few messages of Flight SQL that a reader needs, in Protocol Buffers' wire format: fields by number, texts and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}


def read(message: bytes) -> dict[int, list[bytes | int]]:
    """Field number -> its values, as often as it stands there. `ValueError` for what is no message."""
    found: dict[int, list[bytes | int]] = {}
    for number, value in _fields(message):
        found.setdefault(number, []).append(value)
    return found


def text(fields: Mapping[int, list[bytes | int]], number: int) -> str:
    """The last value of a text field; empty where there is none."""
    value = fields.get(number, [b""])[-1]
    if isinstance(value, int):
        raise ValueError("a number where a text should be")  # noqa: TRY004 - as for all that is no message
    return value.decode()


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
            raise ValueError("an unknown wire type")
        if number == 0 or at + length > len(message):
            raise ValueError("a field that is not whole")
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
    raise ValueError("a number without its end")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
