"""The process: HTTP/1.1 comes in, goes to the release that runs or to the one that is tried, and what came of it is counted.

Started with the path of a deployment's files, of which `.routes` is read again whenever it is changed and `.front` and `.seen` are written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httptools
import msgspec

from payoff.adapters.fronts.proxy.upstream import Gone, Pool, Reply
from payoff.base import hashing
from payoff.base.clock import now, stopwatch
from payoff.base.files import write_atomically
from payoff.ports.releasing.front import Routes, Target
from payoff.records.release.canary import Arm, Seen

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

LARGEST = 64 << 20  # bytes of a body
_HEAD = 64 << 10
_IDLE = 75.0  # seconds that a connection may say nothing
_LOOK = 0.05  # seconds between two looks at the routes
_SHADOWS = 32  # copies under way at once; beyond that, a copy is left out
_DRAIN = 30.0
_DROPPED = {
    b"connection",
    b"keep-alive",
    b"transfer-encoding",
    b"content-length",
    b"expect",
    b"upgrade",
    b"proxy-connection",
    b"te",
}


def beside(place: Path, ending: str) -> Path:
    """One of a deployment's files; a name may have a point in it."""
    return place.with_name(place.name + ending)


class State:
    """What all connections share."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.pool = Pool()
        self.under_way = 0
        self.quiet = asyncio.Event()
        self.quiet.set()
        self.shadows: set[asyncio.Task[None]] = set()
        self.applied = ""
        self.seen: Seen | None = None
        self._written = b""
        self.routes = self.read()

    def read(self) -> Routes:
        """The routes as the file has them now."""
        content = beside(self.place, ".routes").read_bytes()
        self.applied = hashing.of_bytes(content)
        self.routes = msgspec.json.decode(content, type=Routes)
        self._begin()
        return self.routes

    def _begin(self) -> None:
        """What was seen counts as long as the same two are compared in the same way."""
        routes = self.routes
        if routes.canary is None:
            self.seen = None
            beside(self.place, ".seen").unlink(missing_ok=True)
            return
        if self.seen is None:
            with contextlib.suppress(OSError, msgspec.DecodeError):
                self.seen = msgspec.json.decode(beside(self.place, ".seen").read_bytes(), type=Seen)
        seen = self.seen
        same = seen and (seen.mode, seen.stable.image, seen.canary.image)
        if same != (routes.mode, routes.stable.image, routes.canary.image):
            arms = [Arm(release=each.release, image=each.image) for each in (routes.stable, routes.canary)]
            self.seen = Seen(since=now(), mode=routes.mode, stable=arms[0], canary=arms[1])

    def count(self, change: int) -> None:
        """A request came, or is answered."""
        self.under_way += change
        if self.under_way:
            self.quiet.clear()
        else:
            self.quiet.set()

    def write(self) -> None:
        """What was seen, when there is more."""
        content = msgspec.json.encode(self.seen) if self.seen else b""
        if content and content != self._written:
            write_atomically(beside(self.place, ".seen"), content)
            self._written = content

    def chosen(self, body: bytes) -> bool:
        """Whether a request is of the share that the canary gets."""
        routes = self.routes
        if routes.canary is None or not body:
            return False
        return int(hashing.of_bytes(body)[:13], 16) / 16**13 < routes.share


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other; while one is under way nothing more is read."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._parser = httptools.HttpRequestParser(self)
        self._idle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._clear()

    def _clear(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._head = 0

    # -- asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a server of sockets makes no other
        self._transport = transport
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._wait()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._say(501, "nothing is upgraded here")
        except httptools.HttpParserError as error:
            ours = error.__context__
            self._say(*((ours.status, ours.why) if isinstance(ours, Gone) else (400, "this is no HTTP/1.1")))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; nobody waits for the answer."""
        if self._idle:
            self._idle.cancel()
        if self._task:
            self._task.cancel()

    def _wait(self) -> None:
        if self._idle:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(_IDLE, self._late)

    def _late(self) -> None:
        if self._task is None:
            self._transport.close()

    # -- the parser's

    def on_url(self, url: bytes) -> None:
        """Some of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._head += len(name) + len(value)
        if self._head > _HEAD:
            raise Gone(431, "the headers are too large")
        if name.lower() == b"expect" and value.lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._size += len(body)
        if self._size > LARGEST:
            raise Gone(413, f"a body has at most {LARGEST} bytes")
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """A request is whole: nothing further is read before it is answered."""
        body = b"".join(self._pieces)
        lines = [b"%s: %s\r\n" % each for each in self._headers if each[0].lower() not in _DROPPED]
        head = b"%s %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n" % (
            self._parser.get_method(), self._url, b"".join(lines), len(body),
        )  # fmt: skip
        decides = self._url.partition(b"?")[0].endswith(b"/decide")
        keep = self._parser.should_keep_alive()
        self._clear()
        self._transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._answer(head, body, keep=keep, decides=decides))

    async def _answer(self, head: bytes, body: bytes, *, keep: bool, decides: bool) -> None:
        self._state.count(+1)
        try:
            reply = await handle(self._state, head, body, decides=decides)
            self._transport.write(reply.raw)
            if not keep or not reply.keep:
                self._transport.close()
        except Gone as error:
            self._say(error.status, error.why)
        finally:
            self._state.count(-1)
            self._task = None
            if not self._transport.is_closing():
                self._wait()
                self._transport.resume_reading()

    def _say(self, status: int, why: str) -> None:
        body = json.dumps({"error": why}).encode()
        self._transport.write(
            b"HTTP/1.1 %d -\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
            % (status, len(body), body)
        )
        self._transport.close()


async def handle(state: State, head: bytes, body: bytes, *, decides: bool) -> Reply:
    """The answer to a request. One that the canary does not give, the other one gives: a client never pays for what is tried."""
    routes, seen = state.routes, state.seen
    chosen = state.chosen(body)
    if routes.canary is not None and seen is not None and chosen and routes.mode == "canary":
        with contextlib.suppress(Gone):
            reply = await ask(state, routes.canary, seen.canary, head, body, decides=decides)
            if reply.status < 500:
                return reply
        return await ask(state, routes.stable, None, head, body, decides=False)
    counted = seen.stable if seen is not None and body and (chosen or routes.mode == "canary") else None
    reply = await ask(state, routes.stable, counted, head, body, decides=decides)
    if routes.canary is not None and seen is not None and chosen and len(state.shadows) < _SHADOWS:
        task = asyncio.get_running_loop().create_task(
            shadow(state, routes.canary, seen, head, body, payoffs(reply) if decides else [])
        )
        state.shadows.add(task)
        task.add_done_callback(state.shadows.discard)
    return reply


async def shadow(state: State, target: Target, seen: Seen, head: bytes, body: bytes, said: list[float]) -> None:
    """Ask the one that is tried as well, for nobody but the count."""
    with contextlib.suppress(Gone):
        reply = await ask(state, target, seen.canary, head, body, decides=bool(said))
        others = payoffs(reply) if said else []
        if len(others) == len(said):
            for one, other in zip(said, others, strict=True):
                seen.pairs.add(other - one)


async def ask(state: State, target: Target, arm: Arm | None, head: bytes, body: bytes, *, decides: bool) -> Reply:
    """Ask one of the two, and count what came of it."""
    began = stopwatch()
    try:
        reply = await state.pool.ask(target.address, head, body)
    except Gone:
        if arm is not None:
            arm.answered(stopwatch() - began, failed=True)
        raise
    if arm is not None:
        arm.answered(stopwatch() - began, failed=reply.status >= 500)
        for each in payoffs(reply) if decides else ():
            arm.payoff.add(each)
    return reply


def payoffs(reply: Reply) -> list[float]:
    """The expected payoffs that an answer of `/decide` tells; none when it is another answer."""
    try:
        return (
            [float(each["expected_payoff"]) for each in json.loads(reply.body)["decisions"]]
            if reply.status == 200
            else []
        )
    except (ValueError, KeyError, TypeError):
        return []


async def main(place: Path, host: str, port: int) -> None:
    """Serve until it is told to end; what is under way is answered."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, ended.set)
    state = State(place)
    server = await loop.create_server(lambda: Connection(state), host, port, backlog=1024)
    bound = server.sockets[0].getsockname()[1]
    shown = f"[{host}]" if ":" in host else host

    def tell() -> None:
        said = {
            "pid": os.getpid(),
            "address": f"http://{shown}:{bound}",
            "applied": state.applied,
            "options": {"host": host, "port": port},
        }
        write_atomically(beside(place, ".front"), json.dumps(said).encode())

    tell()
    changed, since = _changed(place), stopwatch()
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _LOOK)
        if (found := _changed(place)) != changed:
            changed = found
            state.read()
            tell()
        if stopwatch() - since > 0.5:
            since = stopwatch()
            state.write()
    server.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN):
            await state.quiet.wait()
            await asyncio.gather(*state.shadows, return_exceptions=True)
    state.write()


def _changed(place: Path) -> tuple[int, int]:
    said = beside(place, ".routes").stat()
    return said.st_mtime_ns, said.st_ino


def start(words: list[str]) -> Coroutine[Any, Any, None]:
    """The arguments: the files' path without its ending, the host, the port."""
    return main(Path(words[0]), words[1], int(words[2]))


if __name__ == "__main__":
    asyncio.run(start(sys.argv[1:]))
