"""How often the intervals contain the truth, on money as skewed as it is in practice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from payoff.value.intervals import bootstrap
from payoff.value.size import rows_needed

if TYPE_CHECKING:
    from collections.abc import Callable

TRIALS = 300


def normal(rng: np.random.Generator, n: int) -> tuple[np.ndarray, float]:
    return rng.normal(1.0, 3.0, n), 1.0


def lognormal(rng: np.random.Generator, n: int) -> tuple[np.ndarray, float]:
    return rng.lognormal(0.0, 1.0, n), float(np.exp(0.5))


def rare(rng: np.random.Generator, n: int) -> tuple[np.ndarray, float]:
    """One decision in fifty brings 100, every other costs 1."""
    return np.where(rng.random(n) < 0.02, 100.0, -1.0), 0.02 * 100 - 0.98


@pytest.mark.parametrize(
    ("world", "n"), [(normal, 40), (lognormal, 600), (rare, 600)], ids=lambda x: getattr(x, "__name__", x)
)
def test_intervals_contain_the_truth_as_often_as_they_say(
    world: Callable[[np.random.Generator, int], tuple[np.ndarray, float]], n: int
) -> None:
    """Of 300 intervals at 95 % about 285 contain the truth; 270 would be a chance of one in a thousand at 94 %."""
    rng = np.random.default_rng(20)
    inside = 0
    for trial in range(TRIALS):
        money, truth = world(rng, n)
        _, low, high = bootstrap(money[:, None], confidence=0.95, seed=trial, resamples=1_000)
        inside += bool(low[0] <= truth <= high[0])
    assert 270 <= inside <= 298, inside


def test_groups_that_belong_together_are_drawn_together() -> None:
    """Rows of one customer say the same thing: taken one by one the interval would be three times too narrow."""
    rng = np.random.default_rng(8)
    money, clusters = np.repeat(rng.normal(size=200), 9), np.repeat(np.arange(200), 9)
    _, low, high = bootstrap(money[:, None], confidence=0.95, seed=1)
    _, wide_low, wide_high = bootstrap(money[:, None], confidence=0.95, seed=1, clusters=clusters)
    assert (wide_high - wide_low)[0] == pytest.approx(3 * (high - low)[0], rel=0.1)


def test_a_holdout_as_small_as_is_accepted_still_holds() -> None:
    """Seven payers of equal amounts are about the fewest that `rows_needed` accepts."""
    rng = np.random.default_rng(4)
    accepted = covered = 0
    for trial in range(TRIALS):
        money, truth = rare(rng, 400)
        if rows_needed(money, confidence=0.95) > len(money):
            continue
        accepted += 1
        _, low, high = bootstrap(money[:, None], confidence=0.95, seed=trial, resamples=1_000)
        covered += bool(low[0] <= truth <= high[0])
    assert accepted > TRIALS / 2
    assert covered / accepted > 0.92
