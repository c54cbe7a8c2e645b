"""What the gates say of a run's evidence when they are asked again: a ledger that was edited to say `passed` does not make a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.base.errors import Refused
from payoff.ports.gate import judge
from payoff.records.evidence import Evidence
from payoff.wiring import assemble

if TYPE_CHECKING:
    from payoff.records.project import Project
    from payoff.records.run import RunRecord


def refuse_unfounded(record: RunRecord, project: Project) -> None:
    """Refuse a record whose charter is not that of its commit, or whose evidence does not pass the gates. `project` is the run's, as git has it."""
    evidence = Evidence(
        steps=record.steps,
        checks=record.checks,
        tables=record.tables,
        model=record.model,
        predictions=record.predictions,
        valuation=record.valuation,
        holdout_rows=record.holdout_rows,
        looks=record.looks,
        metrics=record.metrics,
    )
    wrong = [each.gate for each in judge(evidence, project.charter, assemble.gates()) if not each.passed]
    if record.charter != project.charter:
        wrong.append("the charter is not the one of its commit")
    if wrong:
        raise Refused(
            f"the record of run {record.run} says that it passed, and what it says of its evidence does not: {', '.join(wrong)}",
            code="PO-A094",
            expected="a record as payoff run wrote it",
            remedy="look at who may write to the ledger; payoff run --force, and release that run",
        )
