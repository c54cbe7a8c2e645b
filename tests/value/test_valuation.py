"""Decisions and money: against arithmetic done another way."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.base.errors import Refused, UserError
from payoff.base.money import Money
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
from payoff.value import decide, exact
from payoff.value.quality import metrics
from payoff.value.size import rows_needed
from payoff.value.rows import Rows
from payoff.value.valuation import Valued, value_holdout

CELLS = {("call", "yes"): "9.90", ("call", "no"): "-1.10", ("nothing", "yes"): "0", ("nothing", "no"): "0"}


def charter(**changes: Any) -> Charter:
    made = Charter(
        objective=Objective("Earn more", "Owner"),
        decision=Decision(
            question="Whom?", examples="e", id="id", per_year=1000,
            outcome=OutcomeSpec(column="yes", positive=True, means="m", name="yes"),
        ),
        currency="EUR",
        cells=tuple(Cell(action=a, outcome=o, amount=Decimal(x)) for (a, o), x in CELLS.items()),
        common_solutions=(
            CommonSolution(name="nobody", action="nothing"),
            CommonSolution(name="everyone", action="call"),
        ),
        split=SplitSpec(by="hash", on="id", holdout=0.5), model_step="model",
        costs=Costs(run_per_year=Decimal(100)), accept=Accept(), stop=Stop(), file="charter.toml", digest="d",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def valued(chance: np.ndarray, outcomes: np.ndarray, looked: int = 1, **changes: Any) -> Valued:
    n = len(outcomes)
    return value_holdout(
        charter(**changes),
        Rows(
            chances={"yes": chance, "no": 1 - chance},
            payoffs={key: np.full(n, float(x)) for key, x in CELLS.items()},
            outcomes=outcomes,
            rules={},
        ),
        looked=looked,
        holdout="h",
    )


def test_by_hand() -> None:
    """Ten decisions: calling pays above a chance of 1.10 / 11 = 0.1."""
    chance = np.array([0.05] * 6 + [0.5] * 4)
    outcomes = np.array([1, 1, 1, 1, 1, 0, 0, 0, 1, 1])  # 0 is yes
    found = valued(chance, outcomes).valuation
    assert found.exact == {"model": "17.60", "nobody": "0", "everyone": "22.00", "perfect": "29.70"}
    assert found.best == "everyone"
    assert found.per_decision["model"].mean == 1.76
    assert found.per_year["perfect"].mean == pytest.approx(2970)
    assert found.gain.mean == pytest.approx((17.60 - 22.00) / 10 * 1000 - 100)
    assert found.shares["model"] == {"call": 0.4, "nothing": 0.6}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 80))
def test_no_rule_beats_perfect_foresight_and_order_does_not_matter(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    chance, outcomes = rng.random(n), rng.integers(0, 2, n)
    found = valued(chance, outcomes).valuation
    for name in ("model", "nobody", "everyone"):
        assert found.per_decision["perfect"].mean >= found.per_decision[name].mean
    order = rng.permutation(n)
    assert valued(chance[order], outcomes[order]).valuation.exact == found.exact


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=200))
def test_fixed_payoffs_are_exact_to_the_cent(rows: list[tuple[int, int]]) -> None:
    cells = [[Decimal("1.10"), Decimal("-0.07")], [Decimal("0.30"), Decimal("1e-2")]]
    actions, outcomes = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    money = np.array([float(cells[a][o]) for a, o in rows])
    total = exact.total(cells, actions, outcomes, money)
    assert total.exact
    assert total.amount == sum((Fraction(cells[a][o]) for a, o in rows), Fraction(0))


def test_a_payoff_that_depends_on_the_row_is_not_fixed() -> None:
    cells: list[list[Decimal | None]] = [[Decimal(1), None]]
    zero, both = np.zeros(2, np.int64), np.array([0, 1])
    assert exact.total(cells, zero, zero, np.ones(2)) == exact.Total(fixed=Decimal(2), computed=0.0, exact=True)
    assert exact.total(cells, zero, both, np.array([1.0, 2.5])) == exact.Total(
        fixed=Decimal(1), computed=2.5, exact=False
    )


@pytest.mark.parametrize("rows", [0, 1])
def test_a_holdout_on_which_nothing_can_be_compared_says_how_many_rows_are_needed(rows: int) -> None:
    with pytest.raises(Refused, match=f"{rows} row") as caught:
        valued(np.full(rows, 0.5), np.zeros(rows, np.int64))
    assert "30 rows" in caught.value.expected


@pytest.mark.parametrize("amount", [np.nan, np.inf, 1e13])
def test_an_amount_that_is_no_money_is_refused_without_being_shown(amount: float) -> None:
    payoffs = {key: np.full(4, float(x)) for key, x in CELLS.items()}
    payoffs["call", "yes"][2] = amount
    with pytest.raises(UserError, match="call.yes is no amount of money for 1 row"):
        value_holdout(
            charter(),
            Rows(chances={"yes": np.full(4, 0.5), "no": np.full(4, 0.5)}, payoffs=payoffs, outcomes=np.array([0, 1, 0, 1]), rules={}),
            looked=1,
            holdout="h",
        )


@pytest.mark.parametrize("names", [("model", "everyone"), ("perfect", "everyone"), ("same", "same")])
def test_names_that_cannot_be_told_apart_are_refused(names: tuple[str, str]) -> None:
    solutions = tuple(CommonSolution(name=name, action="call") for name in names)
    with pytest.raises(UserError, match="is taken"):
        valued(np.full(4, 0.5), np.zeros(4, np.int64), common_solutions=solutions)


@given(st.integers(0, 2**32 - 1))
def test_expected_payoff_is_the_sum_over_outcomes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chance, payoffs = rng.dirichlet(np.ones(3), 5), rng.normal(size=(5, 4, 3))
    by_hand = [[sum(chance[i, o] * payoffs[i, j, o] for o in range(3)) for j in range(4)] for i in range(5)]
    assert decide.expected(chance, payoffs) == pytest.approx(np.array(by_hand))
    actions = decide.choose(decide.expected(chance, payoffs))
    assert all(by_hand[i][a] == max(by_hand[i]) for i, a in enumerate(actions))


def test_more_looks_widen_the_interval_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    chance, outcomes = rng.random(400), rng.integers(0, 2, 400)
    one, ten = valued(chance, outcomes).valuation, valued(chance, outcomes, looked=10).valuation
    assert one.gain.mean == ten.gain.mean
    assert ten.gain.low < one.gain.low < one.gain.high < ten.gain.high
    assert (one.adjusted, ten.adjusted) == (0.95, pytest.approx(1 - 0.05 * 2 / 110))


def test_skewed_money_needs_more_rows() -> None:
    even = np.array([-1.0, 1.0] * 500)
    rare = np.zeros(1000)
    rare[:3] = 100.0
    assert rows_needed(even, confidence=0.95) == 30
    assert rows_needed(rare, confidence=0.95) > 1000
    assert rows_needed(rare, confidence=0.999) > rows_needed(rare, confidence=0.95)


def test_quality_of_probabilities() -> None:
    chance = np.array([0.2, 0.4, 0.4, 0.8])
    seen = metrics(np.stack([chance, 1 - chance], axis=1), np.array([1, 1, 0, 0]))
    assert seen["auc"] == pytest.approx(0.875)
    assert seen["brier"] == pytest.approx((0.04 + 0.16 + 0.36 + 0.04) / 4)


def test_money_of_two_currencies_does_not_mix() -> None:
    with pytest.raises(UserError, match="EUR and USD"):
        Money(1, "EUR") + Money(1, "USD")
    assert str(Money("1234.005", "EUR")) == "1,234.00 EUR"
