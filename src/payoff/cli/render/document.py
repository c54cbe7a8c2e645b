"""The `--json` documents; docs/schemas has their JSON schemas. Changes are additive only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from payoff.cli.render import words
from payoff.records.finding import from_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payoff.base.errors import PayoffError
    from payoff.records.answers.reproduce import Reproduced
    from payoff.records.answers.request import InitAnswer, RunAnswer
    from payoff.records.answers.why import Why
    from payoff.records.answers.worth import Worth
    from payoff.records.evidence import Interval, StepOutcome
    from payoff.records.finding import Finding
    from payoff.records.run import RunRecord, Summary
    from payoff.records.stream import Ingested


def encode(value: Any) -> str:
    """A document as indented JSON; numbers that JSON does not have (nan, inf) become null."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def ingest(answer: Sequence[Ingested]) -> str:
    """The document of `ingest` (docs/schemas/ingest.json)."""
    tables = [
        {
            "table": each.table,
            "landed": each.landed,
            "set_aside": each.set_aside,
            "batches": each.batches,
            "waits": each.waits,
            "seconds": each.seconds,
            "total": {
                "rows": each.state.rows,
                "set_aside": each.state.set_aside,
                "lost": each.state.lost,
                "bytes": each.state.bytes,
            },
            "commit": each.state.commit,
            "offsets": each.state.positions,
        }
        for each in answer
    ]
    return encode({"tables": tables})


def run(answer: RunAnswer, exit_code: int, **more: Any) -> str:
    """The document of `run` and `show` (docs/schemas/run.json)."""
    record = answer.record
    charter = record.charter
    facts: dict[str, Any] = {
        "run": record.run,
        "status": record.status,
        "exit_code": exit_code,
        "unchanged": answer.unchanged,
        "project": record.name,
        "question": charter.decision.question if charter else None,
        "started": record.started,
        "finished": record.finished,
        "seconds": record.seconds,
        "currency": _currency(record),
        **_money(record),
        "verdicts": record.verdicts,
        "steps": _outcomes(record.steps, unchanged=answer.unchanged),
        "stages": _outcomes(record.stages, unchanged=answer.unchanged),
        "checks": record.checks,
        "errors": record.errors,
        "metrics": record.metrics,
        "parameters": record.parameters,
        "tables": {
            name: {"id": table.id, "rows": table.rows, "bytes": table.bytes, "columns": table.columns}
            for name, table in record.tables.items()
        },
        "code": record.git,
        "sinks": [each._asdict() for each in words.deliveries(record)],
        "environments": [
            {"name": each.name, "python": each.python, "digest": each.digest, "packages": len(each.packages)}
            for each in record.environments
        ],
        "tracking": {"uri": record.tracking_uri or None, "run_id": None, **answer.tracking},
        "report": answer.report or None,
        "look": answer.look or None,
        "payoff": record.version,
        "reader": record.reader or None,
        "withheld": record.withheld,
    }
    return encode(facts | more)


def _currency(record: RunRecord) -> str | None:
    if record.valuation:
        return record.valuation.currency
    return record.charter.currency if record.charter else None


def _money(record: RunRecord) -> dict[str, Any]:
    value = record.valuation
    holdout: dict[str, Any] = {"rows": record.holdout_rows, "looks": record.looks}
    if value is None:
        return {"per_year": None, "holdout": holdout}
    holdout |= {
        "confidence": value.confidence,
        "adjusted_confidence": value.adjusted,
        "method": value.method,
        "resamples": value.resamples,
    }
    return {
        "per_year": {**_rungs(value.per_year), "gain": value.gain},
        "per_decision": {**_rungs(value.per_decision), "difference": value.difference_per_decision},
        "best": value.best,
        "shares": value.shares,
        "quantities": value.quantities,
        "exact": value.exact,
        "groups": value.groups,
        "calibration": value.calibration,
        "holdout": holdout,
    }


def _rungs(rungs: dict[str, Interval]) -> dict[str, Any]:
    others = {name: interval for name, interval in rungs.items() if name not in {"model", "perfect"}}
    return {"model": rungs.get("model"), "alternatives": others, "perfect": rungs.get("perfect")}


def _outcomes(outcomes: Sequence[StepOutcome], *, unchanged: bool) -> list[dict[str, Any]]:
    """What was done, as this command saw it: in an unchanged project everything that had run is reused."""
    return [
        {
            "name": each.name,
            "state": "reused" if unchanged and each.state == "ran" else each.state,
            "because": () if unchanged and each.state == "ran" else each.because,
            "seconds": 0.0 if unchanged else each.seconds,
            "output": each.output.id if each.output else None,
            "rows": each.output.rows if each.output else None,
            "metrics": each.metrics,
            "failure": each.failure,
            "log": each.log or None,
        }
        for each in outcomes
    ]


def worth(answer: Worth) -> str:
    """The document of `worth` (docs/schemas/worth.json)."""
    return encode(answer)


def why(answer: Why) -> str:
    """The document of `why` (docs/schemas/why.json)."""
    found = answer.attribution
    facts: dict[str, Any] = {
        "metric": answer.metric,
        "unit": answer.unit or None,
        "runs": {"a": answer.a, "b": answer.b},
        "expected": answer.expected,
        "factors": answer.factors,
        "notes": answer.notes,
        "seconds": answer.seconds,
        "run_seconds": answer.run_seconds,
    }
    if found is not None:
        facts |= {
            "a": found.a.value,
            "b": found.b.value,
            "errors": {"a": found.a.error or None, "b": found.b.error or None},
            "noise": found.noise.deviation,
            "replicates": found.noise.replicates,
            "verdict": found.verdict,
            "reason": found.reason,
            "causes": found.causes,
            "interactions": found.interactions,
            "remainder": found.remainder,
            "executions": found.executions,
            "bound": found.bound,
            "innocent": found.innocent,
            "untested": found.untested,
        }
    return encode(facts)


def reproduce(answer: Reproduced) -> str:
    """The document of `reproduce` (docs/schemas/reproduce.json)."""
    return encode(answer)


def check(findings: Sequence[Finding], plain: str = "") -> str:
    """The document of `check` (docs/schemas/check.json)."""
    return encode({"findings": findings, "plain": plain})


def runs(summaries: Sequence[Summary]) -> str:
    """The document of `runs` (docs/schemas/runs.json)."""
    return encode({"runs": summaries})


def init(answer: InitAnswer) -> str:
    """The document of `init` (docs/schemas/init.json)."""
    return encode(answer)


def failure(error: PayoffError) -> str:
    """The document of a verb that could not do its work (docs/schemas/error.json)."""
    return encode({"exit_code": error.exit_code, "errors": from_error(error)})
