"""How many to order: against the newsvendor's answers that are known in closed form, and against brute force."""

from __future__ import annotations

from decimal import Decimal
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.base.errors import UserError
from payoff.records.charter import Charter, CommonSolution, OutcomeSpec, QuantitySpec
from payoff.testing.samples import sample_charter
from payoff.value import quantities
from payoff.value.quantities import Quantities, errors_of, mean, scenarios, supposed
from payoff.value.valuation import value_holdout
from payoff.value.worth import forecasts, prospect

PRICE, COST = 3.2, 1.1
FRACTILE = (PRICE - COST) / PRICE  # underage by underage plus overage (Arrow, Harris, Marschak 1951)


def charter(most: int = 200, step: int = 1, **changes: Any) -> Charter:
    spec = QuantitySpec(sql="", least=Decimal(0), most=Decimal(most), step=Decimal(step), unit="loaves")
    given_ = sample_charter()
    decision = msgspec.structs.replace(
        given_.decision, outcome=OutcomeSpec(column="asked", positive=None, means="m", name="asked"), per_year=1000
    )
    solutions = (CommonSolution(name="hundred", action="100"), CommonSolution(name="usual", sql="usual"))
    return msgspec.structs.replace(
        given_, quantity=spec, cells=(), common_solutions=solutions, decision=decision, **changes
    )


def money(actions: np.ndarray, demand: np.ndarray) -> np.ndarray:
    return np.asarray(PRICE * np.minimum(actions, demand) - COST * actions)


def shop(rows: int, seed: int, noise: float = 12.0, known: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """What can be known of the demand (a normal mean), and the demand."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(100, known, rows)
    return mean, np.maximum(0, np.rint(mean + rng.normal(0, noise, rows)))


def decided(why: Charter, said: np.ndarray, demand: np.ndarray, seen: np.ndarray, came: np.ndarray) -> Quantities:
    permitted = np.array([float(each) for each in why.quantity.permitted]) if why.quantity else np.empty(0)
    supposed = scenarios(said, seen, came, number=32)
    return Quantities(
        worth=money(permitted[None, :], demand[:, None]),
        outcomes=demand,
        rules={"usual": np.full(len(demand), 100, dtype=np.int64)},
        hoped=money(permitted[None, None, :], supposed[:, :, None]).mean(axis=1),
        forecasts=said,
    )


def test_the_quantity_chosen_is_the_newsvendors() -> None:
    """Forecast plus the critical fractile of normal errors, and the money that follows from it in closed form."""
    why = charter()
    seen, came = shop(20_000, 1)
    said, demand = shop(20_000, 2)
    valued = value_holdout(why, decided(why, said, demand, seen, came), looked=1, holdout="h")
    z = NormalDist().inv_cdf(FRACTILE)
    assert (valued.actions - said).mean() == pytest.approx(12 * z, abs=0.4)
    best = (PRICE - COST) * 100 - PRICE * 12 * NormalDist().pdf(z)
    assert valued.valuation.per_decision["model"].mean == pytest.approx(best, rel=0.005)
    assert (demand <= valued.actions).mean() == pytest.approx(FRACTILE, abs=0.02), "so often there is enough"
    assert valued.valuation.per_decision["perfect"].mean == pytest.approx((PRICE - COST) * demand.mean())
    assert valued.valuation.metrics["mae"] == pytest.approx(np.abs(said - demand).mean())
    assert valued.valuation.shares == {}
    assert valued.valuation.quantities["hundred"] == {"mean": 100.0, "low": 100.0, "high": 100.0}


def test_a_forecast_that_is_off_on_average_is_put_right() -> None:
    why = charter()
    seen, came = shop(5000, 1)
    said, demand = shop(5000, 2)
    honest = value_holdout(why, decided(why, said, demand, seen, came), looked=1, holdout="h")
    shifted = value_holdout(why, decided(why, 0.5 * said - 10, demand, 0.5 * seen - 10, came), looked=1, holdout="h")
    money_of = [each.valuation.per_decision["model"].mean for each in (honest, shifted)]
    assert money_of[1] == pytest.approx(money_of[0], rel=0.02), "five bins follow a line that is bent"


def test_errors_that_grow_with_the_forecast_are_known_to() -> None:
    rng = np.random.default_rng(3)
    seen = rng.uniform(10, 200, 20_000)
    came = seen + rng.normal(0, 0.2 * seen)
    supposed = scenarios(np.array([20.0, 190.0]), seen, came, number=32)
    spread = supposed.std(axis=1)
    assert spread[1] > 3 * spread[0]
    assert (supposed >= 0).all() or (came < 0).any()


def test_outcomes_supposed_are_possible_ones() -> None:
    seen, came = shop(3000, 4)
    supposed = scenarios(np.array([2.0, 100.0]), seen, came, number=32)
    assert (supposed >= 0).all()
    assert (supposed == np.rint(supposed)).all()
    negative = scenarios(np.array([0.0]), seen - 100, came - 100.5, number=32)
    assert (negative < 0).any()
    assert (negative != np.rint(negative)).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 400), st.floats(-1e6, 1e6))
def test_a_handful_of_rows_set_aside_gives_numbers(seed: int, rows: int, said: float) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.choice([0.0, 5.0, 5.0, 7.5], rows)
    came = rng.choice([0.0, 3.0], rows)
    supposed = scenarios(np.array([said]), seen, came, number=16)
    assert supposed.shape == (1, 16)
    assert np.isfinite(supposed).all()
    assert (np.diff(supposed, axis=1) >= 0).all()


@given(st.floats(-1e5, 1e5), st.integers(1, 40), st.integers(-50, 50))
def test_the_nearest_permitted_quantity(value: float, step: int, least: int) -> None:
    spec = QuantitySpec(sql="", least=Decimal(least), most=Decimal(least + 20 * step), step=Decimal(step))
    permitted = np.array([float(each) for each in spec.permitted])
    (code,) = quantities.nearest(spec, np.array([value]))
    assert abs(permitted[code] - value) <= np.abs(permitted - value).min() + 1e-6 * step


def test_too_little_and_too_much_are_told_apart() -> None:
    why = charter(most=4)
    worth = np.array([[0.0, 1, 2, 2, 1]] * 4)
    made = Quantities(worth=worth, outcomes=np.zeros(4), rules={})
    found = made.mistakes(made.known(why), np.array([0, 2, 3, 4]))
    assert found.wrong.tolist() == [True, False, False, False]
    assert found.other is not None
    assert found.other.tolist() == [False, False, False, True]


def test_amounts_that_are_none_or_too_many_are_refused() -> None:
    why = charter(most=4)
    made = Quantities(worth=np.array([[0.0, np.inf, 0, 0, 0]]), outcomes=np.zeros(1), rules={})
    with pytest.raises(UserError, match="PO-V003"):
        made.refuse(why)
    with pytest.raises(UserError, match="PO-V004"):
        quantities.refuse_many(charter(most=999), 60_000)
    quantities.refuse_many(charter(most=999), 40_000)


# -- how good must a forecast be


def simulated(rows: int = 6000, **asked: Any) -> Any:
    why = charter(step=4)
    _, demand = shop(rows, 5, noise=25.0, known=0.0)
    permitted = np.array([float(each) for each in why.quantity.permitted]) if why.quantity else np.empty(0)
    known = money(permitted[None, :], demand[:, None])
    places, values, edges = forecasts.plan(demand, len(permitted))
    supposed = forecasts.everywhere(places, values)
    part = money(permitted[None, None, :], supposed[:, :, None])
    sample = forecasts.sample(places, values, edges, [part[:, :10], part[:, 10:]])
    common = known[:, 25]
    return forecasts.break_even(sample, demand, known, common, per_year=1000, seed=3, **asked), known, demand, common


def test_a_forecast_that_knows_nothing_earns_what_the_best_fixed_quantity_earns() -> None:
    found, known, demand, common = simulated(asked=1e9)
    assert found.needed is None
    nothing = found.curve[0]
    assert nothing.per_year == pytest.approx(1000 * known.mean(axis=0).max(), rel=0.005)
    assert nothing.error == pytest.approx(np.abs(demand - np.median(demand)).mean(), rel=0.02)
    assert nothing.gain == pytest.approx(nothing.per_year - 1000 * common.mean(), rel=1e-6)
    perfect = 1000 * known.max(axis=1).mean()
    assert found.curve[-1].per_year < perfect
    assert found.curve[-1].per_year == pytest.approx(perfect, rel=0.03)


def test_the_error_needed_brings_what_is_asked() -> None:
    found, *_ = simulated(asked=15_000.0)
    assert found.needed is not None
    assert found.needed.gain == pytest.approx(15_000, rel=0.05)
    assert found.needed.gain >= 15_000
    errors = [each.error for each in found.curve]
    gains = [each.gain for each in found.curve]
    assert errors == sorted(errors, reverse=True)
    assert gains == sorted(gains)
    assert min(errors) < found.needed.error < max(errors)
    assert found.needed.error_share == pytest.approx(found.needed.error / 100, rel=0.02)


def test_the_error_needed_is_that_of_the_newsvendor() -> None:
    """Normal demand and a forecast with normal errors of deviation s: a decision earns (p - c) mu - p s pdf(z)."""
    found, *_, common = simulated(20_000, asked=20_000.0)
    z = NormalDist().inv_cdf(FRACTILE)
    for each in (*found.curve[3:9], found.needed):
        s = each.error / 0.7978845608  # a normal's mean absolute error is sqrt(2 / pi) of its deviation
        expected = (PRICE - COST) * 100 - PRICE * s * NormalDist().pdf(z) - common.mean()
        assert each.gain == pytest.approx(1000 * expected, abs=1200)


def test_a_quantity_whose_ceiling_cannot_pay_is_not_to_be_built() -> None:
    why = charter(step=4)
    _, demand = shop(3000, 5, noise=3.0, known=0.0)
    permitted = np.array([float(each) for each in why.quantity.permitted]) if why.quantity else np.empty(0)
    made = Quantities(
        worth=money(permitted[None, :], demand[:, None]), outcomes=demand, rules={"usual": np.full(3000, 25)}
    )
    nothing = lambda *_: simulated(100, asked=1.0)[0]  # noqa: E731
    dear = msgspec.structs.replace(why, costs=msgspec.structs.replace(why.costs, run_per_year=Decimal(10**6)))
    assert prospect.prospect(dear, made, nothing, seed=1).build is False
    cheap = msgspec.structs.replace(why, costs=msgspec.structs.replace(why.costs, run_per_year=Decimal(1), build=Decimal(1)))
    found = prospect.prospect(cheap, made, nothing, seed=1)
    assert found.build is True
    assert found.unit == "loaves"
    assert found.quantities["usual"]["mean"] == 100.0
    assert found.base_rates == {}


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=700),
    st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=20),
    st.sampled_from([16, 32]),
    st.booleans(),
)
def test_errors_that_were_written_down_stand_for_the_same_outcomes(
    pairs: list[tuple[float, float]], said: list[float], number: int, whole: bool
) -> None:
    """To the last bit: a server decides by what is written, the run by what it saw."""
    seen, came = np.array(pairs).T
    came = np.rint(came) if whole else came
    forecasts = np.array(said)
    errors = errors_of(seen, came, number=number, together=7)
    again = msgspec.json.decode(msgspec.json.encode(errors), type=type(errors))
    assert again == errors
    assert supposed(forecasts, again).tobytes() == scenarios(forecasts, seen, came, number=number).tobytes()
    rows = [supposed(forecasts[place : place + 1], again)[0] for place in range(len(said))]
    assert np.array(rows).tobytes() == supposed(forecasts, again).tobytes()


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(2, 70), st.integers(1, 32))
def test_a_mean_does_not_hang_on_who_is_beside(seed: int, rows: int, actions: int, size: int) -> None:
    money = np.random.default_rng(seed).normal(0, 1e3, (rows, 32, actions))
    whole = mean(money[:, first : first + size] for first in range(0, 32, size))
    for place in range(rows):
        alone = mean(np.ascontiguousarray(money[place : place + 1, first : first + size]) for first in range(0, 32, size))
        assert alone.tobytes() == whole[place : place + 1].tobytes()
