"""What of a run record MLflow shows, and under which names. Pure: a record in, plain values out."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from payoff.adapters.trackers.mlflow import columns

if TYPE_CHECKING:
    from payoff.records.evidence import Valuation
    from payoff.records.run import RunRecord

RUN_TAG = "payoff.run"
DONE_TAG = "payoff.tracked"
LONGEST_VALUE, LONGEST_TAG, LONGEST_KEY, LONGEST_DIGEST = 6000, 5000, 250, 36  # MLflow's own limits
_NOT_ALLOWED = re.compile(r"[^\w\-. :/]")


class DataInput(NamedTuple):
    """A table that a run read or made: `schema` and `profile` are JSON; `context`: source, derived, train, holdout."""

    name: str
    digest: str
    schema: str
    profile: str
    source: str
    context: str


def key(name: str) -> str:
    """A name as MLflow allows it."""
    clean = _NOT_ALLOWED.sub("_", name)[:LONGEST_KEY]
    if {"", ".", ".."} & set(clean.split("/")):  # MLflow may make files of names
        clean = clean.replace("/", "_")
    return clean if clean not in ("", ".", "..") else "_"


def milliseconds(instant: str) -> int:
    """Milliseconds since 1970 of a time like `2026-11-23T14:41:05.123Z`."""
    return round(dt.datetime.fromisoformat(instant).timestamp() * 1000)


def parameters(record: RunRecord) -> dict[str, str]:
    """`step.parameter` -> its value as text."""
    return {
        key(f"{step}.{name}"): _text(value)[:LONGEST_VALUE]
        for step, values in record.parameters.items()
        for name, value in values.items()
    }


def metrics(record: RunRecord) -> dict[str, float]:
    """What the steps logged, under its own name (`step.name` where the run's value is another), then the value."""
    found: dict[str, float] = {"seconds": record.seconds}
    if record.holdout_rows:
        found |= {"holdout_rows": float(record.holdout_rows), "looks": float(record.looks)}
    for outcome in record.steps:
        for name, value in outcome.metrics.items():
            found[name if name not in record.metrics else f"{outcome.name}.{name}"] = value
        if outcome.state == "ran":
            found[f"seconds.{outcome.name}"] = outcome.seconds
    found |= record.metrics
    if record.valuation:
        found |= _value(record.valuation)
    for verdict in record.verdicts:
        found |= {f"verdict.{verdict.gate}.{name}": value for name, value in verdict.numbers.items()}
    return {key(name): float(value) for name, value in found.items()}


def _value(valuation: Valuation) -> dict[str, float]:
    gain = valuation.gain
    found = {
        "gain_per_year_mean": gain.mean,
        "gain_per_year_low": gain.low,
        "gain_per_year_high": gain.high,
        "gain_confidence": gain.confidence,
    }
    for name, interval in valuation.per_year.items():
        found |= {f"per_year_{name}": interval.mean}
        found |= {f"per_year_{name}_low": interval.low, f"per_year_{name}_high": interval.high}
    for name, interval in valuation.per_decision.items():
        found[f"per_decision_{name}"] = interval.mean
    if "perfect" in valuation.per_year:
        found["perfect"] = valuation.per_year["perfect"].mean
    return found | valuation.metrics


def tags(record: RunRecord) -> dict[str, str]:
    """Identity, source, verdicts, and a note that MLflow shows as the run's description."""
    found = {
        RUN_TAG: record.run,
        "payoff.status": record.status,
        "payoff.project": record.project,
        "payoff.version": record.version,
        "mlflow.source.name": record.name,
        "mlflow.source.type": "PROJECT",
        "mlflow.note.content": note(record),
    }
    if record.git and record.git.commit:
        found["mlflow.source.git.commit"] = record.git.commit
        found["mlflow.source.git.dirty"] = str(record.git.dirty).lower()
        if record.git.branch:
            found["mlflow.source.git.branch"] = record.git.branch
    if record.charter:
        found["payoff.charter"] = record.charter.digest
    if record.valuation:
        found |= {"payoff.currency": record.valuation.currency, "payoff.best": record.valuation.best}
    for environment in record.environments:
        found[f"environment.{environment.name}"] = environment.digest
    for verdict in record.verdicts:
        found[f"verdict.{verdict.gate}"] = f"{'passed' if verdict.passed else 'refused'}: {verdict.reason}"
    for number, error in enumerate(record.errors[:5]):
        found[f"error.{number}"] = f"{error.code}: {error.what}"
    return {key(name): value[:LONGEST_TAG] for name, value in found.items()}


def note(record: RunRecord) -> str:
    """The run in a few lines of Markdown: money first, then the verdicts or the errors."""
    lines = []
    if record.charter:
        lines.append(f"**{record.charter.decision.question}**")
    if record.valuation:
        gain, currency = record.valuation.gain, record.valuation.currency
        lines.append(
            f"**{gain.mean:+,.0f} {currency} a year** over `{gain.over}` "
            f"({gain.low:+,.0f} to {gain.high:+,.0f} at {gain.confidence:.1%} confidence)"
        )
    lines += [
        f"- {verdict.gate}: {'passed' if verdict.passed else '**refused**'}: {verdict.reason}"
        for verdict in record.verdicts
    ]
    lines += [f"- {error.code}: {error.what}" for error in record.errors[:5]]
    return "\n\n".join([f"Payoff run `{record.run}`: {record.status}", *lines])


def inputs(record: RunRecord) -> list[DataInput]:
    """The tables as MLflow dataset inputs; the digest is the content's identity."""
    made = {outcome.name for outcome in (*record.steps, *record.stages)}
    commit = record.git.commit if record.git else None
    found = []
    for name, table in record.tables.items():
        context = name if name in ("train", "holdout") else "derived" if name in made else "source"
        source = {"payoff.table": name, "payoff.content": table.id, "mlflow.source.name": record.name}
        if commit:
            source["mlflow.source.git.commit"] = commit
        found.append(
            DataInput(
                name=name,
                digest=table.id[:LONGEST_DIGEST],
                schema=json.dumps({"mlflow_colspec": columns.specification(table.fields)}),
                profile=json.dumps({"num_rows": table.rows, "num_elements": (table.rows or 0) * len(table.fields)}),
                source=json.dumps({"tags": source}),
                context=context,
            )
        )
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
