"""Formats of messages keep what their port promises; Avro against messages that its library writes, and a registry that speaks over HTTP."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import importlib.util
import io
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import pytest

from payoff.base.errors import OutsideError, UserError
from payoff.ports.streaming.format import Unreadable
from payoff.testing.format import MARKED as SECRET
from payoff.testing.format import FormatSuite, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

_spec = importlib.util.spec_from_file_location("registry_server", Path(__file__).with_name("registries.py"))
assert _spec and _spec.loader
registries = importlib.util.module_from_spec(_spec)
sys.modules["registry_server"] = registries
_spec.loader.exec_module(registries)

PAYMENT = {
    "type": "record",
    "name": "Payment",
    "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "small", "type": "int"},
        {"name": "amount", "type": ["null", "double"], "default": None},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "clock", "type": ["null", {"type": "long", "logicalType": "local-timestamp-micros"}]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "hour", "type": {"type": "int", "logicalType": "time-millis"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["CASH", "CARD"]}},
        {"name": "other", "type": ["null", "Kind"]},
        {"name": "key", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "raw", "type": {"type": "fixed", "name": "Four", "size": 4}},
        {"name": "tags", "type": {"type": "map", "values": "string"}},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [{"name": "n", "type": "int"}]}}},
        {"name": "either", "type": ["null", "string", "long"]},
        {"name": "yes", "type": "boolean"},
    ],
}
OBJECTS = [
    {
        "id": 2**62, "small": -3, "amount": 2.5, "price": Decimal("3.10"), "at": dt.datetime(2026, 1, 2, 3, 4, 5, 678000, dt.UTC), "clock": dt.datetime(2026, 1, 2, 3, 4, 5, 6),
        "day": dt.date(2026, 1, 2), "hour": dt.time(1, 2, 3), "kind": "CARD", "other": "CASH", "key": "12345678-1234-5678-1234-567812345678", "raw": b"\x00\x01\x02\xff",
        "tags": {"a": SECRET}, "lines": [{"n": 1}, {"n": 2}], "either": 7, "yes": True,
    },
    {
        "id": 1, "small": 0, "amount": None, "price": Decimal("-0.01"), "at": dt.datetime(1969, 1, 1, tzinfo=dt.UTC), "clock": None, "day": dt.date(1960, 1, 1), "hour": dt.time(0),
        "kind": "CASH", "other": None, "key": "00000000-0000-0000-0000-000000000000", "raw": b"abcd", "tags": {}, "lines": [], "either": SECRET, "yes": False,
    },
]  # fmt: skip
TYPES = {
    "id": "int64", "small": "int32", "amount": "float64", "price": "decimal(9, 2)", "at": "timestamp[us, tz=UTC]", "clock": "timestamp[us]", "day": "date32", "hour": "time32[ms]",
    "kind": "string", "other": "string", "key": "string", "raw": "binary", "tags": "json", "lines": "json", "either": "json", "yes": "bool",
}  # fmt: skip


def written(thing: dict[str, Any], schema: Any = PAYMENT) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), thing)
    return stream.getvalue()


def framed(number: int, body: bytes) -> bytes:
    return b"\x00" + number.to_bytes(4, "big") + body


class TestAvro(FormatSuite):
    """One schema, in a file."""

    adapter = "payoff.formats:avro"

    def options(self, root: Path) -> dict[str, str]:
        (root / "payment ü.avsc").write_text(json.dumps(PAYMENT))
        return {"schema": "payment ü.avsc"}

    def objects(self) -> list[dict[str, Any]]:
        return OBJECTS

    def message(self, thing: dict[str, Any]) -> bytes:
        return written(thing)

    def test_types_are_those_of_the_schema(self, root: Path) -> None:
        assert dict(self.made(root).types()) == TYPES

    def test_bytes_behind_the_record_are_told(self, root: Path) -> None:
        with pytest.raises(Unreadable, match="2 bytes before it does"):
            self.made(root).read(written(OBJECTS[0]) + b"zz")

    @pytest.mark.parametrize("text", ["{", '{"type": "enum", "name": "x", "symbols": ["a"]}', '"long"', '{"type": "record"}', '{"type": "record", "name": "x", "fields": [{"name": "a", "type": "nothing"}]}', "\x00"])
    def test_a_schema_that_is_none_is_the_users(self, root: Path, text: str) -> None:
        (root / "wrong.avsc").write_text(text)
        with pytest.raises(UserError) as caught:
            connect(self.adapter, "t", root, {"schema": "wrong.avsc"}).types()
        assert caught.value.code == "PO-M016"

    def test_without_any_schema_it_says_so(self, root: Path) -> None:
        with pytest.raises(UserError) as caught:
            connect(self.adapter, "t", root, {})
        assert caught.value.code == "PO-M016"


class TestFolder(FormatSuite):
    """The writers' schemas in a folder."""

    adapter = "payoff.formats:avro"

    def options(self, root: Path) -> dict[str, str]:
        (root / "schemas").mkdir(exist_ok=True)
        (root / "schemas" / "300.avsc").write_text(json.dumps(PAYMENT))
        return {"registry": "schemas"}

    def objects(self) -> list[dict[str, Any]]:
        return OBJECTS

    def message(self, thing: dict[str, Any]) -> bytes:
        return framed(300, written(thing))

    def test_a_number_that_is_not_there_is_the_messages(self, root: Path) -> None:
        with pytest.raises(Unreadable, match="no schema 301"):
            self.made(root).read(framed(301, b""))
        with pytest.raises(UserError) as caught:
            connect(self.adapter, "t", root, {"registry": "elsewhere"}).read(framed(300, b""))
        assert caught.value.code == "PO-M016"


class TestRegistry(FormatSuite):
    """The same behind HTTP, with a user and a password, and the reader's schema in a file."""

    adapter = "payoff.formats:avro"

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with registries.registry({7: {"schema": json.dumps(PAYMENT)}}, user="tester", password=SECRET) as self.server:
            yield

    server: Any

    def options(self, root: Path) -> dict[str, str]:
        (root / "payment.avsc").write_text(json.dumps(PAYMENT))
        return {"schema": "payment.avsc", "registry": f"http://tester:{SECRET}@127.0.0.1:{self.server.port}/base"}

    def objects(self) -> list[dict[str, Any]]:
        return OBJECTS

    def message(self, thing: dict[str, Any]) -> bytes:
        return framed(7, written(thing))

    def test_each_schema_is_asked_for_once(self, root: Path) -> None:
        made = self.made(root)
        for _ in range(5):
            for thing in OBJECTS:
                made.read(self.message(thing))
            with pytest.raises(Unreadable, match="no schema 8"):
                made.read(framed(8, b""))
        assert self.server.asked == ["/base/schemas/ids/7", "/base/schemas/ids/8"]
        assert self.server.users == {f"Basic {base64.b64encode(f'tester:{SECRET}'.encode()).decode()}"}

    def test_older_and_newer_writers_are_read_as_the_declared_schema(self, root: Path) -> None:
        old = {"type": "record", "name": "P", "fields": [{"name": "id", "type": "int"}, {"name": "gone", "type": "string"}]}
        new = {"type": "record", "name": "P", "fields": [{"name": "id", "type": "long"}, {"name": "more", "type": "string"}, {"name": "note", "type": ["null", "string"]}]}
        other = {"type": "record", "name": "P", "fields": [{"name": "id", "type": "string"}, {"name": "note", "type": "string"}]}
        self.server.schemas.update({1: {"schema": json.dumps(old)}, 2: {"schema": json.dumps(new), "schemaType": "AVRO"}, 3: {"schema": json.dumps(other)}})
        declared = {"type": "record", "name": "P", "fields": [{"name": "id", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": None}]}
        options = self.options(root)
        (root / "payment.avsc").write_text(json.dumps(declared))
        made = connect(self.adapter, "t", root, options)
        assert made.read(framed(1, written({"id": 5, "gone": "x"}, old))) == {"id": 5, "note": None}
        assert made.read(framed(2, written({"id": 6, "more": "x", "note": "y"}, new))) == {"id": 6, "note": "y"}
        with pytest.raises(Unreadable, match="cannot be read as the declared schema"):
            made.read(framed(3, written({"id": SECRET, "note": ""}, other)))

    def test_references_are_followed(self, root: Path) -> None:
        money = {"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "cents", "type": "long"}]}
        bill = {"type": "record", "name": "Bill", "namespace": "shop", "fields": [{"name": "total", "type": "shop.Money"}]}
        self.server.schemas[9] = {"schema": json.dumps(bill), "references": [{"name": "shop.Money", "subject": "shop/money", "version": 2}]}
        self.server.subjects["shop%2Fmoney", 2] = {"schema": json.dumps(money)}
        whole = {**bill, "fields": [{"name": "total", "type": money}]}
        made = connect(self.adapter, "t", root, {"registry": self.options(root)["registry"]})
        assert made.read(framed(9, written({"total": {"cents": 5}}, whole))) == {"total": {"cents": 5}}

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ({"schema": "syntax = 3", "schemaType": "PROTOBUF"}, "of another kind, PROTOBUF"),
            ({"schema": "no schema"}, "none that Avro can be read by"),
            ({"schema": '"long"'}, "no record|cannot be read as"),
        ],
    )
    def test_schemas_that_are_no_use_are_the_messages(self, root: Path, answer: dict[str, Any], reason: str) -> None:
        self.server.schemas[4] = answer
        with pytest.raises(Unreadable, match=reason):
            connect(self.adapter, "t", root, {"registry": self.options(root)["registry"]}).read(framed(4, b"\x02"))

    def test_a_registry_that_fails_is_no_fault_of_the_message(self, root: Path) -> None:
        for status, body in ((500, b"{}"), (404, b"not here"), (302, b""), (200, b"no json"), (200, b"[]")):
            self.server.always = (status, body)
            with pytest.raises(OutsideError) as caught:
                self.made(root).read(self.message(OBJECTS[0]))
            assert (caught.value.code, caught.value.may_retry) == ("PO-M017", True)
            assert SECRET not in str(caught.value)
        self.server.always = None
        self.server.password = "another"
        with pytest.raises(UserError) as refused:
            self.made(root).read(self.message(OBJECTS[0]))
        assert (refused.value.code, SECRET in str(refused.value)) == ("PO-M018", False)

    def test_a_registry_that_is_not_there_may_come_back(self, root: Path) -> None:
        options = self.options(root)
        with contextlib.suppress(Exception):
            self.server.shut()
        with pytest.raises(OutsideError) as caught:
            connect(self.adapter, "t", root, options).read(self.message(OBJECTS[0]))
        assert caught.value.code == "PO-M017"
