"""Clients that send slowly, never read, come in thousands, or send bytes that are nothing: they get what they get, and the others are answered."""

from __future__ import annotations

import re
import contextlib
import importlib.util
import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_spec = importlib.util.spec_from_file_location("flows_servers_of_faults", Path(__file__).with_name("servers.py"))
assert _spec
assert _spec.loader
servers = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = servers
_spec.loader.exec_module(servers)

ROW = {"customer_id": 1, "tenure": 10, "calls_to_support": 3, "late_payments": 1, "lifetime_value": 200.0, "name": "geheim1"}


@pytest.fixture(scope="module")
def server(made_light: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("grpc", reason="grpcio is not installed (uv pip install 'payoff[serve]')")
    folder = servers.copied(made_light, tmp_path_factory.mktemp("faults") / "Stück")
    with servers.serving(folder, "--grpc-port", "0", "--no-log") as running:
        yield running


def connected(server: Any, **more: Any) -> socket.socket:
    host, port = server.host.split(":")
    found = socket.socket()
    for name, value in more.items():
        found.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    found.settimeout(60)
    found.connect((host, int(port)))
    return found


def rest(of: socket.socket) -> bytes:
    """All that still comes, until the connection is closed or cut."""
    found = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := of.recv(1 << 16):
            found += part
    return bytes(found)


def says_nothing(server: Any) -> None:
    with connected(server) as client:
        assert rest(client) == b""


def headers_trickle(server: Any) -> None:
    """A byte now and then keeps no connection open."""
    with connected(server) as client:
        client.sendall(b"POST /decide HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(100):
                client.sendall(b"x-%d: y\r\n" % number)
                time.sleep(0.5)
            pytest.fail("a request's headers may take for ever")
        assert rest(client) == b""


def body_trickles(server: Any) -> None:
    with connected(server) as client:
        client.sendall(b"POST /decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(25):
                client.sendall(b" ")
                time.sleep(0.5)
        answer = rest(client)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"PO-J029" in answer


def nobody_wants_the_body(server: Any) -> None:
    """What is refused before its body is there is told so, and the rest of it is not waited for."""
    with connected(server) as client:
        client.sendall(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 90000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(50):
                client.sendall(b" " * 10_000)
                time.sleep(0.5)
            pytest.fail("a body that nobody wants is taken for ever")
        assert rest(client).startswith(b"HTTP/1.1 404 ")


def never_reads(server: Any) -> None:
    """Thousands of questions and no look at the answers: they wait, and then the connection is cut."""
    asked = 6000
    size = len(server.ask("/openapi.json").body)
    with connected(server, SO_RCVBUF=4096) as client:
        question = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        client.settimeout(25)
        with contextlib.suppress(OSError):
            for _ in range(asked):
                client.sendall(question)
        time.sleep(25)
        assert len(rest(client)) < asked * size


SLOW: list[Callable[[Any], None]] = [says_nothing, headers_trickle, body_trickles, nobody_wants_the_body, never_reads]


def test_slow_clients_are_sent_away_and_the_others_do_not_notice(server: Any) -> None:
    wrong: list[str] = []

    def run(slow: Callable[[Any], None]) -> None:
        try:
            slow(server)
        except BaseException as error:
            wrong.append(f"{slow.__name__}: {error!r}")

    threads = [threading.Thread(target=run, args=(slow,)) for slow in SLOW * 3]
    for thread in threads:
        thread.start()
    longest = 0.0
    while any(thread.is_alive() for thread in threads):
        began = time.monotonic()
        assert server.ask("/decide", {"rows": [ROW]}).status == 200
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.05)
    assert wrong == []
    assert longest < 10
    assert server.metric("payoff_requests_under_way") == 1


def test_a_large_body_that_is_sent_away_still_hears_why(server: Any) -> None:
    """A client that sends all before it listens."""
    body = json.dumps({"rows": [ROW] * 5000}).encode()
    assert len(body) > 500_000
    reply = server.ask("/nothing", body)
    assert reply.status == 404
    with connected(server) as client:  # and may ask again on the same connection
        for path in (b"/nothing", b"/invocations"):
            client.sendall(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body))
        answer = bytearray()
        while b"HTTP/1.1 200" not in answer:
            part = client.recv(1 << 16)
            assert part, answer[:500]
            answer += part
        assert answer.startswith(b"HTTP/1.1 404")


def test_others_are_answered_while_a_large_body_is_read(server: Any) -> None:
    """Seconds of reading: who comes meanwhile does not wait for them."""
    body = "tenure,calls_to_support\n" + "1,2\n" * 1_000_000
    took: list[float] = []
    status: list[int] = []

    def large() -> None:
        began = time.monotonic()
        status.append(server.ask("/invocations", body.encode(), {"Content-Type": "text/csv"}).status)
        took.append(time.monotonic() - began)

    thread = threading.Thread(target=large)
    thread.start()
    waits = []
    while thread.is_alive():
        began = time.monotonic()
        assert server.ask("/v2/health/live").status == 200
        waits.append(time.monotonic() - began)
    thread.join()
    assert status == [400]
    assert max(waits) < took[0] / 2, (max(waits), took)


def test_headers_that_come_after_a_body_are_not_kept(server: Any) -> None:
    """They take no memory, and change nothing of the request; so many as before a body may come."""
    body = json.dumps({"rows": [ROW]}).encode()
    before = server.metric("payoff_process_memory_bytes")
    with connected(server) as client:
        client.sendall(b"POST /decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(body), body))
        client.sendall(b"X: y\r\nContent-Type: text/csv\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    with connected(server) as client:
        client.sendall(b"POST /decide HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(body), body))
        with contextlib.suppress(ConnectionError):
            for number in range(300):
                client.sendall(b"".join(b"X-%d-%d: %b\r\n" % (number, place, b"y" * 40) for place in range(1000)))
        grown = server.metric("payoff_process_memory_bytes") - before
        assert rest(client).startswith(b"HTTP/1.1 431")
    assert grown < 20e6


BODY = json.dumps({"rows": [ROW]}).encode()
OFFER = b"Host: x\r\nContent-Type: application/json\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
OFFERED = {
    "length": b"POST /decide HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (OFFER, len(BODY), BODY),
    "chunks": b"POST /decide HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (OFFER, len(BODY), BODY),
}


@pytest.mark.parametrize("framing", OFFERED)
@pytest.mark.parametrize("size", [100_000, 301, 7])
def test_who_offers_another_protocol_is_answered_in_this_one(server: Any, framing: str, size: int) -> None:
    """As Java's client does with its first request. What follows on the connection is answered, too."""
    said = OFFERED[framing] + b"GET /v2/health/live HTTP/1.1\r\n%b\r\n" % OFFER + OFFERED[framing] + b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connected(server) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(said), size):
            client.sendall(said[at : at + size])
        answer = rest(client)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"200", b"200", b"404"]
    assert answer.count(b'"expected_payoff"') == 2


def test_more_connections_than_files_may_be_open_are_sent_away(made_light: Path, tmp_path: Path) -> None:
    """The limit leaves room for the log and the model; who is there is answered, and who comes later when some have gone."""
    folder = servers.copied(made_light, tmp_path / "eng")
    with servers.serving(folder, before=("prlimit", "--nofile=160:160")) as server:
        clients = [connected(server) for _ in range(120)]
        try:
            answers = []
            for client in clients[60:]:
                answers.append(rest(client))
            assert all(each.startswith(b"HTTP/1.1 503") for each in answers)
            assert json.loads(answers[0].partition(b"\r\n\r\n")[2])["code"] == "PO-J030"
            clients[0].sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert clients[0].recv(100).startswith(b"HTTP/1.1 200")
        finally:
            for client in clients:
                client.close()
        servers.until(lambda: server.ask("/decide", {"rows": [ROW]}).status == 200)


def call(server: Any, name: str, body: bytes) -> Any:
    """The status of a call whose message is any bytes, and the answer's bytes."""
    import grpc

    with grpc.insecure_channel(server.grpc) as channel:
        asked = channel.unary_unary(f"/inference.GRPCInferenceService/{name}", request_serializer=None, response_deserializer=None)
        try:
            return "OK", asked(body, timeout=30)
        except grpc.RpcError as error:
            return error.code().name, error.details()


def infer(server: Any) -> Any:
    from payoff.serving.protocols import messages

    request = messages.message("ModelInferRequest")(model_name=server.model, id="7")
    fields = {int: ("INT64", "int64_contents"), float: ("FP64", "fp64_contents"), str: ("BYTES", "bytes_contents")}
    for name, value in ROW.items():
        kind, field = fields[type(value)]
        tensor = request.inputs.add(name=name, datatype=kind, shape=[1])
        getattr(tensor.contents, field).append(value.encode() if isinstance(value, str) else value)
    return request


def test_a_call_that_is_opened_and_never_sent_gives_its_place_back(server: Any) -> None:
    """As a body by HTTP: it may take so long, and no longer."""
    import grpc

    given_up = threading.Event()

    def nothing() -> Iterator[bytes]:
        given_up.wait(60)
        yield from ()

    with grpc.insecure_channel(server.grpc) as channel:
        opened = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer", request_serializer=None, response_deserializer=None)
        began = time.monotonic()
        waits = opened.future(nothing(), timeout=60)
        assert call(server, "ModelInfer", infer(server).SerializeToString())[0] == "OK", "others are answered meanwhile"
        error = waits.exception()
        took = time.monotonic() - began
        given_up.set()
    assert (error.code().name, error.details().partition(":")[0]) == ("DEADLINE_EXCEEDED", "PO-J029")
    assert took >= 9


CALLS = ["ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"]
TOLD = {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
QUICK = settings(max_examples=60, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))


@QUICK
@given(st.sampled_from(CALLS), st.binary(max_size=200))
@example("ModelInfer", b"\xff" * 50)
def test_any_bytes_may_come_by_grpc(server: Any, name: str, body: bytes) -> None:
    status, said = call(server, name, body)
    assert status in TOLD, said
    assert status == "OK" or said.startswith("PO-J0")


@QUICK
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 10_000))
def test_a_message_with_some_other_bytes_is_answered_or_told(server: Any, changes: list[tuple[int, int]], cut: int) -> None:
    body = bytearray(infer(server).SerializeToString())
    assert call(server, "ModelInfer", bytes(body))[0] == "OK"
    for place, byte in changes:
        body[place % len(body)] = byte
    status, said = call(server, "ModelInfer", bytes(body[: len(body) - cut % len(body)] if cut % 3 == 0 else body))
    assert status in TOLD, said
    assert server.ask("/v2/health/ready").status == 200


def test_what_no_call_is_named_is_unimplemented(server: Any) -> None:
    assert call(server, "ModelDelete", b"")[0] == "UNIMPLEMENTED"
    assert call(server, "ModelInfer", b"\0" * (17 << 20))[0] == "RESOURCE_EXHAUSTED"
    assert call(server, "ServerLive", b"")[0] == "OK"


def test_what_is_no_request_is_told_so_and_counted(server: Any) -> None:
    """As all other errors; tests/serving/test_wire.py has more of them."""

    def counted() -> int:
        found = re.search(rb'payoff_requests_total\{route="unknown",status="431"\} (\d+)', server.ask("/metrics").body)
        return int(found[1]) if found else 0

    before = counted()
    for said, code in ((b"GET /ping HTTP/1.1\r\n\r\n", "PO-J060"), (b"GET /ping HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"y" * 70_000), "PO-J061")):
        with connected(server) as client:
            client.sendall(said)
            assert json.loads(rest(client).partition(b"\r\n\r\n")[2])["code"] == code
    assert counted() == before + 1


def test_names_in_headers_and_addresses_are_read_as_they_are_meant(server: Any) -> None:
    """A content coding has no case; a length is no number of thousands of digits; and what was decoded once is not decoded again."""
    assert server.ask("/decide", {"rows": [ROW]}, {"Content-Type": "application/json", "Content-Encoding": "Identity"}).status == 200
    assert server.ask("/decide", {"rows": [ROW]}, {"Content-Type": "application/json", "Content-Encoding": "GZIP"}).status == 415
    reply = server.ask(f"/v2/models/{servers.quote(server.model)}/infer", b"{}", {"Inference-Header-Content-Length": "9" * 5000})
    assert (reply.status, reply.json["code"]) == (400, "PO-J020")
    assert server.ask("/v2/health/%6Cive").status == 200
    assert server.ask("/v2/health/%256Cive").status == 404
    assert server.ask("/v2/health%2Flive").status == 404
