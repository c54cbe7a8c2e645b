"""A canary that is as good goes on, one that is worse goes back, and looking often changes nothing about that."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payoff.records.release.canary import Arm, CanarySpec, Seen, Sum
from payoff.release import canary

SPEC = CanarySpec(decisions=500, requests=200, tolerance=0.5)


def arm(payoffs: list[float], failed: int = 0, seconds: float = 0.004, answers: int | None = None) -> Arm:
    made = Arm(release=1, image="sha256:1")
    for each in payoffs:
        made.payoff.add(each)
    for number in range(len(payoffs) if answers is None else answers):
        made.answered(seconds, failed=number < failed)
    return made


def seen(stable: Arm, tried: Arm, **more: Any) -> Seen:
    return Seen(since="2026-01-01T00:00:00.000Z", mode="canary", stable=stable, canary=tried, **more)


def drawn(mean: float, count: int, seed: int) -> list[float]:
    """Payoffs as they are: most decisions bring nothing, some bring much, some cost."""
    chance = random.Random(seed)
    return [mean + chance.choice((-5.0, -5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0)) for _ in range(count)]


def test_what_came_of_the_requests_is_told() -> None:
    """Where all that clients send is refused by both, nothing fails, and somebody has to see it."""
    made = arm([], answers=1250)
    assert made.told == "1,250 answers, 0 failed"
    for number in range(1250):
        made.answered(0.004, failed=number < 2, refused=True)
    assert made.told == "2,500 answers, 1,250 of them refused, 2 failed"
    before = b'{"release":1,"image":"sha256:1","requests":7,"errors":1}'
    assert msgspec.json.decode(before, type=Arm).told == "7 answers, 1 failed"


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_sums_are_those_of_the_values(values: list[float]) -> None:
    made = arm(values).payoff
    mean = math.fsum(values) / len(values)
    assert made.mean == pytest.approx(mean, abs=1e-6)
    assert made.variance == pytest.approx(math.fsum((each - mean) ** 2 for each in values) / (len(values) - 1), rel=1e-6, abs=1e-3)


def test_one_that_is_as_good_goes_on() -> None:
    found = canary.judge(seen(arm(drawn(2, 6000, 1)), arm(drawn(2, 6000, 2))), SPEC)
    assert found.verdict == "advance"
    assert found.low is not None
    assert found.low > -SPEC.tolerance


def test_one_that_loses_money_goes_back() -> None:
    found = canary.judge(seen(arm(drawn(2, 2000, 1)), arm(drawn(0, 2000, 2))), SPEC)
    assert (found.verdict, found.because[0].startswith("it loses money: -")) == ("back", True)
    assert found.high is not None
    assert found.high < 0


@pytest.mark.parametrize(
    ("stable", "tried", "says"),
    [
        (arm(drawn(2, 400, 1)), arm(drawn(2, 400, 2)), "400 of 500 decisions"),
        (arm([1.0] * 1000), arm([1.0] * 40), "40 of 500 decisions"),
        (arm(drawn(2, 600, 1)), arm(drawn(2, 600, 2)), "it may still lose"),
        (arm([], answers=900), arm([], answers=900), "0 of 500 decisions"),
        (arm([1.0] * 900, answers=100), arm([1.0] * 900, answers=100), "100 of 200 answers"),
    ],
)
def test_with_too_little_it_waits(stable: Arm, tried: Arm, says: str) -> None:
    found = canary.judge(seen(stable, tried), SPEC)
    assert found.verdict == "wait"
    assert any(says in each for each in found.because), found.because


def test_one_that_fails_goes_back_however_well_it_pays() -> None:
    good = drawn(2, 2000, 1)
    found = canary.judge(seen(arm(good), arm([each + 5 for each in good], failed=300)), SPEC)
    assert (found.verdict, found.because[0][:5]) == ("back", "15.0%")
    found = canary.judge(seen(arm(good, failed=300), arm(good, failed=300)), SPEC)
    assert found.verdict != "back", "both fail: that is not the canary's"


def test_one_that_is_slow_goes_back() -> None:
    good = drawn(2, 2000, 1)
    assert canary.judge(seen(arm(good), arm(good, seconds=0.02)), SPEC).because[0].startswith("its 99th percentile is 2")
    assert canary.judge(seen(arm(good, seconds=0.02), arm(good, seconds=0.03)), SPEC).verdict != "back"


def test_a_shadow_is_compared_pair_by_pair() -> None:
    """Where each row's difference is small, few rows tell what thousands of single ones would not."""
    pairs = Sum()
    for each in drawn(0, 600, 3):
        pairs.add(-0.6 + 0.01 * each)
    rows = drawn(2, 600, 1)
    apart = seen(arm(rows), arm(drawn(1.4, 600, 2)))
    together = Seen(since="", mode="shadow", stable=arm(rows), canary=arm(drawn(1.4, 600, 2)), pairs=pairs)
    assert (canary.judge(apart, SPEC).verdict, canary.judge(together, SPEC).verdict) == ("wait", "back")


NO_NUMBERS = (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize("mode", ["canary", "shadow"])
@pytest.mark.parametrize("field", ["mean", "squares"])
@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_sums_that_are_no_numbers_let_nothing_go_on(bad: float, field: str, mode: Any) -> None:
    """The canary's send it back; the other's, and those of the differences, make it wait."""

    def found(which: str) -> str:
        good, better, gains = (Sum(count=6000, mean=each, squares=6000.0) for each in (2.0, 3.0, 1.0))
        both = Seen(since="", mode=mode, stable=arm([1.0] * 900), canary=arm([1.0] * 900), pairs=gains)
        both.stable.payoff, both.canary.payoff = good, better
        wrong = {"stable": both.stable.payoff, "canary": both.canary.payoff, "pairs": both.pairs}.get(which)
        if wrong is not None:
            setattr(wrong, field, bad)
        return canary.judge(both, SPEC).verdict

    assert {which: found(which) for which in ("none", "stable", "canary", "pairs")} == {"none": "advance", "stable": "wait", "canary": "back", "pairs": "wait"}


@pytest.mark.parametrize("more", [{"tolerance": math.nan}, {"errors": math.nan}, {"slower": math.nan}, {"decisions": 0, "requests": 0}])
def test_rules_that_are_no_numbers_let_nothing_go_on(more: dict[str, Any]) -> None:
    good = [] if "decisions" in more else drawn(2, 6000, 1)
    assert canary.judge(seen(arm(good), arm([each + 5 for each in good])), CanarySpec(**more)).verdict != "advance"


def test_looking_at_every_decision_sends_none_back_wrongly() -> None:
    """200 canaries that are as good, looked at after every tenth decision up to 2,000: an interval for one look (z = 1.96) would send many back."""
    wrong = naive = 0
    spec = CanarySpec(tolerance=0.0)
    for trial in range(200):
        one, other = Sum(), Sum()
        chance = random.Random(trial)
        bad = fooled = False
        for number in range(2000):
            one.add(chance.choice((-5.0, 0.0, 0.0, 10.0)))
            other.add(chance.choice((-5.0, 0.0, 0.0, 10.0)))
            if number % 10 == 9 and number >= 50:
                gain = other.mean - one.mean
                half = canary.half_width(one, 0.025) + canary.half_width(other, 0.025)
                bad |= gain + half < -spec.tolerance
                fooled |= gain + 1.96 * math.sqrt((one.variance + other.variance) / number) < 0
        wrong, naive = wrong + bad, naive + fooled
    assert wrong <= 10  # 5 %
    assert naive > 2 * max(wrong, 5), "or else this test could not tell"


def test_the_next_share() -> None:
    assert [canary.next_share(each, CanarySpec(steps=(0.5, 0.1))) for each in (0.01, 0.1, 0.3, 0.5, 0.9)] == [0.1, 0.5, 0.5, 1.0, 1.0]


@given(st.dictionaries(st.integers(0, 100), st.integers(1, 50), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_where_the_share_is(counts: dict[int, int], level: float) -> None:
    found = canary.quantile(counts, level)
    below = sum(count for at, count in counts.items() if 1e-3 * 1.1 ** (at + 1) <= found * (1 + 1e-9))
    assert below >= level * sum(counts.values()) * (1 - 1e-9)
