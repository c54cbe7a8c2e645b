"""Tensors: what is written is read again; whatever bytes come, the answer is columns or a refusal."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.serving.faults import Wrong
from payoff.serving.protocols import messages, tables, tensors

VALUES = {
    "BOOL": st.booleans(), "INT8": st.integers(-128, 127), "UINT64": st.integers(0, 2**64 - 1), "INT64": st.integers(-(2**63), 2**63 - 1),
    "FP32": st.floats(width=32, allow_nan=False), "FP64": st.floats(allow_nan=False), "BYTES": st.text(),
}  # fmt: skip


@st.composite
def columns(draw: st.DrawFn) -> dict[str, tensors.Output]:
    rows = draw(st.integers(1, 5))
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
    return {
        f"c{place}": tensors.Output(kind, draw(st.lists(VALUES[kind], min_size=rows, max_size=rows)))
        for place, kind in enumerate(kinds)
    }


def as_request(given_: dict[str, tensors.Output], binary: bool) -> tuple[bytes, int | None]:
    inputs, tail = [], b""
    for name, each in given_.items():
        tensor: dict[str, Any] = {"name": name, "shape": [len(each.values)], "datatype": each.datatype}
        if binary:
            raw = tensors.to_bytes(each.datatype, each.values)
            tensor["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            tensor["data"] = each.values
        inputs.append(tensor)
    head = json.dumps({"inputs": inputs}).encode()
    return head + tail, len(head) if binary else None


@given(columns(), st.booleans())
def test_what_is_sent_is_read(given_: dict[str, tensors.Output], binary: bool) -> None:
    infinite = any(each.values.count(sign * float("inf")) for each in given_.values() for sign in (1, -1))
    if infinite and not binary:
        return  # JSON has no word for it
    body, length = as_request(given_, binary)
    read = tensors.read(body, length, ("c0", "c1"))
    assert read.columns == {name: each.values for name, each in given_.items()}


@given(columns(), st.booleans())
def test_what_is_answered_can_be_read(given_: dict[str, tensors.Output], binary: bool) -> None:
    if any(abs(each) == float("inf") for output in given_.values() for each in output.values if type(each) is float):
        return
    asked = tensors.Read("7", 1, {}, (), {"": binary})
    body, length = tensors.write("m", "1", given_, asked)
    head = json.loads(body[:length] if length is not None else body)
    at = length or 0
    for tensor in head["outputs"]:
        if binary:
            size = tensor["parameters"]["binary_data_size"]
            values = tensors.from_bytes(tensor["datatype"], body[at : at + size], tensor["name"])
            at += size
        else:
            values = tensor["data"]
        assert values == given_[tensor["name"]].values
        assert tensor["shape"] == [len(values)]
    assert head["id"] == "7"


def test_one_tensor_of_all_features() -> None:
    body = b'{"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [[1, 2], [3, 4]]}]}'
    assert tensors.read(body, None, ("a", "b")).columns == {"a": [1, 3], "b": [2, 4]}


@given(st.binary(max_size=60), st.one_of(st.none(), st.integers(0, 80)))
def test_any_bytes(body: bytes, length: int | None) -> None:
    with pytest.raises(Wrong):
        tensors.read(body, length, ("a",))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "rows"]), JSON)
def test_any_table(form: str, content: Any) -> None:
    try:
        table = tables.read(json.dumps({form: content}).encode(), ("a", "b"))
    except Wrong as wrong:
        assert wrong.status == 400
        return
    assert {len(each) for each in table.columns.values()} <= {table.rows}


@given(st.fixed_dictionaries({"inputs": st.lists(st.fixed_dictionaries(
    {"name": st.text(max_size=3), "shape": st.lists(st.integers(-2, 4) | st.booleans() | st.integers(), max_size=3), "datatype": st.sampled_from([*tensors.TYPES, "BYTES", "X"])},
    optional={"data": JSON, "parameters": st.dictionaries(st.just("binary_data_size"), JSON)}), max_size=3)}))  # fmt: skip
def test_any_tensors(document: Any) -> None:
    try:
        read = tensors.read(json.dumps(document).encode(), None, ("a", "b"))
    except Wrong:
        return
    assert {len(each) for each in read.columns.values()} <= {read.rows}


@given(st.binary(max_size=200))
def test_any_message(body: bytes) -> None:
    from google.protobuf.message import DecodeError

    from payoff.serving.rpc import _columns

    try:
        request = messages.message("ModelInferRequest").FromString(body)
    except DecodeError:
        return
    with pytest.raises(Wrong):
        _columns(request, ("a",))


def test_csv() -> None:
    table = tables.read_csv(b"a,b,c\n1,true,x\n,,\n", {"a": "int64", "b": "bool", "c": "string"})
    assert table.columns == {"a": [1, None], "b": [True, None], "c": ["x", None]}
    with pytest.raises(Wrong):
        tables.read_csv(b"a,b\n1\n", {})


def test_the_messages_are_those_of_the_protocol() -> None:
    """The digest is that of the same description of the messages that tritonclient 2.73 was compiled with."""
    described = {
        name: [
            (each.name, each.number, each.type, each.is_repeated, each.message_type.full_name if each.message_type else "",
             each.containing_oneof.name if each.containing_oneof else "")
            for each in messages.message(name).DESCRIPTOR.fields
        ]
        for name in messages._MESSAGES
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    assert digest == "9439522dedd026a5349f03785b6aa5b7b19c854c19c17568c47208985ae7206f"


@pytest.mark.parametrize(
    ("datatype", "data"),
    [("UINT8", [256]), ("UINT8", [-1]), ("INT8", [None, -129]), ("UINT64", [2**64]), ("INT64", [2**63]), ("FP16", [65505.0]), ("FP32", [1e39])],
)
def test_a_number_that_its_datatype_does_not_have_is_refused(datatype: str, data: list[Any]) -> None:
    body = json.dumps({"inputs": [{"name": "a", "shape": [len(data)], "datatype": datatype, "data": data}]}).encode()
    with pytest.raises(Wrong, match="range|no inference request"):
        tensors.read(body)


@pytest.mark.parametrize(
    ("datatype", "data"), [("UINT8", [255, 0]), ("INT8", [-128, None, 127]), ("UINT64", [2**64 - 1]), ("FP16", [65504.0, -1]), ("FP32", [None]), ("FP64", [1e300])]
)
def test_a_number_that_its_datatype_has_is_read(datatype: str, data: list[Any]) -> None:
    body = json.dumps({"inputs": [{"name": "a", "shape": [len(data)], "datatype": datatype, "data": data}]}).encode()
    assert tensors.read(body).columns == {"a": data}


def test_json_that_is_not_in_utf8_is_told() -> None:
    for body in (b'{"inputs": [], "id": "\xff"}', b'{"inputs": [{"name": "\xed\xa0\x80"}]}'):
        with pytest.raises(Wrong, match="UTF-8"):
            tensors.read(body)
    for body in (b'{"\xff": 1}', b'{"rows": ["\xed\xa0\x80"]}'):
        with pytest.raises(Wrong, match="UTF-8"):
            tables.read(body, ("a",))


def test_rows_that_name_nothing_in_common_take_no_memory() -> None:
    """Ten bytes of each would come to the number of rows, times eight, times itself."""
    many = 20_000
    for rows in ([{f"a{n}": 1} for n in range(many)], [{f"a{n}": 1 for n in range(1_000)}, *({} for _ in range(many))]):
        began = time.process_time()
        with pytest.raises(Wrong, match="leave out nearly all"):
            tables.read(json.dumps({"rows": rows}).encode(), ("a",))
        assert time.process_time() - began < 1
    few = [{"a": 1, **({"b": 2} if n % 10 == 0 else {})} for n in range(many)]
    assert tables.read(json.dumps({"rows": few}).encode(), ("a",)).columns["b"][:11] == [2, *[None] * 9, 2]
    wide = [{f"a{n}": 1} for n in range(1_000)]
    assert len(tables.read(json.dumps({"rows": wide}).encode(), ("a",)).columns) == 1_000
