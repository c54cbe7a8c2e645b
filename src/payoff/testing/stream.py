"""The contract suite of streams.

Inherit it in a test file, name the adapter, and say how messages come to be outside; pytest does the rest:

    class TestMyStream(StreamSuite):
        adapter = "payoff.streams:mine"

        def place(self, name, messages): ...     # send messages, answer the options that lead to their stream
        def trim(self, name, keep): ...          # let the broker forget all but about so many of the newest
        def anew(self, name, messages): ...      # the stream is deleted and made again with these; answer its options
        def unreachable(self): ...               # options of a broker that is not there
        def refused(self): ...                   # options with the wrong password `WRONG`; None where there is none to be had
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from payoff.base.errors import OutsideError, PayoffError, UserError
from payoff.records.stream import Batch
from payoff.wiring import entry_points

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.ports.stream import Stream
    from payoff.records.stream import Positions

WRONG = "geheim-4711"
SIZE = 64 << 20


def connect(adapter: str, name: str, root: Path, options: dict[str, Any]) -> Stream:
    """The stream that an entry point `group:name` leads to."""
    group, _, kind = adapter.partition(":")
    module: Any = entry_points.load(group, kind)
    stream: Stream = module.connect(name, module.Options(**options), root)
    return stream


def numbered(begin: int, end: int) -> list[bytes]:
    """Messages that tell themselves apart."""
    return [json.dumps({"id": number}).encode() for number in range(begin, end)]


def read_all(stream: Stream, positions: Positions, until: Positions, limit: int = 1000) -> list[Batch]:
    """Batch after batch, up to `until`; each goes on from the positions of the last, as a landing hands them back."""
    batches, begun = [], time.monotonic()
    while True:
        batch = stream.read(positions, until, limit, SIZE, 1.0)
        assert len(batch.values) <= limit
        assert not batch.lost, batch.lost
        batches.append(batch)
        positions = json.loads(json.dumps(batch.positions))
        if batch.done:
            return batches
        assert time.monotonic() - begun < 60, "it does not come to an end"


def ids(batches: list[Batch]) -> list[int]:
    """What the messages say of themselves, sorted."""
    return sorted(int(json.loads(value)["id"]) for batch in batches for value in batch.values if value is not None)


def in_order(batches: list[Batch]) -> bool:
    """Whether each partition's messages came in the order they were sent in, none of them twice."""
    seen: dict[str, list[int]] = defaultdict(list)
    places = [(p, o) for batch in batches for p, o in zip(batch.partitions, batch.offsets, strict=True)]
    for batch in batches:
        for partition, value in zip(batch.partitions, batch.values, strict=True):
            seen[partition].append(int(json.loads(value or b"")["id"]))
    return len(set(places)) == len(places) and all(each == sorted(each) for each in seen.values())


class StreamSuite:
    """What every stream does."""

    adapter: ClassVar[str] = ""

    def place(self, name: str, messages: list[bytes]) -> dict[str, Any]:
        """Send messages to the stream of this name, made when it is not there; answers the options that lead to it."""
        raise NotImplementedError

    def trim(self, name: str, keep: int) -> None:
        """Let the broker forget the oldest."""
        raise NotImplementedError

    def anew(self, name: str, messages: list[bytes]) -> dict[str, Any]:
        """Delete the stream, and make another of the same name."""
        raise NotImplementedError

    def unreachable(self) -> dict[str, Any]:
        """Options of a broker that is not there."""
        raise NotImplementedError

    def refused(self) -> dict[str, Any] | None:
        """Options with a wrong password."""
        raise NotImplementedError

    @pytest.fixture
    def name(self, request: pytest.FixtureRequest) -> str:
        """A stream of the test's own."""
        return f"s{time.time_ns()}"

    def open(self, root: Path, name: str, options: dict[str, Any]) -> Stream:
        """A connection of its own."""
        return connect(self.adapter, name, root, options)

    @pytest.mark.parametrize("limit", [1, 7, 1000])
    def test_every_message_once_in_order_whatever_the_batches(self, tmp_path: Path, name: str, limit: int) -> None:
        number = 40 if limit == 1 else 300
        stream = self.open(tmp_path, name, self.place(name, numbered(0, number)))
        batches = read_all(stream, {}, stream.end(), limit)
        assert ids(batches) == list(range(number))
        assert in_order(batches)
        stream.close()

    def test_at_the_end_there_is_nothing_until_more_comes(self, tmp_path: Path, name: str) -> None:
        stream = self.open(tmp_path, name, self.place(name, numbered(0, 10)))
        last = read_all(stream, {}, stream.end())[-1]
        again = stream.read(last.positions, stream.end(), 1000, SIZE, 0.2)
        assert (again.done, again.values, again.positions) == (True, [], last.positions)
        self.place(name, numbered(10, 15))
        assert ids(read_all(stream, last.positions, stream.end())) == list(range(10, 15))
        stream.close()

    def test_what_comes_after_the_end_asked_for_is_left_for_the_next(self, tmp_path: Path, name: str) -> None:
        stream = self.open(tmp_path, name, self.place(name, numbered(0, 50)))
        until = stream.end()
        self.place(name, numbered(50, 90))
        batches = read_all(stream, {}, until, 20)
        assert ids(batches) == list(range(50))
        assert ids(read_all(stream, batches[-1].positions, stream.end())) == list(range(50, 90))
        stream.close()

    def test_another_process_goes_on_where_the_positions_say(self, tmp_path: Path, name: str) -> None:
        options = self.place(name, numbered(0, 100))
        first = self.open(tmp_path, name, options)
        batch = first.read({}, first.end(), 30, SIZE, 5.0)
        first.close()
        other = self.open(tmp_path, name, options)
        rest = read_all(other, json.loads(json.dumps(batch.positions)), other.end(), 30)
        assert ids([batch, *rest]) == list(range(100))
        other.close()

    def test_positions_beyond_the_end_asked_for_stay(self, tmp_path: Path, name: str) -> None:
        stream = self.open(tmp_path, name, self.place(name, numbered(0, 10)))
        until = stream.end()
        self.place(name, numbered(10, 20))
        beyond = read_all(stream, {}, stream.end())[-1].positions
        batch = stream.read(beyond, until, 1000, SIZE, 0.2)
        assert (batch.done, batch.values, batch.lost, batch.positions) == (True, [], (), beyond)
        stream.close()

    def test_large_messages_end_a_batch_early(self, tmp_path: Path, name: str) -> None:
        messages = [json.dumps({"id": number, "text": "x" * 1000}).encode() for number in range(4000)]
        stream = self.open(tmp_path, name, self.place(name, messages))
        until = stream.end()
        batch = stream.read({}, until, 100_000, 100_000, 5.0)
        assert 0 < len(batch.values) < 4000
        assert not batch.done
        assert ids([batch, *read_all(stream, batch.positions, until, 5000)]) == list(range(4000))
        stream.close()

    def test_times_are_of_now_in_microseconds(self, tmp_path: Path, name: str) -> None:
        before = time.time() - 5
        stream = self.open(tmp_path, name, self.place(name, numbered(0, 5)))
        (batch, *_) = read_all(stream, {}, stream.end())
        assert all(before < (at or 0) / 1_000_000 < time.time() + 5 for at in batch.times)
        stream.close()

    def test_what_the_broker_has_removed_is_said(self, tmp_path: Path, name: str) -> None:
        stream = self.open(tmp_path, name, self.place(name, numbered(0, 200)))
        first = stream.read({}, stream.end(), 10, SIZE, 5.0)
        stream.close()  # with it goes what a client may have fetched ahead
        self.trim(name, 50)
        batch = stream.read(first.positions, stream.end(), 1000, SIZE, 5.0)
        assert batch.lost
        assert batch.values == []
        assert all(each.why and each.since != each.until for each in batch.lost)
        rest = read_all(stream, batch.positions, stream.end())
        assert in_order(rest)
        number = sum(each.messages or 0 for each in batch.lost)
        assert len(ids([first, *rest])) + number == self.sent(200)
        stream.close()

    def sent(self, number: int) -> int:
        """How many messages a stream has had after `trim`, where trimming takes further ones."""
        return number

    def test_what_was_removed_before_the_first_read_is_no_loss(self, tmp_path: Path, name: str) -> None:
        options = self.place(name, numbered(0, 200))
        self.trim(name, 50)
        stream = self.open(tmp_path, name, options)
        assert 0 < len(ids(read_all(stream, {}, stream.end()))) < self.sent(200)
        stream.close()

    def test_a_stream_that_was_made_anew_is_said(self, tmp_path: Path, name: str) -> None:
        stream = self.open(tmp_path, name, self.place(name, numbered(0, 100)))
        last = read_all(stream, {}, stream.end())[-1].positions
        stream.close()
        other = self.open(tmp_path, name, self.anew(name, numbered(500, 505)))
        batch = other.read(last, other.end(), 1000, SIZE, 5.0)
        assert batch.lost
        assert ids(read_all(other, batch.positions, other.end())) == list(range(500, 505))
        other.close()

    def test_a_wrong_name_is_the_users_and_the_nearest_is_named(self, tmp_path: Path, name: str) -> None:
        options = self.place(name, numbered(0, 1))
        wrong = {key: (f"{value}x" if value == name else value) for key, value in options.items()}
        stream = self.open(tmp_path, name, wrong)
        with pytest.raises(UserError) as caught:
            stream.end()
        assert name in caught.value.expected
        stream.close()

    def test_a_broker_that_is_not_there_may_come_back(self, tmp_path: Path, name: str) -> None:
        stream = self.open(tmp_path, name, self.unreachable())
        with pytest.raises(OutsideError) as caught:
            stream.end()
        assert caught.value.may_retry
        stream.close()

    def test_a_wrong_password_is_said_and_not_shown(self, tmp_path: Path, name: str) -> None:
        options = self.refused()
        if options is None:
            pytest.skip("there is no broker here that asks for a password")
        stream = self.open(tmp_path, name, options)
        with pytest.raises(PayoffError) as caught:
            stream.end()
        assert isinstance(caught.value, UserError)
        assert WRONG not in str(caught.value)
        assert WRONG not in json.dumps(stream.describe())
        stream.close()

    def test_it_says_where_it_is_and_closes_as_often_as_asked(self, tmp_path: Path, name: str) -> None:
        stream = self.open(tmp_path, name, self.place(name, numbered(0, 3)))
        told = stream.describe()
        assert told["kind"] == self.adapter.partition(":")[2]
        assert told["address"]
        assert told["stream"] == name
        stream.end()
        stream.close()
        stream.close()
        assert ids(read_all(stream, {}, stream.end())) == [0, 1, 2]
        stream.close()
