"""One connection: uvicorn's protocol, which waits for a request's headers neither for ever nor whatever their length."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import uvicorn

try:  # compiled, and three times as fast
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as Protocol
except ImportError:
    from uvicorn.protocols.http.h11_impl import H11Protocol as Protocol  # type: ignore[assignment]

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


class Server(uvicorn.Server):
    """Leaves signals to who started it: the model's processes end after the last answer."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


class Wire(Protocol):
    """A connection of which each request's headers are bounded in time and size."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._patience: asyncio.TimerHandle | None = None
        self._came = 0

    def connection_made(self, transport: Any) -> None:
        """Somebody is there."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Bytes of headers or of a body."""
        if self._patience is None and self._between:
            self._wait()
        self._came += len(data)
        super().data_received(data)
        if not self._between:
            self._settle()
        elif self._came > LARGEST:
            self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._settle()
        super().connection_lost(exc)

    @property
    def _between(self) -> bool:
        """Whether no request is under way: then what comes are headers."""
        return self.cycle is None or bool(self.cycle.response_complete)

    def _wait(self) -> None:
        self._came = 0
        self._patience = self.loop.call_later(HEADERS, self._give_up)

    def _settle(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._settle()
        if self.transport is not None and not self.transport.is_closing() and self._between:
            self.transport.close()
