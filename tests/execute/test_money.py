"""From a holdout and predictions to money, through the real engine."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from payoff.adapters.engines.duckdb import Options, connect
from payoff.data import expressions
from payoff.execute import money
from payoff.records.charter import (
    Accept,
    Cell,
    Charter,
    CommonSolution,
    Costs,
    Decision,
    Objective,
    OutcomeSpec,
    SplitSpec,
    Stop,
)
from payoff.records.project import Step

if TYPE_CHECKING:
    from pathlib import Path

    from payoff.records.evidence import Valuation

STEP = Step(name="model", kind="python", file="pipeline.py", line=1, inputs=(), output="object")


def charter(split: SplitSpec) -> Charter:
    return Charter(
        objective=Objective("Earn more", "Owner"),
        decision=Decision(
            question="Whom?", examples="e", id="id", per_year=1000,
            outcome=OutcomeSpec(column="yes", positive=True, means="m", name="yes"),
        ),
        currency="EUR",
        cells=(
            Cell(action="call", outcome="yes", sql="worth / 2"),
            Cell(action="call", outcome="no", amount=Decimal(-1)),
            Cell(action="nothing", outcome="yes", amount=Decimal(0)),
            Cell(action="nothing", outcome="no", amount=Decimal(0)),
        ),
        common_solutions=(CommonSolution(name="nobody", action="nothing"), CommonSolution(name="all", action="call")),
        split=split, model_step="model", costs=Costs(), accept=Accept(), stop=Stop(), file="charter.toml", digest="d",
    )  # fmt: skip


def valued(folder: Path, split: SplitSpec) -> Valuation:
    """900 decisions about 100 houses, of which each says nine times the same."""
    engine = connect(folder, Options())
    rng = np.random.default_rng(2)
    yes = np.repeat(rng.random(100) < 0.4, 9)
    holdout = pa.table(
        {
            "id": np.arange(900),
            "house": [f"H{n // 9}" for n in range(900)],
            "worth": np.full(900, 4.0),
            "yes": yes,
            "day": pa.array((np.arange(900) // 9).astype("datetime64[D]")),
        }
    )
    scores = pa.table({"score": np.full(900, 0.4)})
    files = {"holdout": folder / "holdout.arrow"}
    engine.write(holdout.to_reader(), files["holdout"])
    made = charter(split)
    rows = engine.query(expressions.payoff_query(made, holdout.column_names), files)
    return money.value(made, STEP, money.Scored(rows, scores, None, None), looked=1, holdout="h", labels={})[0]


@pytest.mark.parametrize("by", ["hash", "group"])
def test_rows_split_by_what_they_share_are_drawn_together(tmp_path: Path, by: str) -> None:
    alone = valued(tmp_path, SplitSpec(by="hash", on="id", holdout=0.5)).per_decision["all"]
    shared = valued(tmp_path, SplitSpec(by=by, on="house", holdout=0.5)).per_decision["all"]  # type: ignore[arg-type]
    assert shared.mean == alone.mean
    assert shared.high - shared.low == pytest.approx(3 * (alone.high - alone.low), rel=0.15)


def test_rows_split_by_time_are_drawn_with_their_neighbours(tmp_path: Path) -> None:
    """Nine decisions of a day say the same; blocks of ten neighbours see that."""
    alone = valued(tmp_path, SplitSpec(by="hash", on="id", holdout=0.5))
    timely = valued(tmp_path, SplitSpec(by="time", on="day", from_="1970-01-01"))
    assert "blocks of neighbours in time" in timely.method
    one, other = alone.per_decision["all"], timely.per_decision["all"]
    assert one.mean == other.mean
    assert other.high - other.low > 1.8 * (one.high - one.low)
