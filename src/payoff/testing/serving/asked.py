"""A server's model as the suite asks it: what it says of itself, and the requests that are made of a row."""

from __future__ import annotations

import functools
import http.client
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

from payoff.testing.serving.values import BYTES, alike, flat, holds, nested, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LENGTH = "inference-header-content-length"
BINARY = "binary_tensor_data"
_SAMPLES: dict[str, Any] = {"BOOL": True, BYTES: "", "FP16": 1.0, "FP32": 1.0, "FP64": 1.0}
_GUESSED = {bool: "BOOL", int: "INT64", float: "FP64", str: BYTES}


class Reply(NamedTuple):
    """An answer by HTTP; names of headers are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """What the body says."""
        return loaded(self.body)


def loaded(body: bytes) -> Any:
    """What JSON says; NaN and Infinity are none of it, though some write them."""

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON (RFC 8259)")

    return json.loads(body, parse_constant=refuse)


class Input(NamedTuple):
    """One of the model's inputs, with a row's values; `inner` is the shape of a row's part."""

    name: str
    datatype: str
    inner: tuple[int, ...]
    values: list[Any]

    def tensor(self, rows: int) -> dict[str, Any]:
        """The row so many times, as JSON."""
        return {**self.empty(rows), "data": self.values * rows}

    def empty(self, rows: int) -> dict[str, Any]:
        """The same without its values."""
        return {"name": self.name, "datatype": self.datatype, "shape": [rows, *self.inner]}

    def of(self, datatype: str) -> Input:
        """The same values as another datatype, where it holds them."""
        if not all(holds(datatype, each) for each in self.values):
            return self
        made: list[Any] = self.values
        if datatype not in ("BOOL", BYTES):
            made = [float(each) if datatype.startswith("FP") else int(each) for each in self.values]
        return self._replace(datatype=datatype, values=made)


def inputs(said: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> list[Input]:
    """A row's values as the inputs that the model's metadata names; where it names none, by the row alone."""
    if not said:
        named = ((name, value if isinstance(value, list) else [value]) for name, value in row.items())
        return [
            Input(name, _GUESSED[type(values[0])], (len(values),) if len(values) > 1 else (), values)
            for name, values in named
        ]
    made = []
    for each in said:
        value = row.get(each["name"], _SAMPLES.get(each["datatype"], 1))
        values = flat(value) if isinstance(value, list) else [value]
        inner = list(each["shape"])[1:]
        if -1 in inner:
            inner[inner.index(-1)] = len(values) // (math.prod(inner) * -1 or 1)
        if len(values) < math.prod(inner):
            values = values * math.prod(inner)
        made.append(Input(each["name"], each["datatype"], tuple(inner), values))
    return made


class Model:
    """A model behind an address, asked by HTTP."""

    def __init__(self, address: str, name: str, row: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self._at, self._headers = urlsplit(address), headers
        self.name, self.row = name, row
        self.path = f"/v2/models/{quote(name, safe='')}"
        self.infers = f"{self.path}/infer"

    @functools.cached_property
    def metadata(self) -> Any:
        """What the model says of itself."""
        reply = self.ask(self.path)
        assert reply.status == 200, f"the model {self.name!r} is not described: {reply}"
        return reply.json

    @functools.cached_property
    def inputs(self) -> list[Input]:
        """The row as its inputs."""
        return inputs(self.metadata["inputs"], self.row)

    @functools.cached_property
    def plain(self) -> dict[str, list[Any]]:
        """What it answers to the row."""
        return self.outputs(self.request())

    @functools.cached_property
    def binary(self) -> bool:
        """Whether the server says that it has the extension of binary tensors."""
        return BINARY in self.ask("/v2").json["extensions"]

    def ask(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, method: str = "") -> Reply:
        """An answer; `body` is sent as it is, or as JSON."""
        return self.ask_each([(path, body)], headers, method=method)[0]

    def ask_each(
        self, asked: Sequence[tuple[str, Any]], headers: Mapping[str, str] | None = None, *, method: str = ""
    ) -> list[Reply]:
        """The same, one after the other on one connection, unless the server ends it."""
        kind = http.client.HTTPSConnection if self._at.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._at.hostname or "", self._at.port, timeout=60)
        sent = {"Content-Type": "application/json", **self._headers, **(headers or {})}
        found = []
        try:
            for path, body in asked:
                data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
                way = f"{self._at.path.rstrip('/')}{path}"
                connection.request(method or ("GET" if body is None else "POST"), way, data, sent)
                answer = connection.getresponse()
                said = {name.lower(): value for name, value in answer.getheaders()}
                found.append(Reply(answer.status, said, answer.read()))
            return found
        finally:
            connection.close()

    def infer(self, request: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """The answer to a request of inference."""
        return self.ask(self.infers, request, headers)

    def request(self, rows: int = 1, **more: Any) -> dict[str, Any]:
        """The row, so many times."""
        return {"inputs": [each.tensor(rows) for each in self.inputs], **more}

    def outputs(self, request: Any, headers: Mapping[str, str] | None = None, *, rows: int = 1) -> dict[str, list[Any]]:
        """Output -> its values, row by row."""
        reply = self.infer(request, headers)
        assert reply.status == 200, f"it is not answered: {reply}"
        return told(reply, rows)

    def same(self, request: Any, headers: Mapping[str, str] | None = None, *, rows: int = 1) -> None:
        """Assert that a request is answered as the row is, so many times."""
        found = self.outputs(request, headers, rows=rows)
        assert found.keys() == self.plain.keys(), (list(found), list(self.plain))
        for name, values in found.items():
            assert alike(values, self.plain[name] * rows), f"{name}: {values} in place of {self.plain[name]}"

    def same_or_refused(self, request: Any, headers: Mapping[str, str] | None = None, *, rows: int = 1) -> bool:
        """The same, where it is not told to be wrong; whether it was answered."""
        reply = self.infer(request, headers)
        if reply.status == 200:
            self.same(request, headers, rows=rows)
            return True
        refused(reply)
        return False

    def others(self) -> list[dict[str, Any]]:
        """Requests of a row each that are answered otherwise than the row, found by changing a value of it."""
        found = []
        for place, each in enumerate(self.inputs):
            for changed in changes(each):
                request = {
                    "inputs": [one.tensor(1) for one in (*self.inputs[:place], changed, *self.inputs[place + 1 :])]
                }
                reply = self.infer(request)
                if reply.status == 200 and not all(alike(told(reply)[name], self.plain[name]) for name in self.plain):
                    found.append(request)
                    break
        return found


def changes(each: Input) -> list[Input]:
    """The same input with other values."""
    if each.datatype == "BOOL":
        return [each._replace(values=[not value for value in each.values])]
    if each.datatype == BYTES:
        return [each._replace(values=[f"{value} 2" for value in each.values])]
    wanted = [
        [value + 1 for value in each.values],
        [2 * value for value in each.values],
        [value - 1 for value in each.values],
    ]
    return [each._replace(values=values) for values in wanted if all(holds(each.datatype, value) for value in values)]


def told(reply: Reply, rows: int | None = None) -> dict[str, list[Any]]:
    """Output -> its values, of an answer in JSON, with bytes behind it, or both; to so many rows, where that is known."""
    length = reply.headers.get(LENGTH)
    at = len(reply.body) if length is None else int(length)
    head = loaded(reply.body[:at])
    found = {}
    for tensor in head["outputs"]:
        answers_rows(tensor["name"], tensor["shape"], rows)
        count = math.prod(tensor["shape"])
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = flat(tensor["data"])
            assert len(values) == count, f"{tensor['name']}: {len(values)} values of the shape {tensor['shape']}"
            assert tensor["data"] in (values, nested(values, tensor["shape"])), (
                f"{tensor['name']}: nested otherwise than its shape {tensor['shape']}"
            )
            assert all(_may_say(tensor["datatype"], each) for each in values), (
                f"{tensor['name']}: no {tensor['datatype']}"
            )
        else:
            assert length is not None, f"there are bytes, and no header {LENGTH}"
            assert "data" not in tensor, f"{tensor['name']} comes as JSON and as bytes"
            values = unpacked(tensor["datatype"], reply.body[at : at + size], count)
            at += size
        found[tensor["name"]] = values
    assert at == len(reply.body), f"{len(reply.body) - at} bytes are left after the last output"
    assert len(found) == len(head["outputs"]), "an output comes twice"
    return found


def answers_rows(name: str, shape: Sequence[int], rows: int | None) -> None:
    """Assert that the first size of an output's shape is that of rows."""
    assert rows is None or list(shape[:1]) == [rows], f"{name} has the shape {list(shape)}, and {rows} rows were asked"


def _may_say(datatype: str, value: Any) -> bool:
    """Whether JSON says a value of the datatype so; FP16 and FP32 may be written with more digits than they have."""
    if datatype.startswith("FP"):
        return value is None or type(value) in (int, float)
    return holds(datatype, value) and type(value) is not float


def with_bytes(given: list[tuple[Input, bool]], rows: int, **more: Any) -> tuple[bytes, dict[str, str]]:
    """A request of which some inputs come as bytes: its body and its headers."""
    tensors, tail = [], b""
    for each, binary in given:
        if binary:
            raw = packed(each.datatype, each.values * rows)
            tensors.append({**each.empty(rows), "parameters": {"binary_data_size": len(raw)}})
            tail += raw
        else:
            tensors.append(each.tensor(rows))
    head = json.dumps({"inputs": tensors, **more}).encode()
    return head + tail, {LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}


def nestings(each: Input, rows: int) -> list[dict[str, Any]]:
    """A tensor's data in nested lists, as its shape says; where a row's part is one value also as [rows, 1]."""
    made = each.tensor(rows)
    found = [{**made, "data": nested(made["data"], made["shape"])}]
    if not each.inner:
        found.append({**made, "shape": [rows, 1], "data": [[value] for value in made["data"]]})
    return found


def refused(reply: Reply) -> None:
    """Assert that it is told to be the client's fault, in the protocol's form."""
    assert 400 <= reply.status < 500, (
        f"bad input is a client's fault (4xx), and the answer is {reply.status}: {reply.body[:300]!r}"
    )
    said = reply.json
    assert isinstance(said, dict), said
    assert isinstance(said.get("error"), str), f'expected {{"error": "..."}}, and it is {reply.body[:300]!r}'
    assert said["error"], "the error says nothing"
