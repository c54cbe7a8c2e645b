"""A run held against its executions, on records made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from payoff.records.artifact import Artifact
from payoff.records.evidence import Gain, Interval, StepOutcome, Valuation, Verdict
from payoff.records.run import RunRecord
from payoff.records.task import Failure
from payoff.reproduction.again import compare, settled
from payoff.value.repeated.prediction import prediction

INPUTS = {"rates": ("read:t",), "model": ("rates",), "score": ("model",), "value": ("score",)}


def record(*, read: str = "t", rates: str = "r", model: str = "m", scores: str = "s", gain: float = 100.0, high: float = 120.0, **more: Any) -> RunRecord:
    def made(name: str, identity: str, kind: Any = "table", **facts: Any) -> StepOutcome:
        return StepOutcome(name=name, state="ran", output=Artifact(id=identity, kind=kind, file="", bytes=1, rows=1), **facts)

    money = Interval(gain, 80.0, high)
    valuation = Valuation(
        currency="EUR", rows=1, looks=1, confidence=0.95, adjusted=0.95, per_decision={}, per_year={"model": money},
        difference_per_decision={}, gain=Gain(over="x", mean=gain, low=80.0, high=high, confidence=0.95), best="x",
    )  # fmt: skip
    facts: dict[str, Any] = {
        "steps": (made("rates", rates), made("model", model, "object")), "stages": (made("read:t", read), made("score", scores), made("value", scores)),
        "valuation": valuation, "status": "passed", "verdicts": (Verdict(gate="worth", passed=True, reason=""),),
    }  # fmt: skip
    return RunRecord(run="r", project="p", name="p", started="", finished="", seconds=1.0, **(facts | more))


def sameness(run: RunRecord, *executions: RunRecord) -> tuple[str, dict[str, str]]:
    found = compare(run, executions, INPUTS, prediction)
    return found.verdict, {step.name: step.same for step in found.steps if step.same != "exact"}


def test_the_same_is_exact_at_once() -> None:
    assert settled(record(), [record()])
    assert sameness(record(), record()) == ("exact", {})


def test_other_bytes_of_which_the_same_is_made_are_equal() -> None:
    assert settled(record(), [record(model="n")])
    assert sameness(record(), record(model="n")) == ("exact", {"model": "equal"})


def test_what_is_always_otherwise_differs_with_all_that_is_made_of_it() -> None:
    other = record(model="n", scores="z", gain=90.0)
    assert not settled(record(), [other])
    assert settled(record(), [other, other])
    assert sameness(record(), other, other) == ("differs", {"model": "differs", "score": "differs", "value": "differs"})


def test_what_varies_is_held_against_an_interval() -> None:
    executions = [record(model=f"m{n}", scores=f"s{n}", gain=100.0 + n, high=120.0 + n) for n in (1, -1, 2, -2)]
    assert not settled(record(), executions)
    assert sameness(record(), *executions) == ("within-noise", {"model": "varies", "score": "varies", "value": "varies"})
    assert sameness(record(gain=200.0, high=220.0), *executions)[0] == "differs"


def test_a_step_before_the_noise_differs_all_the_same() -> None:
    executions = [record(rates="other", model=f"m{n}", scores=f"s{n}", gain=100.0 + n) for n in (1, -1, 2)]
    verdict, steps = sameness(record(), *executions)
    assert (verdict, steps["rates"], steps["model"]) == ("differs", "differs", "varies")


def test_last_digits_of_bounds_are_no_difference_and_those_of_the_gain_are() -> None:
    near = record(high=120.0 * (1 + 1e-13))
    assert sameness(record(), near, near) == ("within-noise", {})
    near = record(gain=100.0 * (1 + 1e-13))
    assert sameness(record(), near, near)[0] == "differs"
    far = record(high=120.1)
    assert sameness(record(), far, far)[0] == "differs"


def failing(error: str, step: str = "model") -> RunRecord:
    failure = Failure(kind="exception", error=error, message="")
    outcome = StepOutcome(name=step, state="failed", failure=failure)
    return record(status="failed", valuation=None, verdicts=(), steps=(outcome,), stages=())


def test_failures() -> None:
    assert sameness(failing("KeyError"), failing("KeyError"))[0] == "exact"
    assert sameness(failing("KeyError"), failing("ValueError"), failing("ValueError"))[0] == "differs"
    assert sameness(failing("KeyError"), failing("KeyError", "rates"), failing("KeyError", "rates"))[0] == "differs"
    assert sameness(failing("KeyError"), record(), record())[0] == "differs"
    assert sameness(record(), failing("KeyError"), failing("KeyError"))[0] == "differs"


def test_a_gate_that_decides_otherwise_is_named() -> None:
    other = record(verdicts=(Verdict(gate="worth", passed=False, reason=""),), status="refused")
    verdict, steps = sameness(record(), other, other)
    assert (verdict, steps) == ("differs", {"gate worth": "differs"})


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0]])
def test_what_never_varies_is_expected_where_it_is(values: list[float]) -> None:
    assert prediction(values, 0.99) == (values[0], values[0])
