"""Each gate against a planted fault and a planted innocent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from payoff.base.errors import Bug
from payoff.gates import beats_baseline, contract, holdout_size
from payoff.ports.gate import judge
from payoff.records.charter import Costs
from payoff.records.evidence import CheckResult, Evidence

_spec = importlib.util.spec_from_file_location(
    "valuation_samples", Path(__file__).parent.parent / "value" / "test_valuation.py"
)
assert _spec and _spec.loader
samples = importlib.util.module_from_spec(_spec)
sys.modules["valuation_samples"] = samples
_spec.loader.exec_module(samples)


def evidence(chance: np.ndarray, outcomes: np.ndarray, looked: int = 1) -> Evidence:
    return Evidence(valuation=samples.valued(chance, outcomes, looked).valuation)


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray]:
    """Real chances between 0 and 0.4, and what then happened (0 is yes)."""
    rng = np.random.default_rng(11)
    chance = rng.beta(0.4, 3.0, 4000)
    return chance, (rng.random(4000) >= chance).astype(np.int64)


def test_a_good_model_passes(world: tuple[np.ndarray, np.ndarray]) -> None:
    verdict = beats_baseline.judge(evidence(*world), samples.charter())
    assert verdict is not None
    assert verdict.passed


def test_random_probabilities_are_refused(world: tuple[np.ndarray, np.ndarray]) -> None:
    rng = np.random.default_rng(3)
    verdict = beats_baseline.judge(evidence(rng.permutation(world[0]), world[1]), samples.charter())
    assert verdict is not None
    assert not verdict.passed
    assert "EUR a year" in verdict.reason
    assert "were asked for" in verdict.reason


def test_a_model_turned_upside_down_is_refused(world: tuple[np.ndarray, np.ndarray]) -> None:
    verdict = beats_baseline.judge(evidence(1 - world[0], world[1]), samples.charter())
    assert verdict is not None
    assert not verdict.passed


def test_a_gain_that_many_looks_may_have_found_is_refused() -> None:
    """The same small gain: sure enough at the first look, not after a thousand."""
    rng = np.random.default_rng(5)
    chance = rng.beta(0.8, 3.0, 900)
    outcomes = (rng.random(900) >= chance).astype(np.int64)
    verdicts = [beats_baseline.judge(evidence(chance, outcomes, n), samples.charter()) for n in (1, 100_000)]
    assert [v.passed for v in verdicts if v] == [True, False]


def check(*, passed: bool, severity: str = "error") -> CheckResult:
    return CheckResult(
        table="clients", check="age is at least 18", column="age", passed=passed, failed=0 if passed else 3, rows=10,
        reason="" if passed else "3 rows of 10 below 18", severity=severity,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "passed"),
    [
        ((check(passed=True),), True),
        ((check(passed=True), check(passed=False)), False),
        ((check(passed=False, severity="warning"),), True),
    ],
)
def test_broken_promises_refuse_and_warnings_do_not(checks: tuple[CheckResult, ...], passed: bool) -> None:
    verdict = contract.judge(Evidence(checks=checks), samples.charter())
    assert verdict is not None
    assert verdict.passed is passed
    assert passed or "3 rows of 10 below 18" in verdict.reason


def test_a_holdout_too_small_says_how_many_rows_are_needed() -> None:
    small = evidence(np.full(20, 0.5), np.array([0, 1] * 10))
    verdict = holdout_size.judge(small, samples.charter())
    assert verdict is not None
    assert not verdict.passed
    assert "30 are needed" in verdict.reason


def test_a_holdout_large_enough_passes(world: tuple[np.ndarray, np.ndarray]) -> None:
    verdict = holdout_size.judge(evidence(*world), samples.charter())
    assert verdict is not None
    assert verdict.passed


@pytest.mark.parametrize("gate", [contract, beats_baseline, holdout_size])
def test_nothing_to_judge_gives_no_verdict(gate: object) -> None:
    assert gate.judge(Evidence(), samples.charter()) is None  # type: ignore[attr-defined]


def test_all_gates_speak_none_cuts_another_short(world: tuple[np.ndarray, np.ndarray]) -> None:
    found = evidence(np.full(4000, 0.5), world[1])  # calls everybody, as a common solution does: no gain, no skewness
    gates = {name: (m.GATE, m.judge) for name, m in (("a", beats_baseline), ("b", holdout_size))}
    verdicts = judge(found, samples.charter(), gates)
    assert [(v.gate, v.passed) for v in verdicts] == [("a", False), ("b", True)]
    assert verdicts[0].remedy
    assert verdicts[0].code == "PO-G002"


def test_a_gate_that_stumbles_is_our_bug() -> None:
    def stumbling(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(Bug, match="stumbled"):
        judge(Evidence(), samples.charter(), {"x": (contract.GATE, stumbling)})


# -- models that look good and are not


def lets_pass(chance: np.ndarray, outcomes: np.ndarray, looked: int = 1) -> bool:
    """Under a charter that asks for any gain at all, from a model that costs nothing."""
    valuation = samples.valued(chance, outcomes, looked, costs=Costs()).valuation
    verdict = beats_baseline.judge(Evidence(valuation=valuation), samples.charter())
    assert verdict is not None
    return verdict.passed


def tenth(rng: np.random.Generator) -> np.ndarray:
    """One in ten is worth a call, exactly: calling everybody and calling nobody are worth the same."""
    return rng.permutation((np.arange(1500) >= 150).astype(np.int64))


def test_two_hundred_worthless_models_do_not_find_one_lucky_enough() -> None:
    """Each is as good as calling whom a coin chooses; the luckiest of 200 must not pass at its look."""
    rng = np.random.default_rng(21)
    outcomes = tenth(rng)
    lucky = 0
    for look in range(1, 201):
        chance = np.where(rng.random(1500) < 0.5, 0.9, 0.01)
        lucky += lets_pass(chance, outcomes, look)
    assert lucky == 0


def test_without_counting_looks_one_would_have_passed() -> None:
    """The planted luck is real: judged as if each look were the first, some of the same 200 pass."""
    rng = np.random.default_rng(21)
    outcomes = tenth(rng)
    assert any(lets_pass(np.where(rng.random(1500) < 0.5, 0.9, 0.01), outcomes) for _ in range(200))


def test_a_model_that_is_nearly_always_right_and_earns_nothing_is_refused() -> None:
    """Saying no to everybody is right in nine of ten cases, and worth no more than calling nobody."""
    rng = np.random.default_rng(22)
    outcomes = (rng.random(4000) >= 0.12).astype(np.int64)
    accurate = np.full(4000, 0.02)
    assert (outcomes == 1).mean() > 0.85
    assert not lets_pass(accurate, outcomes)


def test_a_model_that_is_right_far_more_often_and_loses_money_is_refused() -> None:
    """It never calls in vain, and leaves half of those who would have said yes: calling everybody is wrong in seven of ten cases and earns more."""
    rng = np.random.default_rng(24)
    outcomes = (rng.random(4000) >= 0.3).astype(np.int64)
    calls = (outcomes == 0) & (rng.random(4000) < 0.5)
    right = (calls == (outcomes == 0)).mean()
    assert right > 0.8 > (outcomes == 0).mean() + 0.4
    valuation = samples.valued(np.where(calls, 0.95, 0.03), outcomes, costs=Costs()).valuation
    assert valuation.best == "everyone"
    assert valuation.gain.high < 0
    verdict = beats_baseline.judge(Evidence(valuation=valuation), samples.charter())
    assert verdict is not None
    assert not verdict.passed
    assert "everyone" in verdict.reason


@pytest.mark.parametrize("look", [1, 20])
def test_a_good_model_passes(look: int) -> None:
    rng = np.random.default_rng(23)
    chance = rng.beta(0.4, 3.0, 8000)
    assert lets_pass(chance, (rng.random(8000) >= chance).astype(np.int64), look)
