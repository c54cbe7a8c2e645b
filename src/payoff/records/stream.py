"""What travels between a stream and its landing: messages, positions, what was set aside, what was lost."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import msgspec

# Partition -> place in it, as JSON. The adapter alone knows what a place means; what has been read is decided by these, not by the broker.
Positions = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """What the section of every stream may hold besides its adapter's own keys.

    `types`: field of the JSON object -> Arrow type (`int64`, `float64`, `string`, `bool`, `date32`, `timestamp[us, tz=UTC]`, `decimal(12, 2)`, `json`: any value,
    kept as text); the table's contract says them where they are not here. `unknown`: `ignore` a field that is not declared, or `set aside` its message.
    `format`: what messages are, `json` or another that is installed; `schema` and `registry`: where such a format has its schemas, if it has any (then `types` may be left out).
    `largest`: bytes of a message; a larger one is set aside. `set_aside_limit`: so many messages set aside are too many (none: no limit).
    `batch_rows`: most messages of one transaction. `patience`: seconds without a message after which a broker counts as down.
    """

    types: dict[str, str] = dataclasses.field(default_factory=dict)
    format: str = "json"
    schema: str = ""
    registry: str = ""
    unknown: Literal["ignore", "set aside"] = "ignore"
    largest: int = 1 << 20
    set_aside_limit: int | None = None
    batch_rows: int = 50_000
    patience: float = 30.0


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Messages between what was read and what the broker still has. `messages` is None when their number is not known."""

    partition: str
    since: str
    until: str
    why: str
    messages: int | None = None


class Poison(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is no row of the table: where it was, why, and its bytes as they came. `time` is in microseconds since 1970 (UTC)."""

    partition: str
    offset: str
    reason: str
    payload: bytes | None
    time: int | None = None
    key: str | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Messages as they came, in the order of each partition: lists of equal length.

    `offsets` are whole numbers or text (`CAPABILITIES["offset"]` says which), `times` microseconds since 1970 (UTC) or None. `positions`
    is where the next read goes on; `done`: nothing is left of what was asked for. `texts`: all values of the objects are text, also those of numbers. `lost`: what the
    broker no longer has of what was asked for; such a batch has no messages, and its positions are after the loss.
    """

    positions: Positions
    partitions: list[str] = []
    offsets: list[Any] = []
    times: list[int | None] = []
    keys: list[str | None] = []
    values: list[bytes | None] = []
    lost: tuple[Lost, ...] = ()
    done: bool = False
    texts: bool = False


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction adds to a landing: rows (an Arrow table whose `_partition` column names their partitions), what was set aside, what was lost, and
    the positions after all of it.
    """

    rows: Any
    positions: Positions
    set_aside: tuple[Poison, ...] = ()
    lost: tuple[Lost, ...] = ()
    stream: str = ""


class LandingState(msgspec.Struct, frozen=True, kw_only=True):
    """How a landing stands after its transaction number `commit` (0: nothing has landed). `stream` names where its rows are from.

    `newest` is the time of the newest row, microseconds since 1970 (UTC). `expired`: how often rows were removed that were too old.
    """

    commit: int = 0
    positions: Positions = {}
    rows: int = 0
    bytes: int = 0
    segments: int = 0
    set_aside: int = 0
    lost: tuple[Lost, ...] = ()
    stream: str = ""
    newest: int | None = None
    expired: int = 0


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """What `payoff ingest` did for one table: rows and messages set aside that landed now, in so many batches, and how the landing stands."""

    table: str
    landed: int
    batches: int
    set_aside: int
    seconds: float
    state: LandingState
    waits: int = 0
