"""What is set aside of train: about a fifth, nothing of the holdout, whole groups, the latest rows."""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest

from payoff.data import aside, split
from payoff.records.charter import SplitSpec
from payoff.testing.samples import sample_charter

ROWS = 5000


def cut(spec: SplitSpec, groups: int = 12) -> dict[str, Any]:
    why = sample_charter()
    why = msgspec.structs.replace(why, split=spec, decision=msgspec.structs.replace(why.decision, id="id"))
    rng = np.random.default_rng(1)
    examples = pa.table(
        {
            "id": rng.permutation(ROWS),
            "shop": [f"S{n}" for n in rng.integers(0, groups, ROWS)],
            "day": pa.array((np.arange(ROWS) // 10).astype("datetime64[D]")),
            "churned": rng.random(ROWS) < 0.3,
        }
    )
    connection = duckdb.connect()
    connection.register("examples", examples)
    queries = aside.compile_aside(why, examples.column_names)
    whole = split.compile_split(why, examples.column_names, examples.column_names)
    answer = lambda sql: connection.execute(sql).to_arrow_table()  # noqa: E731
    found = {"fit": answer(queries.fit), "rows": answer(queries.rows), "train": answer(whole.train), "holdout": answer(whole.holdout)}
    counted = {}
    for name in ("fit", "rows"):
        connection.register("cut", found[name])
        census = answer(aside.census(why, "cut"))
        counted[name] = dict(zip(census["outcome"].to_pylist(), census["rows"].to_pylist(), strict=True))
    return found | {"few": aside.too_few(why, counted["fit"], counted["rows"])}


@pytest.mark.parametrize(
    "spec",
    [
        SplitSpec(by="hash", on="id", holdout=0.25),
        SplitSpec(by="hash", on="shop", holdout=0.25),
        SplitSpec(by="group", on="shop", holdout=0.25, salt="x"),
        SplitSpec(by="time", on="day", from_="1971-01-01"),
    ],
)
def test_train_is_cut_in_two_and_the_holdout_is_in_neither(spec: SplitSpec) -> None:
    found = cut(spec)
    ids = {name: set(found[name]["id"].to_pylist()) for name in ("fit", "rows", "train", "holdout")}
    assert ids["fit"] | ids["rows"] == ids["train"]
    assert not ids["fit"] & ids["rows"]
    assert not (ids["fit"] | ids["rows"]) & ids["holdout"]
    assert 0.1 < len(ids["rows"]) / len(ids["train"]) < 0.3
    assert found["rows"].column_names == found["train"].column_names
    assert found["fit"]["id"].to_pylist() == sorted(ids["fit"])
    assert found["few"] == ""
    if spec.on == "shop":
        assert not set(found["fit"]["shop"].to_pylist()) & set(found["rows"]["shop"].to_pylist())
    if spec.by == "time":
        assert max(found["fit"]["day"].to_pylist()) < min(found["rows"]["day"].to_pylist())


def test_too_few_rows_or_groups_are_said() -> None:
    assert "20 say something" in aside.too_few(sample_charter(), {"churned": 500, "stays": 500}, {"churned": 5, "stays": 500})
    assert "200 say something" in aside.too_few(sample_charter(), {"churned": 500}, {"churned": 50, "stays": 50})
    assert "nothing of train" in aside.too_few(sample_charter(), {}, {"churned": 500, "stays": 500})
    one = cut(SplitSpec(by="group", on="shop", holdout=0.5), groups=2)
    assert one["few"] or one["rows"].num_rows, "of one group either all is set aside or it is said"
