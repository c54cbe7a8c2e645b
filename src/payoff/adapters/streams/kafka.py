"""A topic of Kafka, or of what speaks its protocol (Redpanda, Event Hubs): a partition of the table for each of its partitions."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from typing import TYPE_CHECKING, Any

from payoff.base import lazy
from payoff.base.clock import stopwatch
from payoff.base.errors import OutsideError, UserError
from payoff.base.text import did_you_mean
from payoff.records.stream import Batch, Lost, StreamOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import confluent_kafka

    from payoff.base.errors import PayoffError
    from payoff.records.stream import Positions
else:
    confluent_kafka = lazy.Module("confluent_kafka")

CAPABILITIES = {"offset": "int64", "partitions": True}
_ANSWER = 5.0  # seconds for an answer of the broker
_CHUNK, _PAUSE = 1000, 0.05
_REFUSED = {
    "_AUTHENTICATION",
    "SASL_AUTHENTICATION_FAILED",
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """`servers`: `host:9092`, several with commas. `topic`: the source's own name unless said. `settings`: librdkafka's own, as `security.protocol`,
    `sasl.username`, `sasl.password` (a `${ENV_VAR}` reference). Besides: what every stream takes (docs/streams.md).
    """

    servers: str
    topic: str = ""
    settings: dict[str, str] = dataclasses.field(default_factory=dict)


def connect(name: str, options: Options, root: Path) -> Kafka:
    """A topic; no connection is made yet."""
    return Kafka(name, options)


class Kafka:
    """See `ports.stream.Stream`. A position is the offset of the next message."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options
        self._topic = options.topic or name
        self._open: Any = None
        self._refused = False
        self._assigned: dict[str, int] | None = None  # where the consumer goes on by itself

    def end(self) -> Positions:
        """The high-water mark of each partition."""
        with self._told():
            return {partition: self._marks(partition)[1] for partition in self._partitions()}

    def read(self, positions: Positions, until: Positions, limit: int, size: int, seconds: float) -> Batch:
        """Through a consumer of no group that is told where to begin."""
        with self._told():
            at = {partition: positions[partition] for partition in until if partition in positions}
            if not self._goes_on(at, until):
                marks = {partition: self._marks(partition) for partition in until}
                at = {partition: positions.get(partition, low) for partition, (low, _) in marks.items()}
                lost = [_lost(partition, at[partition], *marks[partition]) for partition in at]
                found = tuple(each for each in lost if each is not None)
                if found:
                    after = {each.partition: marks[each.partition][0] for each in found}
                    return Batch(positions={**positions, **at, **after}, lost=found)
            taken = _Taken(at, until)
            if taken.left:
                self._assign({partition: at[partition] for partition in taken.left})
                self._consume(taken, limit, size, seconds)
            return taken.batch(positions)

    def describe(self) -> dict[str, Any]:
        """Servers and topic."""
        return {"kind": "kafka", "address": self._options.servers, "stream": self._topic}

    def close(self) -> None:
        """End the consumer."""
        if self._open is not None:
            self._open.close()
        self._open, self._assigned = None, None

    def _consumer(self) -> Any:
        if self._open is None:
            quiet = logging.getLogger("payoff.kafka")
            quiet.propagate = False
            quiet.addHandler(logging.NullHandler())
            settings = {
                "group.id": "payoff",
                **self._options.settings,
                "bootstrap.servers": self._options.servers,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "error_cb": self._heard,
            }
            self._refused = False
            self._open = confluent_kafka.Consumer(settings, logger=quiet)
        return self._open

    def _heard(self, error: Any) -> None:
        self._refused = self._refused or error.name() in _REFUSED

    def _partitions(self) -> list[str]:
        found = self._consumer().list_topics(self._topic, timeout=_ANSWER).topics[self._topic]
        if found.error is not None:
            if found.error.name() != "UNKNOWN_TOPIC_OR_PART":
                raise confluent_kafka.KafkaException(found.error)
            raise self._no_topic()
        return [str(partition) for partition in sorted(found.partitions)]

    def _marks(self, partition: str) -> tuple[int, int]:
        place = confluent_kafka.TopicPartition(self._topic, int(partition))
        marks: tuple[int, int] = self._consumer().get_watermark_offsets(place, timeout=_ANSWER, cached=False)
        return marks

    def _goes_on(self, at: dict[str, int], until: Positions) -> bool:
        """True when the consumer is where this read begins: then it says itself when the broker has removed what comes next."""
        left = {partition: offset for partition, offset in at.items() if offset < until[partition]}
        return self._assigned is not None and at.keys() == until.keys() and left.items() <= self._assigned.items()

    def _assign(self, wanted: dict[str, int]) -> None:
        if self._assigned is None or not wanted.items() <= self._assigned.items():
            self._assigned = dict(wanted)
            places = [confluent_kafka.TopicPartition(self._topic, int(p), offset) for p, offset in wanted.items()]
            self._consumer().assign(places)

    def _consume(self, taken: _Taken, limit: int, size: int, seconds: float) -> None:
        consumer, deadline, whole = self._consumer(), stopwatch() + seconds, True
        assigned, self._assigned = self._assigned or {}, None  # until what was read is known
        while taken.left and taken.count < limit and taken.size < size:
            got = consumer.consume(min(_CHUNK, limit - taken.count), _PAUSE)
            if not got and (taken.count or stopwatch() > deadline):
                break
            for message in got:
                whole = self._take(taken, message) and whole
        if whole:
            self._assigned = {partition: taken.at[partition] for partition in assigned}

    def _take(self, taken: _Taken, message: Any) -> bool:
        """False when the consumer is no longer where the batch ends."""
        error, partition = message.error(), str(message.partition())
        if error is None:
            return taken.add(partition, message)
        if error.name() == "_PARTITION_EOF":
            return taken.ended(partition, message.offset())
        if error.name() == "_AUTO_OFFSET_RESET":  # the next read sees what is missing
            return False
        raise confluent_kafka.KafkaException(error)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The library's errors in our words; the next call begins with a new connection."""
        try:
            yield
        except confluent_kafka.KafkaException as error:
            name = error.args[0].name() if error.args else ""
            said = self._said(name)
            self.close()
            raise said from None

    def _said(self, name: str) -> PayoffError:
        if self._refused or name in _REFUSED:
            return UserError(
                f"source {self._name}: Kafka refused the user, the password or the right to read",
                code="PO-M005",
                expected="credentials that may read the topic",
                remedy=f"check the environment variables that settings of [sources.{self._name}] refers to",
            )
        if name == "_INVALID_ARG":
            return UserError(
                f"source {self._name}: Kafka's client does not take its settings",
                code="PO-M015",
                expected="settings of librdkafka",
                remedy=f"correct settings in [sources.{self._name}] of payoff.toml",
            )
        return OutsideError(
            f"source {self._name}: Kafka cannot be reached ({name})",
            code="PO-M004",
            expected="a broker that answers at the address of servers",
            remedy=f"check servers in [sources.{self._name}] and that the broker runs, then run again",
            retryable=True,
        )

    def _no_topic(self) -> UserError:
        names = self._consumer().list_topics(timeout=_ANSWER).topics
        return UserError(
            f"source {self._name}: Kafka has no topic {self._topic}",
            code="PO-M006",
            expected=did_you_mean(self._topic, [name for name in names if not name.startswith("__")]),
            remedy=f"correct topic in [sources.{self._name}] of payoff.toml, or make the topic",
        )


class _Taken:
    """What one read has so far; `at` is where each partition goes on, `left` those that are not at their end."""

    def __init__(self, at: dict[str, int], until: Positions) -> None:
        self.at = at
        self.until = until
        self.left = {partition for partition, offset in at.items() if offset < until[partition]}
        self.rows: list[tuple[str, Any]] = []
        self.size = 0

    @property
    def count(self) -> int:
        """Messages so far."""
        return len(self.rows)

    def add(self, partition: str, message: Any) -> bool:
        """A message; false when it is beyond the end, and must be read again another time."""
        if partition not in self.left:
            return False
        if message.offset() >= self.until[partition]:
            self.ended(partition, self.until[partition])
            return False
        self.rows.append((partition, message))
        self.size += len(message.value() or b"")
        return self.ended(partition, message.offset() + 1)

    def ended(self, partition: str, offset: int) -> bool:
        """Everything before this offset was read (some offsets are no messages: what was compacted, marks of transactions)."""
        self.at[partition] = max(self.at[partition], min(offset, self.until[partition]))
        if self.at[partition] >= self.until[partition]:
            self.left.discard(partition)
        return True

    def batch(self, positions: Positions) -> Batch:
        """The answer."""
        kinds = [(partition, message, message.timestamp()) for partition, message in self.rows]
        return Batch(
            positions={**positions, **self.at},
            done=not self.left,
            partitions=[partition for partition, _, _ in kinds],
            offsets=[message.offset() for _, message, _ in kinds],
            times=[stamp[1] * 1000 if stamp[0] else None for _, _, stamp in kinds],
            keys=[_text(message.key()) for _, message, _ in kinds],
            values=[message.value() for _, message, _ in kinds],
        )


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode("utf-8", "backslashreplace")


def _lost(partition: str, at: int, low: int, high: int) -> Lost | None:
    if low <= at <= high:
        return None
    why = "the broker has removed them" if at < low else "the topic ends before what was read of it: it was made anew"
    number = low - at if at < low else None
    return Lost(partition=partition, since=str(at), until=str(low), why=why, messages=number)
