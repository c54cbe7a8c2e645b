"""Intervals hold what they promise, on skewed money."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.value.intervals import bootstrap, get_ready
from payoff.value.looks import adjusted_confidence
from payoff.value.rows import blocks

SPREAD = 1.2  # of the logarithm of balances: the bank's clients have a standard deviation of twice the mean


def money(rng: np.random.Generator, n: int) -> np.ndarray:
    """A call costs 1; one in eight brings a heavy-tailed amount: what the bank's difference of two rules looks like."""
    wins = rng.random(n) < 0.125
    return np.where(wins, 0.00616 * rng.lognormal(6.5, SPREAD, n), 0.0) - 1.0


def truth() -> float:
    return 0.125 * 0.00616 * float(np.exp(6.5 + SPREAD**2 / 2)) - 1.0


def test_nominal_95_percent_covers_93_to_97() -> None:
    rng = np.random.default_rng(20261123)
    inside = below = 0
    trials = 400
    for trial in range(trials):
        mean, low, high = bootstrap(money(rng, 2500)[:, None], confidence=0.95, seed=trial, resamples=400)
        inside += bool(low[0] <= truth() <= high[0])
        below += bool(low[0] <= truth())
    assert 0.93 <= inside / trials <= 0.97
    # The gate reads the lower bound alone: that it lies above the truth must be rarer than 2.5 % by little more than chance.
    assert below / trials >= 0.96


def test_dealing_rows_into_groups_keeps_the_interval() -> None:
    values = money(np.random.default_rng(5), 200_000)[:, None]
    _, low, high = bootstrap(values, confidence=0.95, seed=1)
    error = values.std() / np.sqrt(len(values))
    assert (high[0] - low[0]) == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_paired_draws_make_a_difference_of_equals_certain() -> None:
    base = money(np.random.default_rng(2), 500)
    mean, low, high = bootstrap(np.stack([base, base + 2.0, (base + 2.0) - base], axis=1), confidence=0.95, seed=3)
    assert (mean[2], low[2], high[2]) == pytest.approx((2.0, 2.0, 2.0))
    assert low[1] - low[0] == pytest.approx(2.0)


def test_rows_that_belong_together_are_drawn_together() -> None:
    """Ten copies of each row are no new information: the interval is as wide as without them."""
    rng = np.random.default_rng(4)
    values = money(rng, 400)
    _, low, high = bootstrap(values[:, None], confidence=0.95, seed=1)
    copies = np.repeat(values, 10)[:, None]
    _, low10, high10 = bootstrap(copies, confidence=0.95, seed=1, clusters=np.repeat(np.arange(400), 10))
    _, naive_low, naive_high = bootstrap(copies, confidence=0.95, seed=1)
    assert high10[0] - low10[0] == pytest.approx(high[0] - low[0], rel=0.02)
    assert naive_high[0] - naive_low[0] < 0.5 * (high[0] - low[0])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=60),
    st.sampled_from([0.25, 0.5, 2.0, 1024.0]),
    st.integers(0, 2**31),
)
def test_another_unit_of_money_changes_nothing_else(values: list[float], factor: float, seed: int) -> None:
    base = np.round(np.array(values), 2)[:, None]
    mean, low, high = bootstrap(base, confidence=0.9, seed=seed, resamples=200)
    again = bootstrap(base * factor, confidence=0.9, seed=seed, resamples=200)
    for ours, other in zip((mean, low, high), again, strict=True):
        assert other[0] == pytest.approx(ours[0] * factor, rel=1e-9)
    assert low[0] <= high[0]


def test_the_same_seed_the_same_interval() -> None:
    values = money(np.random.default_rng(1), 300)[:, None]
    assert [x.tolist() for x in bootstrap(values, confidence=0.95, seed=9)] == [
        x.tolist() for x in bootstrap(values, confidence=0.95, seed=9)
    ]


@pytest.mark.parametrize("rows", [2, 300, 6000])
def test_what_is_drawn_ahead_changes_nothing(rows: int) -> None:
    values = money(np.random.default_rng(1), rows)[:, None]
    cold = [x.tolist() for x in bootstrap(values, confidence=0.95, seed=9)]
    get_ready(10 * rows, seed=9)  # of another size: not used
    assert [x.tolist() for x in bootstrap(values, confidence=0.95, seed=9)] == cold
    get_ready(rows, seed=8)
    get_ready(rows, seed=9)
    assert [x.tolist() for x in bootstrap(values, confidence=0.95, seed=9)] == cold


def test_one_row_says_nothing_about_spread() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        bootstrap(np.array([[3.0]]), confidence=0.95, seed=1)


@given(st.floats(0.5, 0.999), st.integers(1, 200))
def test_more_looks_ask_for_more_confidence(confidence: float, looks: int) -> None:
    assert confidence <= adjusted_confidence(confidence, looks) < adjusted_confidence(confidence, looks + 1) < 1


@pytest.mark.parametrize(("confidence", "looks"), [(0.0, 1), (1.0, 1), (0.95, 0), (float("nan"), 1)])
def test_senseless_confidence_is_refused(confidence: float, looks: int) -> None:
    with pytest.raises(ValueError, match="confidence"):
        adjusted_confidence(confidence, looks)


def test_neighbours_in_time_are_drawn_together() -> None:
    """Money that hangs together from one decision to the next: rows alone claim too much, blocks come near what they promise."""
    rng = np.random.default_rng(12)
    inside = {"rows": 0, "blocks": 0}
    rounds = 100
    for _ in range(rounds):
        noise = rng.normal(size=1500)
        series = np.empty(1500)
        series[0] = noise[0] / np.sqrt(1 - 0.5**2)
        for step in range(1, 1500):
            series[step] = 0.5 * series[step - 1] + noise[step]
        moments = rng.permutation(1500).astype(np.float64)
        values = series[moments.astype(int)][:, None]  # rows in another order than that of time
        for name, clusters in (("rows", None), ("blocks", blocks(moments))):
            _, low, high = bootstrap(values, confidence=0.95, seed=1, clusters=clusters, resamples=1000)
            inside[name] += bool(low[0] < 0 < high[0])
    assert inside["rows"] / rounds < 0.85
    assert inside["blocks"] / rounds > 0.88


def test_rows_of_one_day_are_never_parted() -> None:
    """Fifty shops of 104 days, each day with something that all of them share: what looks like 5,200 rows is 104 days."""
    days, shops, rounds, inside = 104, 50, 100, 0
    rng = np.random.default_rng(13)
    for _ in range(rounds):
        values = rng.normal(size=(days, 1)) + rng.normal(size=(days, shops))
        clusters = blocks(np.repeat(np.arange(days), shops) * 86_400.0)
        assert len(np.unique(clusters)) >= 30
        _, low, high = bootstrap(values.reshape(-1, 1), confidence=0.95, seed=1, clusters=clusters, resamples=1000)
        inside += bool(low[0] < 0 < high[0])
    assert inside / rounds >= 0.9


@given(st.lists(st.integers(0, 40), min_size=1, max_size=400))
def test_blocks_are_of_neighbours_and_keep_moments_whole(moments: list[int]) -> None:
    codes = blocks(np.array(moments, dtype=np.float64))
    assert sorted(set(codes.tolist())) == list(range(int(codes.max()) + 1))
    by_moment: dict[int, set[int]] = {}
    for moment, code in zip(moments, codes.tolist(), strict=True):
        by_moment.setdefault(moment, set()).add(code)
    assert all(len(found) == 1 for found in by_moment.values())
    in_time = [min(by_moment[moment]) for moment in sorted(by_moment)]
    assert in_time == sorted(in_time)
