"""A connection, with a small application behind it: what is no request is told so, what is too much is not kept, and the next one is answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
import threading
import time
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from payoff.base import text
from payoff.serving.protocols.metrics import Metrics
from payoff.serving.wire import connection
from payoff.serving.wire import server as servers

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = b"Host: x\r\n"
OFFER = HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
CLOSE = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LARGE = b"z" * 60_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says how long the body was; of /slow only after a while, of /large very much."""
    body = b""
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    said = LARGE if scope["path"] == "/large" else b"%d %b" % (len(body), scope["path"].encode())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


class Running:
    """A server of it, and what it counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, int]] = []
        self.bound = socket.create_server(("127.0.0.1", 0))
        self.bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.bound.setblocking(False)
        answer = partial(connection.Wire, answered=lambda route, status, _seconds: self.counted.append((route, status)))
        self.server = servers.Server(
            uvicorn.Config(app, http=answer, loop="none", lifespan="off", ws="none", interface="asgi3", log_config=None, server_header=False, date_header=False)  # type: ignore[arg-type]
        )
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        with asyncio.Runner(loop_factory=servers.LOOP) as runner:
            runner.run(self.server.serve([self.bound]))

    def connected(self, **more: int) -> socket.socket:
        client = socket.socket()
        for name, value in more.items():
            client.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        client.settimeout(20)
        client.connect(self.bound.getsockname())
        return client

    def ask(self, *parts: bytes) -> bytes:
        """All that is answered until the connection ends."""
        found = bytearray()
        with self.connected() as client:
            for part in parts:
                client.sendall(part)
                time.sleep(0.02 if len(parts) > 1 else 0)
            while part := client.recv(1 << 16):
                found += part
        return bytes(found)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    running = Running()
    yield running
    running.server.should_exit = True
    running.thread.join()


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test may say its lines."""
    for each in servers.BOUNDED.values():
        monkeypatch.setattr(each, "_since", -text.MINUTE)
        monkeypatch.setattr(each, "_left", 0)


def statuses(answer: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d+) ", answer)]


WRONG = {
    "no request": (b"hello\r\n\r\n", 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "another version": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "no host": (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400),
    "two hosts in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "a host that is none": (b"GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    "a length and chunks": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk without a size": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400),
    "a target that is none": (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "another protocol, and no chunks": (b"POST / HTTP/1.1\r\n%bTransfer-Encoding: gzip\r\n\r\nabc" % OFFER, 400),
    "a large header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"y" * 65_600), 431),
    "large headers": (b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % (b"X: yyyy\r\n" * 8_000), 431),
    "a large target": (b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"y" * 65_600), 431),
    "larger than is read at once": (b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"y" * 3_000_000), 431),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_no_request_is_told_so_as_all_other_errors(server: Running, how: str) -> None:
    said, status = WRONG[how]
    server.counted.clear()
    answer = server.ask(said)
    assert statuses(answer) == [status]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"connection: close" in head
    document = json.loads(body)
    assert document["code"] == ("PO-J061" if status == 431 else "PO-J060")
    assert document["error"].startswith(document["code"])
    assert document["try"]
    assert server.counted == [("unknown", status)]


def test_who_is_refused_while_it_sends_can_read_why(server: Running) -> None:
    """A connection that is closed while bytes come is cut, with what was said."""
    assert statuses(server.ask(b"GET / HTTP/1.1\r\nHost: x\r\nX: ", *[b"y" * 40_000] * 6)) == [431]


RIGHT = {
    "a host": b"GET / HTTP/1.1\r\nHost: churn.example.org:8080\r\n",
    "an address": b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n",
    "an empty host": b"GET / HTTP/1.1\r\nHost:\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n",
    "large headers": b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n" % (b"y" * 65_000),
    "an absolute target": b"GET http://x/a HTTP/1.1\r\nHost: x\r\n",
}


@pytest.mark.parametrize("how", RIGHT)
def test_what_is_right_is_answered(server: Running, how: str) -> None:
    assert statuses(server.ask(RIGHT[how] + b"Connection: close\r\n\r\n")) == [200]


def test_headers_that_come_while_another_request_is_under_way_are_bounded_too(server: Running) -> None:
    """Nothing is known of the next request until its headers have ended: they must not be kept without an end. What was asked before is answered."""
    with server.connected() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(30):
                client.sendall(b"y" * 10_000)
                time.sleep(0.005)
            client.sendall(b"\r\n\r\n")
        answer = b""
        while part := client.recv(1 << 16):
            answer += part
    assert statuses(answer) == [200]
    assert answer.endswith(b"0 /slow")


@pytest.mark.parametrize("after", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"y" * 70_000)])
def test_what_came_before_something_wrong_is_answered_as_itself(server: Running, after: bytes) -> None:
    answer = server.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" + after)
    assert statuses(answer) == [200, 200]
    assert b"0 /slow" in answer
    assert answer.endswith(b"3 /b")


@pytest.mark.parametrize("what", [b"X: ", b""], ids=["one", "many"])
def test_headers_after_a_body_are_bounded_as_those_before(server: Running, what: bytes) -> None:
    """The parser keeps one until it has ended, however long it is, and copies it with each part."""
    part = b"y" * 50_000 if what else b"X: y\r\n" * 8_000
    with server.connected() as client:
        client.sendall(b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + what)
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                client.sendall(part)
                time.sleep(0.005)
        answer = b""
        while more := client.recv(1 << 16):
            answer += more
    assert statuses(answer) == [431]


def test_a_large_body_is_none_of_the_headers(server: Running) -> None:
    body = b"y" * 3_000_000
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[at : at + 100] for at in range(0, 300_000, 100))) + b"0\r\nX: y\r\n\r\n"
    said = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%bPOST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%b" % (len(body), body, chunks)
    answer = server.ask(said + CLOSE)
    assert statuses(answer) == [200, 200, 200]
    assert b"3000000 /a" in answer
    assert b"300000 /b" in answer


@pytest.mark.parametrize("offer", [HOST, OFFER], ids=["", "and offers another protocol"])
def test_who_does_not_wait_for_answers_gets_so_many(server: Running, caplog: pytest.LogCaptureFixture, offer: bytes) -> None:
    """Requests that came and wait take memory; who sends more of them has to ask again, as after each answer that ends a connection (RFC 9112, 9.3.2)."""
    with server.connected() as client, contextlib.suppress(ConnectionError):
        client.sendall((b"GET /a HTTP/1.1\r\n%b\r\n" % offer) * 5_000)
        answer = bytearray()
        while part := client.recv(1 << 20):
            answer += part
    assert 1 <= answer.count(b"HTTP/1.1 200") <= connection.DEPTH + 1
    assert [each.exc_info for each in caplog.records] == [None]
    assert statuses(server.ask((b"GET /a HTTP/1.1\r\n%b\r\n" % offer) * connection.DEPTH + CLOSE)) == [200] * (connection.DEPTH + 1)


def test_who_offers_another_protocol_may_end_the_connection_with_a_later_request(server: Running) -> None:
    """What comes after the last one is nobody's."""
    answer = server.ask(b"POST /a HTTP/1.1\r\n%bContent-Length: 3\r\n\r\nabc" % OFFER + CLOSE + b"\r\n\r\nxx")
    assert statuses(answer) == [200, 200]
    assert answer.endswith(b"0 /last")


def test_who_sends_nonsense_again_and_again_fills_no_disk(server: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many lines a minute; how many were left out is told with the next one."""
    caplog.set_level(logging.WARNING)
    for _ in range(50):
        assert statuses(server.ask(b"hello\r\n\r\n")) == [400]
    assert len(caplog.records) == 10
    monkeypatch.setattr(servers.BOUNDED["uvicorn.error"], "_since", -text.MINUTE)
    server.ask(b"GET / HTTP/1.1\r\n\r\n")
    assert "names one host" in caplog.records[-1].getMessage()
    assert "40 lines more" in caplog.records[-1].getMessage()
    assert len(caplog.records) == 11


def test_a_model_that_raises_again_and_again_fills_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request can make it so, each time with a line."""
    said: list[str] = []
    metrics = Metrics(said.append)
    for number in range(50):
        metrics.tell(f"the model raised ValueError: {number}")
    assert len(said) == text.LINES
    monkeypatch.setattr(metrics._few, "_since", -text.MINUTE)
    metrics.tell("PO-J039: KeyError: x")
    assert said[text.LINES :] == ["PO-J039: KeyError: x (and 40 lines more that were left out)"]


def test_an_answer_that_ends_a_connection_and_is_not_read_is_not_kept_for_ever(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of it waits in the server than makes it stop to write."""
    monkeypatch.setattr(connection, "LINGER", 0.3)
    before = len(server.server.server_state.connections)
    with server.connected(SO_RCVBUF=2048) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        until = time.monotonic() + 5
        time.sleep(0.1)
        while len(server.server.server_state.connections) > before and time.monotonic() < until:
            time.sleep(0.05)
        assert len(server.server.server_state.connections) == before


def test_who_is_refused_and_stays_is_sent_away(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also who takes what came before only then."""
    monkeypatch.setattr(connection, "LINGER", 0.3)
    connections = server.server.server_state.connections
    for before in (b"", b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 2):
        with server.connected(SO_RCVBUF=2048) as client:
            client.sendall(before)
            time.sleep(0.2)
            client.sendall(b"hello\r\n\r\n")
            time.sleep(0.1)
            answer = b""
            while part := client.recv(1 << 16):
                answer += part
            assert statuses(answer) == [200] * before.count(b"/large") + [400]
            until = time.monotonic() + 5
            while connections and time.monotonic() < until:
                time.sleep(0.05)
            assert not connections


def test_what_a_server_needs_comes_with_every_installation() -> None:
    """There is one parser, whatever was installed: another one takes other things for requests."""
    root = Path(__file__).parents[2]
    said = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {"uvicorn", "httptools"} <= {re.split(r"[<>=]", each)[0] for each in said}
    assert "\nhttptools==" in (root / "requirements" / "run.txt").read_text()


QUICK = settings(max_examples=200, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
PIECES = [
    b"GET / HTTP/1.1\r\n", b"POST /a HTTP/1.1\r\n", HOST, OFFER, b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"\r\n", b"abc",
    b"3\r\nabc\r\n", b"0\r\n\r\n", b"\0", b"\xff", b"PRI * HTTP/2.0\r\n", b"Expect: 100-continue\r\n", b"CONNECT x:1 HTTP/1.1\r\n", b"X: %b\r\n" % (b"y" * 40_000),
]  # fmt: skip


@QUICK
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), max_size=12))
@example([b"POST /a HTTP/1.1\r\n", OFFER, b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n", b"abc"])
def test_whatever_comes_is_answered_or_refused_and_nothing_breaks(server: Running, caplog: pytest.LogCaptureFixture, parts: list[bytes]) -> None:
    with server.connected() as client, contextlib.suppress(ConnectionError):
        client.sendall(b"".join(parts))
        client.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while part := client.recv(1 << 16):
            answer += part
        assert set(statuses(answer)) <= {100, 200, 400, 431, 505}
    assert not [each for each in caplog.records if each.exc_info or "refused" not in each.getMessage()]
    assert statuses(server.ask(CLOSE)) == [200]
