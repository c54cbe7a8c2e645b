"""How far two tables of numbers are from each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.data.sealed.nearness import apart, farthest

if TYPE_CHECKING:
    from pathlib import Path

numbers = st.floats(-1e6, 1e6, allow_nan=False)


def p(*values: float | None) -> pa.Table:
    return pa.table({"p": pa.array(values, pa.float64(), from_pandas=False)})


@given(st.lists(numbers, min_size=1), st.data())
def test_one_number_that_is_off_is_seen_wherever_it_is(values: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(values) - 1))
    off = data.draw(st.floats(1e-5, 10.0))
    other = [*values]
    other[place] += off * max(1.0, abs(values[place]))
    assert apart(p(*values), p(*values)) == 0.0
    assert apart(p(*other), p(*values)) == pytest.approx(off, rel=1e-3)


def test_what_is_missing_in_one_is_infinitely_far() -> None:
    assert apart(p(0.5, math.nan), p(0.5, None)) == 0.0
    assert apart(p(0.5, math.nan), p(0.5, 0.5)) == math.inf
    assert apart(p(0.5, 0.5), p(0.5, math.nan)) == math.inf
    assert apart(p(math.inf), p(math.inf)) == 0.0
    assert apart(p(math.inf), p(1.0)) == math.inf
    assert apart(p(0.5), p(0.5, 0.5)) == math.inf
    assert apart(p(0.5), p(0.5).rename_columns(["q"])) == math.inf
    assert apart(p(), p()) == 0.0


def test_of_files(tmp_path: Path) -> None:
    for name, table in {"a": p(0.5, 0.25), "b": p(0.5, 0.5)}.items():
        with pa.OSFile(str(tmp_path / name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    assert farthest(tmp_path / "a", tmp_path / "b") == 0.25
