"""Streams whose messages are no JSON: the same table however it came, evolution of schemas, poison, and a registry that is away."""

from __future__ import annotations

import datetime as dt
import importlib.util
import io
import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.base.errors import OutsideError, UserError
from payoff.execute.streams.decode import Decoder
from payoff.records.project import SourceSpec
from payoff.records.stream import Batch, StreamOptions
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.execute.streams.landed import Landed


def beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"formats_{name}", Path(__file__).parents[1] / "contracts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


brokers, registries = beside("brokers"), beside("registries")

INSTANT = {"type": "long", "logicalType": "timestamp-micros"}
PRICE = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
FIRST = {"type": "record", "name": "P", "fields": [{"name": "id", "type": "int"}, {"name": "at", "type": INSTANT}, {"name": "price", "type": ["null", PRICE]}]}
SECOND = {
    "type": "record",
    "name": "P",
    "fields": [{"name": "extra", "type": "string"}, {"name": "at", "type": INSTANT}, {"name": "id", "type": "long"}, {"name": "price", "type": PRICE}, {"name": "shop", "type": "string"}],
}
DECLARED = {
    "type": "record",
    "name": "P",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": INSTANT},
        {"name": "price", "type": ["null", PRICE], "default": None},
        {"name": "shop", "type": "string", "default": "online"},
    ],
}
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def framed(number: int, schema: Any, thing: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), thing)
    return b"\x00" + number.to_bytes(4, "big") + stream.getvalue()


def payments(begin: int, end: int) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Messages of two writers, and the rows that they are as the declared schema has them."""
    messages, rows = [], []
    for number in range(begin, end):
        at, price = START + dt.timedelta(seconds=number), Decimal(number) / 100
        if number % 3:
            messages.append(framed(1, FIRST, {"id": number, "at": at, "price": None if number % 2 else price}))
            rows.append({"id": number, "at": at, "price": None if number % 2 else price, "shop": "online"})
        else:
            messages.append(framed(2, SECOND, {"extra": "x", "id": number, "at": at, "price": price, "shop": "Köln"}))
            rows.append({"id": number, "at": at, "price": price, "shop": "Köln"})
    return messages, rows


@pytest.fixture(scope="module")
def kafka() -> Iterator[Any]:
    broker = brokers.KafkaBroker()
    yield broker
    broker.end()


@pytest.fixture
def server() -> Iterator[Any]:
    with registries.registry({1: {"schema": json.dumps(FIRST)}, 2: {"schema": json.dumps(SECOND)}}) as made:
        yield made


@pytest.fixture
def name() -> str:
    return f"s{time.time_ns()}"


def landed(root: Path, options: dict[str, Any]) -> Landed:
    root.mkdir(exist_ok=True)
    (root / "payment.avsc").write_text(json.dumps(DECLARED))
    return assemble._source(SourceSpec(table="t", kind="kafka", options={"format": "avro", "schema": "payment.avsc", **options}), root)


def table(source: Landed) -> pa.Table:
    with source.read() as reader:
        return reader.read_all()


def test_the_table_is_the_same_in_1_7_or_1000_batches_and_by_the_batch_path(tmp_path: Path, name: str, kafka: Any, server: Any) -> None:
    """Two writers' schemas among each other; the batch path is a file of the rows as they were meant."""
    engine = assemble._connect("engine", {}, tmp_path)
    messages, rows = payments(0, 1000)
    kafka.send(name, messages)
    options = {**kafka.options, "topic": name, "registry": f"http://127.0.0.1:{server.port}"}
    found = []
    for size in (1000, 143, 1):
        source = landed(tmp_path / str(size), {**options, "batch_rows": size})
        assert source.land().batches >= 1000 // size
        with source.read() as reader:
            engine.write(reader, tmp_path / f"{size}.arrow")
        found.append(engine.identify(tmp_path / f"{size}.arrow"))
    whole = table(source)
    assert sorted(whole.select(["id", "at", "price", "shop"]).to_pylist(), key=lambda row: row["id"]) == rows
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(json.dumps(row, default=str).encode() for row in whole.to_pylist()))
    types = {field.name: str(field.type).replace("decimal128", "decimal") for field in source.schema()}
    file = assemble._source(SourceSpec(table="t", kind="files", options={"path": "rows.jsonl", "types": types}), tmp_path)
    with file.read() as reader:
        engine.write(reader, tmp_path / "file.arrow")
    assert {each.hash for each in [*found, engine.identify(tmp_path / "file.arrow")]} == {found[0].hash}
    assert server.asked.count("/schemas/ids/1") == 3, "once for each that landed it"


def test_poison_is_set_aside_with_the_reason_and_the_rest_lands(tmp_path: Path, name: str, kafka: Any, server: Any) -> None:
    good, rows = payments(0, 6)
    kafka.send(name, [good[0], b'{"id": 1}', good[1], b"\x00\x00\x00\x00\x09x", good[2], good[3][:-2], good[4], good[5] + b"geheim"], one=True)
    source = landed(tmp_path, {**kafka.options, "topic": name, "registry": f"http://127.0.0.1:{server.port}"})
    assert table(source)["id"].to_pylist() == [0, 1, 2, 4]
    aside = {each.offset: each for each in source.set_aside()}
    assert [(offset, aside[offset].reason) for offset in sorted(aside)] == [
        ("1", "it does not begin with a zero byte and the number of a schema"),
        ("3", "there is no schema 9 in the registry"),
        ("5", "it ends before its schema does"),
        ("7", "its schema ends 6 bytes before it does"),
    ]
    assert aside["7"].payload == good[5] + b"geheim"
    assert len(rows) == 6


def test_while_the_registry_is_away_nothing_lands_and_then_all_does(tmp_path: Path, name: str, kafka: Any, server: Any) -> None:
    messages, rows = payments(0, 20)
    kafka.send(name, messages)
    server.always = (503, b"")
    source = landed(tmp_path, {**kafka.options, "topic": name, "registry": f"http://127.0.0.1:{server.port}"})
    with pytest.raises(OutsideError) as caught:
        source.land()
    assert (caught.value.code, source.state().commit, source.state().set_aside) == ("PO-M017", 0, 0)
    server.always = None
    assert sorted(table(source)["id"].to_pylist()) == [row["id"] for row in rows]


def test_another_schema_or_another_shape_is_another_source(tmp_path: Path, name: str, kafka: Any, server: Any) -> None:
    options = {**kafka.options, "topic": name, "registry": f"http://127.0.0.1:{server.port}"}
    kafka.send(name, payments(0, 1)[0])
    before = landed(tmp_path, options).describe()
    assert before == landed(tmp_path, options).describe()
    other = landed(tmp_path, options)
    changed = {**DECLARED, "fields": [*DECLARED["fields"][:3], {**DECLARED["fields"][3], "default": "nowhere"}]}
    (tmp_path / "payment.avsc").write_text(json.dumps(changed))
    assert before != other.describe()
    assert before["format"] == "avro"


def test_schemas_are_of_no_use_to_json_and_texts_are_no_messages(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        landed(tmp_path, {"servers": "x", "format": "json"})
    assert caught.value.code == "PO-M019"
    with pytest.raises(UserError) as unknown:
        landed(tmp_path, {"servers": "x", "format": "avor"})
    assert (unknown.value.code, "avro" in unknown.value.expected) == ("PO-W002", True)
    source = landed(tmp_path, {"servers": "x"})
    batch = Batch(positions={}, partitions=["0"], offsets=[0], times=[None], keys=[None], values=[b"{}"], texts=True)
    with pytest.raises(UserError) as texts:
        source._decoder().decode(batch)
    assert texts.value.code == "PO-M019"


# -- values that have their types already


class Given:
    """A format whose messages are numbers of objects."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self.objects = objects

    def types(self) -> dict[str, str]:
        return {}

    def read(self, value: bytes) -> dict[str, Any]:
        return self.objects[int(value)]

    def describe(self) -> dict[str, Any]:
        return {"format": "given"}


def decoded(types: dict[str, str], *objects: dict[str, Any], **options: Any) -> tuple[list[dict[str, Any]], list[str]]:
    number = len(objects)
    batch = Batch(
        positions={}, partitions=["0"] * number, offsets=list(range(number)), times=[None] * number, keys=[None] * number,
        values=[str(each).encode() for each in range(number)],
    )  # fmt: skip
    rows, aside = Decoder("t", StreamOptions(**options), types, "int64", form=Given(list(objects))).decode(batch)
    assert rows.num_rows + len(aside) == number
    return rows.select(list(types)).to_pylist(), [each.reason for each in aside]


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("int64", 2**63, None),
        ("int64", True, None),
        ("int64", 1.5, None),
        ("int32", 2**31, None),
        ("float64", 3, 3.0),
        ("float64", "geheim", None),
        ("string", 3, None),
        ("timestamp[us, tz=UTC]", START, START),
        ("timestamp[us, tz=UTC]", START.replace(tzinfo=None), None),
        ("timestamp[us]", START, None),
        ("timestamp[us, tz=UTC]", "2026-01-01T00:00:00Z", START),
        ("timestamp[us, tz=UTC]", "geheim", None),
        ("date32", START, None),
        ("time64[us]", START, None),
        ("time64[us]", dt.time(1, 2), dt.time(1, 2)),
        ("timestamp[us, tz=UTC]", dt.date(2026, 1, 1), None),
        ("date32", dt.date(2026, 1, 1), dt.date(2026, 1, 1)),
        ("decimal(9, 2)", Decimal("3.1"), Decimal("3.10")),
        ("decimal(9, 2)", Decimal("3.123"), None),
        ("decimal(9, 2)", "3.10", Decimal("3.10")),
        ("json", {"a": [1, b"x", START, Decimal("1.5"), None]}, '{"a":[1,"eA==","2026-01-01T00:00:00Z","1.5",null]}'),
        ("bool", False, False),
        ("bool", 1, None),
        ("binary", b"\x00", b"\x00"),
    ],
)
def test_a_value_becomes_the_declared_type_or_its_message_is_set_aside(kind: str, value: Any, wanted: Any) -> None:
    rows, aside = decoded({"a": kind, "b": "int64"}, {"a": None, "b": 1}, {"a": value, "b": 2}, {"b": 3})
    if wanted is None:
        assert [row["b"] for row in rows] == [1, 3]
        assert aside[0].startswith("a is no ")
        assert "geheim" not in aside[0]
    else:
        assert aside == []
        assert [row["a"] for row in rows] == [None, wanted, None]


def test_fields_that_are_not_declared_are_ignored_or_set_aside() -> None:
    assert decoded({"a": "int64"}, {"a": 1, "more": 2}) == ([{"a": 1}], [])
    rows, aside = decoded({"a": "int64"}, {"a": 1, "more": 2}, {"a": 3}, unknown="set aside")
    assert (rows, aside) == ([{"a": 3}], ["it has a field that is not declared"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(st.characters(exclude_categories=["Cs"])), st.none() | st.booleans()), max_size=20))
def test_what_is_given_arrives(things: list[tuple[int, float, str, bool | None]]) -> None:
    objects = [dict(zip("abcd", each, strict=True)) for each in things]
    rows, aside = decoded({"a": "int64", "b": "float64", "c": "string", "d": "bool"}, *objects)
    assert aside == []
    assert [str(row) for row in rows] == [str(each) for each in objects]
