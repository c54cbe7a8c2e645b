"""Run records as real runs leave them, to be rendered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from payoff.records.artifact import Artifact, Field
from payoff.records.charter import (
    Accept, Cell, Charter, CommonSolution, Costs, Decision, Objective, OutcomeSpec, SplitSpec, Stop,
)  # fmt: skip
from payoff.records.evidence import CheckResult, Gain, Interval, StepOutcome, Valuation, Verdict
from payoff.records.finding import Finding, Place
from payoff.records.project import Git
from payoff.records.answers.request import RunAnswer
from payoff.records.run import EnvironmentUsed, RunRecord
from payoff.records.task import Failure


def charter() -> Charter:
    return Charter(
        objective=Objective(
            "Earn more from term deposits: bring the yearly margin of the campaign from 0.31 to 0.36 million EUR.",
            "Head of Retail Deposits",
        ),
        decision=Decision(
            question="Which clients do we call about a term deposit this month?",
            examples="examples",
            id="client_id",
            outcome=OutcomeSpec(
                column="subscribed", positive=True, means="opens a term deposit within 30 days", name="subscribed"
            ),
            per_year=120_000,
        ),
        currency="EUR",
        cells=(
            Cell(action="call", outcome="subscribed", sql="0.25 * balance * 0.02463333 - 1"),
            Cell(action="call", outcome="declined", amount=Decimal(-1)),
            Cell(action="nothing", outcome="subscribed", amount=Decimal(0)),
            Cell(action="nothing", outcome="declined", amount=Decimal(0)),
        ),
        common_solutions=(
            CommonSolution(name="nobody", action="nothing"),
            CommonSolution(name="everyone", action="call"),
            CommonSolution(
                name="rule",
                sql="case when balance > 1500 then 'call' else 'nothing' end",
                says="call whoever has more than 1,500 EUR",
            ),
        ),
        split=SplitSpec(by="hash", on="client_id", holdout=0.25),
        model_step="model",
        costs=Costs(build=Decimal(40_000), run_per_year=Decimal(12_000)),
        accept=Accept(confidence=0.95, min_gain_per_year=Decimal(10_000)),
        stop=Stop(after_runs=40, unless_upper_bound_above=Decimal(20_000)),
        file="charter.toml",
        digest="5c1f0a9be2d84c71a0c5b1d2e3f40516",
    )


def valuation() -> Valuation:
    year = {
        "nobody": Interval(0.0, 0.0, 0.0),
        "everyone": Interval(51_204.11, 42_120.4, 60_880.9),
        "rule": Interval(88_950.7, 79_401.2, 98_733.0),
        "model": Interval(142_260.9, 128_310.0, 156_044.4),
        "perfect": Interval(171_402.5, 158_000.2, 184_911.3),
    }
    scaled = {
        name: Interval(each.mean / 120_000, each.low / 120_000, each.high / 120_000) for name, each in year.items()
    }
    return Valuation(
        currency="EUR", rows=9_483, looks=3, confidence=0.95, adjusted=0.98333,
        per_decision=scaled, per_year=year, difference_per_decision={"rule": Interval(0.444, 0.2, 0.69)},
        gain=Gain(over="rule", mean=41_310.2, low=12_020.3, high=70_400.1, confidence=0.95),
        best="rule", exact={"nobody": "0.00"},
        shares={
            "nobody": {"nothing": 1.0, "call": 0.0}, "everyone": {"call": 1.0}, "rule": {"call": 0.2311, "nothing": 0.7689},
            "model": {"call": 0.4127, "nothing": 0.5873}, "perfect": {"call": 0.0891, "nothing": 0.9109},
        },
        method="paired bootstrap of the holdout (percentile)", resamples=10_000, metrics={"auc": 0.7431, "log_loss": 0.3012},
    )  # fmt: skip


def step(name: str, state: Any = "ran", **more: Any) -> StepOutcome:
    output = Artifact(id=f"{name:0<32}", kind="table", file=f"{name}.arrow", bytes=1_000_000, rows=37_931)
    return StepOutcome(name=name, state=state, output=None if state in {"failed", "skipped"} else output, **more)


def passed() -> RunRecord:
    value = valuation()
    return RunRecord(
        run="20261123-144105-3f9a1c", project="p-1", name="bank-marketing", status="passed",
        started="2026-11-23T14:41:05.123Z", finished="2026-11-23T14:41:17.903Z", seconds=12.78,
        command=("payoff", "run"), charter=charter(),
        git=Git(commit="9f3c1e7a5b2d48f0c6e1a7b8c9d0e1f2a3b4c5d6", branch="main", dirty=True),
        environments=(
            EnvironmentUsed(name="default", digest="a1b2c3d4e5f60718293a4b5c6d7e8f90", python="3.11.7",
                            packages={"scikit-learn": "1.7.2", "pandas": "2.3.3", "numpy": "2.3.4", "pyarrow": "22.0.0", "joblib": "1.5"}),
        ),
        system={"machine": "x86_64", "platform": "Linux", "libc": "glibc-2.36"},
        parameters={"model": {"max_iter": 200, "learning_rate": 0.1}, "examples": {}},
        steps=(
            step("clients", "reused"), step("contacts", "reused"),
            step("examples", because=("code: pipeline.examples changed",), seconds=0.42),
            step("model", because=("input examples changed", "parameter max_iter: 100 -> 200"), seconds=4.21),
        ),
        tables={
            "clients": Artifact(id="c0ffee12c0ffee12c0ffee12c0ffee12", kind="table", file="c.arrow", bytes=2_000_000, rows=37_931,
                                fields=tuple(Field(f"f{i}", "int64") for i in range(9))),
            "contacts": Artifact(id="deadbeef3141deadbeef3141deadbeef", kind="table", file="d.arrow", bytes=3_000_000, rows=37_931,
                                 fields=tuple(Field(f"f{i}", "int64") for i in range(8))),
        },
        checks=tuple(
            CheckResult(table=table, check=check, column=column, passed=True, failed=0, rows=37_931)
            for table, check, column in (
                ("clients", "required", "client_id"), ("clients", "unique", "client_id"), ("clients", "range", "age"),
                ("contacts", "foreign key", "client_id"), ("contacts", "enum", "channel"),
            )
        ),
        valuation=value,
        verdicts=(
            Verdict(gate="contract", passed=True, reason="all 5 promises of 2 tables are kept", code="PO-G001", title="The data is what it was promised to be"),
            Verdict(gate="beats_baseline", passed=True, reason="the gain over \"rule\" is at least 12,020 EUR a year; 10,000 EUR were asked for", code="PO-G002", title="The model earns more than the best common solution"),
        ),
        metrics={"rows_per_second": 120_331.0}, holdout_rows=9_483, looks=3, version="0.1.0", tracking_uri="sqlite:///.payoff/mlflow.db",
    )  # fmt: skip


def refused() -> RunRecord:
    """Judged and found not proven to be worth it."""
    record = passed()
    assert record.valuation
    value = replace(
        record.valuation, gain=Gain(over="rule", mean=8_420.5, low=-9_310.0, high=26_100.0, confidence=0.95)
    )
    return replace(
        record, status="refused", valuation=value,
        verdicts=(
            record.verdicts[0],
            Verdict(
                gate="beats_baseline", passed=False, code="PO-G002", title="The model earns more than the best common solution",
                reason="the gain over \"rule\" may be as low as -9,310 EUR a year; 10,000 EUR were asked for",
                remedy="about 41,000 holdout rows would settle it at this gain; keep \"rule\" until then",
            ),
        ),
    )  # fmt: skip


def worthless() -> RunRecord:
    """Clearly worse than the best common solution."""
    record = refused()
    assert record.valuation
    gain = Gain(over="rule", mean=-2_310_420.5, low=-2_801_310.0, high=-1_826_100.0, confidence=0.95)
    return replace(record, valuation=replace(record.valuation, gain=gain))


def broken_contract() -> RunRecord:
    """Refused before training."""
    record = passed()
    twice = Finding(
        code="PO-R020",
        what="contacts breaks 2 promises",
        where=Place("contracts/contacts.yaml", 31),
        try_="mend the data",
    )
    return replace(
        record, errors=(twice,), status="refused", valuation=None, model=None, holdout_rows=0, looks=0, metrics={}, steps=record.steps[:2],
        checks=(
            *record.checks[:3],
            CheckResult(table="contacts", check="foreign key", column="client_id", passed=False, failed=12, rows=37_931,
                        sample=("10492", "11873", "20011"), file="contracts/contacts.yaml", line=31),
            CheckResult(table="contacts", check="freshness", column=None, passed=False, failed=1, rows=37_931,
                        reason="the newest row is 41 days old; at most 7 were promised", file="contracts/contacts.yaml", line=60),
            CheckResult(table="clients", check="range", column="age", passed=False, failed=1, rows=37_931, severity="warning"),
        ),
        verdicts=(
            Verdict(gate="contract", passed=False, code="PO-G001", title="The data is what it was promised to be",
                    reason="2 of 6 promises are broken, both of contacts", remedy="payoff check, then mend the data or the promise"),
        ),
    )  # fmt: skip


def failed() -> RunRecord:
    """A step raised."""
    record = passed()
    trace = 'Traceback (most recent call last):\n  File "pipeline.py", line 31, in model\n    fit(train)\nValueError: bad shape'
    failure = Failure(kind="exception", error="ValueError", message="bad shape", trace=trace, where=("pipeline.py", 31))
    return replace(
        record, status="failed", valuation=None, verdicts=(), holdout_rows=0, looks=0,
        steps=(*record.steps[:3], step("model", "failed", because=("parameter max_iter: 100 -> 200",), seconds=0.9, failure=failure,
                                      log=".payoff/logs/model.log")),
        errors=(
            Finding(code="PO-R001", what="step model raised ValueError", where=Place("pipeline.py", 31),
                    expected="a step that returns", try_="mend the step, then payoff run: finished steps are not repeated"),
        ),
    )  # fmt: skip


RECORDS = {
    "passed": passed, "refused": refused, "worthless": worthless, "broken_contract": broken_contract, "failed": failed,
}  # fmt: skip


@pytest.fixture
def records() -> dict[str, RunRecord]:
    """One record of every kind of ending."""
    return {name: make() for name, make in RECORDS.items()}


@pytest.fixture(params=list(RECORDS))
def answer(request: pytest.FixtureRequest) -> RunAnswer:
    """Every kind of ending, as `payoff run` gets it."""
    return answer_of(RECORDS[request.param]())


def answer_of(record: RunRecord) -> RunAnswer:
    return RunAnswer(
        record=record,
        tracking={"uri": "sqlite:///.payoff/mlflow.db", "run_id": "0123456789abcdef"},
        look="mlflow ui --backend-store-uri sqlite:////srv/bank/.payoff/mlflow.db",
        report=f"/srv/bank/.payoff/reports/{record.run}.html",
    )
