"""One run, as its record says it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from payoff.base.errors import UserError
from payoff.flows.opening import Opened, Past, open_past
from payoff.ports.store import was
from payoff.records.answers.request import RunAnswer
from payoff.records.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payoff.records.run import RunRecord


def show(project: str | None, run: str = "latest", reader: str | None = None) -> RunAnswer:
    """A run's record (by id, unique beginning of an id, or `latest`) and where to look further, as a reader may see it."""
    past = open_past(project)
    record, tracking = find(past, run)
    answer = answer_for(past, seen(past, record, reader), tracking)
    return msgspec.structs.replace(answer, warnings=tuple(_expired(past, record)))


def seen(past: Past, record: RunRecord, reader: str | None) -> RunRecord:
    """The record as a reader may see it; without one, as the reader may for whom the project shows things."""
    if not isinstance(past, Opened):
        _refuse_unknown(past, reader)
        return record
    if reader is None and not past.project.readers:
        return record
    from payoff.flows.data import readers  # brings sqlglot, and few projects name readers

    return readers.shown(past.project, record, readers.reader_of(past.project, reader))


def _refuse_unknown(past: Past, reader: str | None) -> None:
    """Who may see what cannot be known of a project that does not load."""
    text = (past.root / "payoff.toml").read_text(encoding="utf-8")
    if reader is not None or "[readers." in text:
        raise UserError(
            "the project does not load, so that nobody knows what its readers may see",
            code="PO-R105",
            expected="a project that loads",
            remedy="payoff check, and correct what it says",
        )


def predictions(project: str | None, run: str, file: str, reader: str | None = None) -> int:
    """Write the scored holdout rows of a run as Parquet; answers how many.

    Columns: `id`, `outcome`, one `p_<outcome>` per outcome, `action`, one `payoff_<action>` per action: the payoff of that action
    given the row's real outcome.
    """
    past = open_past(project)
    record, _ = find(past, run)
    if record.predictions is None:
        raise UserError(
            f"run {record.run} has no predictions: it was {record.status} before the model was scored",
            code="PO-R103",
            expected="a run that got to its verdict",
            remedy="payoff runs, and name one that has an amount of money",
        )
    source = past.kit.store.path(record.predictions)
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    past.kit.engine.transform(
        f"select {_columns(past, record, reader)} from predictions", {"predictions": source}, target
    )
    return record.predictions.rows or 0


def _columns(past: Past, record: RunRecord, reader: str | None) -> str:
    """Those that may be seen."""
    if not isinstance(past, Opened):
        _refuse_unknown(past, reader)
        return "*"
    if reader is None and not past.project.readers:
        return "*"
    from payoff.data.names import column as quoted
    from payoff.flows.data import readers

    who = readers.reader_of(past.project, reader)
    return "*" if who is None else ", ".join(quoted(name) for name in readers.columns_shown(past.project, record, who))


def answer_for(past: Past, record: RunRecord, tracking: dict[str, Any], *, unchanged: bool = False) -> RunAnswer:
    """A record with where to look further."""
    tracker = past.kit.tracker
    address = tracker.address() if tracker else {}
    report = past.root / ".payoff" / "reports" / f"{record.run}.html"
    return RunAnswer(
        record=record,
        unchanged=unchanged,
        tracking={"uri": address.get("uri", ""), "run_id": None, **tracking},
        look=address.get("command", ""),
        report=str(report) if report.exists() else "",
    )


def _expired(past: Past, record: RunRecord) -> Iterator[Finding]:
    """What the run had, and retention let nobody keep."""
    store = past.kit.store
    kept = {**record.tables, **({"predictions": record.predictions} if record.predictions is not None else {})}
    kept |= {each.name: each.output for each in record.steps if each.output is not None and each.name not in kept}
    for name, artifact in kept.items():
        if not store.has(artifact) and (why := was(store, artifact)).startswith("was "):
            yield Finding(
                code="PO-F041",
                severity="warning",
                what=f"{name} of run {record.run} {why}",
                expected="nothing else: the record and its figures stay",
                try_=f"payoff data history {name}" if name in record.tables else "payoff runs",
            )


def find(past: Past, run: str) -> tuple[RunRecord, dict[str, str]]:
    """The record of a run, and its place in the tracker."""
    found = past.kit.ledger.read(past.id, run)
    if not found.entries:
        raise UserError(
            f"run {run} was stopped before its end, so it has no record",
            code="PO-R102",
            expected="a run that ended",
            remedy="payoff run: finished steps are not repeated",
        )
    tracked = [body for event, body in found.events if event == "tracked"]
    tracking = {k: str(v) for k, v in tracked[-1].items() if k in {"uri", "run_id"}} if tracked else {}
    return found.entries[-1].record, tracking
