"""The contract suite of fronts.

Inherit it in a test file and name the adapter; pytest does the rest:

    class TestMyFront(FrontSuite):
        adapter = "payoff.fronts:mine"
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.ports.releasing.front import Routes, Target
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from payoff.ports.releasing.front import Front
    from payoff.records.release.canary import Seen

NAME = "suite.prod"


def connect(adapter: str, root: Path, options: dict[str, Any]) -> Front:
    """The front that an entry point `group:name` leads to."""
    group, _, name = adapter.partition(":")
    module: Any = entry_points.load(group, name)
    made: Front = module.connect(root, module.Options(**options))
    return made


class Release:
    """A running release: it says its number and what it was asked, and `/decide` that each row brings `worth`."""

    def __init__(self, number: int, worth: Any = 1.0) -> None:
        self.number, self.worth, self.status, self.slow = number, worth, 200, 0.0
        self.asked: list[bytes] = []
        self.rows = b""  # instead of those that it was asked
        release = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = (
                True  # an answer is two writes; on a kept connection the second would wait for 40 ms
            )

            def do_GET(self) -> None:
                self.reply({"release": release.number}, release.status)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = release.status  # as it is when it is asked: a test that sees that it was may change it
                release.asked.append(body)
                time.sleep(release.slow)
                told = {"release": release.number, "bytes": len(body), "token": self.headers.get("Authorization", "")}
                if self.path == "/decide":
                    told["decisions"] = [{"expected_payoff": release.worth}] * (release.rows or body).count(b"row")
                self.reply(told, status)

            def reply(self, told: dict[str, Any], status: int) -> None:
                body = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                return

            def setup(self) -> None:
                release._open.append(self.request)
                super().setup()

        self._open: list[socket.socket] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def target(self) -> Target:
        """As routes name it."""
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        return Target(address=address, release=self.number, image=f"sha256:{self.number:064x}")

    def end(self) -> None:
        """It is gone, and with it the connections that it kept."""
        self._server.shutdown()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()


def ask(address: str, path: str = "/", body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and answer, on a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)) as connection:
        connection.request("GET" if body is None else "POST", path, body, headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())


def until(true: Callable[[], bool]) -> None:
    """Wait, but not for ever."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def counted(front: Front, requests: int) -> Seen:
    """What was seen when the canary was asked so often."""
    found: list[Seen] = []

    def there() -> bool:
        seen = front.seen(NAME)
        if seen is not None and seen.canary.requests == requests:
            found.append(seen)
        return bool(found)

    until(there)
    return found[0]


class FrontSuite:
    """What every front promises."""

    adapter: ClassVar[str]

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Options to connect with."""
        return {}

    @pytest.fixture
    def front(self, tmp_path: Path, options: dict[str, Any]) -> Iterator[Front]:
        """The front; it does not run afterwards."""
        made = connect(self.adapter, tmp_path, options)
        yield made
        made.stop(NAME)

    @pytest.fixture
    def releases(self) -> Iterator[Callable[..., Release]]:
        """As many as wanted."""
        made: list[Release] = []

        def make(*words: Any) -> Release:
            made.append(Release(*words))
            return made[-1]

        yield make
        for each in made:
            with contextlib.suppress(OSError):
                each.end()

    def test_one_address_whichever_release_runs(
        self, front: Front, releases: Callable[..., Release], tmp_path: Path, options: dict[str, Any]
    ) -> None:
        """Nobody who asks meanwhile notices; another program sees the same."""
        first, second = releases(1), releases(2)
        assert front.routes(NAME) is None
        address = front.route(NAME, Routes(stable=first.target))
        assert ask(address) == (200, {"release": 1})
        status, told = ask(address, "/invocations", b"abc", Authorization="Bearer x")
        assert (status, told) == (200, {"release": 1, "bytes": 3, "token": "Bearer x"})
        said: list[int] = []
        ended = threading.Event()

        def asks() -> None:
            while not ended.is_set():
                said.append(ask(address)[1]["release"])

        thread = threading.Thread(target=asks)
        thread.start()
        until(lambda: len(said) > 20)
        other = connect(self.adapter, tmp_path, options)
        assert other.routes(NAME) == Routes(stable=first.target)
        assert other.route(NAME, Routes(stable=second.target)) == address
        first.end()
        seen = len(said)
        until(lambda: len(said) > seen + 20)
        ended.set()
        thread.join()
        assert said == sorted(said)
        assert {said[0], said[-1]} == {1, 2}
        front.stop(NAME)
        assert front.routes(NAME) is None
        with pytest.raises(OSError, match=r"refused|reset"):
            ask(address)
        front.stop(NAME)

    def test_a_share_goes_to_the_canary(self, front: Front, releases: Callable[..., Release]) -> None:
        """About that share; the same body always to the same; what both should bring is added up."""
        stable, canary = releases(1, 2.0), releases(2, 3.0)
        routes = Routes(stable=stable.target, canary=canary.target, share=0.25)
        address = front.route(NAME, routes)
        bodies = [b"row row %d" % n for n in range(400)]
        first = {body: ask(address, "/decide", body)[1]["release"] for body in bodies}
        assert {body: ask(address, "/decide", body)[1]["release"] for body in bodies[:50]} == {
            body: first[body] for body in bodies[:50]
        }
        tried = sum(each == 2 for each in first.values())
        assert 60 < tried < 140  # 400 at 0.25: 100, and 4.6 standard deviations to each side
        assert {ask(address)[1]["release"] for _ in range(20)} == {1}, "what has no body is no part of it"
        until(lambda: (found := front.seen(NAME)) is not None and found.stable.requests + found.canary.requests == 450)
        seen = front.seen(NAME)
        assert seen is not None
        assert (seen.canary.payoff.mean, seen.stable.payoff.mean) == (3.0, 2.0)
        assert seen.canary.payoff.count == 2 * seen.canary.requests >= 2 * tried
        assert (seen.stable.errors, seen.canary.errors) == (0, 0)
        assert (seen.stable.release, seen.canary.image) == (1, canary.target.image)
        assert sum(seen.canary.latency.values()) == seen.canary.requests

        front.route(NAME, Routes(stable=stable.target, canary=canary.target, share=0.9))
        again = front.seen(NAME)
        assert again is not None
        assert again.canary.requests == seen.canary.requests, "another share of the same two goes on"
        front.route(NAME, Routes(stable=stable.target, canary=releases(3).target, share=0.9))
        until(lambda: (found := front.seen(NAME)) is None or found.canary.requests == 0)
        front.route(NAME, Routes(stable=stable.target))
        until(lambda: front.seen(NAME) is None)

    @pytest.mark.parametrize("how", ["fails", "is gone"])
    def test_no_client_pays_for_a_canary(self, front: Front, releases: Callable[..., Release], how: str) -> None:
        """What it does not answer well the other answers; it is counted."""
        stable, canary = releases(1), releases(2)
        address = front.route(NAME, Routes(stable=stable.target, canary=canary.target, share=1.0))
        assert ask(address, "/decide", b"row")[1]["release"] == 2
        if how == "fails":
            canary.status = 500
        else:
            canary.end()
        for n in range(5):
            status, told = ask(address, "/decide", b"row %d" % n)
            assert (status, told["release"]) == (200, 1)
        until(lambda: (found := front.seen(NAME)) is not None and found.canary.errors == 5)

    @pytest.mark.parametrize("worth", [math.nan, -math.inf, 1e200, pytest.param(10**400, id="long"), "3.0", True])
    def test_payoffs_that_are_no_numbers(self, front: Front, releases: Callable[..., Release], worth: Any) -> None:
        """Whoever tells them fails: the other one answers, and what was added up stays a number."""
        stable, canary = releases(1, 2.0), releases(2, worth)
        routes = Routes(stable=stable.target, canary=canary.target, share=1.0)
        address = front.route(NAME, routes)
        for n in range(3):
            assert ask(address, "/decide", b"row %d" % n)[1]["release"] == 1
        canary.worth = 3.0
        assert ask(address, "/decide", b"row")[1]["release"] == 2
        seen = counted(front, 4)
        assert (seen.canary.errors, seen.canary.payoff.count, seen.canary.payoff.mean) == (3, 1, 3.0)

        canary.worth, shadows = worth, Routes(stable=stable.target, canary=canary.target, share=1.0, mode="shadow")
        front.route(NAME, shadows)
        assert ask(address, "/decide", b"row")[1]["release"] == 1
        until(lambda: (found := front.seen(NAME)) is not None and found.canary.errors == 1)
        stable.worth, canary.worth = worth, 3.0
        assert ask(address, "/decide", b"row 2")[0] == 200, "nobody else could answer"
        seen = counted(front, 2)
        assert (seen.stable.errors, seen.canary.errors) == (1, 1)
        assert (seen.stable.payoff.count, seen.canary.payoff.count, seen.pairs.count) == (1, 1, 0)

    def test_payoffs_that_nobody_knows(self, front: Front, releases: Callable[..., Release]) -> None:
        """Null is what a model says that names a quantity itself: it does not fail, and there is nothing to add up."""
        canary = releases(2, None)
        address = front.route(NAME, Routes(stable=releases(1).target, canary=canary.target, share=1.0))
        assert ask(address, "/decide", b"row row")[1]["release"] == 2
        seen = counted(front, 1)
        assert (seen.canary.errors, seen.canary.payoff.count) == (0, 0)

    @pytest.mark.parametrize("path", ["/decide", "/invocations"])
    @pytest.mark.parametrize("mode", ["canary", "shadow"])
    def test_a_canary_that_refuses_what_the_other_takes_fails(
        self, front: Front, releases: Callable[..., Release], mode: Any, path: str
    ) -> None:
        """Its contract is narrower than clients were promised. What both refuse is the client's fault."""
        stable, canary = releases(1, 2.0), releases(2, 3.0)
        address = front.route(NAME, Routes(stable=stable.target, canary=canary.target, share=1.0, mode=mode))
        fails, does_not = [(422, 200), (429, 200), (500, 422), (302, 200)], [(422, 400), (404, 404), (200, 200)]
        for asked, (its, others) in enumerate([*fails, *does_not], 1):
            canary.status, stable.status = its, others
            told = ask(address, path, b"row %d" % asked)
            assert told[0] == others
            assert told[1]["release"] == (2 if mode == "canary" and its == 200 else 1)
            while len(canary.asked) < asked:  # a shadow is asked after the answer
                time.sleep(0.01)
            if asked == len(fails):
                assert counted(front, asked).canary.errors == len(fails)
        seen = counted(front, len(fails) + len(does_not))
        assert (seen.canary.errors, seen.stable.errors) == (len(fails), 0)
        assert (seen.canary.refused, seen.stable.refused) == (4, 3 if mode == "shadow" else 0)
        assert seen.canary.payoff.count == (1 if path == "/decide" else 0)

    def test_where_the_other_fails_a_refusal_is_nobodys_fault(
        self, front: Front, releases: Callable[..., Release]
    ) -> None:
        """And better heard than an error."""
        stable, canary = releases(1), releases(2)
        address = front.route(NAME, Routes(stable=stable.target, canary=canary.target, share=1.0))
        stable.status, canary.status = 503, 422
        assert ask(address, "/decide", b"row")[0] == 422
        stable.end()
        assert ask(address, "/decide", b"row")[0] == 422
        seen = counted(front, 2)
        assert (seen.canary.errors, seen.canary.refused) == (0, 2)

    def test_fewer_decisions_than_the_other_makes(self, front: Front, releases: Callable[..., Release]) -> None:
        """A shadow that leaves rows out fails; nothing of it is compared."""
        stable, shadow = releases(1, 2.0), releases(2, 3.0)
        shadow.rows = b"row row"
        address = front.route(NAME, Routes(stable=stable.target, canary=shadow.target, share=1.0, mode="shadow"))
        ask(address, "/decide", b"row row row")
        until(lambda: (found := front.seen(NAME)) is not None and found.canary.errors == 1)
        seen = front.seen(NAME)
        assert seen is not None
        assert seen.pairs.count == seen.canary.payoff.count == 0

    def test_who_goes_away_is_counted(self, front: Front, releases: Callable[..., Release]) -> None:
        """A canary that is so slow that nobody waits for it is seen to be."""
        canary = releases(2)
        canary.slow = 1.0
        address = front.route(NAME, Routes(stable=releases(1).target, canary=canary.target, share=1.0))
        host, _, port = address.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"POST /decide HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nrow")
            until(lambda: bool(canary.asked))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        seen = counted(front, 1)
        assert max(seen.canary.latency) > 70, "a second"

    def test_requests_in_one_segment_are_answered_in_order(
        self, front: Front, releases: Callable[..., Release]
    ) -> None:
        """RFC 9112, 9.3.2."""
        address = front.route(NAME, Routes(stable=releases(1).target))
        host, _, port = address.removeprefix("http://").rpartition(":")
        sent = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(sent)
            with connection.makefile("rb") as stream:
                told = stream.read()
        assert told.count(b"HTTP/1.1 200 ") == 2
        assert told.index(b'"bytes": 3') < told.rindex(b"HTTP/1.1 200 ")

    def test_a_shadow_is_asked_and_never_heard(self, front: Front, releases: Callable[..., Release]) -> None:
        """Its answers are compared row by row; that it is slow, nobody feels."""
        stable, shadow = releases(1, 2.0), releases(2, 2.5)
        shadow.slow = 0.5
        address = front.route(NAME, Routes(stable=stable.target, canary=shadow.target, share=1.0, mode="shadow"))
        began = time.monotonic()
        for n in range(5):
            assert ask(address, "/decide", b"row row %d" % n)[1]["release"] == 1
        assert time.monotonic() - began < 2.5
        until(lambda: (found := front.seen(NAME)) is not None and found.pairs.count == 10)
        seen = front.seen(NAME)
        assert seen is not None
        assert (seen.pairs.mean, seen.canary.requests, seen.mode) == (0.5, 5, "shadow")
        assert sorted(shadow.asked) == sorted(stable.asked)

    def test_what_is_under_way_is_answered(self, front: Front, releases: Callable[..., Release]) -> None:
        """When the routes change, and when the front is told to end."""
        first, second = releases(1), releases(2)
        first.slow = second.slow = 1.0
        address = front.route(NAME, Routes(stable=first.target))
        told: list[int] = []
        threads = [
            threading.Thread(target=lambda: told.append(ask(address, "/decide", b"row")[1]["release"])) for _ in "12"
        ]
        threads[0].start()
        until(lambda: len(first.asked) == 1)
        front.route(NAME, Routes(stable=second.target))
        threads[1].start()
        until(lambda: len(second.asked) == 1)
        front.stop(NAME)
        for each in threads:
            each.join()
        assert sorted(told) == [1, 2]

    def test_no_release_answers(self, front: Front, releases: Callable[..., Release]) -> None:
        """The client is told, and the front goes on."""
        first = releases(1)
        address = front.route(NAME, Routes(stable=first.target))
        first.end()
        assert ask(address)[0] == 502
        assert ask(front.route(NAME, Routes(stable=releases(2).target)))[1] == {"release": 2}

    @pytest.mark.parametrize(
        "sent",
        [
            b"\x16\x03\x01 no HTTP at all\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (1 << 20),
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 100,
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            b"GET / HTTP/1.1\r\n\r\n",
        ],
    )
    def test_bad_bytes_end_one_connection(self, front: Front, releases: Callable[..., Release], sent: bytes) -> None:
        """And nothing else."""
        address = front.route(NAME, Routes(stable=releases(1).target))
        host, _, port = address.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection, contextlib.suppress(OSError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert b" 200 " not in connection.recv(1 << 16)
        assert ask(address) == (200, {"release": 1})
