"""The sink: rows become messages, batch after batch, each with a note in the same transaction."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from payoff.adapters.sinks.kafka.session import Lost, Note, Session, Silent
from payoff.base import hashing, lazy
from payoff.base.errors import OutsideError, UserError
from payoff.ports.sink import json_rows, refuse_unjson
from payoff.records.artifact import Artifact, Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import confluent_kafka
    import pyarrow as pa

    from payoff.base.errors import PayoffError
else:
    pa, confluent_kafka = lazy.Module("pyarrow"), lazy.Module("confluent_kafka")

CAPABILITIES = {"atomic": False, "modes": ("append",)}
_REFUSED = {
    "_AUTHENTICATION",
    "SASL_AUTHENTICATION_FAILED",
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
}
_OVERTAKEN = {"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"}


@dataclasses.dataclass(frozen=True)
class Options:
    """`servers`: `host:9092`, several with commas. `topic`: the sink's own name unless said; made as the broker makes topics, when it is not there. `key`: the column whose value is the messages' key, so that
    rows of one key keep their order (default: none). `batch`: rows that appear at once. `notes`: the compacted topic that says what was sent. `settings`: librdkafka's own, as `security.protocol`,
    `sasl.username`, `sasl.password` (a `${ENV_VAR}` reference).
    """

    servers: str
    topic: str = ""
    key: str = ""
    batch: int = 10_000
    notes: str = "payoff_writes"
    settings: dict[str, str] = dataclasses.field(default_factory=dict)


def connect(name: str, options: Options, root: Path) -> Kafka:
    """A topic; no connection is made yet."""
    return Kafka(name, options)


class Kafka:
    """See `ports.sink.Sink`. Writers of one topic wait for each other, in the order in which they came."""

    def __init__(self, name: str, options: Options) -> None:
        self._name = name
        self._options = options
        self._topic = options.topic or name
        self._refused = False

    def write(self, reader: pa.RecordBatchReader, artifact: Artifact) -> Written:
        """Batch after batch, from the first row that is not there yet."""
        refuse_unjson(self._name, reader.schema)
        if self._options.key and self._options.key not in reader.schema.names:
            raise self._no_key(reader.schema.names)
        with self._told(), self._session() as session:
            found = session.note(artifact.id)
            if found is None or not found.complete:
                with session.turn():
                    found = session.note(artifact.id)
                    if found is None or not found.complete:
                        rows = self._send(session, json_rows(self._name, reader), artifact, found)
                        return Written(identity=artifact.id, rows=rows)
            return Written(identity=artifact.id, rows=found.rows, already=True)

    def written(self) -> str | None:
        """The id of the last table that was sent whole; None when the topic itself is gone, or was made anew."""
        with self._told(), self._session() as session:
            return session.newest()

    def describe(self) -> dict[str, Any]:
        """Servers and topic."""
        return {"kind": "kafka", "address": self._options.servers, "table": self._topic, "mode": "append"}

    def _send(self, session: Session, texts: Iterator[str], artifact: Artifact, before: Note | None) -> int:
        """The rows behind those of the note. A row that is there all the same (a broker without real transactions shows it) is not sent again."""
        before = before or session.begin(artifact.id)
        there = session.rows_after(before)
        number, running, waiting = 0, "", []
        for text in texts:
            number += 1
            running = hashing.of_text(running + text)
            if number == before.rows and running != before.digest:
                raise self._other_order()
            if number > before.rows and number not in there:
                waiting.append((number, self._key(text), text.encode()))
            if len(waiting) >= self._options.batch:
                session.commit(before.after(number, running, complete=False), waiting, artifact.rows)
                waiting = []
        session.commit(before.after(number, running, complete=True), waiting, artifact.rows)
        return number

    def _key(self, text: str) -> bytes | None:
        if not self._options.key:
            return None
        value = json.loads(text)[self._options.key]
        return None if value is None else str(value).encode()

    def _session(self) -> Session:
        self._refused = False
        return Session(
            self._options.servers, self._topic, self._options.notes, self._options.settings, heard=self._heard
        )

    # -- errors

    def _heard(self, error: Any) -> None:
        self._refused = self._refused or error.name() in _REFUSED

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The library's errors in our words."""
        try:
            yield
        except Lost:
            raise self._overtaken() from None
        except Silent:
            raise self._said("_TIMED_OUT") from None
        except confluent_kafka.KafkaException as error:
            raise self._said(error.args[0].name() if error.args else "") from None

    def _said(self, name: str) -> PayoffError:
        if self._refused or name in _REFUSED:
            return UserError(
                f"sink {self._name}: Kafka refused the user, the password, or a right ({name})",
                code="PO-N011",
                expected=f"a user who may write to the topics {self._topic} and {self._options.notes} and read them, with the transactional id payoff-{self._topic}",
                remedy=f"check the environment variables that settings of [sinks.{self._name}] refers to, and the user's rights",
            )
        if name in _OVERTAKEN:
            return self._overtaken()
        if name == "_INVALID_ARG":
            return UserError(
                f"sink {self._name}: Kafka's client does not take its settings",
                code="PO-N022",
                expected="settings of librdkafka, of those that both producers and consumers know",
                remedy=f"correct settings in [sinks.{self._name}] of payoff.toml",
            )
        if name in ("MSG_SIZE_TOO_LARGE", "TOPIC_EXCEPTION", "INVALID_RECORD", "POLICY_VIOLATION"):
            return UserError(
                f"sink {self._name}: Kafka does not take a row, or the topic's name ({name})",
                code="PO-N003",
                expected="rows of at most max.message.bytes, and a topic whose name and rules let them in",
                remedy=f"make the rows smaller in a step, or change the topic {self._topic}, then payoff run: what was sent is not sent again",
            )
        return OutsideError(
            f"sink {self._name}: Kafka cannot be reached, or stopped in the middle ({name})",
            code="PO-N010",
            expected=f"a broker that answers at the address of servers, with the topics {self._topic} and {self._options.notes} (compacted, one partition)",
            remedy=f"check servers of [sinks.{self._name}] and that the broker runs, then payoff run: what was sent is not sent again",
            retryable=True,
        )

    def _overtaken(self) -> OutsideError:
        return OutsideError(
            f"sink {self._name}: another writer took over the topic {self._topic}",
            code="PO-N009",
            expected="one writer at a time, and less than 5 seconds between two batches",
            remedy="payoff run: what was sent is not sent again",
            retryable=True,
        )

    def _no_key(self, names: list[str]) -> UserError:
        return UserError(
            f"sink {self._name}: the table has no column {self._options.key}, which is to be the messages' key",
            code="PO-N005",
            expected=f"one of {', '.join(names)}",
            remedy=f"correct key in [sinks.{self._name}] of payoff.toml",
        )

    def _other_order(self) -> UserError:
        return UserError(
            f"sink {self._name}: the rows come in another order than those that were sent before the write was interrupted",
            code="PO-N008",
            expected="the rows of the table in the store, which keep their order as long as the store keeps them",
            remedy=f"let readers of the topic drop the part of this table (header Payoff-Table), write an empty message over its note in {self._options.notes}, then payoff run",
        )
