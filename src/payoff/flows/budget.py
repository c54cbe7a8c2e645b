"""The holdout as a budget: looks taken, what the next ones will ask for, and when the kill rule stops them."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from payoff.base.errors import Refused, Where
from payoff.base.text import count
from payoff.data import split
from payoff.records.answers.worth import Budget, Past
from payoff.value import looks
from payoff.value.worth.prospect import interval

if TYPE_CHECKING:
    from payoff.flows.opening import Opened
    from payoff.records.artifact import Artifact
    from payoff.records.run import RunRecord

_MOST = 1000  # runs looked back


def of(opened: Opened, examples: Artifact) -> Budget:
    """What was spent of the holdout that these examples make, under the charter as it is now."""
    charter = opened.project.charter
    subject = split.holdout_identity(charter, examples)
    taken = opened.kit.ledger.state(opened.project.id).looks.get(subject, 0)
    confidence = charter.accept.confidence
    ahead = looks.adjusted_confidence(confidence, taken + 1)
    rule = charter.stop.after_runs
    error = stopped(opened)
    return Budget(
        looks=taken,
        confidence=confidence,
        next_confidence=ahead,
        widening=_quantile(ahead) / _quantile(confidence),
        after_runs=rule,
        left=None if rule is None else max(0, rule - len(_judged(opened))),
        stopped=f"{error.what}. Try: {error.remedy}" if error else "",
    )


def stopped(opened: Opened) -> Refused | None:
    """The kill rule: the reason why no further model may be tried, if there is one.

    Of the models judged since the charter was last signed, there are as many as the rule allows, and none of the last so many could, by the
    upper bound of its gain, bring what was promised.
    """
    charter = opened.project.charter
    rule, promised = charter.stop.after_runs, charter.stop.unless_upper_bound_above
    if rule is None:
        return None
    above = float(charter.accept.min_gain_per_year if promised is None else promised)
    last = _judged(opened)[-rule:]
    highest = max((record.valuation.gain.high for record in last if record.valuation), default=math.inf)
    if len(last) < rule or highest > above:
        return None
    money = f"{charter.currency} a year"
    return Refused(
        f"the charter's kill rule stops this project: {count(len(last), 'model')} in a row could bring at most {highest:,.0f} {money},"
        f" {above:,.0f} {money} were promised",
        code="PO-R130",
        expected=f"a new decision of {charter.objective.owner}: to stop, or to go on under a new version of the charter",
        remedy='payoff worth --history shows promise and results; to go on, the owner writes [signed] by = "...", on = DATE, why = "..." into'
        " charter.toml",
        where=Where(charter.file),
    )


def _judged(opened: Opened) -> list[RunRecord]:
    """The runs that judged a model for the first time under the present signature, the oldest first."""
    found: dict[str, RunRecord] = {}
    for record in _valued(opened):
        if record.charter and record.model and record.charter.signed == opened.project.charter.signed:
            found.setdefault(record.model.id, record)
    return list(found.values())


def _valued(opened: Opened) -> list[RunRecord]:
    ledger, project = opened.kit.ledger, opened.project
    summaries = [each for each in ledger.read(project.id, limit=_MOST).summaries if each.gain is not None]
    return [ledger.read(project.id, each.run).entries[-1].record for each in reversed(summaries)]


def history(opened: Opened) -> tuple[Past, ...]:
    """Every run that got to a value, the oldest first."""
    return tuple(
        Past(
            run=record.run,
            started=record.started,
            charter=record.charter.digest[:12],
            looks=record.looks,
            promised=float(record.charter.accept.min_gain_per_year),
            gain=interval(record.valuation.gain),
            status=record.status,
        )
        for record in _valued(opened)
        if record.valuation is not None and record.charter is not None
    )


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
