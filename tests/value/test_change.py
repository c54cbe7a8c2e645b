"""The money between two models on the same decisions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payoff.value.repeated.change import change

MONEY = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=40)


@settings(max_examples=25, deadline=None)
@given(MONEY)
def test_turned_round_it_is_the_negative(pairs: list[tuple[float, float]]) -> None:
    then, now = np.array(pairs).T
    there = change(then, now, per_year=12, confidence=0.9, seed=3)
    back = change(now, then, per_year=12, confidence=0.9, seed=3)
    scale = float(np.abs(now - then).max()) * 12 + 1e-9
    assert there.low <= there.mean <= there.high
    for one, other in ((there.mean, back.mean), (there.low, back.high), (there.high, back.low)):
        assert one + other == pytest.approx(0, abs=1e-6 * scale)


def test_what_both_have_in_common_is_not_noise() -> None:
    """Amounts of thousands that both models bring do not widen the interval of a difference of some cents."""
    draws = np.random.default_rng(5)
    then = draws.normal(0, 10_000, 400)
    now = then + draws.normal(0.5, 0.1, 400)
    found = change(then, now, per_year=1, confidence=0.99, seed=1)
    assert 0.45 < found.low < found.mean < found.high < 0.55


def test_the_interval_covers_what_it_says() -> None:
    """Of 60 samples, the true mean lies in the 90 % interval of about nine in ten; clusters of ten that go together are taken as such."""
    draws = np.random.default_rng(11)
    clusters = np.repeat(np.arange(40), 10)
    hit = alone = 0
    for seed in range(60):
        now = np.repeat(draws.normal(2, 5, 40), 10) + draws.normal(0, 0.5, 400)
        then = np.zeros(400)
        found = change(then, now, per_year=1, confidence=0.9, seed=seed, clusters=clusters)
        hit += found.low <= 2 <= found.high
        found = change(then, now, per_year=1, confidence=0.9, seed=seed)
        alone += found.low <= 2 <= found.high
    assert 46 <= hit <= 60
    assert alone < 40  # the planted fault: rows taken for independent
