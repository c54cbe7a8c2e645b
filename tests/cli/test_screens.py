"""What a run's record says on the terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from payoff.cli.outcome import exit_code
from payoff.cli.render import amounts, findings, html
from payoff.cli.render import run as screens
from payoff.records.evidence import Interval, StepOutcome
from payoff.records.finding import Finding, Place
from payoff.records.answers.request import InitAnswer, RunAnswer
from payoff.records.run import RunRecord, Summary
from payoff.records.task import Failure

MONEY = re.compile(
    r"^[+-][\d,.]+ EUR a year \(95 % interval [+-][\d,.]+ … [+-][\d,.]+\) (more than|compared with) the best common solution"
)


@pytest.mark.parametrize("name", ["passed", "refused", "worthless"])
def test_the_first_line_is_an_amount_with_its_interval(records: dict[str, RunRecord], name: str) -> None:
    first = screens.text(RunAnswer(record=records[name])).splitlines()[0]
    assert MONEY.match(first), first
    assert first.endswith('"rule", net of running cost')


def test_the_first_line_says_exactly_the_gain(records: dict[str, RunRecord]) -> None:
    first = screens.text(RunAnswer(record=records["passed"])).splitlines()[0]
    assert first.startswith("+41,300 EUR a year (95 % interval +12,000 … +70,400) more than")


def test_an_unchanged_project_gets_the_money_first_then_that_nothing_was_to_do(records: dict[str, RunRecord]) -> None:
    lines = screens.text(RunAnswer(record=records["passed"], unchanged=True)).splitlines()
    assert MONEY.match(lines[0])
    assert "nothing to do: unchanged since run 20261123-144105-3f9a1c (23 November 2026, 14:41 UTC)" in lines[1]


def test_a_run_refused_before_training_says_why_and_which_rows(records: dict[str, RunRecord]) -> None:
    text = screens.text(RunAnswer(record=records["broken_contract"]))
    assert text.startswith("Refused before training: 2 of 6 promises about the data are broken (contacts)")
    assert re.search(
        r"contacts\.client_id +foreign key +12 of 37,931 +error +contracts/contacts\.yaml:31 +10492, 11873", text
    )
    assert "the newest row is 41 days old" in text
    assert "PO-R020" not in text, "the table of broken promises says it already"


def test_a_failed_run_shows_the_steps_own_traceback(records: dict[str, RunRecord]) -> None:
    text = screens.text(RunAnswer(record=records["failed"]))
    assert text.startswith("Failed: step model raised ValueError")
    assert 'File "pipeline.py", line 31, in model' in text
    assert "Try: mend the step" in text


def test_the_ladder_goes_from_the_common_solutions_over_the_model_to_perfect_foresight(answer: RunAnswer) -> None:
    text = screens.text(answer)
    if answer.record.valuation is None:
        assert "EUR a year" not in text
        return
    rungs = re.findall(r"^  (nobody|everyone|rule|model|perfect) .*[├█]", text, re.MULTILINE)
    assert rungs == ["nobody", "everyone", "rule", "model", "perfect"]


def test_every_verdict_has_a_sign_a_word_and_a_reason(answer: RunAnswer) -> None:
    text = " ".join(screens.text(answer).split())
    for verdict in answer.record.verdicts:
        assert f"{'✓ passed' if verdict.passed else '✗ refused'} {verdict.gate}: {verdict.reason}" in text
        assert verdict.passed or f"Try: {verdict.remedy}" in text


def test_where_to_look_comes_last(answer: RunAnswer) -> None:
    last = screens.text(answer).rstrip().splitlines()[-4:]
    assert last[0] == "Look further"
    assert answer.report in last[1]
    assert answer.look in last[2]
    assert f"payoff show {answer.record.run}" in last[3]


def test_a_long_run_is_told_in_short() -> None:
    steps = tuple(
        StepOutcome(name=f"step_{number}", state="ran", seconds=1.0, because=("new",)) for number in range(80)
    )
    record = RunRecord(
        run="r", project="p", name="n", status="passed", started="", finished="", seconds=1.0, steps=steps
    )
    text = screens.text(RunAnswer(record=record))
    assert "Steps: 80 ran" in text
    assert "and 68 more" in text
    assert len(text.splitlines()) < 30


@pytest.mark.parametrize(
    ("kind", "code"), [("exception", 2), ("type", 2), ("exit", 2), ("environment", 2), ("killed", 4), ("memory", 4)]
)
def test_the_exit_code_says_whose_fault_a_failure_is(records: dict[str, RunRecord], kind: str, code: int) -> None:
    failure = Failure(kind=kind, error="E", message="m")  # type: ignore[arg-type]
    record = replace(records["failed"], steps=(StepOutcome(name="model", state="failed", failure=failure),))
    assert exit_code(RunAnswer(record=record)) == code
    assert exit_code(RunAnswer(record=replace(record, exit_code=3))) == 3


def test_exit_codes_of_verdicts(records: dict[str, RunRecord]) -> None:
    assert [exit_code(RunAnswer(record=records[name])) for name in ("passed", "refused", "broken_contract")] == [
        0,
        1,
        1,
    ]


@given(
    mean=st.floats(-1e12, 1e12),
    below=st.floats(0, 1e11),
    above=st.floats(0, 1e11),
    low=st.floats(-2e12, 0),
    high=st.floats(0, 2e12),
)
def test_a_bar_has_its_width_and_its_ends_in_order(
    mean: float, below: float, above: float, low: float, high: float
) -> None:
    year = Interval(mean, mean - below, mean + above)
    bar = screens.bar(year, min(low, year.low), max(high, year.high))
    assert len(bar) == 34
    if "├" in bar:
        assert bar.index("├") < bar.index("┤")


@given(st.floats(-1e200, 1e200) | st.sampled_from([float("nan"), float("inf")]), st.floats(0, 1e9), st.floats(0, 1e9))
def test_rounded_amounts_stay_within_a_step_of_the_truth(mean: float, below: float, above: float) -> None:
    step = amounts.grain(Interval(mean, mean - below, mean + above))
    text = amounts.amount(mean, step, sign=True)
    if text == "unknown":
        assert mean != mean or abs(mean) == float("inf")  # noqa: PLR0124 - nan
    else:
        assert abs(float(text.replace(",", "")) - mean) <= step / 2 + abs(mean) * 1e-9


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.integers(2, 8))
def test_axis_marks_are_few_and_inside(low: float, width: float, most: int) -> None:
    marks = amounts.ticks(low, low + width, most)
    assert len(marks) <= most + 1
    assert all(low - width * 1e-6 <= mark <= low + width * (1 + 1e-6) for mark in marks)


def test_findings_are_grouped_by_file_four_lines_each() -> None:
    text = findings.check([
        Finding(code="PO-P002", what="unknown key souces", where=Place("payoff.toml", 9), expected="one of sources", try_="rename it"),
        Finding(code="PO-C003", what="a cell is missing", where=Place("charter.toml", 20), expected="offer.stays", try_="add it"),
        Finding(code="PO-P004", what="no model", where=Place("payoff.toml", 2), expected="a model", try_="add one"),
        Finding(code="PO-P005", severity="warning", what="unused step", expected="a use", try_="remove it"),
    ])  # fmt: skip
    assert text.splitlines()[0] == "3 errors, 1 remark"
    order = [text.index(part) for part in ("unused step", "charter.toml", "payoff.toml:2", "payoff.toml:9")]
    assert order == sorted(order)
    assert (
        "  ✗ PO-P002: unknown key souces\n      where: payoff.toml:9\n      expected: one of sources\n      Try: rename it"
        in text
    )


def test_nothing_found_names_the_next_command() -> None:
    assert "Try: payoff run" in findings.check([])


def test_runs_have_one_line_each() -> None:
    gain = {"over": "rule", "mean": 41310.2, "low": 12020.3, "high": 70400.1, "confidence": 0.95}
    lines = findings.runs((
        Summary(run="r2", status="passed", started="2026-11-23T14:41:05Z", seconds=12.7, currency="EUR", gain=gain, commit="9f3c1e7a5b2d", dirty=True),
        Summary(run="r1", status="unfinished", started="2026-11-22T10:00:00Z", seconds=0, reason="stopped"),
    )).splitlines()  # fmt: skip
    assert len(lines) == 3
    assert "+41,300 EUR (+12,000 … +70,400)" in lines[1]
    assert "9f3c1e7a+" in lines[1]
    assert "✗ unfinished" in lines[2]
    assert findings.runs(()).startswith("no run yet")


def test_init_names_the_next_commands() -> None:
    text = findings.init(
        InitAnswer(
            directory="bank",
            template="bank",
            files=("payoff.toml",),
            commit="0123456789",
            next=("cd bank", "payoff run"),
        )
    )
    assert "cd bank\n  payoff run" in text


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"calibration_slope": 0.5, "calibration_in_the_large": 0.001, "base_rate": 0.1}, "too extreme (slope 0.50"),
        ({"calibration_slope": 1.6, "calibration_in_the_large": 0.001, "base_rate": 0.1}, "too timid"),
        ({"calibration_slope": 1.0, "calibration_in_the_large": 0.03, "base_rate": 0.1}, "too high on average (13.0 % for 10.0 %)"),
        ({"calibration_slope": 1.0, "calibration_in_the_large": -0.03, "base_rate": 0.1}, "too low on average"),
        ({"calibration_slope": 0.95, "calibration_in_the_large": 0.005, "base_rate": 0.1}, ""),
        ({}, ""),
    ],
)
def test_chances_that_are_far_off_are_told(records: dict[str, RunRecord], figures: dict[str, float], said: str) -> None:
    record = records["passed"]
    assert record.valuation is not None
    record = replace(record, valuation=replace(record.valuation, metrics=figures))
    text = " ".join(screens.text(RunAnswer(record=record)).split())
    page = html.report(record)
    assert ("chances are" in text) == ("chances are" in page) == bool(said)
    assert said in text

