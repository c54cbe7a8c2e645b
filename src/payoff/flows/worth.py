"""`payoff worth`: before a model exists what one could be worth; of a run, what its worth hangs on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from payoff.base.clock import now
from payoff.base.errors import Refused, UserError
from payoff.base.files import write_atomically
from payoff.execute import governing
from payoff.execute import worth as counting
from payoff.flows import budget, run
from payoff.flows.opening import Opened, open_project
from payoff.flows.show import find
from payoff.plan.graph import TRAIN
from payoff.ports.observer import silent
from payoff.records.answers.request import RunRequest
from payoff.records.answers.worth import Worth

_MOST = 1000  # runs looked back

if TYPE_CHECKING:
    from collections.abc import Callable

    from payoff.ports.observer import Observer
    from payoff.records.answers.request import WorthRequest
    from payoff.records.artifact import Artifact
    from payoff.records.charter import Charter
    from payoff.records.run import RunRecord


def worth(request: WorthRequest, observer: Observer = silent, page: Callable[[Worth, str], str] | None = None) -> Worth:
    """What a model could be worth and, with a run, what its model is worth and why; `page` makes of it what the owner reads.

    A run is told by the charter it was judged by: with today's costs or payoffs beside its gain, half of the answer would be about another question.
    """
    opened = open_project(request.project)
    record = find(opened, _judging(opened, request.run))[0] if request.run else None
    charter = opened.project.charter if record is None or record.charter is None else record.charter
    examples = _kept(opened, record, charter) or _examples(opened, request, observer)
    prospect = counting.before(msgspec.structs.replace(opened.project, charter=charter), opened.kit, examples)
    findings = None
    if record is not None:
        findings = counting.after(record, opened.kit, governing.of_record(opened.project, record))
        if findings is None:
            raise _no_value(record)
    refused = not prospect.build or (findings is not None and not findings.passed)
    answer = Worth(
        project=opened.project.name,
        question=charter.decision.question,
        objective=charter.objective.statement,
        owner=charter.objective.owner,
        decisions_per_year=charter.decision.per_year,
        prospect=prospect,
        budget=budget.of(opened, examples),
        findings=findings,
        history=budget.history(opened) if request.history else (),
        says={each.name: each.says for each in charter.common_solutions},
        charter_changed=charter.digest != opened.project.charter.digest,
        exit_code=1 if refused else 0,
    )
    return _with_page(opened, request, answer, page)


def _with_page(opened: Opened, request: WorthRequest, answer: Worth, page: Callable[[Worth, str], str] | None) -> Worth:
    if page is None:
        return answer
    about = f"worth-{answer.findings.run}" if answer.findings else "worth"
    path = Path(request.page).absolute() if request.page else opened.root / ".payoff" / "reports" / f"{about}.html"
    try:
        write_atomically(path, page(answer, now()))
    except OSError as error:
        if not request.page:
            raise
        raise UserError(
            f"the page cannot be written to {request.page}: {error.strerror}",
            code="PO-R123",
            expected="a file in a folder that can be written to",
            remedy="payoff worth --html FILE with another place, or without --html",
        ) from error
    return msgspec.structs.replace(answer, page=str(path))


def _judging(opened: Opened, run: str) -> str:
    """`latest` is the latest run that was to judge a model: `payoff worth` itself may have made a run that made tables only."""
    if run != "latest":
        return run
    summaries = opened.kit.ledger.read(opened.project.id, limit=_MOST).summaries
    return next((each.run for each in summaries if each.gain is not None or each.status in ("refused", "failed")), run)


def _kept(opened: Opened, record: RunRecord | None, charter: Charter) -> Artifact | None:
    """The examples that a run was judged on: they fit its charter, whatever became of the files since."""
    made = record.tables.get(charter.decision.examples) if record is not None else None
    return made if made is not None and opened.kit.store.has(made) else None


def _examples(opened: Opened, request: WorthRequest, observer: Observer) -> Artifact:
    """The table of examples: as it was made before, or made now."""
    wish = RunRequest(project=request.project, only=(TRAIN,), command=request.command)
    name = opened.project.charter.decision.examples
    plan, _ = run.planned(opened, wish)
    hits = {stage.name: stage.hit for stage in plan.stages}
    hit = hits.get(f"step:{name}") or hits.get(f"read:{name}")
    if plan.nothing_to_do and hit is not None:
        return hit.output
    record = run.run(wish, observer).record
    made = record.tables.get(name)
    if made is None or record.errors:
        raise _unmade(record, name)
    return made


def _unmade(record: RunRecord, name: str) -> Exception:
    if record.errors:
        error = record.errors[0].as_error()
        return (
            Refused(error.what, code=error.code, expected=error.expected, remedy=error.remedy, where=error.where)
            if record.status == "refused"
            else error
        )
    return UserError(
        f"the table {name} could not be made",
        code="PO-R120",
        expected="examples: one row per decision of the past, with its outcome",
        remedy=f"payoff show {record.run} says what went wrong",
    )


def _no_value(record: RunRecord) -> UserError:
    why = (
        "it made tables and judged nothing"
        if record.status == "passed"
        else f"it was {record.status} before the model was judged"
    )
    return UserError(
        f"run {record.run} has no value: {why}",
        code="PO-R121",
        expected="a run that got to its verdict",
        remedy="payoff runs, and name one that has an amount of money; payoff worth alone needs no run",
    )
