"""Refuses a verdict on a holdout too small for the asked confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payoff.ports.gate import GateSpec
from payoff.records.evidence import Verdict

if TYPE_CHECKING:
    from payoff.records.charter import Charter
    from payoff.records.evidence import Evidence

GATE = GateSpec(
    "PO-G003",
    "the holdout is large enough for the asked confidence",
    "collect more decisions, keep a larger share as holdout (split.holdout), or ask for less confidence",
)


def judge(evidence: Evidence, charter: Charter) -> Verdict | None:
    """The holdout must have as many rows as the spread and skewness of the money ask for."""
    valuation = evidence.valuation
    if valuation is None:
        return None
    needed = int(valuation.metrics.get("rows_needed", 0))
    passed = valuation.rows >= needed
    reason = f"{valuation.rows:,} rows; {needed:,} are needed at {valuation.adjusted:.2%} confidence"
    return Verdict(
        gate="holdout_size", passed=passed, reason=reason, numbers={"rows": valuation.rows, "needed": needed}
    )
