"""Kafka, NATS JetStream and Redis keep what every stream promises: against real brokers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from payoff.testing.stream import WRONG, StreamSuite

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("brokers", Path(__file__).with_name("brokers.py"))
assert _spec and _spec.loader
brokers = importlib.util.module_from_spec(_spec)
sys.modules["brokers"] = brokers
_spec.loader.exec_module(brokers)


class TestNats(StreamSuite):
    adapter = "payoff.streams:nats"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        cls.broker = brokers.NatsServer()
        cls.broker.start()
        yield
        cls.broker.end()

    broker: Any

    def place(self, name: str, messages: list[bytes]) -> dict[str, Any]:
        self.broker.send(name, messages)
        return {**self.broker.options, "stream": name}

    def trim(self, name: str, keep: int) -> None:
        self.broker.ask(lambda jetstream: jetstream.purge_stream(name, keep=keep))

    def anew(self, name: str, messages: list[bytes]) -> dict[str, Any]:
        self.broker.ask(lambda jetstream: jetstream.delete_stream(name))
        return self.place(name, messages)

    def unreachable(self) -> dict[str, Any]:
        return {"servers": f"nats://127.0.0.1:{brokers.free_port()}"}

    def refused(self) -> dict[str, Any]:
        return {**self.broker.options, "password": WRONG}

    def test_a_subject_of_its_own_has_its_own_messages(self, tmp_path: Path, name: str) -> None:
        from payoff.testing.stream import ids, numbered, read_all

        stream = self.open(tmp_path, name, {**self.place(name, numbered(0, 90)), "subject": f"{name}.1"})
        batches = read_all(stream, {}, stream.end(), 7)
        assert ids(batches) == list(range(1, 90, 3))
        assert {key for batch in batches for key in batch.keys} == {f"{name}.1"}
        stream.close()

    def test_messages_deleted_in_the_middle_and_at_the_end_do_not_hold_it_up(self, tmp_path: Path, name: str) -> None:
        from payoff.testing.stream import ids, numbered, read_all

        stream = self.open(tmp_path, name, self.place(name, numbered(0, 20)))
        for sequence in (5, 20):
            self.broker.ask(lambda jetstream, sequence=sequence: jetstream.delete_msg(name, sequence))
        assert ids(read_all(stream, {}, stream.end(), 7)) == [n for n in range(20) if n not in {4, 19}]
        stream.close()


class TestRedis(StreamSuite):
    adapter = "payoff.streams:redis"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        cls.broker = brokers.RedisServer()
        cls.broker.start()
        yield
        cls.broker.end()

    broker: Any

    def place(self, name: str, messages: list[bytes]) -> dict[str, Any]:
        self.broker.send(name, messages)
        return {**self.broker.options, "key": name, "field": "payload"}

    def trim(self, name: str, keep: int) -> None:
        with self.broker.client() as client:
            client.xtrim(name, maxlen=keep, approximate=False)

    def anew(self, name: str, messages: list[bytes]) -> dict[str, Any]:
        with self.broker.client() as client:
            client.delete(name)
        return self.place(name, messages)

    def unreachable(self) -> dict[str, Any]:
        return {"address": f"redis://127.0.0.1:{brokers.free_port()}/0"}

    def refused(self) -> dict[str, Any]:
        return {"address": f"redis://:{WRONG}@127.0.0.1:{self.broker.port}/0"}

    def test_an_entry_deleted_before_it_was_read_is_said_once(self, tmp_path: Path, name: str) -> None:
        from payoff.testing.stream import SIZE, ids, numbered, read_all

        stream = self.open(tmp_path, name, self.place(name, numbered(0, 20)))
        first = stream.read({}, stream.end(), 5, SIZE, 1.0)
        with self.broker.client() as client:
            client.xdel(name, client.xrange(name)[10][0])
        batch = stream.read(first.positions, stream.end(), 5, SIZE, 1.0)
        assert batch.lost
        assert ids([first, *read_all(stream, batch.positions, stream.end(), 5)]) == [n for n in range(20) if n != 10]
        stream.close()


class TestKafka(StreamSuite):
    adapter = "payoff.streams:kafka"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        cls.started = [brokers.KafkaBroker()]
        yield
        for each in cls.started:
            each.end()

    started: list[Any]

    def place(self, name: str, messages: list[bytes]) -> dict[str, Any]:
        self.started[0].send(name, messages)
        return {**self.started[0].options, "topic": name}

    def trim(self, name: str, keep: int) -> None:
        """The broker keeps 5 MB of a partition, whatever is asked; larger messages push the older ones out of one of them."""
        filler = [b'{"id": %d, "text": "%s"}' % (1000 + number, b"x" * 50_000) for number in range(400)]
        self.started[0].send(name, filler, one=True)

    def sent(self, number: int) -> int:
        return number + 400

    def anew(self, name: str, messages: list[bytes]) -> dict[str, Any]:
        other = brokers.KafkaBroker()
        self.started.append(other)
        other.send(name, messages)
        return {**other.options, "topic": name}

    def unreachable(self) -> dict[str, Any]:
        return {"servers": f"127.0.0.1:{brokers.free_port()}"}

    def refused(self) -> None:
        """The library's broker knows no passwords."""
