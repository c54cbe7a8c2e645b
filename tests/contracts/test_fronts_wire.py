"""A front byte by byte: what clients send in whatever pieces, and what releases answer, before raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payoff.adapters.fronts.proxy import connection, messages, sharing, upstream
from payoff.adapters.fronts.proxy.messages import Denied, Incoming, Request
from payoff.adapters.fronts.proxy.state import State
from payoff.base import text
from payoff.ports.releasing.front import Routes, Target
from payoff.testing.releasing.front import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def post(body: bytes, *headers: bytes, target: bytes = b"/invocations") -> bytes:
    lines = b"".join(each + b"\r\n" for each in (b"Host: a", b"Content-Length: %d" % len(body), *headers))
    return b"POST %s HTTP/1.1\r\n%s\r\n%s" % (target, lines, body)


def chunked(body: bytes, size: int, target: bytes = b"/invocations") -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    sent = b"".join(b"%x;a=b\r\n%s\r\n" % (len(each), each) for each in pieces)
    return b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\nTrailer: x\r\n\r\n" % (target, sent)


def headers(message: bytes) -> dict[bytes, bytes]:
    lines = message.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in lines)}


def read_request(stream: Any) -> bytes:
    """A whole request, as a release reads it; empty at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (byte := stream.read(1)):
            return b""
        head += byte
    return head + stream.read(int(headers(head).get(b"content-length", b"0")))


class Release:
    """Answers as `answer` says, byte by byte; what it was sent is kept. An answer of None closes the connection without a word, one that ends with `END` after it."""

    END = b"<end>"

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.connections = 0
        self.answer: Callable[[bytes], bytes | None] = lambda _: OK
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def target(self) -> Target:
        return Target(address=f"http://127.0.0.1:{self._listener.getsockname()[1]}", release=1, image="sha256:1")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rb") as stream:
            while asked := read_request(stream):
                self.asked.append(asked)
                answer = self.answer(asked)
                client.sendall((answer or b"").removesuffix(self.END))
                if answer is None or answer.endswith(self.END):
                    client.shutdown(socket.SHUT_RDWR)
                    return

    def end(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Front(NamedTuple):
    port: int
    state: State
    loop: asyncio.AbstractEventLoop


@contextlib.contextmanager
def running(place: Path, routes: Routes, most: int = 64) -> Iterator[Front]:
    """The front's own server, in a thread: its times can be made shorter than they are."""
    place.with_name(place.name + ".routes").write_bytes(msgspec.json.encode(routes))
    state = State(place, most)
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), []

    async def serve() -> None:
        server = await loop.create_server(lambda: connection.Connection(state), "127.0.0.1", 0)
        found.append(server)
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        for each in [*state.clients]:
            each._transport.abort()
        state.pool.tidy(())
        found[0].close()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield Front(found[0].sockets[0].getsockname()[1], state, loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture(scope="module")
def _release() -> Iterator[Release]:
    made = Release()
    yield made
    made.end()


@pytest.fixture(scope="module")
def front(_release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running(tmp_path_factory.mktemp("front") / "prod", Routes(stable=_release.target)) as made:
        yield made


@pytest.fixture
def release(_release: Release) -> Release:
    _release.answer = lambda _: OK
    _release.asked.clear()
    return _release


def dial(front: Front) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", front.port), timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def to_the_end(client: socket.socket) -> bytes:
    said = bytearray()
    while data := client.recv(1 << 16):
        said += data
    return bytes(said)


def asked(front: Front, sent: bytes) -> bytes:
    """All that is answered when nothing more is said."""
    with dial(front) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        return to_the_end(client)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def echo(request: bytes) -> bytes:
    """Says what it was asked; to HEAD only how much that would be."""
    line, body = request.partition(b"\r\n")[0], request.partition(b"\r\n\r\n")[2]
    told = line + b"|" + body
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), b"" if line.startswith(b"HEAD") else told)


class Sent(NamedTuple):
    """A request as it is meant, and as it is sent."""

    line: bytes
    body: bytes
    raw: bytes


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    number = draw(st.integers(0, 999))
    target = b"/%d" % number
    kind = draw(st.sampled_from(("GET", "HEAD", "POST", "chunked", "after an empty line")))
    body = draw(st.binary(max_size=60)) + draw(st.sampled_from((b"", b"\r\n\r\nGET /x HTTP/1.1\r\nHost: b\r\n\r\n", b"y" * 3000)))
    if kind in {"GET", "HEAD"}:
        line = b"%s %s HTTP/1.1" % (kind.encode(), target)
        return Sent(line, b"", line + b"\r\nHost: a\r\nX: " + b"z" * number + b"\r\n\r\n")
    line = b"POST %s HTTP/1.1" % target
    if kind == "chunked":
        return Sent(line, body, chunked(body, draw(st.integers(1, 50)), target))
    return Sent(line, body, (b"\r\n" if kind != "POST" else b"") + post(body, target=target))


def cut(raw: bytes, at: Sequence[float]) -> list[bytes]:
    places = sorted({0, len(raw), *(int(each * len(raw)) for each in at)})
    return [raw[one:other] for one, other in zip(places, places[1:], strict=False)]


cuts = st.lists(st.floats(0, 1), max_size=12)


@given(st.lists(requests(), min_size=1, max_size=5), cuts)
@settings(deadline=None, max_examples=150)
def test_the_same_requests_in_whatever_pieces(sent: list[Sent], at: list[float]) -> None:
    incoming, found = Incoming(), []
    for piece in cut(b"".join(each.raw for each in sent), at):
        incoming.add(piece)
        while (request := incoming.next()) is not None:
            found.append((b"%s %s HTTP/1.1" % (request.method, request.target), request.body))
    assert found == [(each.line, each.body) for each in sent]
    assert incoming.phase == "idle"


@given(st.lists(requests(), min_size=2, max_size=5), cuts, st.booleans())
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_come_in_order_in_whatever_pieces_requests_do(release: Release, front: Front, sent: list[Sent], at: list[float], slow: bool) -> None:
    """Before a release that answers one at a time: nothing is lost, swapped, or read into another."""
    release.answer = echo
    release.asked.clear()
    with dial(front) as client:
        for piece in cut(b"".join(each.raw for each in sent), at):
            client.sendall(piece)
            time.sleep(0.002 if slow else 0)
        client.shutdown(socket.SHUT_WR)
        answers = to_the_end(client)
    for each in sent:
        head, _, answers = answers.partition(b"\r\n\r\n")
        told = each.line + b"|" + each.body
        assert head.startswith(b"HTTP/1.1 200 "), head
        assert int(headers(head + b"\r\n\r\n")[b"content-length"]) == len(told)
        if not each.line.startswith(b"HEAD"):
            assert answers[: len(told)] == told
            answers = answers[len(told) :]
    assert answers == b""
    assert [each.partition(b"\r\n")[0] for each in release.asked] == [each.line for each in sent]


def test_a_post_and_a_get_in_one_segment(release: Release, front: Front) -> None:
    release.answer = echo
    told = asked(front, post(b"abc") + GET)
    assert re.findall(rb"(POST|GET) (\S+)", told) == [(b"POST", b"/invocations"), (b"GET", b"/")]


@pytest.mark.parametrize("offer", [b"", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"])
def test_thousands_of_requests_in_one_write(release: Release, front: Front, caplog: pytest.LogCaptureFixture, offer: bytes) -> None:
    assert asked(front, (b"GET / HTTP/1.1\r\nHost: a\r\n" + offer + b"\r\n") * 3000).count(b"HTTP/1.1 200") == 3000
    assert caplog.records == []


def test_the_next_is_not_asked_before_the_last_is_answered_and_little_is_held(release: Release, front: Front) -> None:
    free = threading.Event()
    release.answer = lambda _: OK if free.wait(10) else None
    with dial(front) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        client.sendall(GET)
        client.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            client.sendall((post(b"x" * 1000) * 64_000)[: 64 << 20])
        (held,) = (each._incoming.ahead for each in front.state.clients if each._task)
        assert len(release.asked) == 1
        assert held < 1 << 20
    free.set()
    until(lambda: not front.state.clients and not front.state.under_way)


# -- limits


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"GET /" + b"x" * 9000, 414),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffff1\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 1000, 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b":\r\n" * 22_000, 431),
    ],
)  # fmt: skip
def test_what_is_too_large_is_refused_before_it_is_whole(release: Release, front: Front, sent: bytes, says: int) -> None:
    with dial(front) as client:
        client.sendall(sent)
        assert status(client.recv(1 << 16)) == says
    assert release.asked == []


@pytest.mark.parametrize("begins", [b"Content-Length: 70000\r\n\r\n" + b"x" * 60_000, b"Transfer-Encoding: chunked\r\n\r\n11170\r\n" + b"x" * 60_000])
def test_all_together_send_so_much_at_once(release: Release, front: Front, monkeypatch: pytest.MonkeyPatch, begins: bytes) -> None:
    """Many large bodies that never end would take all memory. What is small is taken whatever others do."""
    monkeypatch.setattr(connection, "_HELD", 100_000)
    monkeypatch.setattr(connection, "_SMALL", 10_000)
    sent, rest = b"POST / HTTP/1.1\r\nHost: a\r\n" + begins, b"x" * 10_000 + (b"\r\n0\r\n\r\n" if b"chunked" in begins else b"")
    with dial(front) as one, dial(front) as other:
        one.sendall(sent)
        until(lambda: front.state.held == 60_000)
        other.sendall(sent)
        assert status(other.recv(1 << 16)) == 503
        assert status(asked(front, post(b"x" * 5000))) == 200
        one.sendall(rest)
        assert status(one.recv(1 << 16)) == 200
        one.sendall(sent)
        until(lambda: front.state.held == 60_000)
    until(lambda: not front.state.clients)
    assert front.state.held == 0


def test_as_large_as_may_be(release: Release, front: Front) -> None:
    sent = b"GET /" + b"x" * 8000 + b" HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 60_000 + b"\r\n\r\n"
    assert status(asked(front, sent)) == 200


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("before", [b"", post(b"abc")])
def test_headers_have_so_many_bytes_in_whatever_pieces(release: Release, front: Front, before: bytes, pieces: int) -> None:
    """Also while another request is under way: it is answered, and what comes after it is held to its own bound."""
    for more, says in ((0, 200), (1, 431)):
        free = threading.Event()
        release.answer = lambda request, free=free: OK if request.startswith(b"GET") or free.wait(10) else None
        head = b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
        sent = head.replace(b"X: ", b"X: " + b"x" * (messages._HEAD + 1 - len(head) + more))
        with dial(front) as client:
            client.sendall(before)
            for piece in cut(sent, [each / pieces for each in range(pieces)]):
                client.sendall(piece)
                time.sleep(0.01)
            free.set()
            client.shutdown(socket.SHUT_WR)
            assert [int(each) for each in re.findall(rb"HTTP/1.1 (\d+)", to_the_end(client))] == [200] * bool(before) + [says]


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"])
def test_bytes_one_by_one_win_no_time(release: Release, front: Front, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head, and a body, has its time from its first byte on."""
    monkeypatch.setattr(connection, "TIMES", {"idle": 5.0, "head": 0.3, "body": 0.3})
    began = time.monotonic()
    with dial(front) as client:
        client.sendall(sent)
        client.settimeout(0.02)
        answer = b""
        while not answer and time.monotonic() - began < 4:
            client.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = client.recv(1 << 16)
    assert status(answer) == 408
    assert 0.25 < time.monotonic() - began < 3


@pytest.mark.parametrize("noise", [b"", b"\r\n"])
def test_who_says_nothing_is_left(release: Release, front: Front, monkeypatch: pytest.MonkeyPatch, noise: bytes) -> None:
    monkeypatch.setattr(connection, "TIMES", {"idle": 0.3, "head": 5.0, "body": 5.0})
    began = time.monotonic()
    with dial(front) as client, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(GET)
        assert status(client.recv(1 << 16)) == 200
        client.settimeout(0.02)
        while time.monotonic() - began < 4:
            client.sendall(noise)
            with contextlib.suppress(TimeoutError):
                assert client.recv(1) == b""
                break
    assert time.monotonic() - began < 3


def test_who_does_not_read_is_left(release: Release, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer is kept for it, and not for ever; what it sends meanwhile is not asked."""
    monkeypatch.setattr(connection, "_TAKING", 0.5)
    monkeypatch.setattr(connection, "_SLOWEST", 1 << 40)
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + b"x" * 30_000_000
    release.answer = lambda _: large
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        client.connect(("127.0.0.1", front.port))
        client.sendall(post(b"x") * 5)
        until(lambda: bool(release.asked))
        until(lambda: front.state.under_way == 0)
        assert len(release.asked) == 1
        assert not [each for each in front.state.clients if each._task]


def test_who_reads_gets_all(release: Release, front: Front) -> None:
    body = bytes(range(256)) * 20_000
    release.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    assert asked(front, GET + GET).count(body) == 2


def test_who_is_refused_while_it_sends_can_read_why(release: Release, front: Front) -> None:
    with dial(front) as client:
        client.sendall(b"GET /" + b"x" * 9000)
        client.sendall(b"x" * 3_000_000)
        time.sleep(0.1)
        assert status(client.recv(1 << 16)) == 414


def test_more_clients_than_there_is_room_for(release: Release, tmp_path: Path) -> None:
    with running(tmp_path / "prod", Routes(stable=release.target), most=3) as front:
        kept = [dial(front) for _ in range(3)]
        for each in kept:
            each.sendall(GET)
            assert status(each.recv(1 << 16)) == 200
        assert status(asked(front, b"")) == 503
        kept.pop().close()
        until(lambda: len(front.state.clients) == 2)
        assert status(asked(front, GET)) == 200
        for each in kept:
            each.close()


def gone(client: socket.socket) -> None:
    """Close it as a process does that is killed."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_who_is_refused_and_gone_already_breaks_nothing(release: Release, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(tmp_path / "prod", Routes(stable=release.target), most=1) as front, dial(front) as kept:
        kept.sendall(GET)
        assert status(kept.recv(1 << 16)) == 200
        for number in range(200):
            with dial(front) as client:
                client.sendall(b"x" * (number % 2))
        until(lambda: len(front.state.clients) == 1)
        kept.sendall(GET)
        assert status(kept.recv(1 << 16)) == 200
    assert caplog.records == []


def test_who_does_not_wait_takes_a_place_until_the_release_has_answered(release: Release, tmp_path: Path) -> None:
    """Or what clients send that are gone at once would pile up here, and at the release, without an end."""
    free = threading.Event()
    release.answer = lambda _: OK if free.wait(10) else None
    with running(tmp_path / "prod", Routes(stable=release.target), most=3) as front:
        for number in range(1, 4):
            client = dial(front)
            client.sendall(post(b"x" * 1000))
            until(lambda number=number: len(release.asked) == number)
            gone(client)
        until(lambda: all(each._transport.is_closing() for each in front.state.clients))
        with dial(front) as client:
            client.settimeout(2)
            client.sendall(GET)
            assert status(client.recv(1 << 16)) == 503
        assert (front.state.under_way, len(release.asked)) == (3, 3)
        free.set()
        until(lambda: not front.state.clients and not front.state.under_way)
        assert status(asked(front, GET)) == 200


@contextlib.contextmanager
def process(folder: Path, release: Release) -> Iterator[tuple[Front, int]]:
    """A front as it is started, with few files, and its number."""
    (folder / "prod.routes").write_bytes(msgspec.json.encode(Routes(stable=release.target)))
    words = [sys.executable, "-P", "-m", "payoff.adapters.fronts.proxy.server", str(folder / "prod"), "127.0.0.1", "0"]
    with (folder / "log").open("wb") as log, subprocess.Popen(["/bin/sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *words], stdout=log, stderr=log) as made:
        until((folder / "prod.front").exists)
        try:
            yield Front(int(json.loads((folder / "prod.front").read_bytes())["address"].rpartition(":")[2]), None, None), made.pid  # type: ignore[arg-type]
        finally:
            made.terminate()


def test_more_clients_than_there_are_files_for(release: Release, tmp_path: Path) -> None:
    """Who was there before is answered, and nothing is logged."""
    with process(tmp_path, release) as (front, _), dial(front) as kept, contextlib.ExitStack() as held:
        for number in range(600):
            client = held.enter_context(socket.socket())
            client.setblocking(False)  # noqa: FBT003
            client.connect_ex(("127.0.0.1", front.port))
            if number % 100 == 0:
                kept.sendall(GET)
                assert status(kept.recv(1 << 16)) == 200
    assert (tmp_path / "log").read_bytes() == b""


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux takes files away from another process")
def test_what_the_loop_says_of_clients_fills_no_disk(release: Release, tmp_path: Path) -> None:
    """So many lines a minute, whoever takes the files away."""
    with process(tmp_path, release) as (front, number), dial(front) as kept, contextlib.ExitStack() as held:
        kept.sendall(GET)
        assert status(kept.recv(1 << 16)) == 200
        resource.prlimit(number, resource.RLIMIT_NOFILE, (3, 128))
        for _ in range(10):
            held.enter_context(dial(front))
        until(lambda: b"out of system resource" in (tmp_path / "log").read_bytes())
        time.sleep(0.5)
    assert (tmp_path / "log").read_bytes().count(b"out of system resource") <= text.LINES


# -- what speaks of one connection only


def test_headers_of_one_connection_go_no_further(release: Release, front: Front) -> None:
    release.answer = lambda _: b"HTTP/1.1 200 OK\r\nConnection: X-Inner\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\nX-Outer: 2\r\nContent-Length: 2\r\n\r\nok"
    said = (b"Connection: X-Mine, Close ,host", b"X-Mine: 1", b"TE: trailers", b"Proxy-Connection: x", b"Keep-Alive: 3", b"X-Kept: 4")
    answer = asked(front, post(b"abc", *said))
    assert set(headers(release.asked[0])) == {b"host", b"x-kept", b"content-length"}
    assert set(headers(answer)) == {b"x-outer", b"content-length", b"connection"}
    assert headers(answer)[b"connection"] == b"close"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", 400),
        (b"Content-Length: 3, 4\r\n", 400),
        (b"Content-Length: +3\r\n", 400),
        (b"Content-Length : 3\r\n", 400),
        (b"Transfer-Encoding: identity\r\n", 400),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 400),
        (b"X: a\r\n Content-Length: 3\r\n", 400),
        (b"X: a\nContent-Length: 3\r\n", 400),
        (b"Host: b\r\n", 400),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(release: Release, front: Front, lines: bytes, says: int) -> None:
    """Or the end of one request would be taken for the next."""
    answer = asked(front, b"POST / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\nabc" + GET)
    assert status(answer) in {says, 400}
    assert answer.count(b"HTTP/1.1 ") == 1
    assert release.asked == []


@pytest.mark.parametrize("host", [b"a b", b"a/b", b"user@a", b"a:b", b"a:1:2", b"a?b", b"[::1", b"\xff"])
def test_a_host_that_is_none_is_refused_here(release: Release, front: Front, host: bytes) -> None:
    """Not by a release, which would be counted for it."""
    assert status(asked(front, b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host)) == 400
    assert release.asked == []


@pytest.mark.parametrize("host", [b"", b"churn.example.org:8080", b"[::1]:8080", b"127.0.0.1", b"a:"])
def test_a_host_is_handed_on(release: Release, front: Front, host: bytes) -> None:
    assert status(asked(front, b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host)) == 200
    assert headers(release.asked[0])[b"host"] == host


@pytest.mark.parametrize(("version", "coding", "says"), [(b"1.1", b"gzip, chunked", 501), (b"1.0", b"chunked", 400), (b"1.1", b"chunked", 200)])
def test_only_what_is_chunked_and_nothing_else_is_read(release: Release, front: Front, version: bytes, coding: bytes, says: int) -> None:
    assert status(asked(front, b"POST / HTTP/%s\r\nHost: a\r\nTransfer-Encoding: %s\r\n\r\n3\r\nabc\r\n0\r\n\r\n" % (version, coding))) == says


@pytest.mark.parametrize(
    "body",
    [b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc", b"3;a\nb\r\nabc\r\n0\r\n\r\n", b" 3\r\nabc\r\n0\r\n\r\n", b"1_0\r\n", b"\r\n"],
)
def test_bad_chunks(release: Release, front: Front, body: bytes) -> None:
    answer = asked(front, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + GET)
    assert (status(answer), answer.count(b"HTTP/1.1 "), release.asked) == (400, 1, [])


@pytest.mark.parametrize("sent", [b"GET /\r\n\r\n", b"GET / HTTP/1.1\n\n", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_is_not_spoken_here(release: Release, front: Front, sent: bytes) -> None:
    assert status(asked(front, sent)) in {400, 501, 505}
    assert release.asked == []


@pytest.mark.parametrize("body", [b"", b"abc"])
@pytest.mark.parametrize("lines", [(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"), (b"Connection: upgrade", b"Upgrade: websocket")])
def test_who_asks_for_another_protocol_is_answered_in_this_one(release: Release, front: Front, lines: tuple[bytes, ...], body: bytes) -> None:
    release.answer = echo
    answer = asked(front, post(body, *lines) + GET)
    assert re.findall(rb"(POST|GET) \S+ HTTP/1.1\|(abc)?", answer) == [(b"POST", body), (b"GET", b"")]
    assert set(headers(release.asked[0])) == {b"host", b"content-length"}


def test_a_body_is_asked_for(release: Release, front: Front) -> None:
    with dial(front) as client:
        client.sendall(post(b"abc", b"Expect: 100-continue")[:-3])
        assert client.recv(1 << 16) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert status(client.recv(1 << 16)) == 200
    assert b"xpect" not in release.asked[0]


# -- what releases answer


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2])
def test_what_comes_before_an_answer_is_none(release: Release, front: Front, interim: bytes) -> None:
    release.answer = lambda _: interim + OK
    answer = asked(front, GET + GET)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"HTTP/1.1") == 2
    assert b"Link" not in answer


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nT: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.0 200 OK\r\n\r\nabcde" + Release.END,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde" + Release.END,
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_body_comes_whole_in_whatever_way_its_end_is_told(release: Release, front: Front, answer: bytes, version: bytes) -> None:
    release.answer = lambda _: answer
    told = asked(front, b"GET / HTTP/%s\r\nHost: a\r\n\r\n" % version)
    assert told.endswith(b"\r\n\r\nabcde")
    assert headers(told)[b"content-length"] == b"5"
    assert b"transfer-encoding" not in headers(told)
    assert b"T:" not in told
    assert headers(told).get(b"connection") == (b"close" if version == b"1.0" else None)


def test_an_old_client_may_keep_its_connection(release: Release, front: Front) -> None:
    answer = asked(front, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
    assert answer.count(b"Connection: keep-alive") == answer.count(b" 200 OK") == 2


@pytest.mark.parametrize("after", [b"", b"0123456789"])
def test_head_tells_a_length_and_no_body(release: Release, front: Front, after: bytes) -> None:
    """Nor is a body that a release should not have sent taken for the next answer."""
    release.answer = lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + after if request.startswith(b"HEAD") else OK
    answer = asked(front, GET.replace(b"GET", b"HEAD") + GET)
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + OK


@pytest.mark.parametrize("said", [b"204 No Content", b"304 Not Modified"])
def test_answers_that_have_no_body(release: Release, front: Front, said: bytes) -> None:
    release.answer = lambda request: b"HTTP/1.1 %s\r\nETag: x\r\n\r\n" % said if b"/none" in request else OK
    assert asked(front, GET.replace(b"/ ", b"/none ") + GET) == b"HTTP/1.1 %s\r\nETag: x\r\n\r\n" % said + OK


@pytest.mark.parametrize(
    "answer",
    [
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc" + Release.END,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc" + Release.END,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        None,
    ],
)
def test_what_is_no_answer(release: Release, front: Front, answer: bytes | None) -> None:
    """The client is told, and may ask again on its connection."""
    release.answer = lambda request: answer if request.startswith(b"POST") else OK
    told = asked(front, post(b"abc") + GET)
    assert [status(told), told.endswith(OK)] == [502, True]


def test_words_that_answer_nothing_are_no_answer(release: Release, front: Front) -> None:
    """What comes after an answer, or while nothing was asked, is not given to who asks next."""
    wrong = OK.replace(b"ok", b"no")
    release.answer = lambda _: OK + wrong
    assert asked(front, GET + GET).count(b"ok") == 2

    def late(_: bytes) -> bytes:
        threading.Timer(0.1, lambda: [each.sendall(wrong) for each in release._open[-1:]]).start()
        return OK

    release.answer = late
    with dial(front) as client:
        client.sendall(GET)
        assert client.recv(1 << 16) == OK
        time.sleep(0.3)
        client.sendall(GET)
        assert client.recv(1 << 16) == OK


def test_an_answer_that_comes_before_all_was_sent(release: Release, front: Front) -> None:
    """A release that refuses a large body reads no more of it: its words are heard, its connection is not asked again."""
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        client, _ = listener.accept()
        client.recv(1000)
        client.sendall(b"HTTP/1.1 413 -\r\nContent-Length: 5\r\n\r\nlarge")
        client.recv(1000)
        time.sleep(0.5)
        client.close()

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    pool = upstream.Pool()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    reply = asyncio.run(pool.ask(address, Request(b"POST", b"/", [(b"Host", b"a")], b"x" * 30_000_000)))
    assert (reply.status, reply.body, pool._idle[address]) == (413, b"large", [])
    listener.close()
    thread.join()


# -- once, and not twice


def test_a_connection_is_kept_for_the_next(release: Release, front: Front) -> None:
    assert asked(front, GET).endswith(OK)
    before = release.connections
    for _ in range(5):
        assert asked(front, post(b"abc")).endswith(OK)
    assert release.connections == before


@pytest.mark.parametrize("method", [b"POST", b"GET"])
def test_a_post_is_never_sent_twice(release: Release, front: Front, method: bytes) -> None:
    """A release that took it, wrote it down and ended without a word has it in its log. What may be repeated is, on a connection of its own."""
    assert asked(front, GET).endswith(OK)
    release.asked.clear()
    said = iter([None, OK])
    release.answer = lambda _: next(said)
    answer = asked(front, post(b"abc").replace(b"POST", method))
    assert (status(answer), len(release.asked)) == ((502, 1) if method == b"POST" else (200, 2))


def test_an_answer_that_broke_off_is_not_asked_for_again(release: Release, front: Front) -> None:
    """The release was at it; only what was closed without a word may not have been begun."""
    assert asked(front, GET).endswith(OK)
    release.asked.clear()
    said = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc" + Release.END, OK])
    release.answer = lambda _: next(said)
    assert (status(asked(front, GET)), len(release.asked)) == (502, 1)


def test_a_connection_that_was_closed_meanwhile_is_not_asked(release: Release, front: Front) -> None:
    """A POST is sent once, on another one, and answered."""
    release.answer = lambda _: OK
    assert asked(front, GET).endswith(OK)
    until(lambda: bool(release._open))
    for _ in range(10):
        for each in release._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        release.asked.clear()
        assert asked(front, post(b"abc")).endswith(OK)
        assert len(release.asked) == 1


def test_an_end_that_has_only_just_come_is_seen(release: Release) -> None:
    """Before a request is sent the socket itself is asked: what the loop was told may be old."""

    async def look() -> list[bool]:
        _, line = await asyncio.get_running_loop().create_connection(upstream.Line, *upstream.parted(release.target.address))
        await line.ask(Request(b"GET", b"/", [(b"Host", b"a")], b""))
        before = line.usable
        release._open[-1].shutdown(socket.SHUT_RDWR)
        time.sleep(0.05)  # noqa: ASYNC251 - the loop is to know nothing of it
        found = [before, line.usable]
        line.close()
        return found

    assert asyncio.run(look()) == [True, False]


def test_connections_that_nobody_uses_are_closed(release: Release, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(front, GET).endswith(OK)
    monkeypatch.setattr(upstream, "_IDLE", 0.0)
    front.loop.call_soon_threadsafe(front.state.tidy)
    until(lambda: not front.state.pool._idle)


def test_a_canary_that_hangs_is_not_waited_for(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one answers soon, and it is counted."""
    monkeypatch.setattr(sharing, "_TRIED", 0.2)
    hanging, free = Release(), threading.Event()
    hanging.answer = lambda _: None if free.wait(10) else None
    canary = msgspec.structs.replace(hanging.target, image="sha256:2")
    with running(tmp_path / "prod", Routes(stable=release.target, canary=canary, share=1.0)) as front:
        began = time.monotonic()
        assert asked(front, post(b"row", target=b"/decide")).endswith(OK)
        assert time.monotonic() - began < 3
        assert front.state.seen is not None
        assert (front.state.seen.canary.errors, len(hanging.asked), len(release.asked)) == (1, 1, 1)
    free.set()
    hanging.end()


# -- routes


def test_routes_that_are_gone_or_bad_change_nothing(release: Release, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "prod"
    with running(place, Routes(stable=release.target)) as front:
        file = tmp_path / "prod.routes"
        good = file.read_bytes()
        applied = front.state.applied
        elsewhere = json.dumps({"stable": {"address": "http://x", "release": 1, "image": ""}}).encode()
        for bad in (None, b"", b"{", b'{"stable": 1}', elsewhere):
            caplog.clear()
            file.unlink()
            if bad is not None:
                file.write_bytes(bad)
            assert [front.state.look() for _ in range(3)] == [False] * 3
            assert (front.state.applied, front.state.routes.stable) == (applied, release.target)
            assert len(caplog.records) == 1
            assert asked(front, GET).endswith(OK)
            file.write_bytes(good)
            assert front.state.look()
        file.write_bytes(good.replace(b'"release":1', b'"release":2'))
        assert front.state.look()
        assert front.state.routes.stable.release == 2


@given(st.binary(max_size=80))
def test_any_bytes_are_requests_or_refused(data: bytes) -> None:
    incoming = Incoming()
    incoming.add(data)
    with contextlib.suppress(Denied):
        assert incoming.next() is None or data.count(b"\r\n\r\n")
