"""A JetStream stream of NATS."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError
from payoff.base.text import did_you_mean
from payoff.records.stream import Batch, Lost, StreamOptions

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    import nats
    import nats.errors
    import nats.js.api
    import nats.js.errors

    from payoff.records.stream import Positions
else:
    nats = lazy.Module("nats")
    nats.errors, nats.js = lazy.Module("nats.errors"), lazy.Module("nats.js")
    nats.js.api, nats.js.errors = lazy.Module("nats.js.api"), lazy.Module("nats.js.errors")

CAPABILITIES = {"offset": "int64", "partitions": False}
_ANSWER = 5.0  # seconds for an answer of the server
_AGAIN = 0.2  # seconds between the two tries of a connection
_CHUNK = 1000
_IDLE = 60.0  # seconds after which the server forgets a reader that went away
_REFUSED = ("authorization violation", "authentication", "permissions violation")
_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """`servers`: `nats://host:4222`, several with commas. `stream`: the source's own name unless said. `subject`: only its messages (`orders.eu.*`).
    `user` and `password`, or `token`, as `${ENV_VAR}` references, or `credentials`: a file, relative to the project. Besides: what every stream takes
    (docs/streams.md).
    """

    servers: str
    stream: str = ""
    subject: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    credentials: str = ""


def connect(name: str, options: Options, root: Path) -> Nats:
    """A stream; no connection is made yet."""
    return Nats(name, options, root)


class Nats:
    """See `ports.stream.Stream`. A position is the sequence of the next message, and when the stream was made: one that was made anew is another."""

    def __init__(self, name: str, options: Options, root: Path) -> None:
        self._name = name
        self._options = options
        self._root = root
        self._stream = options.stream or name
        self._loop: _Loop | None = None
        self._client: Any = None
        self._reader: _Reader | None = None
        self._reads = 0  # the sequence that the reader goes on with

    def end(self) -> Positions:
        """What the next message will be."""
        with self._told():
            info = self._run(self._info())
            return {self._stream: {"next": info.state.last_seq + 1, "made": _made(info)}}

    def read(self, positions: Positions, until: Positions, limit: int, size: int, seconds: float) -> Batch:
        """Through a reader that acknowledges nothing and is told where to begin."""
        with self._told():
            return self._run(self._read(positions.get(self._stream), until[self._stream], limit, size, seconds))

    def describe(self) -> dict[str, Any]:
        """Servers, stream and subject."""
        shown = ",".join(each.strip().rpartition("@")[2] for each in self._options.servers.split(","))
        told = {"kind": "nats", "address": shown, "stream": self._stream}
        return {**told, "subject": self._options.subject} if self._options.subject else told

    def close(self) -> None:
        """End the connection and its thread."""
        if self._loop is not None:
            self._loop.run(self._left())
            self._loop.end()
        self._loop, self._client, self._reader = None, None, None

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None:
            self._loop = _Loop()
        return self._loop.run(work)

    async def _left(self) -> None:
        """End the connection, also one that was never answered."""
        if self._client is not None:
            with contextlib.suppress(Exception):  # it may be gone already
                await asyncio.wait_for(self._client.close(), _ANSWER / 4)
            transport = getattr(self._client, "_transport", None)  # which the library leaves open when no answer came
            if transport is not None:
                transport.close()
                await asyncio.sleep(0)
        self._client, self._reader = None, None

    async def _connected(self) -> Any:
        if self._client is None or not self._client.is_connected:
            wanted = {name: getattr(self._options, name) for name in ("user", "password", "token")}
            settings: dict[str, Any] = {name: value for name, value in wanted.items() if value}
            if self._options.credentials:
                settings["user_credentials"] = str(self._root / self._options.credentials)
            servers = [each.strip() for each in self._options.servers.split(",")]
            await self._left()
            from nats.aio.client import Client  # not nats.connect: a connection that fails is then nobody's to close

            self._client = Client()
            await self._client.connect(
                servers,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # of the first connection, too: else two minutes
                reconnect_time_wait=_AGAIN,
                connect_timeout=int(_ANSWER),
                error_cb=_quiet,
                name="payoff",
                **settings,
            )
        return self._client.jetstream(timeout=_ANSWER)

    async def _info(self) -> Any:
        jetstream = await self._connected()
        try:
            return await jetstream.stream_info(self._stream)
        except nats.js.errors.NotFoundError:
            names = [each.config.name for each in await jetstream.streams_info()]
            raise UserError(
                f"source {self._name}: NATS has no stream {self._stream}",
                code="PO-M006",
                expected=did_you_mean(self._stream, names),
                remedy=f"correct stream in [sources.{self._name}] of payoff.toml, or make the stream",
            ) from None

    async def _read(
        self, at: dict[str, Any] | None, end: dict[str, Any], limit: int, size: int, seconds: float
    ) -> Batch:
        info = await self._info()
        made, first, behind = _made(info), info.state.first_seq, info.state.last_seq + 1
        begin = at["next"] if at is not None else first
        lost = _lost(self._stream, at, first, behind, made)
        if lost is not None:
            return Batch(positions={self._stream: {"next": first, "made": made}}, lost=(lost,))
        taken: list[_Message] = []
        going = max(begin, 1)
        if going < end["next"]:
            going = await self._take(taken, going, end["next"], limit, size, seconds)
        positions = {self._stream: {"next": max(begin, going), "made": made}}
        return _batch(self._stream, taken, positions, done=going >= end["next"])

    async def _take(self, taken: list[_Message], begin: int, end: int, limit: int, size: int, seconds: float) -> int:
        """Messages from `begin` up to `end`; answers where to go on."""
        reader, read, going = await self._begin(begin), 0, begin
        self._reader = None  # until it is known where it stands
        while going < end and len(taken) < limit and read < size:
            got = await reader.fetch(min(_CHUNK, limit - len(taken)), seconds)
            if not got:
                return going if await reader.waiting() else end
            for message in got:
                if message.sequence >= end:
                    return end
                taken.append(message)
                read += len(message.data)
                going = message.sequence + 1
            if reader.lossy:
                return going  # one was lost on the way: the next read begins at it
            if not got[-1].pending:
                going = end  # what is left up to there was deleted, or is of other subjects
        self._reader, self._reads = reader, going
        return going

    async def _begin(self, begin: int) -> _Reader:
        if self._reader is not None and self._reads == begin:
            return self._reader
        jetstream = await self._connected()
        api = nats.js.api
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=begin,
            ack_policy=api.AckPolicy.NONE,
            filter_subject=self._options.subject or None,
            inactive_threshold=_IDLE,
            mem_storage=True,
        )
        made = await jetstream.add_consumer(self._stream, config)
        reader = _Reader(self._client, self._stream, made.name)
        await reader.begin()
        return reader

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The library's errors in our words; the next call begins with a new connection."""
        try:
            yield
        except UserError:
            self.close()
            raise
        except (nats.errors.Error, OSError, TimeoutError, EOFError) as error:
            self.close()
            raise self._said(error) from None

    def _said(self, error: Exception) -> UserError | OutsideError:
        text = str(error).lower()
        if isinstance(error, nats.errors.AuthorizationError) or any(word in text for word in _REFUSED):
            return UserError(
                f"source {self._name}: NATS refused the user, the password, the token or the right to read",
                code="PO-M005",
                expected="credentials that may read the stream",
                remedy=f"check the environment variables that [sources.{self._name}] refers to",
            )
        return OutsideError(
            f"source {self._name}: NATS cannot be reached ({type(error).__name__})",
            code="PO-M004",
            expected="a server with JetStream that answers at the address of servers",
            remedy=f"check servers in [sources.{self._name}] and that the server runs with -js, then run again",
            retryable=True,
        )


class _Message(NamedTuple):
    """A message, with what its reply address says: its place in the stream, its time in microseconds, how many are left after it."""

    subject: str
    data: bytes
    sequence: int
    time: int
    pending: int


class _Reader:
    """Asks for messages by the hundred. The library's own way to do so takes a fifth of a millisecond for each."""

    def __init__(self, client: Any, stream: str, name: str) -> None:
        self.lossy = False
        self._client = client
        self._stream = stream
        self._name = name
        self._inbox = client.new_inbox()
        self._ends = asyncio.Event()
        self._got: list[_Message] = []
        self._wanted = self._handed = 0
        self._status = ""

    async def begin(self) -> None:
        """Listen."""
        await self._client.subscribe(self._inbox, cb=self._arrive, pending_msgs_limit=-1, pending_bytes_limit=-1)

    async def fetch(self, wanted: int, seconds: float) -> list[_Message]:
        """Up to so many messages, those that are there; waits so long for the server's answer."""
        self._got, self._wanted, self._status = [], wanted, ""
        self._ends.clear()
        ask = json.dumps({"batch": wanted, "no_wait": True}).encode()
        await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}", ask, reply=self._inbox)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ends.wait(), max(seconds, _ANSWER / 4))
        if not self._client.is_connected or self._status not in {"", "404", "408"}:
            raise nats.errors.ConnectionClosedError
        if not self._ends.is_set():
            self.lossy = True  # what comes late is not taken for the answer to another request
        return self._got

    async def waiting(self) -> int:
        """How many messages the server has left for this reader."""
        info = await self._client.jetstream(timeout=_ANSWER).consumer_info(self._stream, self._name)
        return int(info.num_pending)

    async def _arrive(self, message: Any) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status:
            self._status = status
            self._ends.set()
            return
        parts = message.reply.split(".")
        parts = parts if len(parts) == 9 else ["", "", *parts[4:]]  # newer servers say domain and account before
        self._handed += 1
        self.lossy = self.lossy or int(parts[6]) != self._handed
        if not self.lossy:
            made = _Message(message.subject, message.data, int(parts[5]), int(parts[7]) // 1000, int(parts[8]))
            self._got.append(made)
        if len(self._got) >= self._wanted or self.lossy:
            self._ends.set()


class _Loop:
    """Runs coroutines in a thread of its own, so that any thread may ask."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The coroutine's answer."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def end(self) -> None:
        """Nothing runs afterwards."""
        self.run(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel(self) -> None:
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # a closed connection's socket is closed in a later turn of the loop


async def _quiet(error: Exception) -> None:
    """What is wrong is said by the call that it happens to."""


def _made(info: Any) -> str:
    return str(info.created or "")


def _lost(stream: str, at: dict[str, Any] | None, first: int, behind: int, made: str) -> Lost | None:
    if at is None:
        return None
    if at["made"] != made or at["next"] > behind:
        why = "it is not the stream that was read before: it was made anew, or ends earlier"
        return Lost(partition=stream, since=str(at["next"]), until=str(first), why=why)
    if at["next"] < first:
        why = "the server has removed them"
        return Lost(partition=stream, since=str(at["next"]), until=str(first), why=why, messages=first - at["next"])
    return None


def _batch(stream: str, taken: list[_Message], positions: Positions, *, done: bool) -> Batch:
    return Batch(
        positions=positions,
        done=done,
        partitions=[stream] * len(taken),
        offsets=[message.sequence for message in taken],
        times=[message.time for message in taken],
        keys=[message.subject for message in taken],
        values=[message.data for message in taken],
    )
