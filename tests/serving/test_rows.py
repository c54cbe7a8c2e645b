"""Rows against their promises: what a plain reading of the rules says, the fast one says too."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payoff.records.contract import Column
from payoff.records.serving.served import InputColumn
from payoff.serving.faults import Wrong
from payoff.serving.rows import Checked

LARGEST = int(1.7976931348623157e308)
NUMBERS = st.one_of(st.none(), st.integers(-5, 5), st.integers(), st.integers(-(10**400), 10**400), st.floats(), st.booleans(), st.text(max_size=3))
TEXTS = st.one_of(st.none(), st.text("abc", max_size=5), st.integers(0, 3))


def checked(kind: pa.DataType, **promise: Any) -> Checked:
    column = InputColumn(name="x", type=str(kind), promise=Column(name="x", **promise))
    return Checked(column, kind)


def wrong_rows(check: Checked, values: list[Any]) -> set[int]:
    _, faults, _ = check.check(list(values))
    return {fault.row for fault in faults}


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.booleans())
def test_whole_numbers(values: list[Any], required: bool) -> None:
    check = checked(pa.int64(), required=required, minimum=-3, maximum=1000)

    def good(value: Any) -> bool:
        if value is None:
            return not required
        whole = type(value) is int or (type(value) is float and value.is_integer())
        return whole and -3 <= value <= 1000

    assert wrong_rows(check, values) == {row for row, each in enumerate(values) if not good(each)}


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.booleans())
@example([-1.7976931348623157e308], False)  # noqa: FBT003 - the largest that there is, and a number
def test_numbers(values: list[Any], required: bool) -> None:
    check = checked(pa.float64(), required=required, maximum=100)

    def good(value: Any) -> bool:
        if value is None or (type(value) is float and math.isnan(value)):
            return not required
        return type(value) in (int, float) and abs(value) <= LARGEST and math.isfinite(value) and value <= 100

    assert wrong_rows(check, values) == {row for row, each in enumerate(values) if not good(each)}


@pytest.mark.parametrize(("value", "good"), [(2**60 + 1, True), (-(10**300), True), (10**400, False), (-(10**400), False)])
def test_large_whole_numbers_are_numbers_as_far_as_a_double_goes(value: int, good: bool) -> None:
    check = checked(pa.float64())
    values, faults, _ = check.check([1, value, None])
    assert [fault.rule for fault in faults] == ([] if good else ["is a finite number"])
    if good:
        assert pa.array(values, pa.float64()).to_pylist() == [1.0, float(value), None]


@given(st.lists(TEXTS, min_size=1, max_size=20))
def test_texts(values: list[Any]) -> None:
    check = checked(pa.string(), pattern="a*b?", min_length=1, max_length=3, enum=("a", "ab", "aab", "c", "aaaa"))

    def good(value: Any) -> bool:
        return value is None or (
            type(value) is str and bool(re.fullmatch("a*b?", value)) and 1 <= len(value) <= 3 and value in ("a", "ab", "aab", "c", "aaaa")
        )

    assert wrong_rows(check, values) == {row for row, each in enumerate(values) if not good(each)}


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-(2**53), 2**53)), min_size=1, max_size=20))
def test_what_passes_fits_into_arrow(values: list[Any]) -> None:
    check = checked(pa.float64())
    made, faults, missing = check.check(list(values))
    if not faults:
        array = pa.array(made, pa.float64())
        assert (array.null_count > 0) == missing
        assert all(a is None or a == b for a, b in zip(array.to_pylist(), values, strict=True))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (pa.int8(), [127, -128, 5.0, None], [128, -129, 5.5, True, "5"]),
        (pa.uint16(), [0, 65535], [-1, 65536]),
        (pa.bool_(), [True, False], [1, "true"]),
        (pa.timestamp("us", "UTC"), ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05", "2026-01-02"], ["now", 5]),
        (pa.timestamp("us"), ["2026-01-02 03:04:05"], ["2026-13-02"]),
        (pa.date32(), ["2026-01-02"], ["2026-01-32", "x", 3]),
        (pa.decimal128(10, 2), ["1.50", 2, 2.25], ["x", "NaN", True, "Infinity"]),
        (pa.list_(pa.int64()), [[1, 2], []], []),
    ],
)
def test_types(kind: pa.DataType, good: list[Any], bad: list[Any]) -> None:
    check = checked(kind)
    made, faults, _ = check.check(good)
    assert faults == []
    assert pa.array(made, kind).null_count == good.count(None)
    assert wrong_rows(check, bad) == set(range(len(bad)))


def test_limits_of_times() -> None:
    check = checked(pa.timestamp("us", "UTC"), minimum="2026-01-01T00:00:00Z")
    assert wrong_rows(check, ["2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z"]) == {1}
    assert check.check(["2026-01-01T00:00:00Z"])[0] == [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]


def test_a_fault_says_no_value() -> None:
    check = checked(pa.int64(), minimum=0)
    _, faults, _ = check.check(["geheim", -77])
    wrong = Wrong("x", code="PO-J023", remedy="y", faults=faults)
    assert "geheim" not in str(wrong.document())
    assert "77" not in str(wrong.document())
