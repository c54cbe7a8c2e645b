"""The protocol's datatypes as the suite understands them: written anew here, so that a server's own mistake in them is not made twice."""

from __future__ import annotations

import math
import struct
from typing import Any

# Datatype -> the letter by which the standard library packs one element.
LETTERS = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
BYTES = "BYTES"
DATATYPES = (*LETTERS, BYTES)
FLOATS = ("FP16", "FP32", "FP64")


def packed(datatype: str, values: list[Any]) -> bytes:
    r"""A tensor's bytes: little-endian, row-major, without padding; before each text its length in four bytes.

    >>> packed("UINT16", [1, 258]), packed("BYTES", ["no"]), packed("BOOL", [True, False])
    (b'\x01\x00\x02\x01', b'\x02\x00\x00\x00no', b'\x01\x00')
    """
    if datatype == BYTES:
        texts = [each.encode() for each in values]
        return b"".join(struct.pack("<I", len(each)) + each for each in texts)
    return struct.pack(f"<{len(values)}{LETTERS[datatype]}", *values)


def unpacked(datatype: str, raw: bytes, count: int) -> list[Any]:
    r"""The opposite: so many elements, and not a byte more.

    >>> unpacked("INT8", b"\xff\x01", 2), unpacked("BYTES", b"\x02\x00\x00\x00no", 1)
    ([-1, 1], ['no'])
    """
    if datatype != BYTES:
        size = count * struct.calcsize(f"<{LETTERS[datatype]}")
        assert len(raw) == size, f"{count} elements of {datatype} are {size} bytes, and {len(raw)} came"
        return list(struct.unpack(f"<{count}{LETTERS[datatype]}", raw))
    found, at = [], 0
    for _ in range(count):
        (size,) = struct.unpack_from("<I", raw, at)
        found.append(raw[at + 4 : at + 4 + size].decode())
        at += 4 + size
    assert at == len(raw), f"{count} texts end at byte {at}, and {len(raw)} bytes came"
    return found


def holds(datatype: str, value: Any) -> bool:
    """Whether a tensor of the datatype can hold the value as it is.

    >>> holds("UINT8", 255.0), holds("UINT8", 256), holds("FP16", 0.1), holds("BOOL", 1), holds("BYTES", "x")
    (True, False, False, False, True)
    """
    if datatype in ("BOOL", BYTES):
        return type(value) is (bool if datatype == "BOOL" else str)
    if type(value) not in (int, float):
        return False
    return bool(fitting(datatype, value) == value)


def fitting(datatype: str, value: Any) -> Any:
    """The value as one of the datatype; None where it is out of its range."""
    try:
        given = float(value) if datatype in FLOATS else int(value)
        return struct.unpack(f"<{LETTERS[datatype]}", struct.pack(f"<{LETTERS[datatype]}", given))[0]
    except (struct.error, OverflowError, ValueError):
        return None


def beyond(datatype: str) -> list[Any]:
    """What JSON may say in a tensor of the datatype and that is none of its values."""
    if datatype == "BOOL":
        return ["true", 2, 0.5]
    if datatype == BYTES:
        return [1, True, 0.5]
    if datatype in FLOATS:
        return ["1", True]
    bits = 8 * struct.calcsize(LETTERS[datatype])
    least = 0 if datatype.startswith("U") else -(2 ** (bits - 1))
    most = 2 ** (bits if datatype.startswith("U") else bits - 1) - 1
    return [most + 1, least - 1, 1.5, "1", True]


def alike(one: list[Any], other: list[Any]) -> bool:
    """Whether answers are the same, but for the last bits: batches of another size may compute in another order."""
    return len(one) == len(other) and all(map(_same, one, other))


def _same(one: Any, other: Any) -> bool:
    if type(one) in (int, float) and type(other) in (int, float):
        return math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-8) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def flat(data: list[Any]) -> list[Any]:
    """Nested lists, row by row."""
    return [value for each in data for value in (flat(each) if isinstance(each, list) else [each])]


def nested(values: list[Any], shape: list[int]) -> list[Any]:
    """The opposite.

    >>> nested([1, 2, 3, 4], [2, 2])
    [[1, 2], [3, 4]]
    """
    if len(shape) < 2:
        return values
    size = math.prod(shape[1:])
    return [nested(values[at : at + size], shape[1:]) for at in range(0, len(values), size)]
