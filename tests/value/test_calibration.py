"""Probabilities that are what they say are left alone; others are put right, on rows that the model did not learn from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from payoff.value import calibration
from payoff.value.correction import corrected


def drawn(rows: int, kinds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True chances (n, k) and what came of them (n,)."""
    rng = np.random.default_rng(seed)
    chance = rng.dirichlet(np.linspace(0.5, 2.0, kinds), rows)
    outcomes = (rng.random(rows)[:, None] > chance.cumsum(axis=1)).sum(axis=1).clip(0, kinds - 1)
    return chance, outcomes


def bent(chance: np.ndarray, weight: float, prior: np.ndarray) -> np.ndarray:
    odds = np.maximum(chance, 1e-12) ** weight * prior
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def named(chance: np.ndarray) -> dict[str, np.ndarray]:
    return {f"o{number}": chance[:, number] for number in range(chance.shape[1])}


@pytest.mark.parametrize("kinds", [2, 3, 5])
def test_what_bent_the_chances_is_found_and_undone(kinds: int) -> None:
    chance, outcomes = drawn(40_000, kinds, 1)
    prior = np.linspace(0.2, 1.0, kinds)
    wrong = bent(chance, 2.0, prior)
    found = calibration.examine(named(wrong), outcomes)
    assert found.applied
    assert found.p_value is not None and found.p_value < 1e-9
    assert found.log_loss is not None and found.corrected_log_loss is not None
    assert found.corrected_log_loss < found.log_loss
    assert list(found.weights.values()) == pytest.approx([0.5] * kinds, abs=0.15)
    new_chance, new_outcomes = drawn(40_000, kinds, 2)
    put_right = np.stack(list(corrected(found, named(bent(new_chance, 2.0, prior))).values()), axis=1)
    assert put_right.sum(axis=1) == pytest.approx(1)
    assert np.abs(put_right - new_chance).mean() < 0.01
    assert np.abs(bent(new_chance, 2.0, prior) - new_chance).mean() > 0.05
    again = calibration.examine(named(put_right), new_outcomes)
    assert again.corrected_log_loss == pytest.approx(again.log_loss, abs=5e-4), (
        "there is next to nothing left to correct"
    )


def test_true_chances_are_left_alone() -> None:
    """Of 200 models whose chances are true about 2 are corrected: the level of the test is 1 %."""
    applied = sum(
        calibration.examine(named(chance), outcomes).applied
        for chance, outcomes in (drawn(500, 2, seed) for seed in range(200))
    )
    assert applied <= 7


def test_published_logistic_recalibration_is_found() -> None:
    """Log odds bent by a known slope and intercept (Cox 1958): w = 1 / slope for both outcomes, b = -intercept / slope."""
    rng = np.random.default_rng(5)
    odds = rng.normal(-1.0, 1.5, 200_000)
    outcomes = (rng.random(len(odds)) > 1 / (1 + np.exp(-odds))).astype(np.int64)  # 0: it came
    said = 1 / (1 + np.exp(-(1.6 * odds + 0.8)))
    found = calibration.examine({"came": said, "not": 1 - said}, outcomes)
    assert found.weights == pytest.approx({"came": 1 / 1.6, "not": 1 / 1.6}, abs=0.03)
    assert found.intercepts["came"] - found.intercepts["not"] == pytest.approx(-0.8 / 1.6, abs=0.05)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 4),
    st.integers(20, 300),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    st.booleans(),
)
def test_whatever_is_predicted_probabilities_come_out(
    kinds: int, rows: int, seed: int, weight: float, zeros: bool
) -> None:
    chance, outcomes = drawn(rows, kinds, seed)
    given_ = bent(chance, weight, np.ones(kinds))
    if zeros:
        given_ = np.eye(kinds)[given_.argmax(axis=1)]
    found = calibration.examine(named(given_), outcomes)
    answer = np.stack(list(corrected(found, named(given_)).values()), axis=1)
    assert np.isfinite(answer).all()
    assert (answer >= 0).all()
    assert answer.sum(axis=1) == pytest.approx(1)
    assert found.corrected_log_loss is not None and found.log_loss is not None
    assert found.corrected_log_loss <= found.log_loss + 1e-12
    if kinds == 2:
        order = np.argsort(given_[:, 0], kind="stable")
        assert (np.diff(answer[order, 0]) >= -1e-12).all(), "it keeps the order of the rows"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 5),
    st.integers(5, 400),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.1, 1.0, 3.0, 20.0, -1.0]),
    st.booleans(),
)
def test_no_other_search_finds_a_better_correction(kinds: int, rows: int, seed: int, weight: float, sure: bool) -> None:
    """Held against L-BFGS-B of SciPy (Byrd, Lu, Nocedal, Zhu 1995); sure: outcomes that the chances foretell, so that the bounds bind."""
    chance, outcomes = drawn(rows, kinds, seed)
    if sure:
        outcomes = chance.argmax(axis=1)
    logs = np.log(np.maximum(bent(chance, weight, np.linspace(0.2, 1.0, kinds)), 1e-9))
    fit = calibration._Fit(logs, np.eye(kinds)[outcomes])
    found = fit.best()
    assert (found >= fit.low).all()
    assert (found <= fit.high).all()
    other = optimize.minimize(
        lambda at: (fit.loss(at), fit._slopes(at)[0]), fit.identity, jac=True, method="L-BFGS-B",
        bounds=list(zip(fit.low, fit.high, strict=True)), options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    assert fit.loss(found) <= other.fun + 1e-7, "no step of at most 100 along a slope below 1e-9 could gain more"
    slope, curve = fit._slopes(found)
    assert slope == pytest.approx(optimize.approx_fprime(found, fit.loss, 1e-7), abs=1e-4)
    assert curve == pytest.approx(np.array([optimize.approx_fprime(found, lambda at, i=i: fit._slopes(at)[0][i], 1e-7) for i in range(len(found))]), abs=1e-3)


@given(st.integers(1, 40), st.floats(0, 800))
def test_the_level_is_that_of_chi_squared(halves: int, x: float) -> None:
    assert calibration._above(halves - 0.5, x) == pytest.approx(float(special.gammaincc(halves - 0.5, x)), rel=1e-10, abs=1e-300)
