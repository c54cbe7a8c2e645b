"""The order of rows where a query leaves it open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from payoff.adapters.engines.duckdb import Options, connect
from payoff.data import order

if TYPE_CHECKING:
    from pathlib import Path

LEFT = pa.table({"id": np.arange(300_000), "x": np.arange(300_000) % 977})
RIGHT = pa.table({"id": np.arange(300_000)[::-1].copy(), "y": np.arange(300_000) % 13})


def rows(folder: Path, sql: str, threads: int) -> list[object]:
    engine = connect(folder, Options(threads=threads))
    files = {name: folder / f"{name}{threads}.arrow" for name in ("l", "r")}
    for file, table in zip(files.values(), (LEFT, RIGHT), strict=True):
        engine.write(table.to_reader(), file)
    engine.transform(sql, files, folder / f"out{threads}.arrow")
    with pa.memory_map(str(folder / f"out{threads}.arrow")) as source:
        return pa.ipc.open_file(source).read_all().to_pylist()


@pytest.mark.parametrize(
    "sql",
    [
        "select * from l join r using (id)",
        "select x, y, count(*) as n from l join r using (id) group by x, y;",
        "select distinct x from l -- nothing more",
        "select x from l union select y from r",
        "with whole as (select * from l join r using (id)) select * from whole",
    ],
)
def test_the_order_does_not_depend_on_threads(tmp_path: Path, sql: str) -> None:
    settled = order.settled(sql)
    assert rows(tmp_path, settled, 1) == rows(tmp_path, settled, 4)


@pytest.mark.parametrize(
    "sql", ["select id, x + 1 as z from l where x > 3", "select * from l join r using (id) order by x, id limit 5"]
)
def test_a_query_with_an_order_stays_as_it_is(sql: str) -> None:
    assert order.settled(sql) == sql


def test_a_query_that_cannot_be_parsed_is_sorted() -> None:
    assert order.settled("select ] from").endswith("order by all")
