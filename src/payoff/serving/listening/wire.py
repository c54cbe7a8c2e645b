"""One connection: uvicorn's protocol, which waits for nobody for ever: not for headers, not for a body that is no longer wanted, not for who does not read."""

from __future__ import annotations

import contextlib
import resource
import sys
from typing import TYPE_CHECKING, Any

import uvicorn

try:
    import uvloop

    LOOP: Any = uvloop.new_event_loop
except ImportError:
    LOOP = None

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

HEADERS = 10.0  # seconds that a request's headers have to come, from the connection or the first of their bytes on
LARGEST = 64 << 10  # bytes of a request's headers
READING = 15.0  # seconds in which who gets an answer has to make room for the rest of it
LINGER = 5.0  # seconds that the end of an answer has to be taken, once a connection is closed
MOST = 4096  # connections
_SPARE = 100  # files that are no connections: the log, the model's sockets, what libraries open
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s"
)
_TOO_MANY = b'{"error":"PO-J030: there are too many connections","code":"PO-J030","try":"send it again after the time in Retry-After"}'

try:  # compiled, and three times as fast
    import httptools
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class _Protocol(HttpToolsProtocol):
        """Knows whether a body is coming, and goes on in HTTP/1.1 where a client offers another protocol (RFC 9110, 7.8), as Java's does with its first request: uvicorn
        takes such a request's body for that protocol's, and loses it.
        """

        coming = False
        _rest = b""  # what the parser was given last
        _again = False  # the parser is told a second time of a request that is known

        def data_received(self, data: bytes) -> None:
            """Bytes."""
            self._rest = data
            super().data_received(data)

        def _should_upgrade(self) -> bool:
            return False

        def _unsupported_upgrade_warning(self) -> None:
            """The parser has stopped before the body: another one takes what comes from there on."""
            error = sys.exc_info()[1]
            rest = self._rest[error.args[0] :] if isinstance(error, httptools.HttpParserUpgrade) else b""
            self.parser = httptools.HttpRequestParser(self)
            if self.coming:
                self._again = True
                self.parser.feed_data(
                    b"POST / HTTP/1.1\r\n%s\r\n" % b"".join(b"%s: %s\r\n" % each for each in self._framing())
                )
                self._again = False
            if rest:
                _Protocol.data_received(self, rest)

        def _framing(self) -> list[tuple[bytes, bytes]]:
            return [each for each in self.headers if each[0] in {b"content-length", b"transfer-encoding"}]

        def on_message_begin(self) -> None:
            """A request begins."""
            if not self._again:
                super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            """Its target."""
            if not self._again:
                super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            """A header; those after a body are dropped: nobody asks for them, and nobody says how many may come."""
            if not self.coming:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            """A request is known, its body is not."""
            if not self._again:
                self.coming = True
                super().on_headers_complete()

        def on_message_complete(self) -> None:
            """All of a request came; not where another protocol was offered, and a body is still to come."""
            if self.parser.should_upgrade() and any(value != b"0" for _, value in self._framing()):
                return
            self.coming = False
            super().on_message_complete()

except ImportError:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class _Protocol(H11Protocol):  # type: ignore[no-redef]
        """Knows whether a body is coming."""

        @property
        def coming(self) -> bool:
            """So the parser says."""
            return repr(self.conn.their_state) == "SEND_BODY"


class Server(uvicorn.Server):
    """Leaves signals to who started it: the model's processes end after the last answer."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


def most_connections() -> int:
    """As many as there may be open files, at most `MOST`; the limit of this process is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft - _SPARE))


class Wire(_Protocol):
    """A connection of which each request's headers are bounded in time and size, and its answer in the time that it takes to be read."""

    def __init__(self, *args: Any, most: int = MOST, **more: Any) -> None:
        super().__init__(*args, **more)
        self._most = most
        self._patience: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        self._came = 0

    def connection_made(self, transport: Any) -> None:
        """Somebody is there."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.write(_FULL % (len(_TOO_MANY), _TOO_MANY))
            self._end()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Bytes of headers or of a body."""
        if self._patience is None and self._between:
            self._wait()
        self._came += len(data)
        rest = self.coming
        super().data_received(data)
        if self.transport.is_closing():
            self._bound()
        elif not self._between or (rest and not self.coming):
            self._settle()
        elif self._came > LARGEST and not self.coming:  # a body that nobody wants any more is bounded in time alone
            self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._settle()
        self._read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The answer waits for who reads it."""
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(READING, self._abort)

    def resume_writing(self) -> None:
        """Enough of it was read."""
        super().resume_writing()
        self._read()
        if self.transport.is_closing():
            self._bound()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long."""
        super().timeout_keep_alive_handler()
        self._bound()

    @property
    def _between(self) -> bool:
        """Whether no request is under way: then what comes are headers, or the rest of a body that was answered before it was there."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait(self) -> None:
        self._came = 0
        self._patience = self.loop.call_later(HEADERS, self._give_up)

    def _settle(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _read(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    def _give_up(self) -> None:
        self._settle()
        if self.transport is not None and not self.transport.is_closing() and self._between:
            self._end()

    def _end(self) -> None:
        self.transport.close()
        self._bound()

    def _bound(self) -> None:
        """A transport that is closed waits for its last bytes to be taken; not for ever."""
        if self._reader is None:
            self._reader = self.loop.call_later(LINGER, self._abort)

    def _abort(self) -> None:
        self._reader = None
        self.transport.abort()
