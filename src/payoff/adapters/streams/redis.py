"""A stream of Redis (7 or newer) or Valkey."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.errors import OutsideError, UserError
from payoff.base.text import did_you_mean
from payoff.records.stream import Batch, Lost, StreamOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from payoff.records.stream import Positions
else:
    redis = lazy.Module("redis")

CAPABILITIES = {"offset": "string", "partitions": False}
_ANSWER = 5.0  # seconds for an answer of the server
_CHUNK = 2000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """`address`: `redis://user:password@host:6379/0` (`rediss://` with TLS), best as a `${ENV_VAR}` reference. `key`: the stream's (the source's own name
    unless said). `field`: the field of an entry that holds a JSON object; unless said, an entry's fields are the object, and their texts
    are read as the declared types. Besides: what every stream takes (docs/streams.md).
    """

    address: str
    key: str = ""
    field: str = ""


def connect(name: str, options: Options, root: Path) -> Redis:
    """A stream; no connection is made yet."""
    return Redis(name, options)


class Redis:
    """See `ports.stream.Stream`. A position is the id of the last entry that was read, and how many entries had been added up to it: Redis
    keeps no other trace of what it trimmed. `gone` is the newest deleted entry that is known of.
    """

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options
        self._key = options.key or name
        self._open: Any = None

    def end(self) -> Positions:
        """The newest entry."""
        with self._told():
            info = self._info()
            return {self._key: {"id": info.last, "read": info.added}}

    def read(self, positions: Positions, until: Positions, limit: int, size: int, seconds: float) -> Batch:
        """Entry after entry by their ids; nothing is waited for, as what is before `until` is there."""
        with self._told():
            info, end = self._info(), until[self._key]
            at = positions.get(self._key) or {"id": "0-0", "read": info.gone, "gone": info.deleted}
            if (lost := _lost(self._key, at, info)) is not None:
                new = lost.messages is None
                after = {
                    "id": "0-0" if new else at["id"],
                    "read": info.gone if new else max(at["read"], info.gone),
                    "gone": info.deleted,
                }
                return Batch(positions={self._key: after}, lost=(lost,))
            rows: list[tuple[str, bytes | None]] = []
            taken, done = 0, _number(at["id"]) >= _number(end["id"])
            while not done and len(rows) < limit and taken < size:
                wanted = min(_CHUNK, limit - len(rows))
                got = self._client().xrange(self._key, min=f"({at['id']}", max=end["id"], count=wanted)
                made = [(entry.decode(), self._value(fields)) for entry, fields in got]
                rows += made
                taken += sum(len(value or b"") for _, value in made)
                done = len(got) < wanted
                if made:
                    at = {**at, "id": made[-1][0], "read": at["read"] + len(made)}
            if done and _number(at["id"]) <= _number(end["id"]):
                at = {**at, "id": end["id"], "read": max(end["read"], at["read"])}
            return self._batch(rows, {self._key: at}, done=done)

    def describe(self) -> dict[str, Any]:
        """Address without user and password, and key."""
        shown = re.sub(r"//[^@/]*@", "//", self._options.address.partition("?")[0])
        return {"kind": "redis", "address": shown, "stream": self._key}

    def close(self) -> None:
        """End the connection."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def _client(self) -> Any:  # the library's own types are those of its asynchronous twin as well
        if self._open is None:
            self._open = redis.Redis.from_url(
                self._options.address, socket_timeout=_ANSWER, socket_connect_timeout=_ANSWER, decode_responses=False
            )
        return self._open

    def _info(self) -> _Info:
        client = self._client()
        if not client.exists(self._key):
            raise self._no_stream()
        told: Any = client.xinfo_stream(self._key)
        if "entries-added" not in told:
            raise UserError(
                f"source {self._name}: this Redis does not say which entries it has trimmed",
                code="PO-M015",
                expected="Redis 7 or newer",
                remedy="use a newer Redis, so that no entry is lost in silence",
            )
        return _Info(
            last=told["last-generated-id"].decode(),
            added=told["entries-added"],
            gone=told["entries-added"] - told["length"],
            deleted=told["max-deleted-entry-id"].decode(),
        )

    def _value(self, fields: dict[bytes, bytes] | None) -> bytes | None:
        if self._options.field:
            return (fields or {}).get(self._options.field.encode())
        try:
            return json.dumps({key.decode(): value.decode() for key, value in (fields or {}).items()}).encode()
        except UnicodeDecodeError:  # no row, and kept as it is for whoever looks at what was set aside
            return b"\n".join(key + b"=" + value for key, value in (fields or {}).items())

    def _batch(self, rows: list[tuple[str, bytes | None]], positions: Positions, *, done: bool) -> Batch:
        return Batch(
            positions=positions,
            done=done,
            partitions=[self._key] * len(rows),
            offsets=[entry for entry, _ in rows],
            times=[_time(entry) for entry, _ in rows],
            keys=[None] * len(rows),
            values=[value for _, value in rows],
            texts=not self._options.field,
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The library's errors in our words; the next call begins with a new connection."""
        try:
            yield
        except (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError):
            self.close()
            raise self._refused() from None
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError) as error:
            self.close()
            raise OutsideError(
                f"source {self._name}: Redis cannot be reached ({type(error).__name__})",
                code="PO-M004",
                expected="a server that answers at address",
                remedy=f"check address in [sources.{self._name}] and that the server runs, then run again",
                retryable=True,
            ) from None
        except (redis.exceptions.RedisError, ValueError) as error:
            self.close()
            if str(error).startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
                raise self._refused() from None
            raise UserError(
                f"source {self._name}: Redis does not take the request ({str(error).partition(' ')[0][:40]})",
                code="PO-M015",
                expected="an address as redis://host:6379/0 and the key of a stream",
                remedy=f"correct address and key in [sources.{self._name}] of payoff.toml",
            ) from None

    def _refused(self) -> UserError:
        return UserError(
            f"source {self._name}: Redis refused the user, the password or the right to read",
            code="PO-M005",
            expected="credentials that may read the stream (+xinfo +xrange +exists)",
            remedy=f"check the environment variable that address of [sources.{self._name}] refers to",
        )

    def _no_stream(self) -> UserError:
        names = [key.decode("utf-8", "replace") for key in self._client().scan(count=1000, _type="stream")[1]]
        return UserError(
            f"source {self._name}: Redis has no stream {self._key}",
            code="PO-M006",
            expected=did_you_mean(self._key, names),
            remedy=f"correct key in [sources.{self._name}] of payoff.toml; the first XADD makes the stream",
        )


@dataclasses.dataclass(frozen=True)
class _Info:
    last: str
    added: int
    gone: int
    deleted: str


def _number(entry: str) -> tuple[int, int]:
    first, _, second = entry.partition("-")
    return int(first), int(second or 0)


def _time(entry: str) -> int | None:
    """Microseconds since 1970, of an id that Redis made of the time; an id that somebody made up may be beyond all time."""
    milliseconds = _number(entry)[0]
    return milliseconds * 1000 if milliseconds < 253_402_300_800_000 else None


def _lost(key: str, at: dict[str, Any], info: _Info) -> Lost | None:
    if _number(info.last) < _number(at["id"]) or info.added < at["read"]:
        why = "the stream ends before what was read of it: it was made anew"
        return Lost(partition=key, since=at["id"], until="0-0", why=why)
    number = info.gone - at["read"]
    deleted = _number(info.deleted) > max(_number(at["id"]), _number(at.get("gone", "0-0")))
    if number <= 0 and not deleted:
        return None
    why = "Redis has trimmed or deleted them"
    return Lost(partition=key, since=at["id"], until=info.last, why=why, messages=max(number, 1))
