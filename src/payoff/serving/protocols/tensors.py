"""The Open Inference Protocol, version 2: tensors in JSON or as bytes, to columns of a table and back.

https://github.com/kserve/open-inference-protocol (REST, and the binary tensor data extension). A table is n rows; each of its columns is a tensor of
shape [n] or [n, 1], or all features together are one tensor of shape [n, k] in the model's order.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from payoff.serving.faults import Wrong, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Datatype -> NumPy's name for it, as the wire has it: little-endian.
TYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4",
    "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
BYTES = "BYTES"
# Datatype -> its least and its largest value: JSON and gRPC's typed contents can say more.
_LIMITS: dict[str, tuple[float, float]] = {
    name: (int(np.iinfo(kind).min), int(np.iinfo(kind).max)) for name, kind in TYPES.items() if kind[1:2] in ("i", "u")
} | {name: (float(np.finfo(TYPES[name]).min), float(np.finfo(TYPES[name]).max)) for name in ("FP16", "FP32")}


class Tensor(msgspec.Struct, omit_defaults=True):
    """A tensor of a request or an answer; `data` is nested or flat, row-major, and left out where its bytes come after the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}
    data: Any = None


class Wanted(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class Request(msgspec.Struct):
    """The JSON of an inference request."""

    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] = []


class Answer(msgspec.Struct, omit_defaults=True):
    """The JSON of an inference response."""

    model_name: str
    outputs: list[Tensor]
    model_version: str = ""
    id: str = ""
    parameters: dict[str, Any] = {}


class Read(msgspec.Struct, frozen=True):
    """A request as columns of `rows` values each; `wanted`: the outputs asked for (none: all); `binary`: which as bytes (`""`: those of which nothing is said)."""

    id: str
    rows: int
    columns: dict[str, list[Any]]
    wanted: tuple[str, ...] = ()
    binary: dict[str, bool] = {}


class Output(msgspec.Struct, frozen=True):
    """An output's datatype, and its values, one per row."""

    datatype: str
    values: list[Any]


_decoder = msgspec.json.Decoder(Request)
_encoder = msgspec.json.Encoder()


class Columns:
    """Tensors as they come, put together to columns of one length."""

    def __init__(self, features: Sequence[str]) -> None:
        self._features = features
        self.columns: dict[str, list[Any]] = {}
        self.rows = -1

    def add(self, name: str, shape: Sequence[int], values: list[Any]) -> None:
        """The columns of one tensor, whose values come row by row."""
        if not shape or any(type(each) is not int or each < 0 for each in shape):
            raise unreadable(f"input {name!r}: its shape is expected to be [rows] or [rows, 1]")
        if len(values) != math.prod(shape):
            raise unreadable(f"input {name!r} has {len(values):,} values, its shape says {math.prod(shape):,}")
        for each, column in self._spread(name, shape, values).items():
            if each in self.columns:
                raise unreadable(f"input {each!r} comes twice")
            self.columns[each] = column
        if self.rows not in {-1, shape[0]}:
            raise unreadable(f"input {name!r} has {shape[0]:,} rows, those before it {self.rows:,}")
        self.rows = shape[0]

    def _spread(self, name: str, shape: Sequence[int], values: list[Any]) -> dict[str, list[Any]]:
        features = self._features
        if len(shape) == 2 and shape[1] == len(features) and name not in features:
            return {each: values[place :: len(features)] for place, each in enumerate(features)}
        if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
            return {name: values}
        raise unreadable(
            f"input {name!r} has the shape {list(shape)}; expected [rows], [rows, 1], or [rows, {len(features)}] for all features"
        )


def read(body: bytes, json_length: int | None = None, features: Sequence[str] = ()) -> Read:
    """A request. `json_length` is its header `Inference-Header-Content-Length`; `features`: the model's columns, for a single [n, k] tensor."""
    if json_length is not None and not 0 <= json_length <= len(body):
        raise unreadable("Inference-Header-Content-Length is more than the body has")
    head, rest = (
        (body, memoryview(b"")) if json_length is None else (body[:json_length], memoryview(body)[json_length:])
    )
    try:
        request = _decoder.decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(f"the body is no inference request: {plain(error)}") from None
    if not request.inputs:
        raise unreadable("there are no inputs; at least one is expected")
    made, at = Columns(features), 0
    for tensor in request.inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            values = _from_json(tensor)
        else:
            if type(size) is not int or size < 0 or at + size > len(rest):
                raise unreadable(f"input {tensor.name!r}: binary_data_size is more than the bytes that came")
            values = from_bytes(tensor.datatype, rest[at : at + size], tensor.name)
            at += size
        made.add(tensor.name, tensor.shape, values)
    if at != len(rest):
        raise unreadable(f"{len(rest) - at:,} bytes are left after the last input")
    binary = {"": request.parameters.get("binary_data_output") is True}
    binary |= {
        each.name: each.parameters["binary_data"] is True
        for each in request.outputs
        if "binary_data" in each.parameters
    }
    return Read(request.id, made.rows, made.columns, tuple(each.name for each in request.outputs), binary)


def _from_json(tensor: Tensor) -> list[Any]:
    data = tensor.data
    if not isinstance(data, list):
        raise unreadable(f"input {tensor.name!r} has no data")
    flat = _flat(data)
    if tensor.datatype == BYTES:
        good: set[type] = {str}
    else:
        kind = TYPES.get(tensor.datatype)
        if kind is None:
            raise unknown(tensor.name, tensor.datatype)
        good = {bool} if kind == "?" else {int} if kind[1] in "iu" else {int, float}
    found = set(map(type, flat))
    if not found <= {*good, type(None)}:
        raise unreadable(f"input {tensor.name!r} is said to be {tensor.datatype} and holds something else")
    return within(tensor.datatype, flat, tensor.name, gaps=type(None) in found)


def within(datatype: str, values: list[Any], name: str, *, gaps: bool = False) -> list[Any]:
    """The values, where all are in the datatype's range; `gaps`: some are missing."""
    limits = _LIMITS.get(datatype)
    there = [each for each in values if each is not None] if gaps else values
    if limits is not None and there and (min(there) < limits[0] or max(there) > limits[1]):
        raise unreadable(f"input {name!r} is said to be {datatype} and holds a number beyond its range")
    return values


def _flat(data: list[Any]) -> list[Any]:
    while data and type(data[0]) is list:
        if set(map(type, data)) != {list} or len(set(map(len, data))) > 1:
            raise unreadable("an input's data is nested unevenly")
        data = [value for each in data for value in each]
    return data


def from_bytes(datatype: str, raw: bytes | memoryview, name: str) -> list[Any]:
    """A tensor's values from the wire: numbers little-endian, texts each with its length (4 bytes) before it."""
    if datatype == BYTES:
        return _texts(raw, name)
    kind = TYPES.get(datatype)
    if kind is None:
        raise unknown(name, datatype)
    if len(raw) % np.dtype(kind).itemsize:
        raise unreadable(f"input {name!r} ends in the middle of a number")
    values = np.frombuffer(raw, dtype=kind)
    if kind == "?" and (values.view(np.uint8) > 1).any():
        raise unreadable(f"input {name!r} is said to be BOOL and holds other bytes than 0 and 1")
    found: list[Any] = values.tolist()
    return found


def _texts(raw: bytes | memoryview, name: str) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(raw):
        if at + 4 > len(raw):
            raise unreadable(f"input {name!r} ends in the middle of a length")
        (size,) = struct.unpack_from("<I", raw, at)
        at += 4
        if at + size > len(raw):
            raise unreadable(f"input {name!r} ends in the middle of a text")
        found.append(text(bytes(raw[at : at + size]), name))
        at += size
    return found


def text(raw: bytes, name: str) -> str:
    """A text of the wire."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise unreadable(f"input {name!r} holds a text that is no UTF-8") from None


def to_bytes(datatype: str, values: list[Any]) -> bytes:
    """The opposite of `from_bytes`.

    >>> from_bytes("BYTES", to_bytes("BYTES", ["call", "nothing"]), "action")
    ['call', 'nothing']
    """
    if datatype == BYTES:
        texts = [str(each).encode() for each in values]
        return b"".join(struct.pack("<I", len(each)) + each for each in texts)
    return np.array(values, dtype=TYPES[datatype]).tobytes()


def chosen(columns: Mapping[str, Output], wanted: Sequence[str]) -> Mapping[str, Output]:
    """The outputs asked for; all where none are named."""
    unknown_ = [each for each in wanted if each not in columns]
    if unknown_:
        raise unreadable(f"there is no output {unknown_[0]!r}; there are {', '.join(columns)}")
    return {each: columns[each] for each in wanted} if wanted else columns


def write(name: str, version: str, columns: Mapping[str, Output], asked: Read) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where bytes follow."""
    outputs, tail = [], []
    for each, column in chosen(columns, asked.wanted).items():
        tensor = Tensor(name=each, shape=[len(column.values)], datatype=column.datatype)
        if asked.binary.get(each, asked.binary.get("", False)):
            raw = to_bytes(column.datatype, column.values)
            tensor.parameters = {"binary_data_size": len(raw)}
            tail.append(raw)
        else:
            tensor.data = column.values
        outputs.append(tensor)
    head = _encoder.encode(Answer(model_name=name, model_version=version, id=asked.id, outputs=outputs))
    return (head + b"".join(tail), len(head)) if tail else (head, None)


def unknown(name: str, datatype: str) -> Wrong:
    """A datatype that the protocol does not have."""
    return unreadable(f"input {name!r} has the datatype {datatype[:20]!r}; expected one of {', '.join(TYPES)}, {BYTES}")


def plain(error: Exception) -> str:
    """A decoder's words, which name places and types and no values."""
    return "it is not in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)[:200]
