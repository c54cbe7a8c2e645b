"""What a model could be worth, and what its worth hangs on: against answers that can be worked out by hand or by force."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.records.charter import Cell, CommonSolution, Costs
from payoff.testing.samples import sample_charter as sample
from payoff.value import decide
from payoff.value.worth import breakeven, carriers, prospect, sensitivity
from payoff.value.rows import Rows


def bank(rows: int = 4000, rate: float = 0.2, seed: int = 1) -> breakeven.Scored:
    """A call costs 1; one in five brings 6. Calling everybody earns 0.2 a decision, nobody 0, perfect foresight 1."""
    outcomes = (np.random.default_rng(seed).random(rows) >= rate).astype(np.int64)
    outcomes[: round(rows * rate)], outcomes[round(rows * rate) :] = 0, 1
    cube = np.tile(np.array([[[5.0, -1.0], [0.0, 0.0]]]), (rows, 1, 1))
    return breakeven.Scored(cube, outcomes, decide.in_hindsight(cube, outcomes)[:, 0])


# -- how good must it be


def test_a_coin_earns_what_the_base_rate_earns_and_a_perfect_model_everything() -> None:
    rows = bank()
    found = breakeven.break_even(rows, asked=1e9, per_year=1000, seed=1)
    assert found.curve[0].auc == 0.5
    assert found.curve[0].gain == pytest.approx(0.0, abs=1e-6)
    assert found.curve[-1].per_year == pytest.approx(1000.0, rel=0.1)
    assert found.needed is None


def test_the_quality_needed_brings_what_is_asked_and_a_worse_one_does_not() -> None:
    rows = bank()
    found = breakeven.break_even(rows, asked=200.0, per_year=1000, seed=1)
    assert found.needed is not None
    assert found.needed.gain >= 200.0
    assert [each for each in found.curve if each.auc < found.needed.auc][-1].gain < 200.0
    assert found.needed.gain == pytest.approx(200.0, rel=0.03)


def test_the_simulated_score_has_the_quality_it_claims() -> None:
    """AUC, precision and recall against a plain count over the same model of a score."""
    rows = bank(20_000)
    score = breakeven._Score(rows, 5)
    seen = score.quality(0.8, 1000)
    d = 0.8416212335729143  # the normal quantile of 0.8
    noise = np.concatenate(score.noise)
    came = np.tile(np.eye(2)[rows.outcomes], (len(score.noise), 1))
    ranks = (noise + d * came) @ np.array([1.0, -1.0])
    positive = came[:, 0] == 1
    above = (ranks[positive][:2000, None] > ranks[~positive][None, :2000]).mean()
    assert above == pytest.approx(0.8, abs=0.02)
    chance = 0.2 * np.exp(d * ranks) / (0.2 * np.exp(d * ranks) + 0.8)
    called = chance * 5 - (1 - chance) > 0
    acted = called
    assert seen.acted == pytest.approx(acted.mean(), abs=1e-9)
    assert seen.precision == pytest.approx(positive[acted].mean(), abs=1e-9)
    assert seen.recall == pytest.approx(acted[positive].mean(), abs=1e-9)
    assert seen.false_alarms == pytest.approx(acted[~positive].mean(), abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.05, 0.6), st.floats(0.5, 20.0), st.floats(0.1, 5.0))
def test_a_better_model_earns_more(rate: float, win: float, cost: float) -> None:
    outcomes = (np.arange(1000) >= 1000 * rate).astype(np.int64)
    cube = np.tile(np.array([[[win, -cost], [0.0, 0.0]]]), (1000, 1, 1))
    curve = breakeven.break_even(breakeven.Scored(cube, outcomes, np.zeros(1000)), asked=1.0, per_year=1, seed=2).curve
    money = [each.per_year for each in curve]
    assert all(later >= earlier - 0.02 * win for earlier, later in zip(money, money[1:], strict=False))


# -- before a model


def before(*, build: str = "0", run: str = "0", asked: str = "0", rows: int = 4000) -> prospect.Prospect:
    table = bank(rows)
    charter = msgspec.structs.replace(
        sample(),
        cells=(
            Cell(action="call", outcome="yes", amount=Decimal(5)),
            Cell(action="call", outcome="no", amount=Decimal(-1)),
            Cell(action="nothing", outcome="yes", amount=Decimal(0)),
            Cell(action="nothing", outcome="no", amount=Decimal(0)),
        ),
        common_solutions=(CommonSolution(name="all", action="call"), CommonSolution(name="none", action="nothing")),
        costs=Costs(build=Decimal(build), run_per_year=Decimal(run)),
    )
    decision = msgspec.structs.replace(
        charter.decision, per_year=1000, outcome=msgspec.structs.replace(charter.decision.outcome, name="yes")
    )
    accept = msgspec.structs.replace(charter.accept, min_gain_per_year=Decimal(asked))
    charter = msgspec.structs.replace(charter, decision=decision, accept=accept)
    payoffs = {(c.action, c.outcome): np.full(rows, float(c.amount or 0)) for c in charter.cells}
    rows = Rows(payoffs=payoffs, outcomes=table.outcomes, rules={})
    return prospect.prospect(charter, rows, prospect.simulated(charter, rows, seed=3), seed=3)


def test_the_ceiling_is_perfect_foresight_minus_the_best_common_solution() -> None:
    found = before()
    assert found.best == "all"
    assert found.per_year["all"].mean == pytest.approx(200.0)
    assert found.per_year["perfect"].mean == pytest.approx(1000.0)
    assert found.ceiling.mean == pytest.approx(800.0)
    assert found.ceiling.low < 800 < found.ceiling.high
    assert found.base_rates == {"yes": 0.2, "no": 0.8}


@pytest.mark.parametrize(
    ("costs", "build"),
    [
        ({"run": "100"}, True),
        ({"run": "900"}, False),  # running it costs more than it could ever bring
        ({"asked": "900"}, False),  # more was promised than there is
        ({"build": "2700"}, False),  # 900 a year over three years
        ({"build": "2000"}, True),
    ],
)
def test_what_cannot_pay_is_not_to_be_built(costs: dict[str, str], build: bool) -> None:  # noqa: FBT001 - a case
    found = before(**costs)
    assert found.build is build
    assert (found.ceiling.high >= found.asked_per_year) is build


def test_the_time_until_the_building_cost_is_back() -> None:
    assert before(build="1200", run="200").payback_years == pytest.approx(2.0)
    assert before(build="1200", run="800").payback_years is None


# -- what the verdict hangs on


def case(asked: float = 100.0) -> sensitivity.Case:
    rng = np.random.default_rng(4)
    rows = bank(5000)
    positive = rows.outcomes == 0
    score = rng.normal(size=5000) + 1.5 * positive
    odds = 0.25 * np.exp(1.5 * score - 1.125)
    chance = odds / (1 + odds)
    common = {"all": np.zeros(5000, np.int64), "none": np.ones(5000, np.int64)}
    chances = np.stack([chance, 1 - chance], axis=1)
    found = sensitivity.Case(
        known=decide.in_hindsight(rows.payoffs, rows.outcomes), expected=decide.expected(chances, rows.payoffs), common=common,
        clusters=None, per_year=1000, run_per_year=50.0, asked=asked, errors_below=1.96,
    )  # fmt: skip
    return found


def chance_of(start: sensitivity.Case) -> np.ndarray:
    """Of calling, 6 p - 1 is expected."""
    return np.asarray((start.expected[:, 0] + 1) / 6)


def win(start: sensitivity.Case) -> sensitivity.Moved:
    def to(factor: float) -> sensitivity.Case:
        known, expected = start.known.copy(), start.expected.copy()
        known[:, 0] = np.where(start.known[:, 0] > 0, 6 * factor - 1, -1)
        expected[:, 0] = chance_of(start) * 6 * factor - 1
        return dataclasses.replace(start, known=known, expected=expected)

    return sensitivity.Moved("the win", 6.0, 7, to)


def test_the_verdict_flips_where_it_is_said_to() -> None:
    """By force: every value between nothing and ten times."""
    start = case()
    mean, low = sensitivity.gain(start)
    assert low >= start.asked
    moved = win(start)
    (found,) = sensitivity.assumptions(start, [moved])
    assert found.flips_at is not None
    assert found.change is not None
    assert found.flips_at == pytest.approx(moved.value * (1 + found.change))
    grid = np.linspace(0, 10, 2001)
    verdicts = np.array([sensitivity.gain(moved.to(float(factor)))[1] >= start.asked for factor in grid])
    nearest = grid[~verdicts][np.abs(grid[~verdicts] - 1).argmin()]
    assert found.change == pytest.approx(nearest - 1, abs=0.006)
    assert sensitivity.gain(moved.to(1 + found.change))[1] < start.asked
    assert sensitivity.gain(moved.to(1 + found.change * 0.98))[1] >= start.asked
    assert (found.lower, found.upper) == tuple(sensitivity.gain(moved.to(factor))[0] for factor in (0.8, 1.2))
    assert mean == pytest.approx(1000 * float((_model(start) - _best(start)).mean()) - 50)


def _model(start: sensitivity.Case) -> np.ndarray:
    return np.where(chance_of(start) * 6 - 1 > 0, start.known[:, 0], 0.0)


def _best(start: sensitivity.Case) -> np.ndarray:
    return np.asarray(start.known[:, 0])


@pytest.mark.parametrize("bends", [0.2, 4.0])
def test_a_number_that_bends_far_from_its_value_flips_where_it_is_said_to(bends: float) -> None:
    """What calling costs counts only beyond (or up to) a bound: near today's value nothing changes."""
    start = case()

    def asked(factor: float) -> tuple[np.ndarray, np.ndarray]:
        change = min(0.0, bends - factor) if bends > 1 else min(0.0, 2.0 * (factor - bends))
        moved = np.array([5.0 * change, 0.0])
        return start.known + moved, start.expected + moved

    number = sensitivity.PayoffNumber(start, asked)
    for factor in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0):
        np.testing.assert_allclose(number.to(factor).known, asked(factor)[0])
        np.testing.assert_allclose(number.to(factor).expected, asked(factor)[1])
    (found,) = sensitivity.assumptions(start, [sensitivity.Moved("bound", 1.0, 0, number.to)])
    assert found.flips_at is not None, "a call that costs more than it brings is not worth a model"
    known, expected = asked(found.flips_at)
    assert sensitivity.gain(dataclasses.replace(start, known=known, expected=expected))[1] < start.asked


def test_what_matters_most_comes_first_and_what_never_flips_last() -> None:
    start = case()
    volume = sensitivity.Moved("volume", 1000, 0, lambda f: dataclasses.replace(start, per_year=round(1000 * f)))
    still = sensitivity.Moved("nothing", 1.0, 0, lambda _: start)
    cost = sensitivity.Moved("cost", 50.0, 0, lambda f: dataclasses.replace(start, run_per_year=50.0 * f))
    found = sensitivity.assumptions(start, [still, cost, volume, win(start)])
    moves = [abs(each.change) for each in found if each.change is not None]
    assert moves == sorted(moves)
    assert found[-1].name == "nothing"
    assert found[-1].flips_at is None


def test_an_amount_that_cannot_be_counted_flips_nothing() -> None:
    start = case()
    broken = sensitivity.Moved("divisor", 1.0, 0, lambda f: dataclasses.replace(start, known=start.known / (f or np.nan)))
    with np.errstate(invalid="ignore"):
        (found,) = sensitivity.assumptions(start, [broken])
    assert found.flips_at != 0.0


# -- what carries the gain


def test_following_the_model_everywhere_is_the_gain_and_nowhere_is_nothing() -> None:
    rng = np.random.default_rng(5)
    advantage = np.maximum(rng.normal(size=3000), 0.0)
    difference = np.where(advantage > 0, advantage + rng.normal(size=3000), 0.0)
    points = carriers.curve(difference, advantage, per_year=100, confidence=0.95, seed=1)
    assert points[-1].gain == pytest.approx(100 * difference.mean())
    assert points[-1].share == pytest.approx((advantage > 0).mean())
    half = points[6]
    assert half.share == pytest.approx((advantage > 0).mean() / 2)
    top = np.argsort(-advantage, kind="stable")[: round(half.share * 3000)]
    assert half.gain == pytest.approx(100 * difference[top].sum() / 3000)
    assert half.low < half.gain < half.high


def test_a_segment_that_loses_is_named_and_an_innocent_one_is_not() -> None:
    rng = np.random.default_rng(6)
    color = rng.choice(["red", "green", "blue"], 6000)
    difference = rng.normal(size=6000) + np.where(color == "red", -0.5, np.where(color == "green", 0.5, 0.0))
    found = carriers.segments(difference, {"color": color}, per_year=10, confidence=0.95, seed=1)
    assert [each.value for each in found if each.loses] == ["red"]
    assert sum(each.gain.mean for each in found) == pytest.approx(10 * difference.mean())
    assert sum(each.rows for each in found) == 6000


def test_innocent_segments_are_rarely_named() -> None:
    named = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        labels = {f"c{n}": rng.choice(["a", "b", "c", "d"], 800) for n in range(4)}
        found = carriers.segments(rng.normal(size=800), labels, per_year=1, confidence=0.95, seed=seed)
        named += any(each.loses for each in found)
    assert named <= 3, "at 95 % less than one of 25 (one side of the interval)"


def test_the_share_of_the_ceiling() -> None:
    rng = np.random.default_rng(7)
    ceiling = rng.exponential(size=5000)
    half = carriers.captured(ceiling * (rng.random(5000) < 0.5), ceiling, confidence=0.95, seed=1)
    assert half is not None
    assert half.low < 0.5 < half.high
    assert half.high - half.low < 0.1
    assert carriers.captured(np.zeros(9), np.zeros(9), confidence=0.95, seed=1) is None
