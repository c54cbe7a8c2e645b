"""One write's connections to a broker: whose turn it is, what was sent, and batches that come whole."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any, Self

import msgspec

from payoff.base import lazy
from payoff.base.clock import stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import confluent_kafka

    admin: Any
else:
    confluent_kafka, admin = lazy.Module("confluent_kafka"), lazy.Module("confluent_kafka.admin")

_ANSWER = 5.0  # seconds for an answer of the broker
_COMMIT = 60.0  # seconds for what waits for several brokers
_STALE = 5.0  # seconds after which a writer that sent nothing is taken for gone
_WAIT = 600.0  # seconds that a writer waits for those before it
_PLACE = 0  # the partition of the notes: all of them in one order
_TABLE, _ROW, _LAST = "Payoff-Table", "Payoff-Row", "Payoff-Last"


class Lost(Exception):
    """Another writer took the turn, or those before did not come to their end."""


class Silent(Exception):
    """The broker gave no answer in time."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a table is in the topic: its first `rows`, with their digest. `since`: where the partitions ended before it; `ends`: where its rows end in them."""

    table: str
    rows: int = 0
    digest: str = ""
    complete: bool = False
    since: dict[str, int] = {}
    ends: dict[str, int] = {}

    def after(self, rows: int, digest: str, *, complete: bool) -> Note:
        """The note behind a further batch."""
        return msgspec.structs.replace(self, rows=rows, digest=digest, complete=complete)


class Session:
    """Three clients: one that sends within transactions, one that speaks of turns, one or two that read."""

    def __init__(
        self, servers: str, topic: str, notes: str, settings: Mapping[str, str], *, heard: Callable[[Any], None]
    ) -> None:
        self.topic = topic
        self.notes = notes
        quiet = logging.getLogger("payoff.kafka")
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
        self._shared = {**settings, "bootstrap.servers": servers, "error_cb": heard}
        self._quiet = quiet
        self._readers: dict[str, Any] = {}
        self._writer: Any = None
        self._speaker: Any = None
        self._me = f"{os.uname().nodename}-{os.getpid()}-{id(self)}-{time.monotonic_ns()}"
        self._ends: dict[str, int] = {}
        self._claimed: dict[str, None] = {}
        self._read = 0  # up to where the notes were read for claims

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for reader in self._readers.values():
            reader.close()

    # -- what was sent

    def note(self, table: str) -> Note | None:
        """The note of a table; none when the topic was deleted since."""
        found = self._noted().get(table)
        return None if found is None or self._gone(found) else found

    def newest(self) -> str | None:
        """The table that was sent whole last."""
        whole = [note for note in self._noted().values() if note.complete]
        return whole[-1].table if whole and not self._gone(whole[-1]) else None

    def _noted(self) -> dict[str, Note]:
        """The notes of the topic, the newest at the end."""
        if not self._exists(self.notes):
            return {}
        found: dict[str, Note] = {}
        for message in self._messages("read_committed", self.notes, {_PLACE: 0}):
            kind, topic, table = _parts(message)
            if (kind, topic) == ("table", self.topic):
                found.pop(table, None)
                if message.value():
                    found[table] = msgspec.json.decode(message.value(), type=Note)
        return found

    def _gone(self, note: Note) -> bool:
        """True when the topic ends before rows that were sent: it was made anew."""
        if not note.ends:
            return False
        ends = self._bounds(self.topic) if self._exists(self.topic) else {}
        return any(ends.get(int(part), (0, 0))[1] < end for part, end in note.ends.items())

    # -- whose turn it is

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until those who came before are done, or silent for too long; then let a broker with transactions refuse them."""
        self._make(self.notes, {"cleanup.policy": "compact"}, 1)
        self._make(self.topic, {}, -1)
        self._speaker = confluent_kafka.Producer(
            {**self._shared, "enable.idempotence": True, "linger.ms": 0}, logger=self._quiet
        )
        self._say(self._me, b"{}")
        try:
            self._wait()
            settings = {
                "partitioner": "murmur2_random",  # the partition that clients in Java give a key
                "linger.ms": 5,
                **self._shared,
                "transactional.id": f"payoff-{self.topic}",
            }
            self._writer = confluent_kafka.Producer(settings, logger=self._quiet)
            self._writer.init_transactions(_COMMIT)
            yield
        finally:
            with contextlib.suppress(confluent_kafka.KafkaException):
                self._say(self._me, None)

    def _wait(self) -> None:
        started = since = stopwatch()
        seen: Any = None
        while ahead := self._ahead():
            state = (ahead, self._bounds(self.topic), self._bounds(self.notes))
            now = stopwatch()
            if state != seen:
                seen, since = state, now
            if now - since > _STALE:
                for writer in ahead:
                    self._say(writer, None)
                return
            if now - started > _WAIT:
                raise Lost
            time.sleep(0.05)

    def _ahead(self) -> list[str]:
        """The writers of the topic that came before this one, and are not done."""
        waiting = self._claims()
        if self._me not in waiting:
            raise Lost
        return waiting[: waiting.index(self._me)]

    def _claims(self) -> list[str]:
        for message in self._messages("read_uncommitted", self.notes, {_PLACE: self._read}):
            self._read = message.offset() + 1
            kind, topic, writer = _parts(message)
            if (kind, topic) == ("writer", self.topic):
                self._claimed.pop(writer, None)
                if message.value():
                    self._claimed[writer] = None
        return list(self._claimed)

    def _say(self, writer: str, value: bytes | None) -> None:
        errors: list[Any] = []
        key = json.dumps(["writer", self.topic, writer])
        done = lambda error, _message: errors.append(error) if error else None  # noqa: E731
        self._speaker.produce(self.notes, value, key=key, partition=_PLACE, on_delivery=done)
        if self._speaker.flush(_ANSWER):
            raise Silent
        if errors:
            raise confluent_kafka.KafkaException(errors[0])

    # -- rows

    def begin(self, table: str) -> Note:
        """Note that a table comes now, and where the topic ends before it."""
        note = Note(table=table, since={str(part): high for part, (_, high) in self._bounds(self.topic).items()})
        self.commit(note, [], None)
        return note

    def rows_after(self, note: Note) -> set[int]:
        """Rows of a table that readers see though no note says so: those of a killed writer, where the broker does not take them back."""
        bounds = self._bounds(self.topic)
        begins = {part: note.since.get(str(part), low) for part, (low, _) in bounds.items()}
        places = {p: at if bounds[p][0] <= at <= bounds[p][1] else bounds[p][0] for p, at in begins.items()}
        found = set()
        for message in self._messages("read_committed", self.topic, places):
            headers = dict(message.headers() or ())
            if headers.get(_TABLE) == note.table.encode() and int(headers[_ROW]) > note.rows:
                found.add(int(headers[_ROW]))
        self._ends = dict(note.ends)
        return found

    def commit(self, note: Note, rows: list[tuple[int, bytes | None, bytes]], last: int | None) -> None:
        """One transaction: these rows (number, key, value), and the note."""
        if self._me not in self._claims():
            raise Lost
        writer = self._writer
        writer.begin_transaction()
        try:
            for number, key, value in rows:
                headers = {_TABLE: note.table.encode(), _ROW: str(number).encode()}
                if number == last:
                    headers[_LAST] = b"true"
                self._produce(self.topic, value, key=key, headers=headers, on_delivery=self._delivered)
            if rows and writer.flush(_COMMIT):
                raise Silent
            told = msgspec.json.encode(msgspec.structs.replace(note, ends=self._ends))
            self._produce(self.notes, told, key=json.dumps(["table", self.topic, note.table]), partition=_PLACE)
            writer.commit_transaction(_COMMIT)
        except BaseException:
            with contextlib.suppress(confluent_kafka.KafkaException):
                writer.abort_transaction(_ANSWER)
            raise

    def _produce(self, topic: str, value: bytes, **more: Any) -> None:
        while True:
            try:
                self._writer.produce(topic, value, **more)
            except BufferError:  # the client's queue is full
                self._writer.poll(0.1)
            else:
                return

    def _delivered(self, error: Any, message: Any) -> None:
        if error is None:
            part = str(message.partition())
            self._ends[part] = max(self._ends.get(part, 0), message.offset() + 1)

    # -- reading

    def _reader(self, isolation: str) -> Any:
        if isolation not in self._readers:
            settings = {
                "group.id": "payoff",
                **self._shared,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,
                "auto.offset.reset": "earliest",
                "isolation.level": isolation,
            }
            self._readers[isolation] = confluent_kafka.Consumer(settings, logger=self._quiet)
        return self._readers[isolation]

    def _messages(self, isolation: str, topic: str, places: Mapping[int, int]) -> Iterator[Any]:
        """What a topic has from these places on, up to its end now."""
        reader, left = self._reader(isolation), set(places)
        reader.assign([confluent_kafka.TopicPartition(topic, part, at) for part, at in places.items()])
        heard = stopwatch()
        while left:
            first = reader.poll(0.1)  # `consume` would wait for as many as it is asked for
            for message in [first, *reader.consume(1000, 0)] if first is not None else []:
                heard = stopwatch()
                error = message.error()
                if error is None:
                    yield message
                elif error.name() == "_PARTITION_EOF":
                    left.discard(message.partition())
                else:
                    raise confluent_kafka.KafkaException(error)
            if stopwatch() - heard > _ANSWER:
                raise Silent

    def _bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Of each partition the oldest place and the end, uncommitted rows among them."""
        reader = self._reader("read_uncommitted")
        parts = sorted(reader.list_topics(topic, timeout=_ANSWER).topics[topic].partitions)
        places = {part: confluent_kafka.TopicPartition(topic, part) for part in parts}
        return {p: reader.get_watermark_offsets(each, timeout=_ANSWER, cached=False) for p, each in places.items()}

    def _exists(self, topic: str) -> bool:
        return topic in self._reader("read_uncommitted").list_topics(timeout=_ANSWER).topics

    def _make(self, topic: str, config: dict[str, str], partitions: int) -> None:
        """A topic that is not there."""
        if self._exists(topic):
            return
        made = admin.NewTopic(topic, num_partitions=partitions, replication_factor=-1, config=config)
        try:
            admin.AdminClient(self._shared, logger=self._quiet).create_topics([made], request_timeout=_ANSWER)[
                topic
            ].result()
        except confluent_kafka.KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # another writer did at the same moment
                raise


def _parts(message: Any) -> tuple[str, str, str]:
    try:
        kind, topic, rest = json.loads(message.key() or b"")
    except ValueError:
        return "", "", ""
    return str(kind), str(topic), str(rest)
