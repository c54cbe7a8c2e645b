"""Money and errors by groups: against plain counts, and intervals against what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from payoff.testing.samples import sample_valuation
from payoff.value.fairness import by_group
from payoff.value.rows import Mistakes
from payoff.value.valuation import Valued


def world(seed: int = 1, rows: int = 3000, *, worse: float = 0.0) -> tuple[Valued, np.ndarray, np.ndarray]:
    """Two actions, two outcomes; decisions are right in seven of ten cases, in group `b` less often by `worse`."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], rows)
    outcomes = (rng.random(rows) < 0.6).astype(np.int64)
    payoffs = np.where(outcomes[:, None] == 0, [5.0, 0.0], [-1.0, 0.0])
    right = rng.random(rows) < 0.7 - worse * (group == "b")
    best = payoffs.argmax(axis=1)
    actions = np.where(right, best, 1 - best)
    mistakes = Mistakes(payoffs[np.arange(rows), actions] < payoffs.max(axis=1), focus=outcomes == 0)
    valued = Valued(
        valuation=sample_valuation(), actions=actions, payoffs=payoffs, common=payoffs[:, 0], mistakes=mistakes
    )
    return valued, outcomes, group


def test_figures_are_plain_counts() -> None:
    valued, outcomes, group = world()
    found = by_group(valued, {"g": group}, per_year=100, seed=1)
    assert [(each.column, each.value) for each in found] == [("g", "a"), ("g", "b"), ("g", "c")]
    rows = np.arange(3000)
    wrong = valued.payoffs[rows, valued.actions] < valued.payoffs.max(axis=1)
    gain = valued.payoffs[rows, valued.actions] - valued.common
    for each in found:
        mask = group == each.value
        assert each.rows == mask.sum()
        assert each.wrong.mean == pytest.approx(wrong[mask].mean())
        assert each.gap.mean == pytest.approx(wrong[mask].mean() - wrong[~mask].mean())
        assert each.gain.mean == pytest.approx(100 * gain[mask].sum() / 3000)
        assert each.missed == pytest.approx(wrong[mask & (outcomes == 0)].mean())
        assert each.false_alarms == pytest.approx(wrong[mask & (outcomes == 1)].mean())
        for interval in (each.wrong, each.gap, each.gain):
            assert interval.low < interval.mean < interval.high
    assert sum(each.gain.mean for each in found) == pytest.approx(100 * gain.mean())


def test_a_group_that_is_treated_worse_is_seen_and_equals_are_not() -> None:
    worse = {each.value: each for each in by_group(world(worse=0.15)[0], {"g": world(worse=0.15)[2]}, per_year=1, seed=1)}
    assert worse["b"].gap.low > 0.05
    accused = 0
    for seed in range(12):
        valued, outcomes, group = world(seed)
        found = by_group(valued, {"g": group}, per_year=1, seed=seed)
        accused += any(each.gap.low > 0 or each.gap.high < 0 for each in found)
    assert accused <= 2, "at 95 % or more less than one of twelve"


def test_one_group_has_no_others_to_differ_from() -> None:
    valued, outcomes, _ = world()
    (found,) = by_group(valued, {"g": np.full(3000, "all")}, per_year=1, seed=1)
    assert (found.gap.low, found.gap.mean, found.gap.high) == (0.0, 0.0, 0.0)
    assert by_group(valued, {}, per_year=1, seed=1) == ()
