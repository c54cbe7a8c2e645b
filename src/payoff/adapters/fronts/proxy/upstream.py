"""Connections to releases, kept open between requests."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections import defaultdict
from typing import TYPE_CHECKING

import httptools

from payoff.adapters.fronts.proxy.messages import Gone, Headers, Reply, options
from payoff.base.clock import stopwatch

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from payoff.adapters.fronts.proxy.messages import Request

SECONDS = 60.0  # that an answer may take
_KEPT = 64  # idle connections to one release
_IDLE = 30.0  # seconds that they are kept: less than a release keeps them (75), so that it is not the one that closes
_LARGEST = 256 << 20  # bytes of an answer


class _Unheard(Gone):
    """The connection was closed before a byte of an answer came."""


def parted(address: str) -> tuple[str, int]:
    """Host and port. Raises ValueError."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    return host.strip("[]"), int(port)


class Line(asyncio.Protocol):
    """One connection to a release: a question at a time, each with a parser of its own."""

    def __init__(self) -> None:
        self.open = False
        self.since = 0.0
        self._answer: asyncio.Future[Reply] | None = None

    def ask(self, request: Request) -> asyncio.Future[Reply]:
        """Send a request; its answer, or `Gone`, comes later."""
        self._parser = httptools.HttpResponseParser(self)
        self._head_only = request.method == b"HEAD"
        self._size = 0
        self._status = 0
        self._reason, self._headers, self._body = b"", Headers(), bytearray()
        self._headed = self._done = self._more = self._to_the_end = False
        self._answer = asyncio.get_running_loop().create_future()
        if self.open:
            self._transport.write(request.raw())
        else:
            self._answer.set_exception(_Unheard(502, "the release closed the connection"))
        return self._answer

    @property
    def usable(self) -> bool:
        """Whether it may be asked: it was not idle for long, and there is nothing to read, neither an end nor words that answer nothing."""
        if not self.open or stopwatch() - self.since > _IDLE or self._transport.is_closing():
            return False
        waiting = select.poll()
        waiting.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not waiting.poll(0)

    def close(self) -> None:
        """Nothing is asked here any more."""
        self.open = False
        self._transport.abort()

    # -- asyncio's

    def connection_made(self, transport: Any) -> None:
        """It is there."""
        self._transport: asyncio.Transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        """Some of an answer; where nothing was asked, it is none."""
        answer = self._answer
        if answer is None or answer.done():
            self.close()
            return
        self._size += len(data)
        try:
            self._parser.feed_data(data)
            if self._size > _LARGEST:
                self._fail(answer, Gone(502, "the release's answer is too large"))
            elif self._done:
                self._finish(answer)
        except httptools.HttpParserUpgrade:
            self._fail(answer, Gone(502, "the release speaks another protocol than it was asked to"))
        except httptools.HttpParserError as error:
            ours = error.__context__
            if self._done:
                self._more = True
                self._finish(answer)
            else:
                self._fail(answer, ours if isinstance(ours, Gone) else Gone(502, "the release's answer is no HTTP/1.1"))

    def eof_received(self) -> None:
        """It says nothing more: the end of an answer that has no other."""
        answer = self._answer
        if self._to_the_end and answer is not None and not answer.done():
            self._finish(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is no more."""
        self.open = False
        if self._answer is not None and not self._answer.done():
            gone = Gone if self._size else _Unheard
            self._answer.set_exception(
                gone(502, "the release broke off its answer" if self._size else "the release closed the connection")
            )

    def _fail(self, answer: asyncio.Future[Reply], gone: Gone) -> None:
        self.close()
        answer.set_exception(gone)

    def _finish(self, answer: asyncio.Future[Reply]) -> None:
        """The answer is whole. The connection goes on if both sides know that, and the request was read to its end."""
        named = options(self._headers)
        keeps = b"close" not in named and (self._parser.get_http_version() == "1.1" or b"keep-alive" in named)
        ends = not (self._more or self._head_only or self._transport.get_write_buffer_size())
        if keeps and ends:
            self.since = stopwatch()
        else:
            self.close()
        answer.set_result(Reply(self._status, self._reason, self._headers, bytes(self._body)))

    # -- the parser's

    def on_message_begin(self) -> None:
        """An answer begins; after the one that was asked for, none should."""
        self._more |= self._done
        if not self._done:
            self._reason, self._headers = b"", Headers()

    def on_status(self, reason: bytes) -> None:
        """Some of the words after the status."""
        if not self._done:
            self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; those after a body are not handed on."""
        if not self._headed:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; to HEAD it is all that comes."""
        if self._done:
            return
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        self._headed = True
        named = {name.lower(): value.strip().lower() for name, value in self._headers}
        if named.get(b"transfer-encoding", b"chunked") != b"chunked":
            raise Gone(502, "the release's answer is encoded in a way that is not handed on")
        self._done = self._head_only
        told = self._status in {204, 304} or b"transfer-encoding" in named or b"content-length" in named
        self._to_the_end = not (self._done or told)

    def on_body(self, body: bytes) -> None:
        """Some of the body; what follows an answer to HEAD is none."""
        if self._done:
            self._more = True
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """An answer is whole; one of 100 to 199 is not yet the answer."""
        if self._status >= 200:
            self._done = True


class Pool:
    """Connections by address."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Line]] = defaultdict(list)

    async def ask(self, address: str, request: Request, seconds: float = SECONDS) -> Reply:
        """Send a request, read its answer. Raises `Gone`.

        On a connection that was kept, and that the other side closes without a word, a request is sent again only when twice is the same as once: a model that
        wrote a POST into its log, and ended, must not find it there twice (RFC 9110, 9.2.2).
        """
        try:
            async with asyncio.timeout(seconds):
                while (kept := self._kept(address)) is not None:
                    with contextlib.suppress(*([_Unheard] if request.again else [])):
                        return await self._once(address, kept, request)
                host, port = parted(address)
                _, fresh = await asyncio.get_running_loop().create_connection(Line, host, port)
                return await self._once(address, fresh, request)
        except TimeoutError:
            raise Gone(504, f"the release did not answer within {seconds:.3g} seconds") from None
        except OSError:
            raise Gone(502, "the release cannot be reached") from None

    def tidy(self, addresses: Collection[str]) -> None:
        """Close what was idle for long, and what leads to none of these."""
        for address, lines in [*self._idle.items()]:
            for line in [*lines]:
                if address not in addresses or not line.usable:
                    line.close()
                    lines.remove(line)
            if not lines:
                del self._idle[address]

    def _kept(self, address: str) -> Line | None:
        lines = self._idle[address]
        while lines:
            line = lines.pop()
            if line.usable:
                return line
            line.close()
        return None

    async def _once(self, address: str, line: Line, request: Request) -> Reply:
        done = False
        try:
            reply = await line.ask(request)
            done = True
            return reply
        finally:
            if done and line.open and len(self._idle[address]) < _KEPT:
                self._idle[address].append(line)
            else:
                line.close()
