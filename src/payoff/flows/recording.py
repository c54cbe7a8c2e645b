"""What is kept of a run: its record, its report, its place in the tracker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from payoff import __version__
from payoff.base.clock import now, stopwatch
from payoff.base.errors import PayoffError
from payoff.base.files import write_atomically
from payoff.execute.delivery import write
from payoff.flows import watching
from payoff.plan.stages import Value
from payoff.ports.gate import judge
from payoff.records.finding import Finding, from_error
from payoff.records.run import EnvironmentUsed, RunRecord
from payoff.wiring import assemble

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from payoff.execute.run import Result
    from payoff.flows.opening import Opened
    from payoff.plan.stages import Plan
    from payoff.ports.observer import Observer
    from payoff.ports.tracker import Tracker
    from payoff.records.answers.request import RunRequest
    from payoff.records.evidence import Verdict
    from payoff.records.run import Status
    from payoff.records.state import State

# A run waits at most this share of its own time for the tracker, which goes on in the background; a patient one this long.
_SHARE, _PATIENCE = 0.05, 60.0
# Rows that an example is made of; what fewer rows than this have in common could point to a person.
_ROWS, _MANY = 100_000, 20


def record(
    opened: Opened, plan: Plan, result: Result, request: RunRequest, *, run: str, began: str, clock: float
) -> RunRecord:
    """Judge the evidence and put everything about the run into one record."""
    project = opened.project
    verdicts: tuple[Verdict, ...] = ()
    if not request.only:
        verdicts = judge(result.evidence, project.charter, assemble.gates())
    status, exit_code = _status(result, verdicts)
    return RunRecord(
        run=run,
        project=project.id,
        name=project.name,
        status=status,
        exit_code=exit_code,
        started=began,
        finished=now(),
        seconds=stopwatch() - clock,
        command=request.command,
        by=watching.who(),
        charter=project.charter,
        git=project.git,
        environments=tuple(
            EnvironmentUsed(name=e.name, digest=e.digest, python=e.python, packages=e.packages)
            for e in project.environments
        ),
        system=watching.system(),
        parameters={name: values for name, values in plan.parameters.items() if values},
        steps=result.steps,
        stages=result.stages,
        tables=result.evidence.tables,
        model=result.evidence.model,
        predictions=result.evidence.predictions,
        checks=result.evidence.checks,
        valuation=result.evidence.valuation,
        verdicts=verdicts,
        metrics=result.evidence.metrics,
        errors=tuple(_findings(result)),
        holdout_rows=result.evidence.holdout_rows,
        looks=result.evidence.looks,
        version=__version__,
        tracking_uri=project.tracking.uri,
    )


def delivered(opened: Opened, plan: Plan, state: State, record: RunRecord, tell: Observer) -> RunRecord:
    """The record with what was written after the verdict; a table that could not be written fails the run."""
    if not plan.deferred:
        return record
    stages, errors = write.after_verdict(
        opened.project,
        plan,
        opened.kit,
        state,
        run=record.run,
        tell=tell,
        tables=record.tables,
        passed=record.status == "passed",
    )
    found = [finding for error in errors.values() if isinstance(error, PayoffError) for finding in from_error(error)]
    changes: dict[str, Any] = {"stages": (*record.stages, *stages), "errors": (*record.errors, *found)}
    if errors:
        worst = min(getattr(error, "exit_code", 3) for error in errors.values())
        changes |= {"status": "failed", "exit_code": worst}
    return msgspec.structs.replace(record, finished=now(), **changes)


def earlier(opened: Opened, plan: Plan) -> tuple[RunRecord, dict[str, Any]] | None:
    """The record of the run whose verdict still stands when nothing is stale, with its place in the tracker."""
    last = next((stage.hit for stage in plan.stages if isinstance(stage, Value)), None)
    if last is None:
        return None
    try:
        found = opened.kit.ledger.read(opened.project.id, last.run)
    except PayoffError:
        return None
    if not found.entries or found.entries[-1].record.status == "failed":
        return None
    tracked = [body for event, body in found.events if event == "tracked"]
    return found.entries[-1].record, tracked[-1] if tracked else {}


def write_report(opened: Opened, record: RunRecord, report: Callable[[RunRecord], str] | None) -> None:
    """Write the run's page to `.payoff/reports/RUN.html`."""
    if report is not None:
        write_atomically(opened.root / ".payoff" / "reports" / f"{record.run}.html", report(record))


def start_tracking(opened: Opened) -> Tracker | None:
    """Begin to warm up the tracker beside the run; a tracker that cannot be made does not stop a run."""
    tracker = opened.kit.tracker
    if tracker is not None:
        tracker.start()
    return tracker


def track(opened: Opened, tracker: Tracker | None, record: RunRecord, *, patient: bool) -> dict[str, Any]:
    """Hand the run, and those that a kill kept from it, to the tracker; answer this run's place there as far as it is known."""
    if tracker is None:
        return {}
    ledger, project = opened.kit.ledger, opened.project
    for missed in _missed(opened, record.run):
        tracker.track(missed, _files(opened, missed))
    tracker.track(record, _files(opened, record))
    answers = tracker.finish(_PATIENCE if patient else max(0.5, _SHARE * record.seconds))
    for run, place in answers.items():
        if "run_id" in place:
            ledger.journal(project.id, run, "tracked", {"subject": run, **place})
    return dict(answers.get(record.run, {}))


def _missed(opened: Opened, run: str) -> list[RunRecord]:
    """Runs with a record that no tracker confirmed: those that a kill interrupted, newest ten."""
    ledger, project = opened.kit.ledger, opened.project
    return [
        ledger.read(project.id, summary.run).entries[-1].record
        for summary in ledger.read(project.id, limit=10).summaries
        if summary.run != run and summary.status != "unfinished" and not summary.tracked
    ]


def _files(opened: Opened, record: RunRecord) -> dict[str, str]:
    store, files = opened.kit.store, {}
    for name, artifact in (("model", record.model), ("predictions", record.predictions)):
        if artifact is not None and store.has(artifact):
            files[name] = str(store.path(artifact))
    report = opened.root / ".payoff" / "reports" / f"{record.run}.html"
    if report.exists():
        files["report"] = str(report)
    files["code"] = str(opened.root)
    example = typical_row(opened, record)
    if example is not None:
        files["example"] = str(example)
    return files


def typical_row(opened: Opened, record: RunRecord) -> Path | None:
    """One made-up row of what the model takes, no row of a person's: the middle of each number, of the rest what many rows have in common.

    From the first rows of train, as an example needs no more; of a column labelled personal only what a hundredth of them share.
    """
    train = record.tables.get("train")
    score = next((stage for stage in record.stages if stage.name == "score"), None)
    names = score.extra.get("feature_names", []) if score else []
    kinds = {field.name: field.type for field in train.fields} if train else {}
    if train is None or not names or not set(names) <= kinds.keys() or not opened.kit.store.has(train):
        return None
    from payoff.execute import governing  # brings sqlglot, which the run that is recorded had

    contracts = governing.of_record(opened.project, record)
    personal = {c.name for contract in contracts for c in contract.columns if c.personal}
    listed = ", ".join(f"({_typical(name, kinds[name], personal)}) as c{number}" for number, name in enumerate(names))
    sql = f"with few as (select * from train limit {_ROWS}) select {listed}"
    answer = opened.kit.engine.query(sql, {"train": opened.kit.store.path(train)})
    path = opened.root / ".payoff" / "reports" / f"{record.run}.example.json"
    row = [column[0].as_py() for column in answer.columns]
    write_atomically(path, json.dumps({"columns": names, "data": [row]}, default=str))
    return path


def _typical(name: str, kind: str, personal: set[str]) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    if kind.startswith(("int", "uint", "double", "float")):
        return f"select quantile_disc({quoted}, 0.5) from few"
    many = max(_MANY, _ROWS // 100) if name in personal else _MANY
    common = (
        f"select {quoted} as v, count(*) as n from few where {quoted} is not null group by 1 order by n desc, v limit 1"
    )
    return f"select v from ({common}) where n >= {many}"


def _status(result: Result, verdicts: tuple[Verdict, ...]) -> tuple[Status, int]:
    """Failed before refused: when a stage failed for another reason than a broken promise, nothing was judged."""
    if result.errors:
        worst = min(getattr(error, "exit_code", 3) for error in result.errors.values())
        return ("refused", 1) if worst == 1 else ("failed", worst)
    if any(not verdict.passed for verdict in verdicts):
        return "refused", 1
    return "passed", 0


def _findings(result: Result) -> list[Finding]:
    return [
        finding for error in result.errors.values() if isinstance(error, PayoffError) for finding in from_error(error)
    ]
