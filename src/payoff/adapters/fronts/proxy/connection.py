"""One client: its requests are answered one after the other, and nobody is waited for for ever."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from payoff.adapters.fronts.proxy.messages import Denied, Incoming, Request, said
from payoff.adapters.fronts.proxy.sharing import handle

if TYPE_CHECKING:
    from typing import Any

    from payoff.adapters.fronts.proxy.state import State

# Seconds: that a connection may say nothing between two requests; that a head, and then a body, may take from their first byte to their last.
TIMES = {"idle": 75.0, "head": 10.0, "body": 120.0}
_AHEAD = 64 << 10  # bytes that are held while a request is answered; then nothing more is read
_HELD = 1 << 30  # bytes of all requests at once; beyond that only those are taken that are
_SMALL = 1 << 20
_TAKING = 15.0  # seconds in which an answer has to be taken, and as many more as it needs
_SLOWEST = 64 << 10  # bytes a second
_LONGEST = 300.0
_LINGER = 2.0  # seconds in which a client that is refused may still read why
_TOLD = 1.5  # times as many as there is room for: those that are one too many are files, too, for as long


class Connection(asyncio.Protocol):
    """While a request is answered what comes stays bytes, and few of them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._incoming = Incoming()
        self._phase = ""
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._held = 0
        self._said_all = False  # the client, which may still listen
        self._deaf = False  # we are
        self._taken = asyncio.Event()
        self._taken.set()

    def end(self) -> None:
        """No more requests: what is under way is answered, the rest is not begun."""
        if self._task is None:
            self._transport.close()

    # -- asyncio's

    def connection_made(self, transport: Any) -> None:
        """A client came."""
        self._transport: asyncio.Transport = transport
        transport.set_write_buffer_limits(high=0)
        self._state.clients.add(self)
        if len(self._state.clients) > self._state.most:
            self._refuse(503, "there are too many connections")
            if len(self._state.clients) > self._state.most * _TOLD:
                self._transport.close()
        else:
            self._wait("idle")

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._deaf:
            return
        self._incoming.add(data)
        if self._task is None:
            self._look()
        elif self._incoming.ahead > _AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client says nothing more. What it asked is answered."""
        self._said_all = True
        if self._task is None:
            self._transport.close()
        return True

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        self._taken.clear()

    def resume_writing(self) -> None:
        """It has read all."""
        self._taken.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. What was asked for it is heard to its end: a release that is so slow that nobody waits must be seen to be. Until then it takes its place."""
        if self._task is None:
            self._state.clients.discard(self)
            self._hold(0)
        self._wait("")
        self._taken.set()

    # -- one request after the other

    def _look(self) -> None:
        """Begin with the next request, if it is whole."""
        try:
            request = self._incoming.next()
        except Denied as refused:
            self._refuse(refused.status, refused.why)
            return
        if request is not None:
            self._wait("")
            self._hold(len(request.body))
            self._task = asyncio.get_running_loop().create_task(self._answer(request))
        elif self._said_all or self._state.ending:
            self._transport.close()
        elif self._hold(self._incoming.held) > _SMALL and self._state.held > _HELD:
            self._refuse(503, "too much is being sent at once")
        else:
            if self._incoming.awaited:
                self._incoming.awaited = False
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._transport.resume_reading()
            self._wait(self._incoming.phase)

    async def _answer(self, request: Request) -> None:
        self._state.count(+1)
        keep = False
        try:
            try:
                reply = await handle(self._state, request)
            except Denied as refused:
                reply = said(refused.status, refused.why)
            keep = request.keep and not self._state.ending
            if not self._transport.is_closing():
                await self._send(reply.raw(request, keep=keep))
        except BaseException:
            self._transport.abort()
            raise
        finally:
            self._state.count(-1)
            self._task = None
            self._hold(0)
        if self._transport.is_closing():
            self._state.clients.discard(self)
            return
        if keep:
            self._look()
        elif self._incoming.ahead and not self._said_all:
            self._linger()
        else:
            self._transport.close()

    async def _send(self, raw: bytes) -> None:
        """Write, and wait until the client has it: a client that does not read is not waited for, and its answer not kept."""
        self._transport.write(raw)
        try:
            async with asyncio.timeout(min(_LONGEST, _TAKING + len(raw) / _SLOWEST)):
                await self._taken.wait()
        except TimeoutError:
            self._transport.abort()

    def _hold(self, size: int) -> int:
        """Count what is held here with what the others hold."""
        self._state.held += size - self._held
        self._held = size
        return size

    def _wait(self, phase: str) -> None:
        """Set the time for what is waited for; a byte more of the same does not set it anew."""
        if phase == self._phase:
            return
        self._phase = phase
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if phase:
            self._timer = asyncio.get_running_loop().call_later(TIMES[phase], self._late)

    def _late(self) -> None:
        if self._phase == "idle":
            self._transport.close()
        else:
            self._refuse(408, f"a {self._phase} has {TIMES[self._phase]:g} seconds to come whole")

    def _refuse(self, status: int, why: str) -> None:
        self._transport.write(said(status, why).raw(Request(b"GET", b"", [], b""), keep=False))
        self._linger()

    def _linger(self) -> None:
        """Say nothing more, and drop what still comes: closing at once would take the answer from a client that is sending (RFC 9112, 9.6)."""
        self._deaf = True
        self._incoming = Incoming()
        self._hold(0)
        self._wait("")
        if self._said_all:
            self._transport.close()
        else:
            with contextlib.suppress(OSError):  # it is gone
                self._transport.write_eof()
            self._transport.resume_reading()
        self._phase = "linger"
        self._timer = asyncio.get_running_loop().call_later(_LINGER, self._transport.abort)
