"""The `--json` documents against their schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from msgspec.structs import replace

from payoff.base.errors import InvalidInput, OutsideError, UserError, Where
from payoff.cli.outcome import exit_code
from payoff.cli.render import document
from payoff.records.finding import Finding, Place
from payoff.records.answers.request import InitAnswer, RunAnswer
from payoff.records.run import RunRecord, Summary

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def valid(name: str, text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    value = json.loads(text, parse_constant=refuse)
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


@pytest.mark.parametrize("unchanged", [False, True])
def test_every_ending_of_a_run_is_valid(answer: RunAnswer, unchanged: bool) -> None:
    answer = replace(answer, unchanged=unchanged)
    value = valid("run", document.run(answer, exit_code(answer)))
    assert value["run"] == answer.record.run
    assert value["status"] == answer.record.status
    assert value["unchanged"] is unchanged
    assert value["tracking"] == {"uri": "sqlite:///.payoff/mlflow.db", "run_id": "0123456789abcdef"}
    if unchanged:
        told = list(zip(answer.record.steps, value["steps"], strict=True))
        assert all(step["state"] == ("reused" if was.state == "ran" else was.state) for was, step in told)
        assert not any(step["because"] for _, step in told if step["state"] == "reused")


def test_money_is_numbers_in_the_places_that_were_promised(records: dict[str, RunRecord]) -> None:
    value = valid("run", document.run(RunAnswer(record=records["passed"]), 0))
    assert value["currency"] == "EUR"
    assert value["per_year"]["gain"] == {
        "over": "rule",
        "mean": 41310.2,
        "low": 12020.3,
        "high": 70400.1,
        "confidence": 0.95,
    }
    assert set(value["per_year"]["alternatives"]) == {"nobody", "everyone", "rule"}
    assert value["per_year"]["model"] == {"mean": 142260.9, "low": 128310.0, "high": 156044.4}
    assert value["holdout"]["rows"] == 9483
    assert value["holdout"]["looks"] == 3


def test_a_run_without_a_valuation_has_no_money(records: dict[str, RunRecord]) -> None:
    value = valid("run", document.run(RunAnswer(record=records["broken_contract"]), 1))
    assert value["per_year"] is None
    assert value["currency"] == "EUR"


def test_numbers_that_json_does_not_have_become_null(records: dict[str, RunRecord]) -> None:
    record = replace(records["passed"], metrics={"loss": float("nan"), "ratio": float("inf")})
    assert valid("run", document.run(RunAnswer(record=record), 0))["metrics"] == {"loss": None, "ratio": None}


def test_findings() -> None:
    value = valid("check", document.check([
        Finding(code="PO-P002", what="unknown key", where=Place("payoff.toml", 9), expected="a known key", try_="rename it"),
        Finding(code="PO-P003", severity="warning", what="no commit"),
    ]))  # fmt: skip
    assert value["findings"][0]["where"] == {"file": "payoff.toml", "line": 9}
    assert value["findings"][1]["where"] is None
    valid("check", document.check([]))


def test_runs_and_init() -> None:
    gain = {"over": "rule", "mean": 1.0, "low": 0.5, "high": 1.5, "confidence": 0.95}
    valid("runs", document.runs((
        Summary(run="r2", status="passed", started="2026-11-23T14:41:05Z", seconds=1.0, currency="EUR", gain=gain, commit="9f3c"),
        Summary(run="r1", status="unfinished", started="2026-11-22T10:00:00Z", seconds=0),
    )))  # fmt: skip
    value = valid(
        "init", document.init(InitAnswer(directory="d", template="t", files=("a",), commit="c", next=("payoff run",)))
    )
    assert value["next"] == ["payoff run"]


def test_an_error_is_a_document_too() -> None:
    one = UserError("wrong", code="PO-P001", remedy="mend it", where=Where("payoff.toml", 3))
    value = valid("error", document.failure(InvalidInput([one, one])))
    assert value["exit_code"] == 2
    assert len(value["errors"]) == 2
    assert valid("error", document.failure(OutsideError("gone", code="PO-S001", remedy="wait")))["exit_code"] == 4
