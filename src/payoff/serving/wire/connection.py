"""One connection: uvicorn's protocol, which waits for nobody for ever: not for headers, not for a body that is no longer wanted, not for who does not read."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from payoff.base.text import HOST
from payoff.serving.faults import Wrong
from payoff.serving.wire.server import MOST

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

HEADERS = 10.0  # seconds that a request's headers have to come, from the connection or the first of their bytes on
LARGEST = 64 << 10  # bytes of a request's headers
READING = 15.0  # seconds in which who gets an answer has to make room for the rest of it
LINGER = 5.0  # seconds that the end of an answer has to be taken, once a connection is closed
DEPTH = 64  # requests of a connection that wait for the one before: each takes some kilobytes
_BETWEEN = 4  # bytes that a header has besides its name and its value
_VERSIONS = ("1.0", "1.1")
_TOO_MANY = Wrong("there are too many connections", code="PO-J030", remedy="send it again after the time in Retry-After", status=503, retry=1.0)  # fmt: skip
_HOST = re.compile(HOST)


def _nowhere(_route: str, _status: int, _seconds: float) -> None:
    """Nobody counts."""


class Wire(HttpToolsProtocol):
    """A connection of which each request's headers are bounded in time and size, and its answer in the time that it takes to be read. `most`: connections;
    `answered` counts what is refused here, by route, status and seconds.

    What is no request by RFC 9112 is told so in the form of all other errors. Where a client offers another protocol (RFC 9110, 7.8), as Java's does with its first
    request, it goes on in HTTP/1.1: uvicorn takes such a request's body for that protocol's, and loses it.
    """

    def __init__(
        self, *args: Any, most: int = MOST, answered: Callable[[str, int, float], None] = _nowhere, **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self._most, self._answered = most, answered
        self._patience: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None
        self._came = 0  # bytes since the connection, an answer, the beginning of headers, or the last of a body
        self._heading = self._coming = False  # headers or a body are on their way
        self._again = False  # the parser is told a second time of a request that is known
        self._deaf = False  # nothing of what still comes is looked at
        self._over = False  # the last word was said

    def connection_made(self, transport: Any) -> None:
        """Somebody is there."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.write(_told(_TOO_MANY))
            self._end()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Bytes of headers or of a body."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if self._patience is None and self._between:
            self._wait()
        coming = self._coming
        self._came += len(data)
        try:
            self._read(data)
            if (self._heading or self._coming) and self._came > LARGEST:
                raise _too_large()
        except (httptools.HttpParserError, Wrong) as error:
            self._refuse(error)
        if self.transport.is_closing():
            self._bound()
        elif not self._between or (coming and not self._coming):
            self._settle()
        elif self._came > LARGEST and not self._deaf:
            # Of blank lines; a body that nobody wants any more is bounded in time alone.
            self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._settle()
        self._read_in_time()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The answer waits for who reads it."""
        super().pause_writing()
        if self._reader is None:
            self._reader = self.loop.call_later(READING, self._abort)

    def resume_writing(self) -> None:
        """Enough of it was read."""
        super().resume_writing()
        self._read_in_time()
        if self._over or self.transport.is_closing():
            self._bound()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long."""
        super().timeout_keep_alive_handler()
        self._bound()

    # -- what the parser sees

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._again:
            self._heading, self._came = True, 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Its target."""
        if not self._again:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; those after a body are dropped: nobody asks for them."""
        if not self._coming:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request is known, its body is not."""
        if self._again:
            return
        self._heading = False
        if len(self.pipeline) >= DEPTH:
            raise Wrong(
                f"more than {DEPTH} requests wait on one connection",
                code="PO-J030",
                remedy="ask again on another",
                status=429,
            )
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            raise Wrong("this is another version of HTTP", code="PO-J060", remedy="speak HTTP/1.1", status=505)
        size, hosts = len(self.url), []
        for name, value in self.headers:
            size += len(name) + len(value) + _BETWEEN
            if name == b"host":
                hosts.append(value)
        if size > LARGEST:
            raise _too_large()
        if version == "1.1" if not hosts else len(hosts) > 1 or not _HOST.fullmatch(hosts[0]):
            raise Wrong(
                "a request of HTTP/1.1 names one host",
                code="PO-J060",
                remedy="send one header Host, with a name or an address",
            )
        super().on_headers_complete()
        self._coming = True

    def on_body(self, body: bytes) -> None:
        """Some of a body."""
        self._came = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request came; not where another protocol was offered, and a body is still to come."""
        if self.parser.should_upgrade() and any(value != b"0" for _, value in self._framing()):
            return
        self._coming = False
        super().on_message_complete()

    def _read(self, data: bytes) -> None:
        """Where another protocol is offered the parser stops before the body, and another one takes what comes from there on."""
        rest: bytes | memoryview = data
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offered:
                rest = memoryview(rest)[offered.args[0] :]
                self._go_on()
            else:
                return

    def _go_on(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        if self._coming:
            self._again = True
            self.parser.feed_data(
                b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % each for each in self._framing())
            )
            self._again = False

    def _framing(self) -> list[tuple[bytes, bytes]]:
        return [each for each in self.headers if each[0] in {b"content-length", b"transfer-encoding"}]

    def _refuse(self, error: Exception) -> None:
        """Nobody knows any more where the next request begins: the connection ends, when what came before is answered."""
        wrong = error if isinstance(error, Wrong) else error.__context__
        if not isinstance(wrong, Wrong):
            why = "its target" if isinstance(error, httptools.HttpParserCallbackError) else str(error).lower()
            wrong = Wrong(f"this is no request of HTTP/1.1: {why}", code="PO-J060", remedy="send it as RFC 9112 has it")
        self.logger.warning("A request was refused: %s", wrong.said())
        self._answered("unknown", wrong.status, 0.0)
        self._deaf = True
        if self._coming and (self.cycle.response_started or self.pipeline):
            self._end()
        elif not self._coming and not self._between:
            self.cycle.keep_alive = False  # the last one that came whole
        else:
            if self._coming:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._settle()
            self._over = True
            self.transport.write(_told(wrong))
            # Closed while bytes come, the connection would be cut, and the client might never see this.
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:  # TLS takes what still comes while it says goodbye
                self.transport.close()
            self._bound()

    # -- how long it may take

    def on_response_complete(self) -> None:
        """The answer is written, if not read."""
        super().on_response_complete()
        if self.transport.is_closing():
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

    def _read_in_time(self) -> None:
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


def _too_large() -> Wrong:
    return Wrong(
        f"the headers are larger than {LARGEST:,} bytes",
        code="PO-J061",
        remedy="send fewer or shorter ones",
        status=431,
    )


def _told(wrong: Wrong) -> bytes:
    body = msgspec.json.encode(wrong.document())
    retry = b"" if wrong.retry is None else b"retry-after: %d\r\n" % wrong.retry
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n%bconnection: close\r\ncontent-length: %d\r\n\r\n%b"
        % (
            wrong.status,
            HTTPStatus(wrong.status).phrase.encode(),
            retry,
            len(body),
            body,
        )
    )
