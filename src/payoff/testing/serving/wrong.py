"""Requests that are wrong, each in one way: name -> how it is made of a good one."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Request = dict[str, Any]


def _set(field: str, value: Any) -> Callable[[Request], Any]:
    """A field of the first input is said otherwise."""

    def change(request: Request) -> Any:
        request["inputs"][0][field] = value
        return request

    return change


def _without(field: str) -> Callable[[Request], Any]:
    """A field of the first input is not said."""

    def change(request: Request) -> Any:
        del request["inputs"][0][field]
        return request

    return change


def _whole(field: str, value: Any) -> Callable[[Request], Any]:
    def change(request: Request) -> Any:
        request[field] = value
        return request

    return change


def _more_rows(request: Request) -> Any:
    """One input has a row more than the others; where there is one alone, than its shape says."""
    first = request["inputs"][0]
    if len(request["inputs"]) > 1:
        first["shape"][0] += 1
    first["data"] = first["data"] * 2
    return request


def _uneven(request: Request) -> Any:
    first = request["inputs"][0]
    first["shape"][0] = 2
    first["data"] = [first["data"], first["data"] * 2]
    return request


def _raw(body: bytes) -> Callable[[Request], Any]:
    return lambda _: body


def _not_utf8(request: Request) -> Any:
    return json.dumps(_whole("id", "%%")(request)).encode().replace(b"%%", b"\xff\xfe")


WRONG: dict[str, Callable[[Request], Any]] = {
    "an empty body": _raw(b""),
    "no JSON": _raw(b"{"),
    "a list": _raw(b"[]"),
    "a number": _raw(b"1"),
    "a text that is no UTF-8": _not_utf8,
    "lists in lists without an end": _raw(b'{"inputs": ' + b"[" * 100_000),
    "no inputs": lambda request: {name: value for name, value in request.items() if name != "inputs"},
    "an empty list of inputs": _whole("inputs", []),
    "inputs that are null": _whole("inputs", None),
    "inputs that are no list": lambda request: {"inputs": request["inputs"][0]},
    "an input that is no object": _whole("inputs", [1]),
    "a missing input": lambda request: {"inputs": [{**request["inputs"][0], "name": "no such input"}]},
    "an input that comes twice": lambda request: {"inputs": [*request["inputs"], copy.deepcopy(request["inputs"][0])]},
    "no name": _without("name"),
    "no shape": _without("shape"),
    "no datatype": _without("datatype"),
    "no data": _without("data"),
    "data that is null": _set("data", None),
    "data that is an object": _set("data", {}),
    "an unknown datatype": _set("datatype", "FP63"),
    "a datatype in small letters": lambda request: _set("datatype", request["inputs"][0]["datatype"].lower())(request),
    "a datatype that is a number": _set("datatype", 7),
    "a shape of more values": _set("shape", [7]),
    "a shape of too many dimensions": lambda request: _set("shape", [*request["inputs"][0]["shape"], 1, 1, 1, 1, 1])(
        request
    ),
    "a shape without dimensions": _set("shape", []),
    "a shape that is negative": lambda request: _set("shape", [-1, *request["inputs"][0]["shape"][1:]])(request),
    "a shape that is beyond all numbers": lambda request: _set("shape", [2**62, *request["inputs"][0]["shape"][1:]])(
        request
    ),
    "a shape of text": _set("shape", ["1"]),
    "a shape that is a number": _set("shape", 1),
    "too few values": _set("data", []),
    "too many values": lambda request: _set("data", request["inputs"][0]["data"] * 3)(request),
    "inputs of unlike rows": _more_rows,
    "data that is nested unevenly": _uneven,
    "data of objects": lambda request: _set("data", [{} for _ in request["inputs"][0]["data"]])(request),
    "an unknown output": _whole("outputs", [{"name": "no such output"}]),
    "an output without a name": _whole("outputs", [{}]),
    "outputs that are no list": _whole("outputs", "all"),
    "an id that is no text": _whole("id", 7),
    "parameters that are no object": _whole("parameters", [1]),
}


def wrong(name: str, good: Request) -> Any:
    """A request that is wrong in that way; the good one stays as it is."""
    return WRONG[name](copy.deepcopy(good))
