"""The search for leaks against planted leaks, and planted innocents that look like them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest

from payoff.data.leaks import Search
from payoff.gates import leaks
from payoff.records.artifact import Artifact, Field
from payoff.records.charter import Charter, QuantitySpec
from payoff.records.contract import Column, Contract
from payoff.records.evidence import Evidence, Leak
from payoff.testing.samples import sample_charter

ROWS = 4000
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def charter(**changes: Any) -> Charter:
    why = sample_charter()
    outcome = msgspec.structs.replace(why.decision.outcome, column="left", positive=True)
    decision = msgspec.structs.replace(why.decision, id="id", outcome=outcome, **changes)
    split = msgspec.structs.replace(why.split, by="hash", on="id")
    return msgspec.structs.replace(why, decision=decision, split=split)


def world(seed: int = 1) -> dict[str, Any]:
    """Two honest columns: a number that says something of the outcome, and a word that says nothing."""
    rng = np.random.default_rng(seed)
    left = rng.random(ROWS) < 0.2
    return {
        "id": np.arange(ROWS),
        "usage": rng.normal(size=ROWS) - 1.0 * left,
        "spend": rng.gamma(2.0, 30.0, ROWS).round(2),
        "region": rng.choice(["north", "south", "east"], ROWS),
        "left": left,
    }


def found(
    columns: dict[str, Any], *, held: Any = None, contracts: tuple[Contract, ...] = (), why: Charter | None = None, **decision: Any
) -> tuple[Leak, ...]:
    """What is found when `held` (default: every fourth row) is the holdout."""
    table = pa.table(columns)
    mask = pa.array(np.arange(table.num_rows) % 4 == 0 if held is None else held)
    tables = {"train": table.filter(pa.compute.invert(mask)), "holdout": table.filter(mask)}
    connection = duckdb.connect()
    for name, each in tables.items():
        connection.register(name, each)
    made = {name: Artifact(
        id=name, kind="table", file="", bytes=0, rows=each.num_rows,
        fields=tuple(Field(f.name, str(f.type)) for f in each.schema),
    ) for name, each in tables.items()}  # fmt: skip
    query = lambda sql: connection.execute(sql).to_arrow_table()  # noqa: E731
    return Search(why or charter(**decision), contracts, made["train"], made["holdout"], query).leaks()


def explained(name: str) -> tuple[Contract, ...]:
    why = Column(name=name, why="the tariff is signed before the call")
    return (Contract(table="t", file="contracts/t.yaml", version="1", columns=(why,)),)


def test_honest_examples_pass() -> None:
    assert found(world()) == ()
    verdict = leaks.judge(Evidence(leaks=()), charter())
    assert verdict is not None
    assert verdict.passed


# -- duplicates


def doubled(share: float) -> dict[str, Any]:
    """Some customers are there twice, under another id, one half of each pair held out."""
    honest = world()
    copies = int(share * ROWS)
    return {name: np.concatenate([each, each[:copies]]) if name != "id" else np.arange(ROWS + copies) for name, each in honest.items()}


def test_customers_that_are_there_twice_are_found() -> None:
    columns = doubled(0.1)
    held = np.arange(len(columns["id"])) >= ROWS  # the copies are the holdout
    (leak,) = found(columns, held=held)
    assert (leak.kind, leak.rows, leak.refused) == ("duplicates", 400, True)
    assert "under another id" in leak.reason


def test_a_few_rows_that_happen_to_be_alike_are_not() -> None:
    columns = doubled(0.002)
    assert found(columns, held=np.arange(len(columns["id"])) % 4 == 0) == ()


def test_rows_that_are_alike_by_nature_are_not_duplicates() -> None:
    rng = np.random.default_rng(5)
    columns = {"id": np.arange(ROWS), "plan": rng.choice(["a", "b"], ROWS), "kids": rng.integers(0, 4, ROWS), "left": rng.random(ROWS) < 0.3}
    assert found(columns) == ()


# -- a column that foretells the outcome


@pytest.mark.parametrize(
    "leak",
    [
        lambda left, rng: left.astype(float) + 0.2 * rng.normal(size=ROWS),  # a number
        lambda left, rng: -left.astype(float) + 0.2 * rng.normal(size=ROWS),  # the other way round
        lambda left, rng: np.where(left, "closed", rng.choice(["open", "new"], ROWS)),  # a word
        lambda left, rng: pa.array(np.where(left, rng.random(ROWS), np.nan), from_pandas=True),  # filled in only afterwards
        lambda left, rng: left & (rng.random(ROWS) < 0.95),  # a truth value
    ],
)
def test_a_column_that_foretells_the_outcome_is_found(leak: Any) -> None:
    columns = world()
    columns["fate"] = leak(columns["left"], np.random.default_rng(2))
    (one,) = found(columns)
    assert (one.kind, one.column, one.refused) == ("foretells", "fate", True)
    assert one.figure >= 0.95
    (kept,) = found(columns, contracts=explained("fate"))
    assert not kept.refused
    assert "signed before the call" in kept.reason


def test_the_figure_is_the_area_under_the_curve() -> None:
    """Against a count over all pairs, ties half."""
    columns = world()
    columns["fate"] = np.round(columns["left"] * 2.0 + np.random.default_rng(7).normal(size=ROWS) * 0.7, 1)
    (one,) = found(columns)
    train = np.arange(ROWS) % 4 != 0
    yes, no = columns["fate"][train & columns["left"]], columns["fate"][train & ~columns["left"]]
    pairs = (yes[:, None] > no[None, :]).mean() + (yes[:, None] == no[None, :]).mean() / 2
    assert one.figure == pytest.approx(pairs, abs=1e-9)


def test_a_very_good_column_is_still_honest() -> None:
    columns = world()
    columns["strong"] = columns["left"] * 1.8 + np.random.default_rng(2).normal(size=ROWS)  # an AUC of 0.9
    assert found(columns) == ()


# -- times after the decision


def test_a_time_after_the_decision_is_found_and_one_before_it_is_not() -> None:
    columns = world()
    columns["decided"] = pa.array([START + dt.timedelta(days=n % 90) for n in range(ROWS)])
    columns["signed_up"] = pa.array([START - dt.timedelta(days=n % 50) for n in range(ROWS)])
    assert found(columns, at="decided") == ()
    columns["last_bill"] = pa.array([START + dt.timedelta(days=n % 90, hours=1 if n % 5 == 0 else -1) for n in range(ROWS)])
    (one,) = found(columns, at="decided")
    assert (one.kind, one.column, one.rows, one.of) == ("time", "last_bill", ROWS // 5, ROWS)
    assert found(columns) == (), "nobody said when the decision is taken"


# -- keys on both sides


def test_a_household_on_both_sides_is_found_and_a_branch_is_not() -> None:
    columns = world()
    columns["branch_id"] = np.arange(ROWS) % 40  # a hundred customers each: a category
    assert found(columns) == ()
    columns["household_id"] = np.arange(ROWS) // 3
    (one,) = found(columns)
    assert (one.kind, one.column) == ("group", "household_id")
    assert 'by = "group", on = "household_id"' in one.reason
    assert found(columns, held=(np.arange(ROWS) // 3) % 4 == 0) == (), "split by it"


def test_a_key_is_known_by_its_contract_too() -> None:
    columns = world()
    columns["payer"] = np.arange(ROWS) // 3
    assert found(columns) == ()
    reference = Contract(
        table="t", file="contracts/t.yaml", version="1", columns=(Column(name="payer", references=("payers", "id")),)
    )
    assert [each.kind for each in found(columns, contracts=(reference,))] == ["group"]


def test_what_is_refused_is_said_and_what_is_explained_passes() -> None:
    leak = Leak(kind="foretells", column="fate", rows=0, of=9, figure=0.99, reason="fate alone tells", refused=True)
    refused = leaks.judge(Evidence(leaks=(leak,)), charter())
    assert refused is not None
    assert not refused.passed
    assert "fate alone tells" in refused.reason
    passed = leaks.judge(Evidence(leaks=(msgspec.structs.replace(leak, refused=False),)), charter())
    assert passed is not None
    assert passed.passed
    assert "explained: fate" in passed.reason
    assert leaks.judge(Evidence(), charter()) is None, "not searched"


# -- where the outcome is a quantity


def demand(**columns: Any) -> tuple[Leak, ...]:
    """What is found in a year of sales with these columns beside an honest one; every fourth row is held out."""
    rng = np.random.default_rng(5)
    weather = rng.normal(size=ROWS)
    sold = np.maximum(0, np.rint(60 + 15 * weather + rng.normal(0, 12, ROWS)))
    made = {name: each(sold, rng) for name, each in columns.items()}
    quantity = QuantitySpec(sql="action - outcome", least=Decimal(0), most=Decimal(9), step=Decimal(1))
    why = charter()
    outcome = msgspec.structs.replace(why.decision.outcome, column="sold", positive=None)
    why = msgspec.structs.replace(
        why, decision=msgspec.structs.replace(why.decision, outcome=outcome), quantity=quantity, cells=()
    )
    return found({"id": np.arange(ROWS), "weather": weather, **made, "sold": sold}, why=why)


def test_a_column_that_foretells_a_quantity() -> None:
    (leak,) = demand(revenue=lambda sold, rng: 3.2 * sold + rng.normal(0, 0.5, ROWS))
    assert (leak.kind, leak.column, leak.refused) == ("foretells", "revenue", True)
    assert leak.figure > 0.995
    assert "rank correlation" in leak.reason


def test_yesterdays_sales_are_honest() -> None:
    """A column that says most of what there is to know, but not all: a correlation of 0.98."""
    assert demand(yesterday=lambda sold, rng: sold + rng.normal(0, 4, ROWS), nothing=lambda _, __: np.full(ROWS, np.nan)) == ()


@pytest.mark.parametrize(("leak", "refused"), [(True, True), (False, False)])
def test_a_word_of_many_values_that_gives_the_outcome_away(leak: bool, refused: bool) -> None:  # noqa: FBT001 - a case
    """A code such as `closed-117` after the customer left; an innocent word of as many values, and one that is different in every row."""
    columns = world()
    rng = np.random.default_rng(3)
    kinds = np.where(columns["left"] & leak, "closed", "open")
    columns["code"] = [f"{kind}-{number}" for kind, number in zip(kinds, rng.integers(0, 150, ROWS), strict=True)]
    columns["name"] = [f"name {number}" for number in range(ROWS)]
    seen = found(columns)
    assert [(each.kind, each.column) for each in seen] == ([("foretells", "code")] if refused else [])
