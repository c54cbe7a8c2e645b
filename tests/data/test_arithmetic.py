"""Plain arithmetic is the engine's, to the last bit; whatever is more is left to the engine."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.data.arithmetic import TooLarge, compiled
from payoff.data.expressions import amount_sql

TYPES = {"a": "int64", "b": "double", "c": "int32"}
LEAF = st.one_of(
    st.sampled_from(["a", "b", "c", "A"]), st.integers(0, 10**6).map(str), st.decimals(0, 10**4, places=3).map(str), st.sampled_from(["0.25", "0.02463333", "1.0", "5"])
)
EXPRESSION = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"), inner.map(lambda each: f"(-{each})")
    ),
    max_leaves=6,
)
ROWS = st.lists(
    st.tuples(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.integers(-1000, 1000)), min_size=1, max_size=5
)


@settings(deadline=None)
@given(EXPRESSION, ROWS)
def test_to_the_last_bit(sql: str, rows: list[tuple[int, float, int]]) -> None:
    made = compiled(sql, TYPES)
    if made is None:
        return
    plain, names = made
    table = pa.table({"a": pa.array([r[0] for r in rows], pa.int64()), "b": pa.array([r[1] for r in rows]), "c": pa.array([r[2] for r in rows], pa.int32())})
    columns = {name: table[name].to_numpy().astype(np.float64 if name == "b" else np.int64) for name in names}
    try:
        ours = plain(columns)
    except TooLarge:
        return
    with duckdb.connect() as connection:
        connection.register("t", table)
        theirs = connection.execute(f"select {amount_sql(sql)} as x from t").to_arrow_table()["x"].to_pylist()
    ours = np.broadcast_to(ours, len(rows)).tolist()
    assert [a for a, b in zip(ours, theirs, strict=True) if b is not None] == [b for b in theirs if b is not None]


@pytest.mark.parametrize("sql", ["a / 2", "coalesce(a, 0)", "case when a > 1 then 2 else 3 end", "x", "1e3 * a", "a % 2", "5", "a || 'x'", "(", "a.b"])
def test_what_is_more_is_left_to_the_engine(sql: str) -> None:
    assert compiled(sql, TYPES) is None


def test_what_is_too_large_is_left_to_the_engine() -> None:
    plain, _ = compiled("a * a", TYPES)  # type: ignore[misc]
    with pytest.raises(TooLarge):
        plain({"a": np.array([10**9])})
