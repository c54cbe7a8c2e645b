"""The screen and the document of `payoff why`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace

from payoff.cli.render import document
from payoff.cli.render.comparing import why as words
from payoff.records.answers.why import Expected, Why
from payoff.records.hybrids.attribution import Attribution, Cause, Factor, Interaction, Measured, Noise

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "why.json"


def valid(text: str) -> Any:
    value, schema = json.loads(text), json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


FACTORS = (
    Factor(id="package:default:numpy", kind="package", name="numpy", a="1.26.3", b="1.26.4"),
    Factor(id="package:default:scikit-learn", kind="package", name="scikit-learn", a="1.5.0", b="1.6.1"),
    Factor(id="parameter:model.alpha", kind="parameter", name="alpha", a="0.1", b="0.2"),
    Factor(id="hardware:cpu", kind="hardware", name="cpu", a="Zen 3", b="Ice Lake", testable=False, reason="this machine has another processor"),
)
FOUND = Attribution(
    verdict="explained",
    a=Measured(state="value", value=12300.0),
    b=Measured(state="value", value=9150.0),
    noise=Noise(deviation=0.0, replicates=4),
    causes=(
        Cause(kind="package", name="scikit-learn", a="1.5.0", b="1.6.1", first_changed="1.6.0", effect=-3000.0, low=-3000.0, high=-3000.0),
        Cause(kind="parameter", name="alpha", a="0.1", b="0.2", effect=-250.0, low=-300.0, high=-200.0),
    ),
    interactions=(Interaction(names=("scikit-learn", "alpha"), effect=100.0, low=100.0, high=100.0),),
    remainder=0.0,
    executions=9,
    bound=12,
    innocent=("package:default:numpy",),
    untested=("hardware:cpu",),
)  # fmt: skip
ANSWER = Why(
    a="20261126-070318-aaaa",
    b="20261126-070336-bbbb",
    metric="gain",
    unit="EUR",
    factors=FACTORS,
    expected=Expected(factors=3, executions=8, bound=12, seconds=30.0),
    attribution=FOUND,
    seconds=41.0,
    run_seconds=20.0,
)


def test_the_waterfall_goes_from_a_to_b() -> None:
    screen = words.text(ANSWER)
    assert "The model's gain a year: 12,300 EUR -> 9,150 EUR (-3,150 EUR)" in screen
    assert "Explained by package scikit-learn and parameter alpha." in screen
    lines = screen.splitlines()
    falls = [line for line in lines if "█" in line]
    assert [line.split()[0] for line in falls] == ["A", "package", "parameter", "scikit-learn", "B"]
    # Each step's bar begins where the one before ended: the cause's bar ends at the right end of A's.
    assert falls[0].rindex("█") == falls[1].rindex("█")
    assert falls[2].rindex("█") < falls[1].rindex("█")
    assert "1.5.0 -> 1.6.1, since 1.6.0" in falls[1]
    assert "Shown not to matter: package numpy." in screen
    assert "Not tested: hardware cpu (Zen 3 -> Ice Lake): this machine has another processor" in " ".join(screen.split())
    assert words.exit_code(ANSWER) == 0


def test_the_document_has_what_was_promised() -> None:
    value = valid(document.why(ANSWER))
    assert {"metric", "a", "b", "noise", "verdict", "causes", "interactions", "executions", "bound"} <= set(value)
    assert value["causes"][0] == {
        "kind": "package", "name": "scikit-learn", "a": "1.5.0", "b": "1.6.1", "first_changed": "1.6.0",
        "effect": -3000.0, "low": -3000.0, "high": -3000.0, "names": [], "reason": "",
    }  # fmt: skip
    planned = valid(document.why(replace(ANSWER, attribution=None)))
    assert "verdict" not in planned
    assert planned["expected"]["bound"] == 12


@pytest.mark.parametrize(
    ("verdict", "said", "code"),
    [("no-difference", "No difference", 0), ("unknown", "Not decided", 1), ("partly", "Only partly explained", 1)],
)
def test_other_verdicts(verdict: str, said: str, code: int) -> None:
    answer = replace(ANSWER, attribution=replace(FOUND, verdict=verdict))
    assert said in words.text(answer)
    assert words.exit_code(answer) == code


def test_a_failure_has_no_amounts_only_what_it_takes() -> None:
    failed = replace(FOUND, b=Measured(state="failed", error="ValueError in model"), remainder=None, interactions=(),
        causes=(Cause(kind="code", name="features.clean", a="1a", b="2b"),))  # fmt: skip
    screen = words.text(replace(ANSWER, attribution=failed))
    assert "12,300 EUR -> failed (ValueError in model)" in screen
    assert "code of features.clean" in screen
    assert "What it takes" in screen
    assert "None" not in screen
    assert valid(document.why(replace(ANSWER, attribution=failed)))["b"] is None


def test_before_it_begins_the_cost_is_said() -> None:
    assert words.announcement(ANSWER.expected).startswith("3 things can be switched between the two runs: about 8 executions, at most 12")
    planned = words.text(replace(ANSWER, attribution=None))
    assert "scikit-learn" in planned
    assert "1.6.1" in planned
