"""A stream as a table: what a message becomes, the same table however it came, and nothing lost or doubled whoever is killed."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.base.errors import OutsideError, UserError
from payoff.execute.streams.decode import Decoder, types_of
from payoff.records.contract import Column, Contract
from payoff.records.project import SourceSpec
from payoff.records.stream import Batch, StreamOptions
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from payoff.execute.streams.landed import Landed

_spec = importlib.util.spec_from_file_location("brokers", Path(__file__).parents[1] / "contracts" / "brokers.py")
assert _spec and _spec.loader
brokers = importlib.util.module_from_spec(_spec)
sys.modules["brokers"] = brokers
_spec.loader.exec_module(brokers)

TYPES = {"id": "int64", "amount": "float64", "price": "decimal(9, 2)", "at": "timestamp[us, tz=UTC]", "day": "date32", "yes": "bool", "more": "json"}
GOOD = b'{"id": 1, "amount": 2.5, "price": "3.10", "at": "2026-01-02T03:04:05Z", "day": "2026-01-02", "yes": true, "more": {"a": [1]}}'


def decode(*values: bytes | None, types: dict[str, str] | None = None, texts: bool = False, **options: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows without their places, and the reasons of what was set aside."""
    made = types or TYPES
    number = len(values)
    batch = Batch(
        positions={}, partitions=["0"] * number, offsets=list(range(number)), times=[None] * number, keys=[None] * number,
        values=list(values), texts=texts,
    )  # fmt: skip
    table, aside = Decoder("t", StreamOptions(**options), made, "int64").decode(batch)
    assert table.num_rows + len(aside) == number
    return table.select(list(made)).to_pylist(), [each.reason for each in aside]


def test_a_message_becomes_a_row_of_the_declared_types() -> None:
    ((row,), aside) = decode(GOOD)
    assert aside == []
    assert (row["id"], row["amount"], str(row["price"]), row["yes"], row["more"]) == (1, 2.5, "3.10", True, '{"a": [1]}')
    assert (row["at"].isoformat(), row["day"].isoformat()) == ("2026-01-02T03:04:05+00:00", "2026-01-02")


def test_what_is_missing_is_null_and_what_is_not_declared_is_ignored() -> None:
    rows, aside = decode(b"{}", b'{"id": null, "more": null, "extra": 7}')
    assert aside == []
    assert rows == [dict.fromkeys(TYPES)] * 2


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "malformed|truncated"),
        (b"no json", "malformed"),
        (b'{"id": 1', "truncated"),
        (b"[1]", "Expected `object`"),
        (b'{"id": "geheim"}', r"\$\.id"),
        (b'{"id": 9223372036854775808}', "id is no int64"),
        (b'{"price": "geheim"}', "price is no decimal"),
        (b'{"at": "geheim"}', "at is no timestamp"),
        (b'{"day": "2026-02-30"}', "day is no date"),
        (b'{"more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"\xff\xfe", "malformed"),
        (b'{"amount": "\xff"}', r"\$\.amount|UTF"),
        (None, "no content"),
    ],
)
def test_what_is_no_row_is_set_aside_with_the_reason_and_without_a_value(value: bytes | None, reason: str) -> None:
    import re

    rows, aside = decode(GOOD, value, GOOD)
    assert len(rows) == 2
    assert len(aside) == 1
    assert re.search(reason, aside[0])
    assert "geheim" not in aside[0]


def test_options_set_more_aside() -> None:
    assert decode(GOOD, largest=10)[1] == ["it has 125 bytes, more than the 10 of `largest`"]
    assert decode(b'{"geheim": 1}', unknown="set aside")[1] == ["it has a field that is not declared"]


def test_texts_of_an_entry_are_read_as_the_declared_types() -> None:
    value = json.dumps({"id": "7", "amount": "2.5", "price": "3.10", "yes": "true", "more": '{"a": 1}', "day": "2026-01-02"}).encode()
    ((row,), aside) = decode(value, texts=True)
    assert aside == []
    assert (row["id"], row["amount"], str(row["price"]), row["yes"], row["more"]) == (7, 2.5, "3.10", True, '{"a": 1}')
    assert len(decode(b'{"id": "seven"}', b"k=\xff", texts=True)[1]) == 2


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.none(), st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.sampled_from(list(TYPES)) | st.text(), each), max_leaves=8).map(lambda each: json.dumps(each).encode())), max_size=8), st.booleans())  # fmt: skip
def test_every_message_is_a_row_or_set_aside(values: list[bytes | None], texts: bool) -> None:
    decode(*values, texts=texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans()), min_size=1, max_size=20))
def test_numbers_come_as_they_were_sent(rows: list[tuple[int, float, bool]]) -> None:
    values = [json.dumps({"id": number, "amount": amount, "yes": yes}).encode() for number, amount, yes in rows]
    found, aside = decode(*values)
    assert aside == []
    assert [(row["id"], row["amount"], row["yes"]) for row in found] == rows


def test_types_come_from_the_contract() -> None:
    columns = (Column(name="id", type="integer"), Column(name="at", type="timestamp"), Column(name="_offset", type="integer"), Column(name="x"))
    assert types_of(Contract(table="t", file="c", version="1", columns=columns)) == {"id": "int64", "at": "timestamp[us, tz=UTC]"}
    assert types_of(None) == {}


@pytest.mark.parametrize(("types", "code"), [({}, "PO-M001"), ({"a": "int65"}, "PO-M002"), ({"_key": "string"}, "PO-M003")])
def test_types_that_cannot_be_are_the_users(types: dict[str, str], code: str) -> None:
    with pytest.raises(UserError) as caught:
        Decoder("t", StreamOptions(), types, "int64")
    assert caught.value.code == code


# -- against brokers


@pytest.fixture(scope="module")
def nats() -> Iterator[Any]:
    server = brokers.NatsServer()
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def kafka() -> Iterator[Any]:
    broker = brokers.KafkaBroker()
    yield broker
    broker.end()


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a kill leaves files there as it does on a disk, and a thousand transactions are over in seconds."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path, prefix="payoff-") as folder:
        yield Path(folder)


@pytest.fixture
def name() -> str:
    return f"s{time.time_ns()}"


def landed(root: Path, kind: str, options: dict[str, Any]) -> Landed:
    """The table of a stream, as a project's section makes it."""
    return assemble._source(SourceSpec(table="t", kind=kind, options={"types": {"id": "int64"}, **options}), root)


def table(source: Landed) -> pa.Table:
    with source.read() as reader:
        return reader.read_all()


@pytest.mark.parametrize("kind", ["nats", "kafka"])
def test_the_table_is_the_same_in_1_7_or_1000_batches_and_by_the_batch_path(quick: Path, name: str, kind: str, request: pytest.FixtureRequest) -> None:
    """Its identity and its order; the batch path is a file of the same rows."""
    broker = request.getfixturevalue(kind)
    engine = assemble._connect("engine", {}, quick)
    broker.send(name, brokers.objects(0, 1000))
    options = {**broker.options, {"nats": "stream", "kafka": "topic"}[kind]: name}
    found = []
    for rows in (1000, 143, 1):
        source = landed(quick / str(rows), kind, {**options, "batch_rows": rows})
        batches = source.land().batches
        assert batches >= 1000 // rows
        with source.read() as reader:
            engine.write(reader, quick / f"{rows}.arrow")
        found.append(engine.identify(quick / f"{rows}.arrow"))
        assert table(source)["_offset"].to_pylist() == table(landed(quick / "1000", kind, options))["_offset"].to_pylist()
    (quick / "rows.jsonl").write_bytes(b"\n".join(json.dumps(row, default=str).encode() for row in table(source).to_pylist()))
    types = {field.name: str(field.type) for field in source.schema()}
    file = assemble._source(SourceSpec(table="t", kind="files", options={"path": "rows.jsonl", "types": types}), quick)
    with file.read() as reader:
        engine.write(reader, quick / "file.arrow")
    assert {each.hash for each in [*found, engine.identify(quick / "file.arrow")]} == {found[0].hash}
    assert found[0].rows == 1000


def test_poison_is_set_aside_in_its_place_and_too_much_of_it_is_an_error(tmp_path: Path, name: str, nats: Any) -> None:
    nats.send(name, [b'{"id": 1}', b"poison", b'{"id": 2}', b'{"id": "geheim"}', b'{"id": 3}'])
    source = landed(tmp_path, "nats", {**nats.options, "stream": name, "set_aside_limit": 1})
    with pytest.raises(UserError) as caught:
        source.land()
    assert (caught.value.code, "geheim" in str(caught.value)) == ("PO-M008", False)
    assert [(each.offset, each.payload) for each in source.set_aside()] == [("4", b'{"id": "geheim"}'), ("2", b"poison")]
    source = landed(tmp_path, "nats", {**nats.options, "stream": name})
    assert table(source)["id"].to_pylist() == [1, 2, 3]
    assert source.positions()["set_aside"] == 2


def test_a_loss_is_an_error_until_it_is_accepted_and_then_written_down(tmp_path: Path, name: str, nats: Any) -> None:
    nats.send(name, brokers.objects(0, 10))
    source = landed(tmp_path, "nats", {**nats.options, "stream": name})
    source.land()
    nats.send(name, brokers.objects(10, 30))
    nats.ask(lambda jetstream: jetstream.purge_stream(name, keep=5))
    for _ in range(2):
        with pytest.raises(OutsideError, match="15 messages") as caught:
            source.land()
        assert "--accept-loss" in caught.value.remedy
    assert source.state().rows == 10
    after = source.land(accept_loss=True)
    assert (after.landed, [each.messages for each in after.state.lost]) == (5, [15])
    assert table(source)["id"].to_pylist() == [*range(10), *range(25, 30)]


def test_clocks_that_are_wrong_change_neither_order_nor_count(tmp_path: Path, name: str, kafka: Any) -> None:
    """Kafka's times are its senders': one of them lives in 1970, one in 2100."""
    times = [4_102_444_800_000, 1, 1_700_000_000_000, 2]
    kafka.send(name, brokers.objects(0, 4), one=True, times=times)
    found = table(landed(tmp_path, "kafka", {**kafka.options, "topic": name}))
    assert found["id"].to_pylist() == [0, 1, 2, 3]
    assert [int(at.timestamp() * 1000) for at in found["_time"].to_pylist()] == times


def test_the_landing_of_another_stream_is_refused(tmp_path: Path, name: str, nats: Any) -> None:
    for each in (name, f"{name}b"):
        nats.send(each, brokers.objects(0, 3))
    landed(tmp_path, "nats", {**nats.options, "stream": name}).land()
    with pytest.raises(UserError) as caught:
        landed(tmp_path, "nats", {**nats.options, "stream": f"{name}b"}).land()
    assert caught.value.code == "PO-M009"


def test_a_version_changes_with_the_stream_and_nothing_else(tmp_path: Path, name: str, nats: Any) -> None:
    nats.send(name, brokers.objects(0, 3))
    source = landed(tmp_path, "nats", {**nats.options, "stream": name})
    before = source.version()
    assert table(source).num_rows == 3
    assert source.version() == before
    nats.send(name, brokers.objects(3, 4))
    assert source.version() != before
    nats.send(name, brokers.objects(4, 5))
    assert table(source).num_rows == 4, "what came after the version was asked for is the next run's"


# -- kills

# Lands again and again, in a child that is ready at once; says the child's id.
_READER = """
import json, os, pathlib, sys, time
import pyarrow, pyarrow.compute, sqlite3, nats, redis
from payoff.records.project import SourceSpec
from payoff.wiring import assemble
from payoff.base.errors import PayoffError
import payoff.execute.streams.decode
root, kind, options = pathlib.Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
source = assemble._source(SourceSpec(table="t", kind=kind, options=options), root)
for line in sys.stdin:
    child = os.fork()
    if not child:
        while True:
            try:
                source.land(close=False)
            except PayoffError as error:
                if error.code != "PO-M004":
                    (root / "wrong").write_text(str(error))
                time.sleep(0.02)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""
# Sends numbers, one after the other, and writes down each that was acknowledged.
_SENDERS = {
    "nats": """
import asyncio, json, sys, nats
async def main():
    client = await nats.connect(sys.argv[1], user="tester", password=sys.argv[2], allow_reconnect=False, max_reconnect_attempts=1)
    stream, number = client.jetstream(timeout=2), int(sys.argv[4])
    with open(sys.argv[5], "a") as acknowledged:
        while True:
            sent = [await stream.publish_async(sys.argv[3] + ".0", json.dumps({"id": number + n}).encode()) for n in range(20)]
            await asyncio.gather(*sent)
            acknowledged.write("".join(f"{number + n}\\n" for n in range(20)))
            acknowledged.flush()
            number += 20
asyncio.run(main())
""",
    "redis": """
import json, sys, redis
client, number = redis.Redis.from_url(sys.argv[1], socket_timeout=2), int(sys.argv[4])
with open(sys.argv[5], "a") as acknowledged:
    while True:
        pipe = client.pipeline(transaction=False)
        for n in range(20):
            pipe.xadd(sys.argv[3], {"payload": json.dumps({"id": number + n})})
        pipe.execute()
        acknowledged.write("".join(f"{number + n}\\n" for n in range(20)))
        acknowledged.flush()
        number += 20
""",
}


class Chaos:
    """A sender, a broker and a reader, each of which is killed at random points; in the end the table is the broker's log."""

    def __init__(self, kind: str, server: Any, root: Path, name: str, seed: int) -> None:
        self.kind, self.server, self.root, self.name = kind, server, root, name
        self.chance = random.Random(seed)
        self.options = {**server.options, "types": {"id": "int64"}, "batch_rows": 200}
        self.options |= {"nats": {"stream": name}, "redis": {"key": name, "field": "payload"}}[kind]
        self.acknowledged = root / "acknowledged"
        self.acknowledged.touch()
        self.sender: subprocess.Popen[bytes] | None = None
        self.kills = {"reader": 0, "sender": 0, "broker": 0}
        self.numbers = 0

    def send(self) -> None:
        """A sender that goes on with numbers of its own."""
        if self.sender is None or self.sender.poll() is not None:
            self.numbers += 1_000_000
            address = self.server.options.get("servers") or self.server.options.get("address")
            words = [sys.executable, "-c", _SENDERS[self.kind], address, brokers.PASSWORD, self.name, str(self.numbers), str(self.acknowledged)]
            self.sender = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def stop_sender(self) -> None:
        if self.sender is not None:
            self.sender.kill()
            self.sender.wait()

    def run(self, rounds: int) -> None:
        self.server.send(self.name, brokers.objects(0, 10))
        words = [sys.executable, "-c", _READER, str(self.root), self.kind, json.dumps(self.options)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
            try:
                for number in range(rounds):
                    self.send()
                    self.round(reader, number)
            finally:
                self.stop_sender()
                reader.kill()

    def round(self, reader: subprocess.Popen[str], number: int) -> None:
        assert reader.stdin and reader.stdout
        reader.stdin.write("go\n")
        reader.stdin.flush()
        child = int(reader.stdout.readline())
        victim = "reader" if number % 5 else self.chance.choice(["sender", "broker"])
        time.sleep(self.chance.uniform(0.0, 0.12))
        if victim == "sender":
            self.stop_sender()
        elif victim == "broker":
            self.server.kill()
            time.sleep(self.chance.uniform(0.0, 0.1))
            self.server.start()
        self.kills[victim] += 1
        os.kill(child, signal.SIGKILL)
        self.kills["reader"] += victim != "reader"
        assert reader.stdout.readline() == "gone\n"
        assert not (self.root / "wrong").exists(), (self.root / "wrong").read_text()

    def judge(self, log: list[tuple[Any, int]]) -> int:
        """The table against the broker's own log, told by a client that is none of ours."""
        found = table(landed(self.root, self.kind, self.options))
        assert list(zip(found["_offset"].to_pylist(), found["id"].to_pylist(), strict=True)) == log
        acknowledged = {int(line) for line in self.acknowledged.read_text().split()}
        assert acknowledged <= {number for _, number in log}, "the broker lost what it had acknowledged"
        return len(log)


def nats_log(server: Any, name: str) -> list[tuple[Any, int]]:
    async def work(jetstream: Any) -> list[tuple[Any, int]]:
        from nats.js.api import AckPolicy, ConsumerConfig

        state = (await jetstream.stream_info(name)).state
        made = await jetstream.pull_subscribe("", stream=name, config=ConsumerConfig(ack_policy=AckPolicy.NONE))
        found: list[tuple[Any, int]] = []
        while len(found) < state.messages:
            for message in await made.fetch(500, timeout=5):
                found.append((message.metadata.sequence.stream, json.loads(message.data)["id"]))
        return found

    return server.ask(work)


def redis_log(server: Any, name: str) -> list[tuple[Any, int]]:
    with server.client() as client:
        return [(entry.decode(), json.loads(fields[b"payload"])["id"]) for entry, fields in client.xrange(name)]


LOGS: dict[str, Callable[[Any, str], list[tuple[Any, int]]]] = {"nats": nats_log, "redis": redis_log}
SERVERS = {"nats": brokers.NatsServer, "redis": brokers.RedisServer}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "rounds"),
    [
        ("nats", 12),
        ("redis", 12),
        pytest.param("nats", 300, marks=pytest.mark.slow),  # hundreds of kills take minutes
        pytest.param("redis", 300, marks=pytest.mark.slow),
    ],
)
def test_whoever_is_killed_nothing_is_lost_or_doubled(kind: str, rounds: int, quick: Path, name: str) -> None:
    server = SERVERS[kind]()
    server.start()
    try:
        chaos = Chaos(kind, server, quick, name, seed=rounds)
        chaos.run(rounds)
        messages = chaos.judge(LOGS[kind](server, name))
        assert messages > 10
        print(f"{kind}: {chaos.kills}, {messages} messages")
    finally:
        server.end()


def test_the_scripts_of_the_kills_are_python() -> None:
    for script in (_READER, *_SENDERS.values()):
        compile(textwrap.dedent(script), "script", "exec")


def test_a_broker_that_hangs_is_said_and_what_landed_goes_on_when_it_answers_again(tmp_path: Path, name: str) -> None:
    server = brokers.NatsServer()
    server.start()
    try:
        server.send(name, brokers.objects(0, 10))
        source = landed(tmp_path, "nats", {**server.options, "stream": name})
        source.land()
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(OutsideError) as caught:
            source.land()
        assert (caught.value.code, caught.value.may_retry) == ("PO-M004", True)
        server.process.send_signal(signal.SIGCONT)
        server.send(name, brokers.objects(10, 20))
        assert table(source)["id"].to_pylist() == list(range(20))
    finally:
        server.end()
