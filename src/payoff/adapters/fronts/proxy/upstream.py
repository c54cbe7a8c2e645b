"""Connections to releases, kept open between requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import NamedTuple

import httptools

_SECONDS = 60.0  # that an answer may take
_KEPT = 64  # idle connections to one release
_LARGEST = 256 << 20  # bytes of an answer


class Gone(Exception):
    """No answer came."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Reply(NamedTuple):
    """`raw` is the answer as it came, byte by byte; `keep` whether the client's connection may go on."""

    status: int
    raw: bytes
    body: bytes
    keep: bool


class _Reading:
    """What a parser of one answer calls."""

    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.done = False

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.done = True


class Pool:
    """Connections by address."""

    def __init__(self) -> None:
        self._idle: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = defaultdict(list)

    async def ask(self, address: str, head: bytes, body: bytes) -> Reply:
        """Send a request, read its answer. Raises `Gone`. A connection that the other side closed while it was idle is replaced by a new one."""
        try:
            async with asyncio.timeout(_SECONDS):
                while self._idle[address]:
                    kept = self._idle[address].pop()
                    reply = await self._once(address, kept, head, body)
                    if reply is not None:
                        return reply
                host, _, port = address.removeprefix("http://").rpartition(":")
                fresh = await asyncio.open_connection(host.strip("[]"), int(port))
                reply = await self._once(address, fresh, head, body)
        except TimeoutError:
            raise Gone(504, f"the release did not answer within {_SECONDS:g} seconds") from None
        except OSError:
            raise Gone(502, "the release cannot be reached") from None
        if reply is None:
            raise Gone(502, "the release closed the connection")
        return reply

    async def _once(
        self, address: str, connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], head: bytes, body: bytes
    ) -> Reply | None:
        """None when the connection was closed before a byte of an answer came."""
        reader, writer = connection
        found = _Reading()
        parser = httptools.HttpResponseParser(found)
        raw: list[bytes] = []
        size = 0
        kept = False
        try:
            writer.write(head + body)
            await writer.drain()
            while not found.done:
                data = await reader.read(1 << 18)
                if not data:
                    break
                raw.append(data)
                size += len(data)
                if size > _LARGEST:
                    raise Gone(502, "the release's answer is too large")
                parser.feed_data(data)
            if not raw:
                return None
            if not found.done:
                raise Gone(502, "the release broke off its answer")
            kept = parser.should_keep_alive() and len(self._idle[address]) < _KEPT
            return Reply(parser.get_status_code(), b"".join(raw), b"".join(found.body), parser.should_keep_alive())
        except (ConnectionError, httptools.HttpParserError):
            if raw:
                raise Gone(502, "the release broke off its answer") from None
            return None
        finally:
            if kept:
                self._idle[address].append(connection)
            else:
                with contextlib.suppress(RuntimeError):
                    writer.close()
