"""A subject of a NATS JetStream stream: each row is a message (JSON) with the headers `Payoff-Table`, `Payoff-Row` and `Payoff-Last`.

A stream is a log: it keeps what it got before, and a table is appended to it once. The server drops a message whose `Nats-Msg-Id` it knows, and takes a row
only straight behind the row before it; a write that was killed is taken up behind the last row that the stream has. Which tables are there whole is kept in the
key-value bucket `payoff_writes`. Readers see rows as they come: a table that matters only whole ends with the message that has `Payoff-Last: true`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from payoff.base import hashing, lazy
from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.ports.sink import json_rows, refuse_unjson
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from pathlib import Path

    import nats
    import pyarrow as pa
else:
    pa, nats = lazy.Module("pyarrow"), lazy.Module("nats")

CAPABILITIES = {"atomic": False, "modes": ("append",)}
_BUCKET = "payoff_writes"
_STALE = 3.0  # seconds after which a writer that sent nothing is taken for gone
_WAIT = 600.0  # seconds that a writer waits for the one before it
_FLYING = 500  # messages that are not yet acknowledged


@dataclasses.dataclass(frozen=True)
class Options:
    """`url`: `nats://user:password@host:4222`, best as a `${ENV_VAR}` reference. `subject`: where the rows go (the sink's own name unless said). `stream`: the JetStream stream
    that holds the subject; made, with nothing but this subject, when it is not there (default: the subject in capitals).
    """

    url: str
    subject: str = ""
    stream: str = ""


def connect(name: str, options: Options, root: Path) -> Nats:
    """A subject; no connection is made yet."""
    return Nats(name, options)


class Nats:
    """See `ports.sink.Sink`. Writers of one stream wait for each other."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._url = options.url
        self._subject = options.subject or name
        self._stream = options.stream or "".join(c if c.isalnum() else "_" for c in self._subject).upper()

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """Row after row, from the first that is not there yet."""
        refuse_unjson(self._name, reader.schema)
        texts = json_rows(self._name, reader)
        written: Written = self._run(self._write(texts, artifact))
        return written

    def written(self) -> str | None:
        """The id of the last table that was sent whole; None when the stream itself is gone."""
        found: str | None = self._run(self._written())
        return found

    def describe(self) -> dict[str, Any]:
        """Host, stream and subject, without user and password."""
        parts = urlsplit(self._url)
        shown = f"nats://{parts.hostname or 'localhost'}:{parts.port or 4222}"
        return {"kind": "nats", "address": shown, "table": f"{self._stream} {self._subject}", "mode": "append"}

    async def _write(self, texts: Iterator[str], artifact: Artifact) -> Written:
        async with _Session(self._url, self._stream, self._subject) as session:
            if await session.complete(artifact.id):
                return Written(identity=artifact.id, rows=artifact.rows or 0, already=True)
            row, waiting = 0, []
            await session.turn(artifact.id)
            for text in texts:
                row += 1
                waiting.append((row, text))
                if len(waiting) == _FLYING:
                    await session.send(waiting, artifact)
                    waiting = []
            await session.send(waiting, artifact)
            await session.note(artifact.id, row)
        return Written(identity=artifact.id, rows=row)

    async def _written(self) -> str | None:
        async with _Session(self._url, self._stream, self._subject) as session:
            return await session.newest()

    def _refused(self) -> UserError:
        return UserError(
            f"sink {self._name}: NATS refused the user, the password, or the right to this subject",
            code="PO-N011",
            expected="a user who may publish there, read the stream and keep a key-value bucket",
            remedy=f"check the environment variable that url of [sinks.{self._name}] refers to",
        )

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return asyncio.run(work)
        except PayoffError:
            raise
        except _Waited:
            raise OutsideError(
                f"sink {self._name}: another writer did not come to its end",
                code="PO-N009",
                expected="one writer at a time to the stream",
                remedy="payoff run: what was sent is not sent again",
                retryable=True,
            ) from None
        except (TimeoutError, nats.errors.Error, OSError) as error:
            if "authorization" in str(error).lower():
                raise self._refused() from None
            raise OutsideError(
                f"sink {self._name}: NATS cannot be reached, or its stream takes nothing ({type(error).__name__})",
                code="PO-N010",
                expected="a server with JetStream that answers at the address of url",
                remedy=f"check url, stream and subject of [sinks.{self._name}], then payoff run: what was sent is not sent again",
                retryable=True,
            ) from None


async def _unheard(error: Exception) -> None:
    """What goes wrong is raised where it matters."""


class _Waited(Exception):
    """Another writer took longer than anybody waits."""


class _Session:
    """One connection, its stream and the bucket with what was sent."""

    def __init__(self, url: str, stream: str, subject: str) -> None:
        self.url = url
        self.stream = stream
        self.subject = subject
        self.key = hashing.of_text(f"{stream} {subject}")
        self.there = 0  # rows of the table that the stream has
        self.behind: int | None = None  # the sequence number that the next row must come straight behind

    async def __aenter__(self) -> Self:
        self.client = await nats.connect(self.url, connect_timeout=10, allow_reconnect=False, error_cb=_unheard)
        self.js = self.client.jetstream()
        try:
            await self.js.stream_info(self.stream)
        except nats.js.errors.NotFoundError:
            await self.js.add_stream(name=self.stream, subjects=[self.subject])
        self.bucket = await self.js.create_key_value(bucket=_BUCKET)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.client.close()

    async def complete(self, identity: str) -> bool:
        found = await self._get(f"{self.key}.{identity}")
        return found is not None and bool(found["complete"]) and not await self._emptied(found)

    async def newest(self) -> str | None:
        found = await self._get(self.key)
        return None if found is None or await self._emptied(found) else str(found["identity"])

    async def note(self, identity: str, rows: int) -> None:
        info = await self.js.stream_info(self.stream)
        mark = {"identity": identity, "rows": rows, "complete": True, "created": str(info.created)}
        await self.bucket.put(f"{self.key}.{identity}", json.dumps(mark).encode())
        await self.bucket.put(self.key, json.dumps(mark).encode())

    async def turn(self, identity: str) -> None:
        """Wait until no other table is under way; then see which rows are there, and what the next one comes behind."""
        started, seen, since = stopwatch(), -1, stopwatch()
        while True:
            info = await self.js.stream_info(self.stream)
            last = await self._last()
            headers = (last.headers or {}) if last is not None else {}
            ours = headers.get("Payoff-Table") == identity
            if not headers.get("Payoff-Table") or headers.get("Payoff-Last") == "true" or ours:
                break
            if info.state.last_seq != seen:
                seen, since = info.state.last_seq, stopwatch()
            if stopwatch() - since > _STALE:
                break
            if stopwatch() - started > _WAIT:
                raise _Waited
            await asyncio.sleep(0.05)
        mark = {
            "identity": identity,
            "complete": False,
            "rows": 0,
            "from": info.state.last_seq + 1,
            "created": str(info.created),
        }
        before = await self._get(f"{self.key}.{identity}")
        if before is None or before["created"] != mark["created"]:
            await self.bucket.put(f"{self.key}.{identity}", json.dumps(mark).encode())
        self.there, self.behind = await self._rows_of(identity), int(info.state.last_seq)

    async def _rows_of(self, identity: str) -> int:
        """How many rows of a table the stream has: they are its first ones."""
        last = await self._last()
        if last is not None and (last.headers or {}).get("Payoff-Table") == identity:
            return int(last.headers["Payoff-Row"])
        mark = await self._get(f"{self.key}.{identity}")
        found = 0
        async for message in self._since(mark["from"] if mark else 1):
            headers = message.headers or {}
            if headers.get("Payoff-Table") == identity:
                found = max(found, int(headers["Payoff-Row"]))
        return found

    async def send(self, rows: list[tuple[int, str]], artifact: Artifact) -> None:
        """Put rows behind those before them; where somebody's message came between, wait until they are done, and go on."""
        while rows := [each for each in rows if each[0] > self.there]:
            headers = {"Payoff-Table": artifact.id}
            # Not the client's publish_async, which never answers where the server refuses a message (nats-py 2.16).
            sent = [self._put(row, text, headers, artifact) for row, text in rows]
            answers = await asyncio.gather(*sent, return_exceptions=True)
            wrong = next((each for each in answers if isinstance(each, BaseException)), None)
            if wrong is None:
                self.there = rows[-1][0]
            elif isinstance(wrong, nats.js.errors.APIError):
                await self.turn(artifact.id)
            else:
                raise wrong

    def _put(self, row: int, text: str, headers: dict[str, str], artifact: Artifact) -> Coroutine[Any, Any, Any]:
        more = {"Nats-Msg-Id": f"{artifact.id}:{row}", "Payoff-Row": str(row)}
        if row == artifact.rows:
            more["Payoff-Last"] = "true"
        if self.behind is not None:
            more["Nats-Expected-Last-Sequence"] = str(self.behind)
            self.behind = None
        else:
            more["Nats-Expected-Last-Msg-Id"] = f"{artifact.id}:{row - 1}"
        return self.js.publish(self.subject, text.encode(), timeout=30, headers=headers | more)

    async def _emptied(self, mark: dict[str, Any]) -> bool:
        """True when the stream was deleted (and made again) since."""
        info = await self.js.stream_info(self.stream)
        return bool(str(info.created) != mark["created"])

    async def _get(self, key: str) -> Any:
        try:
            return json.loads((await self.bucket.get(key)).value or b"null")
        except nats.js.errors.KeyNotFoundError:
            return None

    async def _last(self) -> Any:
        try:
            return await self.js.get_last_msg(self.stream, self.subject)
        except nats.js.errors.NotFoundError:
            return None

    async def _since(self, sequence: int) -> AsyncIterator[Any]:
        config = nats.js.api.ConsumerConfig(
            deliver_policy=nats.js.api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=max(1, sequence),
            ack_policy=nats.js.api.AckPolicy.NONE,
        )
        reading = await self.js.pull_subscribe(self.subject, stream=self.stream, config=config)
        try:
            while True:
                for message in await reading.fetch(1000, timeout=0.5):
                    yield message
        except (TimeoutError, nats.errors.TimeoutError):
            return
        finally:
            await reading.unsubscribe()
