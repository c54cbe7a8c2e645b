"""The holdout as a budget: looks taken, what the next ones will ask for, and when the kill rule stops them."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

from payoff.data import split
from payoff.records.worth import Budget, Past
from payoff.value import looks
from payoff.value.prospect import interval

if TYPE_CHECKING:
    from payoff.flows.opening import Opened
    from payoff.records.artifact import Artifact

_AHEAD = 10


def of(opened: Opened, examples: Artifact) -> Budget:
    """What was spent of the holdout that these examples make, under the charter as it is now."""
    charter = opened.project.charter
    subject = split.holdout_identity(charter, examples)
    taken = opened.kit.ledger.state(opened.project.id).looks.get(subject, 0)
    confidence = charter.accept.confidence
    ahead = looks.adjusted_confidence(confidence, taken + 1)
    return Budget(
        looks=taken,
        confidence=confidence,
        next_confidence=ahead,
        widening=_quantile(ahead) / _quantile(confidence),
    )


def history(opened: Opened) -> tuple[Past, ...]:
    """Every run that got to a value, the oldest first."""
    ledger, project = opened.kit.ledger, opened.project
    found = []
    for summary in ledger.read(project.id, limit=1000).summaries:
        if summary.gain is None:
            continue
        record = ledger.read(project.id, summary.run).entries[-1].record
        if record.valuation is not None and record.charter is not None:
            found.append(
                Past(
                    run=record.run,
                    started=record.started,
                    charter=record.charter.digest[:12],
                    looks=record.looks,
                    promised=float(record.charter.accept.min_gain_per_year),
                    gain=interval(record.valuation.gain),
                    status=record.status,
                )
            )
    return tuple(reversed(found))


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
