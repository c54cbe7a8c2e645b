"""The suites that others run against their servers: a small server that is right keeps them, whatever its model is like, and one that is wrong in one way does not."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import math
import re
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from payoff.serving.protocols import messages
from payoff.testing.serving import GrpcSuite, ServingSuite
from payoff.testing.serving.asked import LENGTH, Model
from payoff.testing.serving.remote import FIELDS, Remote
from payoff.testing.serving.values import DATATYPES, fitting, flat, holds, packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

# Tensors of one dimension and of two, of sizes that nobody guesses; the last two are answers.
INPUTS = {"a": ("UINT16", [-1]), "f": ("FP32", [-1, 3]), "t": ("BYTES", [-1]), "on": ("BOOL", [-1]), "h": ("FP16", [-1]), "i": ("INT64", [-1])}
OUTPUTS = {"y": ("FP64", [-1]), "twice": ("FP32", [-1, 2]), "label": ("BYTES", [-1])}
ROW = {"a": 258, "f": [1.0, 20.0, 300.0], "t": "zwölf", "on": True, "h": 0.5, "i": 7}
WIDTH = {"f": 3, "twice": 2}
NAME, VERSION = "a sum", "3"
TYPED = {name: said for name, said in INPUTS.items() if said[0] != "FP16"}  # by gRPC FP16 comes as bytes alone, and with it all others
METADATA = {
    "name": NAME, "versions": [VERSION], "platform": "sum",
    "inputs": [{"name": name, "datatype": kind, "shape": shape} for name, (kind, shape) in INPUTS.items()],
    "outputs": [{"name": name, "datatype": kind, "shape": shape} for name, (kind, shape) in OUTPUTS.items()],
}  # fmt: skip


class Bad(Exception):
    """What is asked is wrong."""


class Small:
    """The model, and what it is wrong in."""

    def __init__(self, fault: str = "", inputs: Any = INPUTS) -> None:
        self.fault, self.inputs = fault, inputs
        self.last: dict[str, list[Any]] = {}
        self.plain = False  # does what may be left away without any

    def is_wrong(self, fault: str) -> bool:
        return self.fault == fault

    def sum(self, given: dict[str, tuple[str, list[int], list[Any]]]) -> dict[str, list[Any]]:
        if given.keys() != self.inputs.keys():
            raise Bad("other inputs than the model's")
        rows = {shape[0] for _, shape, _ in given.values() if shape}
        if len(rows) != 1:
            raise Bad("inputs of unlike rows")
        (number,) = rows
        for name, (kind, shape, values) in given.items():
            if kind != INPUTS[name][0]:
                raise Bad(f"{name} is of the type {kind}")
            if shape != [number, *INPUTS[name][1][1:]] or number < 0 or len(values) != number * WIDTH.get(name, 1):
                raise Bad(f"{name} has another shape")
            if not all(self.takes(kind, each) for each in values):
                raise Bad(f"{name} holds something else")
        a, f, t, on, h, i = (given[name][2] if name in given else [0.0] * number for name in INPUTS)
        if self.is_wrong("rows in another order"):
            a, i = a[::-1], i[::-1]
        if self.is_wrong("columns in place of rows"):
            f = [f[3 * row + place] for place in range(3) for row in range(number)]
        y = [a[r] + f[3 * r] + 2 * f[3 * r + 1] + 3 * f[3 * r + 2] + len(t[r]) + on[r] + h[r] + i[r] for r in range(number)]
        found = {"y": [float(each) for each in y], "twice": [float(each) for one in y for each in (one, 2 * one)], "label": ["high" if each > 9 else "low" for each in y]}
        if self.is_wrong("others' answers"):
            self.last, found = found, {name: (self.last.get(name, []) * 99)[: len(each)] or each for name, each in found.items()}
        return found

    def takes(self, kind: str, value: Any) -> bool:
        if self.is_wrong("numbers wrap") and kind == "UINT16":
            return type(value) is int
        if kind.startswith("FP"):
            return type(value) in (int, float)
        return type(value) is not float and holds(kind, value)

    def packed(self, kind: str, values: list[Any]) -> bytes:
        return packed("FP32" if kind == "FP64" and self.is_wrong("sizes of answers") else kind, values)

    def unpacked(self, kind: str, raw: bytes, shape: list[int]) -> list[Any]:
        if self.is_wrong("sizes of inputs") and kind == "UINT16":
            return list(raw[: math.prod(shape)])
        try:
            return unpacked(kind, raw, math.prod(shape))
        except Exception as error:  # whatever it is
            raise Bad(str(error)) from None


def tensors(small: Small, body: bytes, length: str | None) -> tuple[Any, dict[str, tuple[str, list[int], list[Any]]]]:
    """A request of HTTP, and its inputs."""
    if length is not None and not (length.isdigit() and int(length) <= len(body)):
        raise Bad("no length")
    at = len(body) if length is None else int(length)
    try:
        request = json.loads(body[:at])
        assert isinstance(request.get("id", ""), str)
        given = {}
        for tensor in request["inputs"]:
            name, kind, shape = tensor["name"], tensor["datatype"], tensor["shape"]
            assert name not in given
            assert kind in DATATYPES
            assert all(type(each) is int for each in shape)
            size = tensor.get("parameters", {}).get("binary_data_size")
            if size is None:
                data = tensor["data"]
                if data and isinstance(data[0], list):
                    assert len({len(each) for each in data}) == 1
                values = flat(data)
            else:
                assert type(size) is int
                assert 0 <= size <= len(body) - at
                values = small.unpacked(kind, body[at : at + size], shape)
                at += size
            given[name] = (kind, shape, values)
        assert at == len(body)
        assert isinstance(request.get("parameters", {}), dict)
        assert all(each["name"] in OUTPUTS for each in request.get("outputs", []))
        return request, given
    except (Bad, AssertionError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Bad(str(error)) from None


def answer(small: Small, body: bytes, length: str | None) -> tuple[bytes, int | None]:
    request, given = tensors(small, body, length)
    found = small.sum(given)
    rows, tail, outputs = len(found["y"]), b"", []
    asked = request.get("outputs") or [{"name": name} for name in OUTPUTS]
    for each in asked:
        name = each["name"]
        kind, shape = OUTPUTS[name]
        tensor: dict[str, Any] = {"name": name, "datatype": kind, "shape": [rows, *shape[1:]]}
        if each.get("parameters", {}).get("binary_data", request.get("parameters", {}).get("binary_data_output", False)) is True:
            raw = small.packed(kind, found[name])
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            tensor["data"] = found[name]
        if small.is_wrong("shapes of one row"):
            tensor["shape"] = [1, rows * shape[1] if shape[1:] else rows]
        if small.is_wrong("nested otherwise") and name == "twice" and "data" in tensor:
            tensor["data"] = [found[name][:1], found[name][1:]]
        if small.is_wrong("NaN") and name == "y" and "data" in tensor:
            tensor["data"] = [float("nan") for _ in found[name]]
        outputs.append(tensor)
    if small.is_wrong("all outputs"):
        outputs = [{"name": name, "datatype": kind, "shape": [rows, *shape[1:]], "data": found[name]} for name, (kind, shape) in OUTPUTS.items()]
    if small.is_wrong("an output that nobody knows") and not request.get("outputs"):
        outputs.append({"name": "more", "datatype": "INT64", "shape": [rows], "data": [1] * rows})
    told = {"model_name": NAME, "model_version": VERSION, "outputs": outputs}
    if "id" in request and not small.is_wrong("no id"):
        told["id"] = request["id"]
    head = json.dumps(told).encode()
    return head + tail, len(head) if tail else None


class Handler(http.server.BaseHTTPRequestHandler):
    """The protocol's addresses."""

    protocol_version = "HTTP/1.1"
    small: Small

    def log_message(self, *_: Any) -> None:
        """Nothing is said."""

    def do_GET(self) -> None:
        rest = re.fullmatch(rf"/v2/models/{NAME}(?:/versions/{VERSION})?(/ready)?", unquote(self.path))
        if self.path in ("/v2/health/live", "/v2/health/ready") or (rest and rest[1]):
            self.told(200, b"")
        elif self.path in (("/v2",) if self.small.plain else ("/v2", "/v2/")):
            self.told(200, json.dumps({"name": "small", "version": "1", "extensions": ["binary_tensor_data"]}).encode())
        elif rest or (self.small.is_wrong("any model") and self.path.startswith("/v2/models/")):
            self.told(200, json.dumps(METADATA).encode())
        else:
            self.told(404, b'{"error": "there is no such model"}')

    def do_POST(self) -> None:
        if self.small.is_wrong("bodies are left") and "/infer" not in self.path:
            self.told(405, b'{"error": "by GET"}')
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not re.fullmatch(rf"/v2/models/{NAME}(?:/versions/{VERSION})?/infer", unquote(self.path)):
            self.told(404, b'{"error": "there is no such model"}')
            return
        try:
            said, length = answer(self.small, body, self.headers.get(LENGTH))
            self.told(200, said, length)
        except Bad as bad:
            if self.small.is_wrong("no form of errors"):
                self.told(400, str(bad).encode())
            else:
                self.told(500 if self.small.is_wrong("500 for what is wrong") else 400, json.dumps({"error": str(bad) or "it is wrong"}).encode())

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.told(405, b'{"error": "by POST"}')

    do_DELETE = do_PUT

    def told(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(501 if status == 405 and self.small.plain else status)
        kind = "application/json" if length is None else "application/octet-stream"
        self.send_header("Content-Type", "text/plain" if self.small.is_wrong("plain text") and b"outputs" in body else kind)
        self.send_header("Content-Length", str(len(body)))
        if length is not None:
            self.send_header(LENGTH, str(length))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    """Takes many at once."""

    request_queue_size = 128
    daemon_threads = True


class Below(Handler):
    """The same below a path, as behind an ingress; without what may be left away."""

    def parse_request(self) -> bool:
        good = super().parse_request()
        if good and not self.path.startswith("/team/"):
            self.send_error(404)
            return False
        if good:
            self.path = self.path.removeprefix("/team")
        return good


@contextlib.contextmanager
def web(fault: str, *, below: bool = False) -> Iterator[Model]:
    small = Small(fault)
    small.plain = below
    handler = type("Its", (Below if below else Handler,), {"small": small})
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield Model(f"http://127.0.0.1:{server.server_port}{'/team/' if below else ''}", NAME, ROW, {})
        server.shutdown()


def failed(suite: Any, only: str = "test_", **fixtures: Any) -> set[str]:
    """The suite's tests that fail, each with each of its parameters; as pytest runs them."""
    found = set()
    for name in (each for each in dir(suite) if each.startswith(only)):
        method = getattr(suite, name)
        marks = [mark.args for mark in getattr(method, "pytestmark", []) if mark.name == "parametrize"]
        for values in itertools.product(*(list(each) for _, each in marks)):
            given = dict(zip((names for names, _ in marks), values, strict=True))
            takes = method.__func__.__code__.co_varnames[: method.__func__.__code__.co_argcount]
            own = {each: fixtures[each] for each in takes if each in fixtures}
            try:
                method(**own, **given)
            except pytest.skip.Exception:
                continue
            except (AssertionError, pytest.fail.Exception, KeyError, ValueError) as error:
                found.add(f"{name}: {error}"[:300])
    return found


@pytest.mark.parametrize("below", [False, True], ids=["", "below a path"])
def test_a_small_server_that_is_right_keeps_the_suite(*, below: bool) -> None:
    with web("", below=below) as model:
        suite = ServingSuite()
        assert failed(suite, model=model, binary=model) == set()


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("sizes of inputs", "test_bytes_both_ways"),
        ("sizes of answers", "test_bytes_both_ways"),
        ("500 for what is wrong", "test_what_is_wrong_is_refused"),
        ("no form of errors", "test_what_is_wrong_is_refused"),
        ("columns in place of rows", "test_rows_are_answered_in_their_order_and_alike"),
        ("others' answers", "test_who_asks_at_the_same_time_gets_the_answer_to_their_own_rows"),
        ("numbers wrap", "test_a_value_that_the_datatype_does_not_have_is_refused"),
        ("no id", "test_it_answers_in_the_protocol_s_form"),
        ("all outputs", "test_outputs_are_chosen_by_name"),
        ("any model", "test_another_model_and_another_version_are_not_there"),
        ("shapes of one row", "test_rows_are_answered_in_their_order_and_alike"),
        ("shapes of one row", "test_it_answers_in_the_protocol_s_form"),
        ("nested otherwise", "test_rows_are_answered_in_their_order_and_alike"),
        ("an output that nobody knows", "test_it_answers_in_the_protocol_s_form"),
        ("plain text", "test_it_answers_in_the_protocol_s_form"),
        ("NaN", "test_it_answers_in_the_protocol_s_form"),
        ("rows in another order", "test_rows_that_are_unlike_stay_in_their_order"),
        ("bodies are left", "test_who_is_refused_may_ask_again_on_the_same_connection"),
    ],
)
def test_a_small_server_that_is_wrong_does_not(fault: str, seen: str) -> None:
    with web(fault) as model:
        assert failed(ServingSuite(), seen, model=model, binary=model)


def by_grpc(small: Small, request: Any) -> Any:
    """The answer to a request of inference; raw where the request is."""
    raw = request.raw_input_contents
    if raw and (len(raw) != len(request.inputs) or any(each.HasField("contents") for each in request.inputs)):
        raise Bad("bytes for some inputs")
    given = {}
    for place, tensor in enumerate(request.inputs):
        kind, shape = tensor.datatype, list(tensor.shape)
        if tensor.name in given or kind not in DATATYPES or (kind == "FP16" and not raw) or any(not -1 < size < 2**31 for size in shape):
            raise Bad("no tensor")
        if raw:
            values = small.unpacked(kind, raw[place], shape)
        else:
            values = list(getattr(tensor.contents, FIELDS[kind]))
            values = [each.decode() for each in values] if kind == "BYTES" else values
            if kind != "BYTES" and not small.is_wrong("numbers wrap") and any(fitting(kind, each) is None for each in values):
                raise Bad("out of range")
        given[tensor.name] = (kind, shape, values)
    found = small.sum(given)
    wanted = [each.name for each in request.outputs]
    if not set(wanted) <= OUTPUTS.keys():
        raise Bad("no such output")
    made = messages.message("ModelInferResponse")(model_name=NAME, model_version=VERSION, id="" if small.is_wrong("no id") else request.id)
    for name in wanted or OUTPUTS:
        kind, shape = OUTPUTS[name]
        rows = 1 if small.is_wrong("shapes of one row") else len(found["y"])
        tensor = made.outputs.add(name=name, datatype=kind, shape=[rows, len(found[name])] if small.is_wrong("shapes of one row") else [rows, *shape[1:]])
        if raw:
            made.raw_output_contents.append(small.packed(kind, found[name]))
        else:
            field = "fp32_contents" if small.is_wrong("contents of answers") and kind == "FP64" else FIELDS[kind]
            getattr(tensor.contents, field).extend([each.encode() for each in found[name]] if kind == "BYTES" else found[name])
    return made


def called(small: Small, name: str, request: Any) -> Any:
    """The answer to a call; KeyError where there is no such model."""
    made = messages.message(f"{name}Response")
    if name == "ServerMetadata":
        return made(name="small", version="1")
    if name in ("ServerLive", "ServerReady"):
        return made(**{name.removeprefix("Server").lower(): True})
    model, version = (request.model_name, request.model_version) if name == "ModelInfer" else (request.name, request.version)
    if (model, version) not in {(NAME, ""), (NAME, VERSION)} and not small.is_wrong("any model"):
        raise KeyError(model)
    if name == "ModelReady":
        return made(ready=True)
    inputs = [each for each in METADATA["inputs"] if each["name"] in small.inputs]
    return made(**{**METADATA, "inputs": inputs}) if name == "ModelMetadata" else by_grpc(small, request)


@contextlib.contextmanager
def remote(fault: str, inputs: Any = TYPED) -> Iterator[Any]:
    from concurrent import futures

    import grpc

    small = Small(fault, inputs)

    def handler(name: str) -> Any:
        def answer(request: Any, context: Any) -> Any:
            try:
                return called(small, name, request).SerializeToString() + (b"\xf8\x01\x01" if small.is_wrong("a field that is none") else b"")
            except KeyError:
                context.abort(grpc.StatusCode.NOT_FOUND, "there is no such model")
            except Bad as bad:
                context.abort(grpc.StatusCode.INTERNAL if small.is_wrong("INTERNAL for what is wrong") else grpc.StatusCode.INVALID_ARGUMENT, str(bad))

        return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=messages.message(f"{name}Request").FromString)

    server = grpc.server(futures.ThreadPoolExecutor(4))
    names = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(messages.SERVICE, {name: handler(name) for name in names})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)]) as channel:
            yield channel
    finally:
        server.stop(0).wait()


@pytest.mark.parametrize("inputs", [TYPED, INPUTS], ids=["typed contents", "FP16 among others"])
def test_a_small_server_by_grpc_that_is_right_keeps_the_suite(inputs: Any) -> None:
    pytest.importorskip("grpc")
    with remote("", inputs) as channel:
        assert failed(GrpcSuite(), remote=Remote(channel, NAME, ROW, ())) == set()


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("sizes of inputs", "test_bytes_say_the_same_as_typed_contents"),
        ("INTERNAL for what is wrong", "test_what_is_wrong_is_an_invalid_argument"),
        ("numbers wrap", "test_what_is_wrong_is_an_invalid_argument"),
        ("others' answers", "test_who_asks_at_the_same_time_gets_the_answer_to_their_own_rows"),
        ("no id", "test_it_answers_in_the_protocol_s_form"),
        ("any model", "test_another_model_and_another_version_are_not_found"),
        ("shapes of one row", "test_bytes_say_the_same_as_typed_contents"),
        ("shapes of one row", "test_it_answers_in_the_protocol_s_form"),
        ("rows in another order", "test_rows_that_are_unlike_stay_in_their_order"),
        ("a field that is none", ""),
        ("contents of answers", ""),
    ],
)
def test_a_small_server_by_grpc_that_is_wrong_does_not(fault: str, seen: str) -> None:
    pytest.importorskip("grpc")
    with remote(fault) as channel:
        if not seen:
            with pytest.raises(AssertionError):
                Remote(channel, NAME, ROW, ())
            return
        assert failed(GrpcSuite(), seen, remote=Remote(channel, NAME, ROW, ()))
