"""Sample records for contract suites: small, whole, and like those of a real run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from payoff.records.artifact import Artifact, Field
from payoff.records.charter import (
    Accept,
    Cell,
    Charter,
    CommonSolution,
    Costs,
    Decision,
    Objective,
    OutcomeSpec,
    SplitSpec,
    Stop,
)
from payoff.records.evidence import CheckResult, Gain, Interval, StepOutcome, Valuation, Verdict
from payoff.records.project import Git
from payoff.records.run import EnvironmentUsed, RunRecord
from payoff.records.state import Remembered

FIELDS = (Field("customer_id", "int64"), Field("load", "double"), Field("plan", "string"), Field("churned", "bool"))


def sample_charter() -> Charter:
    """A charter with two actions, two outcomes and two common solutions."""
    cells = (
        Cell(action="offer", outcome="churned", sql="0.3 * lifetime_value - 2"),
        Cell(action="offer", outcome="stays", amount=Decimal("-2.00")),
        Cell(action="nothing", outcome="churned", sql="-lifetime_value"),
        Cell(action="nothing", outcome="stays", amount=Decimal(0)),
    )
    return Charter(
        objective=Objective("Keep more subscribers.", "Head of Retention"),
        decision=Decision(
            question="Who gets an offer?",
            examples="examples",
            id="customer_id",
            outcome=OutcomeSpec(column="churned", positive=True, means="cancels within 30 days", name="churned"),
            per_year=120_000,
        ),
        currency="EUR",
        cells=cells,
        common_solutions=(
            CommonSolution(name="nobody", action="nothing"),
            CommonSolution(name="everyone", action="offer"),
        ),
        split=SplitSpec(by="hash", on="customer_id", holdout=0.25),
        model_step="model",
        costs=Costs(build=Decimal(40000), run_per_year=Decimal(12000)),
        accept=Accept(),
        stop=Stop(),
        file="charter.toml",
        digest="c" * 32,
    )


def sample_valuation() -> Valuation:
    """A model that is worth 84,000 EUR a year more than the best common solution."""
    around = Interval(100_000.0, 60_000.0, 140_000.0)
    return Valuation(
        currency="EUR",
        rows=2_500,
        looks=3,
        confidence=0.95,
        adjusted=0.983,
        per_decision={"model": Interval(0.8, 0.5, 1.1)},
        per_year={
            "model": around,
            "nobody": Interval(0, 0, 0),
            "everyone": Interval(16_000, 9_000, 23_000),
            "perfect": around,
        },
        difference_per_decision={"everyone": Interval(0.7, 0.4, 1.0)},
        gain=Gain(over="everyone", mean=84_000.0, low=37_000.0, high=131_000.0, confidence=0.983),
        best="everyone",
        metrics={"auc": 0.81},
    )


def sample_record(run: str, **changes: Any) -> RunRecord:
    """The record of a run that passed; `changes` replace fields."""
    tables = {
        name: Artifact(
            id=f"t{name}-" + "ab" * 16, kind="table", file=f"tables/{name}.arrow", bytes=99, rows=rows, fields=FIELDS
        )
        for name, rows in (("customers", 10_000), ("examples", 10_000), ("train", 7_500), ("holdout", 2_500))
    }
    steps = (
        StepOutcome(name="examples", state="ran", seconds=0.2, output=tables["examples"]),
        StepOutcome(
            name="model", state="ran", seconds=1.5, metrics={"loss": 0.25}, because=("code changed: pipeline.model",)
        ),
    )
    record = RunRecord(
        run=run,
        project="p" * 8,
        name="churn",
        status="passed",
        started="2026-11-23T14:41:05.123Z",
        finished="2026-11-23T14:41:11.623Z",
        seconds=6.5,
        command=("payoff", "run"),
        charter=sample_charter(),
        git=Git(commit="d" * 40, branch="main", dirty=False),
        environments=(EnvironmentUsed(name="default", digest="e" * 32, python="3.11.9", packages={"numpy": "2.4.6"}),),
        parameters={"model": {"max_iter": 200, "grid": [1, 2], "note": None}},
        steps=steps,
        tables=tables,
        checks=(
            CheckResult(table="customers", check="unique", column="customer_id", passed=True, failed=0, rows=10_000),
        ),
        valuation=sample_valuation(),
        verdicts=(Verdict(gate="beats_baseline", passed=True, reason="37,000 EUR a year more, at the least"),),
        metrics={"loss": 0.25},
        holdout_rows=2_500,
        looks=3,
        version="0.1.0",
    )
    return msgspec.structs.replace(record, **changes)


def sample_outcome(step: str, key: str, run: str) -> Remembered:
    """A finished step, as it is remembered."""
    output = Artifact(
        id=f"o-{step}-{key}", kind="object", file=f"objects/{key}.pickle", bytes=7, python_type="builtins.dict"
    )
    return Remembered(
        step=step, key=key, run=run, output=output, facts={"code": "1", "inputs": {"a": "b"}}, seconds=0.5
    )
