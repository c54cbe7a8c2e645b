"""A Redis stream: each row is an entry with the fields `row` (JSON) and `table` (the table's id).

A stream is a log: it keeps what it got before, and a table is appended to it once. Rows go in batches, each in one transaction with the number of rows sent so far; a
write that was killed is taken up there, so that no row is lost or doubled. A table of at most `batch` rows is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from payoff.base import hashing, lazy
from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError
from payoff.ports.sink import json_rows, refuse_unjson
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    import redis
else:
    pa, redis = lazy.Module("pyarrow"), lazy.Module("redis")

CAPABILITIES = {"atomic": False, "modes": ("append",)}
_LEASE = 5.0  # seconds after which a writer that sent nothing is taken for gone
_WAIT = 600.0  # seconds that a writer waits for the one before it


@dataclasses.dataclass(frozen=True)
class Options:
    """`url`: `redis://user:password@host:6379/0`, best as a `${ENV_VAR}` reference. `into`: the stream's key (the sink's own name unless said). `batch`: rows that appear at
    once.
    """

    url: str
    into: str = ""
    batch: int = 10_000


def connect(name: str, options: Options, root: Path) -> RedisStream:
    """A stream; no connection is made yet."""
    return RedisStream(name, options)


class RedisStream:
    """See `ports.sink.Sink`. Writers of one stream wait for each other, by a key that expires."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options
        self._into = options.into or name
        self._state = f"payoff:writes:{{{self._into}}}"
        self._lock = f"payoff:writer:{{{self._into}}}"
        self._me = f"{os.getpid()}-{threading.get_ident()}-{id(self)}-{time.monotonic_ns()}"

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """Batch after batch, from the first row that is not there yet."""
        refuse_unjson(self._name, reader.schema)
        with self._client() as client:
            self._wait_for_turn(client)
            try:
                done, digest, complete = self._progress(client, artifact.id)
                if complete:
                    return Written(identity=artifact.id, rows=done, already=True)
                rows = self._send(client, reader, artifact.id, done, digest)
            finally:
                if client.get(self._lock) == self._me:
                    client.delete(self._lock)
        return Written(identity=artifact.id, rows=rows)

    def written(self) -> str | None:
        """The id of the last table that was sent whole; None when the stream itself is gone."""
        with self._client() as client:
            last = client.hget(self._state, "last")
            if last is None or not self._progress(client, last)[2]:
                return None
            return str(last)

    def describe(self) -> dict[str, Any]:
        """Host, database and key, without user and password."""
        parts = urlsplit(self._options.url)
        shown = f"redis://{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
        return {"kind": "redis", "address": shown, "table": self._into, "mode": "append"}

    def _progress(self, client: Any, identity: str) -> tuple[int, str, bool]:
        """Rows of a table that were sent, their digest, and whether they are all; none when the stream was deleted since."""
        found = client.hget(self._state, identity)
        if found is None:
            return 0, "", False
        state = json.loads(found)
        if state["rows"] and not client.exists(self._into):
            client.delete(self._state)
            return 0, "", False
        return int(state["rows"]), str(state["digest"]), bool(state["complete"])

    def _send(self, client: Any, reader: pa.RecordBatchReader, identity: str, done: int, digest: str) -> int:
        number, running, waiting = 0, "", []
        for text in json_rows(self._name, reader):
            number += 1
            running = hashing.of_text(running + text)
            if number < done:
                continue
            if number == done:
                if running != digest:
                    raise self._other_order()
                continue
            waiting.append(text)
            if len(waiting) >= self._options.batch:
                self._put(client, waiting, identity, {"rows": number, "digest": running, "complete": False})
                waiting = []
        self._put(client, waiting, identity, {"rows": number, "digest": running, "complete": True})
        return number

    def _put(self, client: Any, texts: list[str], identity: str, state: dict[str, Any]) -> None:
        with client.pipeline(transaction=True) as pipe:
            pipe.watch(self._lock)
            if pipe.get(self._lock) != self._me:
                raise self._overtaken()
            pipe.multi()
            for text in texts:
                pipe.xadd(self._into, {"row": text, "table": identity})
            pipe.hset(self._state, identity, json.dumps(state))
            if state["complete"]:
                pipe.hset(self._state, "last", identity)
            pipe.pexpire(self._lock, int(_LEASE * 1000))
            try:
                pipe.execute()
            except redis.exceptions.WatchError:
                raise self._overtaken() from None

    def _wait_for_turn(self, client: Any) -> None:
        started = stopwatch()
        while not client.set(self._lock, self._me, nx=True, px=int(_LEASE * 1000)):
            if stopwatch() - started > _WAIT:
                raise self._overtaken()
            time.sleep(0.02)

    def _overtaken(self) -> OutsideError:
        return OutsideError(
            f"sink {self._name}: another writer took over the stream {self._into}",
            code="PO-N009",
            expected="one writer at a time, and less than 5 seconds between two batches",
            remedy="payoff run: what was sent is not sent again",
            retryable=True,
        )

    def _other_order(self) -> UserError:
        return UserError(
            f"sink {self._name}: the rows come in another order than those that were sent before the write was interrupted",
            code="PO-N008",
            expected="the rows of the table in the store, which keep their order as long as the store keeps them",
            remedy=f"let readers of the stream drop the part of this table (field table), delete its field in {self._state}, then payoff run",
        )

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            with redis.Redis.from_url(self._options.url, decode_responses=True, socket_timeout=60) as client:
                yield client
        except redis.exceptions.AuthenticationError:
            raise UserError(
                f"sink {self._name}: Redis refused the user or the password",
                code="PO-N011",
                expected="a user who may write to the stream and to keys that begin with payoff:",
                remedy=f"check the environment variable that url of [sinks.{self._name}] refers to",
            ) from None
        except redis.exceptions.RedisError as error:
            raise OutsideError(
                f"sink {self._name}: Redis cannot be reached, or refused a command ({type(error).__name__})",
                code="PO-N010",
                expected="a server that answers at the address of url, and a key that holds a stream",
                remedy=f"check url of [sinks.{self._name}] and that the server runs, then payoff run: what was sent is not sent again",
                retryable=True,
            ) from None
